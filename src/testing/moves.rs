//! Whatever burn does to a module, its parameters stay the same.

use burn::module::Module;
use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::parameters::parameters;
use crate::bijector::boxed::BoxBijector;

/// Names, ids and values of parameters survive whatever burn does to a module: clones, boxes, moves
/// between devices, `valid` and `train`.
///
/// # Errors
/// The first thing that changed.
pub fn moves<const D: usize, C: SampleContext>(of: &Conformance<D, C>) -> Result<Outcome, Failure> {
    Check::Moves
        .under([Setting::new(DType::F32, Region::Ordinary, 1, 1)], |setting| moved(of, setting))
}

fn moved<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let bijector = of.build(setting.seed, setting.dtype);
    let state = |bijector: &BoxBijector<D, C>| -> Vec<_> {
        parameters(bijector).into_iter().map(|p| (p.path, p.id, p.values)).collect()
    };
    let trained =
        |bijector: &BoxBijector<D, C>| parameters(bijector).iter().filter(|p| p.trained).count();
    let (before, leaves) = (state(&bijector), trained(&bijector));
    let device = of.device_for(DType::F64);
    let moved = [
        ("clone", bijector.clone(), leaves),
        ("a box", BoxBijector::new(bijector.clone()), leaves),
        // burn's `to_device` is an operation on the graph whose leaves are the parameters; `fork`
        // makes new leaves.
        ("to_device", bijector.clone().to_device(&device), 0),
        ("fork", bijector.clone().fork(&device), leaves),
        ("materialize", bijector.clone().materialize(), leaves),
        ("valid and train", bijector.valid().train(), leaves),
        ("valid", bijector.valid(), 0),
    ];
    for (how, moved, leaves) in &moved {
        if state(moved) != before {
            return Err(Fault::Changed { how, what: "names, ids or values of parameters" });
        }
        if trained(moved) != *leaves {
            return Err(Fault::Changed { how, what: "which parameters are trained" });
        }
        if moved.num_params() != bijector.num_params() {
            return Err(Fault::Changed { how, what: "the number of parameters" });
        }
    }
    Ok(0.0)
}
