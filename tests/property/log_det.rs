//! Log-determinants meet Jacobians, of the forward map and of the inverse, in float64.

use burn::tensor::DType;
use flowkit::Bijector;
use nalgebra::DMatrix;

use crate::table::numbers::{largest, numbers};
use crate::table::tolerance::{Kind, epsilon, tolerance};
use crate::table::{Condition, Draw, Entry, Property, check_all, jacobian, row_sum_norm, within};

fn log_abs_det(matrix: &DMatrix<f64>) -> f64 {
    matrix.clone().lu().u().diagonal().iter().map(|pivot| pivot.abs().ln()).sum()
}

struct LogDet {
    draw: Draw,
    seed: u64,
}

impl Property for LogDet {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let dtype = DType::F64;
        let bijector = entry.build(self.seed, dtype);
        let x = entry.draw(self.draw, self.seed + 1, 1, dtype);
        let context = entry.condition(self.seed + 2, 1, dtype);
        let (z, log_det) = bijector.forward(x.clone(), &context);
        let log_det = numbers(&log_det)[0];
        let forward = jacobian(|x| bijector.forward(x, &context).0, &x);
        // Autodiff writes some derivatives in terms of z, σ' = z·(1 − z) say, and so knows them only as well as z.
        let condition = forward.clone().try_inverse().map_or(f64::NAN, |inverse| row_sum_norm(&inverse));
        let rounding = epsilon(dtype) * condition * (1.0 + largest(&numbers(&z)));
        let bound = tolerance(Kind::LogDet, dtype) * (1.0 + log_det.abs()) + rounding;
        let expected = log_abs_det(&forward);
        within("forward", (log_det - expected).abs(), bound)?;
        if self.draw == Draw::Extreme {
            // How well the inverse is conditioned there is the round trip's business.
            return Ok(());
        }
        let inverse = numbers(&bijector.inverse_with_log_det(z.clone().detach(), &context).1)[0];
        let expected = log_abs_det(&jacobian(|z| bijector.inverse(z, &context), &z));
        within("inverse", (inverse - expected).abs(), bound)?;
        within("forward + inverse", (inverse + log_det).abs(), bound)
    }
}

#[test]
fn log_dets_are_those_of_jacobians() {
    for seed in [10, 20, 30] {
        check_all(&LogDet { draw: Draw::Ordinary, seed });
    }
}

#[test]
fn log_dets_are_those_of_jacobians_at_extremes() {
    for seed in [10, 11] {
        check_all(&LogDet { draw: Draw::Extreme, seed });
    }
}
