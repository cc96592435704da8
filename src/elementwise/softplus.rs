//! Softplus: from the real line to the positive real numbers; close to the identity for large `x`.
//! ```text
//! forward   z = ln(1 + exp(x))             inverse   x = ln(exp(z) − 1)
//! log_det   Σ ln σ(x) = −Σ ln(1 + exp(−x))
//! ```
//! [`crate::Invert`] of it maps positive data to the real line. `Invert` of [`crate::Exp`] does so
//! too, but its tails spread.
//!
//! # Numerics
//! Nothing overflows. Below `x = −ln 64` the forward map is the series `z = u − u²/2 + … + u⁹/9`
//! with `u = e^x`: some devices compute `ln(1 + u)` as a logarithm of the rounded `1 + u`, which is
//! 0 for small `u`. The inverse is `z + ln tanh(z/2) + ln(1 + e^{−z})`, since
//! `1 − e^{−z} = tanh(z/2)·(1 + e^{−z})`. Below 1/16 it is the series
//! `ln z + z/2 + z²/24 − z⁴/2880 + z⁶/181440`: some devices compute `tanh` from differences of
//! exponentials, which gives 0 for a small argument. `z` is 0 below `x ≈ −103` (f32; −87 on devices
//! without subnormal values). The inverse of 0 is −∞, that of a negative value is NaN.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, Softplus};
//!
//! let x = Tensor::<2>::from_data([[0.0, 200.0]], &Device::flex());
//! let (z, log_det) = Softplus::new().forward(x.clone(), &());
//! z.clone().into_data().assert_approx_eq::<f32>(&[[2f32.ln(), 200.0]].into(), Default::default());
//! assert!((f64::from(log_det.into_scalar::<f32>()) - 0.5f64.ln()).abs() < 1e-6);
//! let back: Tensor<2> = Bijector::<2>::inverse(&Softplus::new(), z, &());
//! back.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};
use crate::tensor::per_example::sum_event;
use crate::tensor::smooth::softplus;

/// Minus the `x` below which the series of the forward map is used.
const LN_64: f64 = 6.0 * std::f64::consts::LN_2;

/// Number of its terms. The next term, relative to the first, is at most `64⁻⁹/10`, 5.6e-18.
const TERMS: u32 = 9;

/// The `z` below which the series of the inverse is used. Its next term, `z⁸/9676800`, is then
/// below 2.5e-17.
const SMALL: f64 = 1.0 / 16.0;

/// Softplus. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct Softplus {}

impl Softplus {
    /// The bijector.
    pub fn new() -> Self {
        Self {}
    }
}

/// Nothing is configured: the layer is its own configuration.
impl<const D: usize, C: Context> LayerConfig<D, C> for Softplus {
    type Layer = Self;

    fn build(&self, site: &Site<D, C>) -> Result<Self, ConfigError> {
        self.plan(site)?;
        Ok(Self::new())
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        site.elements("Softplus")?;
        Ok(site.keeps(0))
    }
}

impl<const D: usize> ShapeMap<D> for Softplus {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Softplus {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let log_det = sum_event(softplus(x.clone().neg()).neg());
        let small = x.clone().lower_elem(-LN_64);
        // As in the inverse, each formula gets only the elements of its own side.
        let large = softplus(x.clone().mask_fill(small.clone(), 0.0));
        let u = x.mask_fill(small.clone().bool_not(), -LN_64).exp();
        let series =
            (1..TERMS).rev().fold(u.ones_like().mul_scalar(1.0 / f64::from(TERMS)), |sum, n| {
                (sum * u.clone()).neg().add_scalar(1.0 / f64::from(n))
            });
        (large.mask_where(small, series * u), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        let small = z.clone().lower_elem(SMALL);
        // Each formula gets only the elements of its own side. Otherwise one of them could add an
        // infinite derivative times 0 to the gradient.
        let large = z.clone().mask_fill(small.clone(), 1.0);
        let tanh = large.clone().mul_scalar(0.5).tanh();
        let large = tanh.log() + large.clone().neg().exp().log1p() + large;
        let z = z.mask_fill(small.clone().bool_not(), SMALL);
        let square = z.clone().square();
        // The even terms of ln(sinh(z/2)/(z/2)), by Horner's rule.
        let series = square.clone().mul_scalar(1.0 / 181_440.0).sub_scalar(1.0 / 2880.0);
        let series = (series * square.clone()).add_scalar(1.0 / 24.0) * square;
        large.mask_where(small, z.clone().log() + z.mul_scalar(0.5) + series)
    }
}
