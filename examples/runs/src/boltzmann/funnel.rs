//! Neal's funnel in ten dimensions.
//! ```text
//! x₀ ~ N(0, 3²),  x_i ~ N(0, e^x₀) for i = 1, …, 9                ln Z = 0
//! ```
//! # Reference
//! Neal 2003, *Slice sampling*, §8.

use std::f64::consts::PI;

use burn::tensor::Tensor;
use flowkit::importance::Target;

/// The funnel. The formulas head this module.
#[derive(Debug, Clone, Copy, Default)]
pub struct Funnel;

impl Funnel {
    /// Number of elements of an example.
    pub const DIMS: usize = 10;
}

impl Target<2> for Funnel {
    fn log_density(&self, x: Tensor<2>) -> Tensor<1> {
        let others = (Self::DIMS - 1) as f64;
        let first = x.clone().narrow(1, 0, 1);
        let squares = x.narrow(1, 1, Self::DIMS - 1).square().sum_dim(1);
        let own = first.clone().square().mul_scalar(-0.5 / 9.0);
        let rest =
            squares * first.clone().neg().exp().mul_scalar(-0.5) - first.mul_scalar(0.5 * others);
        let constant = -3f64.ln() - 0.5 * (others + 1.0) * (2.0 * PI).ln();
        (own + rest).add_scalar(constant).squeeze_dim(1)
    }
}
