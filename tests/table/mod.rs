//! The table of all bijectors. A new bijector is one entry in `cases.rs` and gets every check of `flowkit::testing`.

mod autoregressive;
mod blocks;
mod cases;
mod flow_plus_plus;
mod networks;
mod scales;

use flowkit::testing::{Check, Condition, Conformance, Failure, Outcome};

pub use cases::cases;

/// A bijector of any rank under any condition.
pub struct Case {
    name: String,
    run: Box<dyn Fn(Check) -> Result<Outcome, Failure>>,
}

impl Case {
    pub fn new<const D: usize, C: Condition>(conformance: Conformance<D, C>) -> Self {
        Self { name: conformance.name().to_owned(), run: Box::new(move |check| conformance.run(check)) }
    }
}

/// Runs a check on every entry and reports all that fail it.
pub fn check_all(check: Check) {
    let mut failures = Vec::new();
    for case in cases() {
        match (case.run)(check) {
            Ok(outcome) => println!("{:<40} {:>5.1} % of the tolerance", case.name, 100.0 * outcome.used),
            Err(failure) => failures.push(format!("{}: {failure}", case.name)),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
