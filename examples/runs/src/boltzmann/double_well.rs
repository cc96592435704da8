//! A double well in the plane.
//! ```text
//! E(x) = ¼ a x₁⁴ − ½ b x₁² + c x₁ + ½ d x₂²        a = d = 1, b = 6, c = 1;  ln p̃ = −E
//! ln Z = ln ∫ exp(−E₁(x₁)) dx₁ + ½ ln(2π/d)        the integral by Simpson's rule
//! ```
//! The wells lie near `x₁ = −2.53` and `x₁ = 2.36`. Without the term `c x₁`, the barrier between
//! them would be 9 kT high. The left well has about 99% of the mass.
//!
//! # Reference
//! Noé, Olsson, Köhler & Wu 2019, *Boltzmann generators*.

use burn::tensor::Tensor;
use flowkit::importance::Target;

const A: f64 = 1.0;
const B: f64 = 6.0;
const C: f64 = 1.0;
const D: f64 = 1.0;

/// The double well. The formulas head this module.
#[derive(Debug, Clone, Copy, Default)]
pub struct DoubleWell;

impl Target<2> for DoubleWell {
    fn log_density(&self, x: Tensor<2>) -> Tensor<1> {
        let first = x.clone().narrow(1, 0, 1);
        let square = first.clone().square();
        let energy = square.clone().square().mul_scalar(0.25 * A) - square.mul_scalar(0.5 * B)
            + first.mul_scalar(C)
            + x.narrow(1, 1, 1).square().mul_scalar(0.5 * D);
        energy.neg().squeeze_dim(1)
    }
}

impl DoubleWell {
    /// `ln Z`, to 12 digits.
    pub fn log_z(&self) -> f64 {
        // At ±6 the integrand is below e^−200 of its maximum.
        let (from, to, parts) = (-6.0, 6.0, 4000);
        let h = (to - from) / f64::from(parts);
        let density = |x: f64| (-0.25 * A * x.powi(4) + 0.5 * B * x * x - C * x).exp();
        let weight = |i: i32| match i {
            0 => 1.0,
            _ if i == parts => 1.0,
            _ if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let sum: f64 = (0..=parts).map(|i| weight(i) * density(from + h * f64::from(i))).sum();
        (sum * h / 3.0).ln() + 0.5 * (2.0 * std::f64::consts::PI / D).ln()
    }
}
