//! Nothing overflows at valid inputs.

use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::condition::Condition;
use super::conformance::Conformance;
use super::failure::{Failure, Fault, Setting};
use super::inputs::Draw;
use super::numbers::Numbers;
use super::parameters::{gradients, parameters};
use crate::bijector::Bijector;

/// Values, log-determinants and gradients are finite at extreme inputs, forward and inverse, in
/// float32 and float64.
///
/// # Errors
/// The first element that is not.
pub fn finite<const D: usize, C: Condition>(of: &Conformance<D, C>) -> Result<Outcome, Failure> {
    let settings = [DType::F32, DType::F64].map(|dtype| Setting::new(dtype, Draw::Extreme, 5, 15));
    Check::Finite.under(settings, |setting| {
        let Setting { dtype, draw, batch, seed } = setting;
        let bijector = of.build(seed, dtype);
        let x = of.draw(draw, seed + 1, batch, dtype).require_grad();
        let context = of.condition(seed + 2, batch, dtype);
        let (z, log_det) = bijector.forward(x.clone(), &context);
        Numbers::of(&z).finite("z")?;
        Numbers::of(&log_det).finite("log_det of forward")?;
        let found = (z.clone().sum() + log_det.sum()).backward();
        if let Some(gradient) = x.grad(&found) {
            Numbers::of(&gradient).finite("gradient of the input")?;
        }
        for (parameter, gradient) in parameters(&bijector).iter().zip(gradients(&bijector, &found))
        {
            Numbers::list(gradient.unwrap_or_default())
                .finite(&format!("gradient of {}", parameter.path))?;
        }
        let (back, inverse_log_det) = bijector.inverse_with_log_det(z.detach(), &context);
        Numbers::of(&back).finite("x of inverse")?;
        Numbers::of(&inverse_log_det).finite("log_det of inverse")?;
        Ok::<f64, Fault>(0.0)
    })
}
