//! In evaluation mode, a module computes the same as in training mode.

use burn::module::Module;
use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, largest};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::tolerance::repetition;
use crate::bijector::Bijector;

/// `valid()` computes the same without a graph: bit for bit on the CPU, while a GPU may fuse
/// operations differently there.
///
/// # Errors
/// The first element that differs.
pub fn evaluation<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let settings =
        [DType::F32, DType::F64].map(|dtype| Setting::new(dtype, Region::Ordinary, 2, 41));
    Check::Evaluation.under(settings, |setting| {
        let Setting { dtype, region, batch, seed } = setting;
        let bijector = of.build(seed, dtype);
        let (x, context) =
            (of.sample(region, seed + 1, batch, dtype), of.sample_context(seed + 2, batch, dtype));
        let (z, log_det) = bijector.forward(x.clone(), &context);
        let plain = bijector.valid().forward(x.inner(), &context.plain());
        if plain.0.is_autodiff() {
            return Err(Fault::OnGraph("z of valid()"));
        }
        let (z, log_det) = (Elements::of(&z), Elements::of(&log_det));
        let fused = repetition(dtype, &of.device_for(dtype));
        let allowed = |expected: &Elements| fused * (1.0 + largest(&expected.values));
        let values = Elements::of(&plain.0).near("z of valid()", &z, |_| allowed(&z))?;
        Ok(values.max(
            Elements::of(&plain.1).near("log_det of valid()", &log_det, |_| allowed(&log_det))?,
        ))
    })
}
