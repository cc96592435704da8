//! A saved bijector loads with the same outputs.

use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, largest};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::tolerance::repetition;
use crate::bijector::Bijector;
use crate::bijector::boxed::BoxBijector;
use crate::train::Checkpoint;

/// An initialised bijector is saved, and loaded into one that was made with another seed and
/// initialised from other data. Both then have the same outputs, in float32 and float64: bit for
/// bit on the CPU, while a GPU may fuse operations differently the second time.
///
/// burn does not save state that is not a `Param` (a plain tensor, a number). Such state makes this
/// check fail where it depends on the seed or the data. The saved bijector is outside of a
/// [`BoxBijector`] and the loaded one in a box, which shows that names do not depend on the box.
///
/// # Errors
/// The first element that differs, or the error of the checkpoint.
pub fn records<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let settings =
        [DType::F32, DType::F64].map(|dtype| Setting::new(dtype, Region::Ordinary, 4, 11));
    Check::Records.under(settings, |setting| saved(of, setting))
}

fn saved<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let (x, context) =
        (of.sample(region, seed + 1, batch, dtype), of.sample_context(seed + 2, batch, dtype));
    let folder = tempfile::tempdir().map_err(|error| Fault::Record(error.to_string()))?;
    let path = folder.path().join("bijector.safetensors");
    of.checkpoint(seed, x.clone(), &context)?.save(&path)?;
    let (saved, _) = of.build(seed, dtype).initialize(x.clone(), &context);
    let (other, _) =
        of.build(seed + 3, dtype).initialize(of.sample(region, seed + 4, batch, dtype), &context);
    let loaded = Checkpoint::load(&path)?.apply("bare", other)?;
    let outputs = |bijector: &BoxBijector<D, C>| {
        let (z, log_det) = bijector.forward(x.clone(), &context);
        let back = bijector.inverse(z.clone(), &context);
        [
            ("z", Elements::of(&z)),
            ("log_det", Elements::of(&log_det)),
            ("x of inverse", Elements::of(&back)),
        ]
    };
    for ((what, expected), (_, found)) in outputs(&saved).into_iter().zip(outputs(&loaded)) {
        let allowed = repetition(dtype, &of.device_for(dtype)) * (1.0 + largest(&expected.values));
        found.near(&format!("{what} after loading"), &expected, |_| allowed)?;
    }
    Ok(0.0)
}
