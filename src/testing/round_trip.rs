//! Forward and inverse undo each other, up to the effect of one rounding of the intermediate value.

use burn::module::Module;
use burn::tensor::DType;
use nalgebra::DMatrix;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, largest};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::jacobian::{jacobian, row_sum_norm};
use super::tolerance::{Kind, roughness, tolerance};
use crate::bijector::Bijector;

/// Forward and inverse undo each other in both orders: `x -> z -> x` and `z -> x -> z`, for one
/// example and three, ordinary and extreme inputs, float32 and float64.
///
/// The tolerance is [`Kind::RoundTrip`] times the sum of the value's magnitude and the effect that
/// one rounding of the intermediate value has on the result, by the Jacobian in float64. So a badly
/// conditioned map is not blamed for its condition.
///
/// # Errors
/// The first value that differs.
pub fn round_trip<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let settings = [DType::F32, DType::F64].into_iter().flat_map(|dtype| {
        [Region::Ordinary, Region::Extreme]
            .into_iter()
            .flat_map(move |region| [1, 3].map(|batch| Setting::new(dtype, region, batch, 5)))
    });
    Check::RoundTrip.under(settings, |setting| there_and_back(of, setting))
}

fn there_and_back<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let trained = of.build(seed, dtype);
    let precise = of.widen(&trained);
    let bijector = trained.valid();
    let x = of.sample(region, seed + 1, batch, dtype).inner();
    let context = of.sample_context(seed + 2, batch, dtype).plain();
    let z = bijector.forward(x.clone(), &context).0;
    let back = bijector.inverse(z.clone(), &context);
    let again = bijector.forward(back.clone(), &context).0;
    let (x, z, back, again) =
        (Elements::of(&x), Elements::of(&z), Elements::of(&back), Elements::of(&again));
    // Checked before the Jacobian, which is singular where this fails.
    z.finite("z")?;
    back.finite("x -> z -> x")?;

    let bound = tolerance(Kind::RoundTrip, dtype) * roughness(&of.device_for(dtype));
    let (points, conditions) = (
        of.sample(region, seed + 1, batch, DType::F64),
        of.sample_context(seed + 2, batch, DType::F64),
    );
    let (mut allowed_x, mut allowed_z) = (Vec::new(), Vec::new());
    for example in 0..batch {
        let (point, condition) =
            (points.clone().narrow(0, example, 1), conditions.example(example));
        let forward = jacobian(|x| precise.forward(x, &condition).0, &point);
        let inverse = forward.clone().try_inverse().ok_or(Fault::Singular { example })?;
        let (size_x, size_z) = (largest(x.example(example)), largest(z.example(example)));
        allowed_x.push(bound * conditioning(&inverse, size_x, size_z));
        allowed_z.push(bound * conditioning(&forward, size_z, size_x));
    }
    let there = back.near("x -> z -> x", &x, |example| allowed_x[example])?;
    let here = again.near("z -> x -> z", &z, |example| allowed_z[example])?;
    Ok(there.max(here))
}

/// The effect of one rounding of the intermediate value on the returned value, in units of the
/// spacing of the type.
fn conditioning(jacobian: &DMatrix<f64>, own: f64, between: f64) -> f64 {
    own + row_sum_norm(jacobian) * (1.0 + between)
}
