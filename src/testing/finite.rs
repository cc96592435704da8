//! Nothing overflows at valid inputs.

use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::Elements;
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::parameters::{gradients, parameters};
use crate::bijector::Bijector;

/// Values, log-determinants and gradients are finite at extreme inputs, forward and inverse, in
/// float32 and float64.
///
/// # Errors
/// The first element that is not.
pub fn finite<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let settings =
        [DType::F32, DType::F64].map(|dtype| Setting::new(dtype, Region::Extreme, 5, 15));
    Check::Finite.under(settings, |setting| {
        let Setting { dtype, region, batch, seed } = setting;
        let bijector = of.build(seed, dtype);
        let x = of.sample(region, seed + 1, batch, dtype).require_grad();
        let context = of.sample_context(seed + 2, batch, dtype);
        let (z, log_det) = bijector.forward(x.clone(), &context);
        Elements::of(&z).finite("z")?;
        Elements::of(&log_det).finite("log_det of forward")?;
        let found = (z.clone().sum() + log_det.sum()).backward();
        if let Some(gradient) = x.grad(&found) {
            Elements::of(&gradient).finite("gradient of the input")?;
        }
        for (parameter, gradient) in parameters(&bijector).iter().zip(gradients(&bijector, &found))
        {
            Elements::list(gradient.unwrap_or_default())
                .finite(&format!("gradient of {}", parameter.path))?;
        }
        let (back, inverse_log_det) = bijector.inverse_with_log_det(z.detach(), &context);
        Elements::of(&back).finite("x of inverse")?;
        Elements::of(&inverse_log_det).finite("log_det of inverse")?;
        Ok::<f64, Fault>(0.0)
    })
}
