//! Independent latents of Student's t distribution around 0 with scale 1, whose tails are powers.
//! ```text
//! ln p(z) = Σ c − ½ (ν + 1) ln(1 + z²/ν)         c = ln Γ(½(ν + 1)) − ln Γ(½ν) − ½ ln(νπ)
//! sample    temperature·cos(2πu)·√(ν (v^(−2/ν) − 1))         u, v uniform
//! ```
//! `ν` are the degrees of freedom: 1 is the Cauchy distribution, and the normal one is the limit of
//! large `ν`. The variance is `ν/(ν − 2)` for `ν > 2`, and not finite below; for `ν ≤ 1` there is
//! no mean either. `ν` is not trained: compare the held-out likelihoods of a few, such as 2, 5, 20.
//!
//! No flow of bounded slope makes tails that are powers from normal latents (Jaini et al. 2020), so
//! data with such tails need a prior that has them.
//!
//! # Numerics
//! With `s = |z|/√ν`, `ln(1 + s²)` is computed as `2 ln s + ln(1 + s⁻²)` above 1, so no square
//! overflows. `c` is computed in float64; for `ν > 1000`, where both `ln Γ` are large, by their
//! asymptotic difference `½ ln x − 1/(8x) + 1/(192x³)` with `x = ν/2`, whose next term is below
//! 1e-16. `v` is the middle of a cell, as for [`StandardLogistic`](super::StandardLogistic), so a
//! sample is finite for every allowed `ν` in float32 and float64; float16 ends at 65504.
//!
//! # Reference
//! Bailey 1994, *Polar generation of random variates with the t-distribution*.

use std::f64::consts::PI;

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Tensor};

use super::{Prior, PriorConfig, ReparametrisedPrior};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, check_shape, check_shape_size};
use crate::tensor::dtype::cast;
use crate::tensor::per_example::sum_event;
use crate::tensor::uniform::Cells;

config! {
    /// Configuration of [`StudentT`].
    #[derive(Debug)]
    pub struct StudentTConfig {
        /// Degrees of freedom `ν`, from 0.5 to 10⁶. Below, samples would overflow float32; above,
        /// it is a normal distribution.
        pub degrees: f64,
    }
}

/// The degrees of freedom that a prior may have.
const DEGREES: std::ops::RangeInclusive<f64> = 0.5..=1e6;

impl StudentTConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        if DEGREES.contains(&self.degrees) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange {
            config: "StudentTConfig",
            field: "degrees",
            range: "[0.5, 10⁶]",
            found: self.degrees,
        })
    }
}

impl<const D: usize, C: Context> PriorConfig<D, C> for StudentTConfig {
    type Prior = StudentT;

    fn build(&self, _: &Site<D, C>) -> Result<StudentT, ConfigError> {
        self.validate()?;
        Ok(StudentT { degrees: self.degrees })
    }
}

/// Student's t prior. The formulas head this module.
#[derive(Module, Debug)]
pub struct StudentT {
    #[module(skip)]
    degrees: f64,
}

impl StudentT {
    /// `c`.
    fn log_factor(&self) -> f64 {
        let half = 0.5 * self.degrees;
        let ratio = if self.degrees > 1000.0 {
            0.5 * half.ln() - 0.125 / half + 1.0 / (192.0 * half.powi(3))
        } else {
            libm::lgamma(half + 0.5) - libm::lgamma(half)
        };
        ratio - 0.5 * (self.degrees * PI).ln()
    }
}

/// Below, `e^w − 1` is computed by its series.
const SMALL: f64 = 0.05;

/// `e^w − 1` for `w ≥ 0`: near 0 by five terms of its series, of which the next is below `1e-9` of
/// the result.
fn exp_m1<const D: usize>(w: Tensor<D>) -> Tensor<D> {
    let next = |inner: Tensor<D>, n: f64| (w.clone() * inner).div_scalar(n).add_scalar(1.0);
    let series = w.clone() * next(next(next(next(w.ones_like(), 5.0), 4.0), 3.0), 2.0);
    let far = w.clone().exp().sub_scalar(1.0);
    far.mask_where(w.lower_elem(SMALL), series)
}

impl<const D: usize, C: Context> Prior<D, C> for StudentT {
    fn log_prob(&self, z: Tensor<D>, _: &C) -> Tensor<1> {
        let size = z.abs().div_scalar(self.degrees.sqrt());
        let far = size.clone().greater_elem(1.0);
        let large = size.clone().mask_fill(far.clone().bool_not(), 1.0);
        // `s` or `1/s`, whichever is at most 1.
        let ratio = size.mask_fill(far, 1.0) * large.clone().recip();
        let log = large.log().mul_scalar(2.0) + ratio.square().log1p();
        sum_event(log.mul_scalar(-0.5 * (self.degrees + 1.0)).add_scalar(self.log_factor()))
    }

    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        _: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D> {
        check_shape(check_shape_size("StudentT", &shape));
        let log_v = Cells::draw(shape, device, dtype).log_middle();
        let drawn = (device, log_v.dtype());
        let angle = Tensor::random(shape, Distribution::Uniform(0.0, 2.0 * PI), drawn);
        let radius = exp_m1(log_v.mul_scalar(-2.0 / self.degrees)).mul_scalar(self.degrees).sqrt();
        cast((angle.cos() * radius).mul_scalar(temperature), dtype)
    }
}

impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for StudentT {}
