//! Every parameter receives a gradient.

use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::largest;
use super::failure::{Failure, Fault, Setting};
use super::gradients::Point;
use super::inputs::Region;
use super::parameters::parameters;

/// Every parameter requires and receives a gradient that is finite and not zero everywhere, except
/// those named in [`Conformance::frozen`].
///
/// # Errors
/// The first parameter for which this does not hold.
pub fn training<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    Check::Training.under([Setting::new(DType::F64, Region::Ordinary, 2, 31)], |setting| {
        let point = Point::new(of, setting);
        let found = point.gradients(&point.coefficients(setting.seed + 3)).split_off(2);
        for (parameter, gradient) in parameters(&point.bijector).into_iter().zip(found) {
            let size = gradient.map(|gradient| largest(&gradient));
            let says = |gradient: String| {
                Err(Fault::NoGradient { parameter: parameter.path.clone(), gradient })
            };
            match (of.is_frozen(&parameter.path), parameter.trained, size) {
                (true, false, None) => {}
                (true, _, _) => {
                    return says("a gradient, though it is named in `frozen`".to_owned());
                }
                (false, false, _) => return Err(Fault::NotTrained { parameter: parameter.path }),
                (false, true, Some(size)) if size > 0.0 && size.is_finite() => {}
                (false, true, Some(size)) => {
                    return says(format!("a gradient whose largest element is {size}"));
                }
                (false, true, None) => return says("no gradient".to_owned()),
            }
        }
        Ok(0.0)
    })
}
