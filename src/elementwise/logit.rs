//! Logit of data in [0, 1], with a margin at both ends.
//! ```text
//! p = α + (1 − 2α)·x                      y = p − (1 − p) = (1 − 2α)·(2x − 1)
//! forward   z = ln p − ln(1 − p)          inverse   x = (σ(z) − α) / (1 − 2α)
//!             = ln(1 + y) − ln(1 − y)                 = ½ + ½ tanh(z/2) / (1 − 2α)
//! log_det   Σ ( ln(1 − 2α) − ln p − ln(1 − p) )
//!           of the inverse  Σ ( ln σ(z) + ln σ(−z) − ln(1 − 2α) )
//! ```
//! # Numerics
//! With `α > 0` images stay within `|z| ≤ ln((1 − α)/α)`: 2.944 at Flow++'s α = 0.05. With `α = 0`
//! the ends of the interval map to ±∞, so data must lie inside. Data outside `[0, 1]` is an error
//! of the caller; the result is NaN once `p` leaves `(0, 1)`.
//!
//! The forward map uses the second formula where `|y| ≤ ½`, the inverse where `|z| ≤ 1`. As `α`
//! approaches ½, all data lies there: `p` and `σ(z)` are near ½, and their small difference from ½
//! has lost the precision that `x` and `z` should have. All first derivatives are accurate too.
//!
//! The range of the inverse is `(−α/(1 − 2α), 1 + α/(1 − 2α))`, slightly larger than [0, 1]. Clamp
//! to [0, 1] when making images.
//!
//! # Reference
//! Dinh et al. 2017 §4.1; constants from the code of Ho et al. 2019.

use std::f64::consts::LN_2;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::elementwise::sigmoid::Sigmoid;
use crate::error::{ConfigError, ShapeError};
use crate::tensor::per_example::sum_event;
use crate::tensor::smooth::{logit_of_difference, sigmoid, tanh};

config! {
    /// Configuration of [`Logit`].
    #[derive(Debug)]
    pub struct LogitConfig {
        /// Margin `α` at both ends, in `[0, 0.499]`: at 1/2 all data would map to one point.
        pub margin: f64 = 0.05,
    }
}

impl LogitConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if (0.0..=0.499).contains(&self.margin) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange {
            config: "LogitConfig",
            field: "margin",
            range: "[0, 0.499]",
            found: self.margin,
        })
    }
}

impl<const D: usize, C: Context> LayerConfig<D, C> for LogitConfig {
    type Layer = Logit;

    fn build(&self, site: &Site<D, C>) -> Result<Logit, ConfigError> {
        self.plan(site)?;
        Ok(Logit { margin: self.margin })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.validate()?;
        site.elements("Logit")?;
        Ok(site.keeps(0))
    }
}

/// Logit of data in [0, 1]. The formulas head this module.
#[derive(Module, Debug)]
pub struct Logit {
    margin: f64,
}

impl<const D: usize> ShapeMap<D> for Logit {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Logit {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let width = 1.0 - 2.0 * self.margin;
        let y = x.clone().mul_scalar(2.0).sub_scalar(1.0).mul_scalar(width);
        let middle = y.clone().abs().lower_equal_elem(0.5);
        let y = y.mask_fill(middle.clone().bool_not(), 0.0);
        // p(1 − p) = (1 − y²)/4
        let log_product = y.clone().square().neg().log1p().sub_scalar(2.0 * LN_2);
        let near = logit_of_difference(y);
        let x = x.mask_fill(middle.clone(), 0.5);
        let log_p = x.clone().mul_scalar(width).add_scalar(self.margin).log();
        // 1 − p is formed from 1 − x, which is exact for x in [1/2, 1].
        let log_q = x.neg().add_scalar(1.0).mul_scalar(width).add_scalar(self.margin).log();
        let log_product = (log_p.clone() + log_q.clone()).mask_where(middle.clone(), log_product);
        (
            (log_p - log_q).mask_where(middle, near),
            sum_event(log_product.neg().add_scalar(width.ln())),
        )
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        // A product, not a quotient: the gradient of burn's `div_scalar` rounds the divisor to f32,
        // also in float64.
        let stretch = 1.0 / (1.0 - 2.0 * self.margin);
        let middle = z.clone().abs().lower_equal_elem(1.0);
        let near = tanh(z.clone().mask_fill(middle.clone().bool_not(), 0.0).mul_scalar(0.5));
        let near = near.mul_scalar(0.5 * stretch).add_scalar(0.5);
        sigmoid(z).sub_scalar(self.margin).mul_scalar(stretch).mask_where(middle, near)
    }

    /// Computed from `z`, not from the rebuilt `x`: `1 − p` has lost digits that `z` still has.
    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        let n: usize = z.dims()[1..].iter().product();
        let x = Bijector::<D, C>::inverse(self, z.clone(), context);
        let (_, log_det) = Sigmoid::new().forward(z, context);
        (x, log_det.sub_scalar(n as f64 * (1.0 - 2.0 * self.margin).ln()))
    }
}
