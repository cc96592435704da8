//! Float32 compared with float64.

use burn::module::Module;
use burn::tensor::{DType, FloatDType};

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, elements, largest, tensor};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::jacobian::{jacobian, row_sum_norm};
use super::tolerance::{Kind, roughness, tolerance};
use crate::bijector::Bijector;

/// Forward in float32 gives the values and log-determinants of forward in float64, with the same
/// parameters and the same inputs, ordinary and extreme.
///
/// The tolerance is [`Kind::Precision`] times the sum of the value's magnitude and the effect that
/// one rounding of the input has on it, by derivatives in float64.
///
/// # Errors
/// The first value that is less accurate in float32 than it could be.
pub fn precision<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let settings =
        [Region::Ordinary, Region::Extreme].map(|region| Setting::new(DType::F32, region, 3, 45));
    Check::Precision.under(settings, |setting| both(of, setting))
}

fn both<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let bijector = of.build(seed, dtype);
    let precise = of.widen(&bijector);
    let (x, context) =
        (of.sample(region, seed + 1, batch, dtype), of.sample_context(seed + 2, batch, dtype));
    let device = of.device_for(DType::F64);
    let wide = tensor(elements(&x), x.dims(), DType::F64, &device);
    let condition = of.sample_context(seed + 2, batch, DType::F64);
    // The float32 elements of the condition, in float64.
    let wide_condition = condition.with(&mut &context.values()[..]);

    let (z, log_det) = bijector.valid().forward(x.inner(), &context.plain());
    let leaf = wide.clone().require_grad();
    let (expected, expected_log_det) = precise.forward(leaf.clone(), &wide_condition);
    let found = (expected_log_det.clone().sum() + leaf.clone().mul_scalar(0.0).sum()).backward();
    let slope = leaf
        .grad(&found)
        .map_or_else(|| vec![0.0; elements(&wide).len()], |gradient| elements(&gradient));
    let slope = tensor(slope, wide.dims(), DType::F64, &device);

    let (x, slope) = (Elements::of(&wide), Elements::of(&slope));
    let (expected, expected_log_det) = (Elements::of(&expected), Elements::of(&expected_log_det));
    let bound = tolerance(Kind::Precision, dtype) * roughness(&of.device_for(dtype));
    let reach = |example: usize| 1.0 + largest(x.example(example));
    let norms: Vec<f64> = (0..batch)
        .map(|example| {
            let condition = wide_condition.example(example);
            row_sum_norm(&jacobian(
                |x| precise.forward(x, &condition).0,
                &wide.clone().narrow(0, example, 1),
            ))
        })
        .collect();
    let value = |example: usize| {
        bound * (1.0 + largest(expected.example(example)) + norms[example] * reach(example))
    };
    let values = Elements::of(&z.cast(FloatDType::F64)).near(
        "z in float32, against float64,",
        &expected,
        value,
    )?;
    let log_det_size = |example: usize| {
        let slope: f64 = slope.example(example).iter().map(|value| value.abs()).sum();
        1.0 + largest(expected_log_det.example(example)) + slope * reach(example)
    };
    let log_dets = Elements::of(&log_det.cast(FloatDType::F64)).near(
        "log_det in float32, against float64,",
        &expected_log_det,
        |example| bound * log_det_size(example),
    )?;
    Ok(values.max(log_dets))
}
