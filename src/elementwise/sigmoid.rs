//! Logistic sigmoid: from the real line to (0, 1).
//! ```text
//! forward   z = σ(x)                       inverse   x = ln z − ln(1 − z)
//! log_det   −Σ ( |x| + 2 ln(1 + exp(−|x|)) )         = Σ ( ln(1 − tanh²(x/2)) − ln 4 )
//! ```
//! # Numerics
//! The log-determinant and all first derivatives are accurate for every `x`
//! ([`crate::tensor::smooth`]). The inverse of `z` in [¼, ¾] is `ln(1 + y) − ln(1 − y)` with
//! `y = 2z − 1`. This `y` is exact, so `x` near 0 is accurate. In f32, `z` itself rounds to 1 from
//! `x ≈ 17` on, and to 0 below −104. The inverse of such a `z` is ±∞, and that of a `z` outside [0,
//! 1] is NaN.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, Sigmoid};
//!
//! let device = Device::flex().autodiff();
//! let x = Tensor::<2>::from_data([[0.0, 30.0]], &device).require_grad();
//! let (z, log_det) = Sigmoid::new().forward(x.clone(), &());
//! assert_eq!(z.to_data(), Tensor::<2>::from_data([[0.5, 1.0]], &device).to_data());
//! assert!((f64::from(log_det.into_scalar::<f32>()) - (0.25f64.ln() - 30.0)).abs() < 1e-5);
//! // σ′ = σ(x)·σ(−x), even where z has rounded to 1.
//! let slope = x.grad(&z.sum().backward()).unwrap().into_data().iter::<f64>().collect::<Vec<_>>();
//! assert!((slope[1] / (-30f64).exp() - 1.0).abs() < 1e-6);
//! ```

use std::f64::consts::LN_2;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};
use crate::tensor::per_example::sum_event;
use crate::tensor::smooth::{log_tanh_slope, logit_of_difference, sigmoid};

/// Logistic sigmoid. The formulas head this module.
#[derive(Module, Debug, Default)]
pub struct Sigmoid {}

impl Sigmoid {
    /// The bijector.
    pub fn new() -> Self {
        Self {}
    }
}

/// Nothing is configured: the layer is its own configuration.
impl<const D: usize, C: Context> LayerConfig<D, C> for Sigmoid {
    type Layer = Self;

    fn build(&self, site: &Site<D, C>) -> Result<Self, ConfigError> {
        self.plan(site)?;
        Ok(Self::new())
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        site.elements("Sigmoid")?;
        Ok(site.keeps(0))
    }
}

impl<const D: usize> ShapeMap<D> for Sigmoid {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Sigmoid {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let log_slope = log_tanh_slope(x.clone().mul_scalar(0.5)).sub_scalar(2.0 * LN_2);
        (sigmoid(x), sum_event(log_slope))
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        let y = z.clone().mul_scalar(2.0).sub_scalar(1.0);
        let middle = y.clone().abs().lower_equal_elem(0.5);
        let near = logit_of_difference(y.mask_fill(middle.clone().bool_not(), 0.0));
        let z = z.mask_fill(middle.clone(), 0.5);
        (z.clone().log() - z.neg().log1p()).mask_where(middle, near)
    }
}
