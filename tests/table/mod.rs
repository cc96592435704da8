//! The table of all bijectors. A new bijector is one entry in `cases.rs` and gets every check of
//! `flowkit::testing`.

mod autoregressive;
mod blocks;
mod cases;
mod flow_plus_plus;
mod networks;
mod scales;

use burn::tensor::{Device, Distribution, Tensor};
use flowkit::Bijector;
use flowkit::testing::elements::device_rng;
use flowkit::testing::parameters::parameters;
use flowkit::testing::{Check, Conformance, Failure, Outcome, SampleContext};

pub use cases::cases;

/// A bijector of any rank under any condition.
pub struct Case {
    name: String,
    run: Box<dyn Fn(Check) -> Result<Outcome, Failure>>,
    start: Box<dyn Fn(u64, usize) -> Vec<f64>>,
}

impl Case {
    pub fn new<const D: usize, C: SampleContext, B: Bijector<D, C>>(
        conformance: Conformance<D, C>,
        make: impl Fn(&Device) -> B + 'static,
    ) -> Self {
        let start = move |seed, between| {
            let device = Device::default().autodiff();
            let _guard = device_rng();
            device.seed(seed);
            let bijector = make(&device);
            let _ = Tensor::<1>::random([between], Distribution::Default, &device).into_data();
            parameters(&bijector).into_iter().flat_map(|parameter| parameter.values).collect()
        };
        let name = conformance.name().to_owned();
        Self { name, run: Box::new(move |check| conformance.run(check)), start: Box::new(start) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters of the bijector that is made under a seed of the device, read after so many
    /// further draws.
    pub fn start(&self, seed: u64, between: usize) -> Vec<f64> {
        (self.start)(seed, between)
    }
}

/// Runs a check on every entry and reports all that fail it.
pub fn check_all(check: Check) {
    let mut failures = Vec::new();
    for case in cases() {
        match (case.run)(check) {
            Ok(outcome) => {
                println!("{:<40} {:>5.1} % of the tolerance", case.name, 100.0 * outcome.used)
            }
            Err(failure) => failures.push(format!("{}: {failure}", case.name)),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
