//! Log-determinants agree with Jacobians.

use burn::tensor::DType;
use nalgebra::DMatrix;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, elements, largest};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::jacobian::{jacobian, row_sum_norm};
use super::tolerance::{Kind, epsilon, tolerance};
use crate::bijector::Bijector;

/// The log-determinant of forward is that of its Jacobian by autodiff, at ordinary and extreme
/// inputs. The log-determinant of the inverse is that of the Jacobian of the inverse, and the
/// negative of that of forward, at ordinary inputs. In float64, within [`Kind::LogDet`].
///
/// # Errors
/// The first log-determinant that differs.
pub fn log_det<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let ordinary = [10, 20, 30].map(|seed| Setting::new(DType::F64, Region::Ordinary, 1, seed));
    let extreme = [10, 11].map(|seed| Setting::new(DType::F64, Region::Extreme, 1, seed));
    Check::LogDet.under(ordinary.into_iter().chain(extreme), |setting| volume(of, setting))
}

fn log_abs_det(matrix: &DMatrix<f64>) -> Elements {
    Elements::list(vec![
        matrix.clone().lu().u().diagonal().iter().map(|pivot| pivot.abs().ln()).sum(),
    ])
}

fn volume<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let bijector = of.build(seed, dtype);
    let x = of.sample(region, seed + 1, batch, dtype);
    let context = of.sample_context(seed + 2, batch, dtype);
    let (z, log_det) = bijector.forward(x.clone(), &context);
    let log_det = Elements::of(&log_det);
    let forward = jacobian(|x| bijector.forward(x, &context).0, &x);
    // Autodiff computes some derivatives from z, such as σ' = z·(1 − z), and they are only as
    // accurate as z.
    let condition =
        forward.clone().try_inverse().map_or(f64::NAN, |inverse| row_sum_norm(&inverse));
    let rounding = epsilon(dtype) * condition * (1.0 + largest(&elements(&z)));
    let bound = tolerance(Kind::LogDet, dtype) * (1.0 + largest(&log_det.values)) + rounding;
    let ahead = log_det.near(
        "log_det of forward, against its Jacobian,",
        &log_abs_det(&forward),
        |_| bound,
    )?;
    if region == Region::Extreme {
        // The round trip checks how well the inverse is conditioned there.
        return Ok(ahead);
    }
    let inverse = Elements::of(&bijector.inverse_with_log_det(z.clone().detach(), &context).1);
    let expected = log_abs_det(&jacobian(|z| bijector.inverse(z, &context), &z));
    let behind = inverse.near("log_det of inverse, against its Jacobian,", &expected, |_| bound)?;
    let negative = Elements::list(log_det.values.iter().map(|value| -value).collect());
    let both =
        inverse.near("log_det of inverse, against minus that of forward,", &negative, |_| bound)?;
    Ok(ahead.max(behind).max(both))
}
