//! In evaluation mode, a module computes the same as in training mode.

use burn::module::Module;
use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::condition::Condition;
use super::conformance::Conformance;
use super::failure::{Failure, Fault, Setting};
use super::inputs::Draw;
use super::numbers::{Numbers, largest};
use super::tolerance::repetition;
use crate::bijector::Bijector;

/// `valid()` computes the same without a graph: bit for bit on the CPU, while a GPU may fuse
/// operations differently there.
///
/// # Errors
/// The first element that differs.
pub fn evaluation<const D: usize, C: Condition>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let settings = [DType::F32, DType::F64].map(|dtype| Setting::new(dtype, Draw::Ordinary, 2, 41));
    Check::Evaluation.under(settings, |setting| {
        let Setting { dtype, draw, batch, seed } = setting;
        let bijector = of.build(seed, dtype);
        let (x, context) =
            (of.draw(draw, seed + 1, batch, dtype), of.condition(seed + 2, batch, dtype));
        let (z, log_det) = bijector.forward(x.clone(), &context);
        let plain = bijector.valid().forward(x.inner(), &context.plain());
        if plain.0.is_autodiff() {
            return Err(Fault::OnGraph("z of valid()"));
        }
        let (z, log_det) = (Numbers::of(&z), Numbers::of(&log_det));
        let fused = repetition(dtype, &of.device_for(dtype));
        let allowed = |expected: &Numbers| fused * (1.0 + largest(&expected.values));
        let values = Numbers::of(&plain.0).near("z of valid()", &z, |_| allowed(&z))?;
        Ok(values.max(
            Numbers::of(&plain.1).near("log_det of valid()", &log_det, |_| allowed(&log_det))?,
        ))
    })
}
