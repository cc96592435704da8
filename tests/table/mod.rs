//! The table of all bijectors. A new bijector is one entry in `cases.rs` and gets every check of
//! `flowkit::testing`.

mod autoregressive;
mod blocks;
mod cases;
mod flow_plus_plus;
mod laws;
mod mixed;
mod networks;
mod scales;

use std::collections::BTreeMap;
use std::time::Instant;

use burn::module::DisplaySettings;
use burn::tensor::{Device, Distribution, Tensor};
use flowkit::testing::elements::device_rng;
use flowkit::testing::parameters::parameters;
use flowkit::testing::{Check, Conformance, Failure, Outcome, SampleContext};
use flowkit::train::Checkpoint;
use flowkit::{Bijector, BoxBijector};

pub use cases::cases;

/// A bijector of any rank under any condition.
pub struct Case {
    name: String,
    run: Box<dyn Fn(Check) -> Result<Outcome, Failure>>,
    start: Box<dyn Fn(u64, usize) -> Vec<f64>>,
    shown: Box<dyn Fn() -> Shown>,
}

/// What a bijector shows of itself.
#[allow(dead_code)] // `bijectors` does not read it.
pub struct Shown {
    /// The bijector.
    pub bare: String,
    /// The bijector in a [`BoxBijector`].
    pub boxed: String,
    /// Types and values by path, as a checkpoint compares them.
    pub architecture: BTreeMap<String, String>,
}

impl Case {
    pub fn new<const D: usize, C: SampleContext, B: Bijector<D, C> + Sync + 'static>(
        conformance: Conformance<D, C>,
        make: impl Fn(&Device) -> B + Clone + 'static,
    ) -> Self {
        let shown = {
            let make = make.clone();
            move || {
                let bijector = make(&Device::default());
                let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
                checkpoint.insert("bijector", &bijector).unwrap();
                let architecture = checkpoint.architecture("bijector").unwrap().clone();
                let bare = bijector.format(DisplaySettings::default());
                Shown { bare, boxed: BoxBijector::<D, C>::new(bijector).to_string(), architecture }
            }
        };
        let start = move |seed, between| {
            let device = Device::default().autodiff();
            let _guard = device_rng();
            device.seed(seed);
            let bijector = make(&device);
            let _ = Tensor::<1>::random([between], Distribution::Default, &device).into_data();
            parameters(&bijector).into_iter().flat_map(|parameter| parameter.values).collect()
        };
        let name = conformance.name().to_owned();
        let run = Box::new(move |check| conformance.run(check));
        Self { name, run, start: Box::new(start), shown: Box::new(shown) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the bijector shows of itself.
    #[allow(dead_code)] // `bijectors` does not call it.
    pub fn shown(&self) -> Shown {
        (self.shown)()
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
        let begin = Instant::now();
        match (case.run)(check) {
            Ok(outcome) => {
                let (used, seconds) = (100.0 * outcome.used, begin.elapsed().as_secs_f64());
                println!("{:<40} {used:>5.1} % of the tolerance, {seconds:.1} s", case.name);
            }
            Err(failure) => failures.push(format!("{}: {failure}", case.name)),
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
