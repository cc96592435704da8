//! Leaky ReLU: negative elements have a different slope.
//! ```text
//! forward   z = x if x ≥ 0, a·x if x < 0   inverse   x = z if z ≥ 0, z/a if z < 0
//! log_det   n·ln a                         n negative elements of the example
//! ```
//! Between linear layers it makes piecewise linear flows. Their densities jump where an input is 0,
//! and the log-determinant has no gradient with respect to `x`.
//!
//! # Numerics
//! Exact up to one rounding in each direction. At 0 the slope counts as 1, both in the
//! log-determinant and in gradients.
//!
//! # Reference
//! Maas et al. 2013, whose `a` of 0.01 is the default.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, LayerConfig, LeakyReluConfig, Site};
//!
//! let device = Device::flex();
//! let layer =
//!     LeakyReluConfig::new().with_negative_slope(0.25).build(&Site::new([1, 2], &device))?;
//! let (z, log_det) = layer.forward(Tensor::<2>::from_data([[4.0, -4.0]], &device), &());
//! assert_eq!(z.to_data(), Tensor::<2>::from_data([[4.0, -1.0]], &Device::flex()).to_data());
//! assert!((log_det.into_scalar::<f32>() - 0.25f32.ln()).abs() < 1e-6);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};
use crate::tensor::per_example::sum_event;

config! {
    /// Configuration of [`LeakyRelu`].
    #[derive(Debug)]
    pub struct LeakyReluConfig {
        /// Slope `a` of negative elements, in [1e-6, 1e6].
        pub negative_slope: f64 = 0.01,
    }
}

impl LeakyReluConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // Outside this range, the slope or its reciprocal takes relevant float32 values out of
        // range within a few layers.
        if (1e-6..=1e6).contains(&self.negative_slope) {
            return Ok(());
        }
        let (config, field, range) = ("LeakyReluConfig", "negative_slope", "[1e-6, 1e6]");
        Err(ConfigError::OutOfRange { config, field, range, found: self.negative_slope })
    }
}

impl<const D: usize, C: Context> LayerConfig<D, C> for LeakyReluConfig {
    type Layer = LeakyRelu;

    fn build(&self, site: &Site<D, C>) -> Result<LeakyRelu, ConfigError> {
        self.plan(site)?;
        Ok(LeakyRelu { negative_slope: self.negative_slope })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.validate()?;
        site.elements("LeakyRelu")?;
        Ok(site.keeps(0))
    }
}

/// Leaky ReLU. The formulas head this module.
#[derive(Module, Debug)]
pub struct LeakyRelu {
    negative_slope: f64,
}

/// Negative elements multiplied by `slope`. A mask is used so that the gradient at 0 is 1, as in
/// the log-determinant.
fn bend<const D: usize>(x: Tensor<D>, slope: f64) -> Tensor<D> {
    let negative = x.clone().lower_elem(0.0);
    x.clone().mask_where(negative, x.mul_scalar(slope))
}

impl<const D: usize> ShapeMap<D> for LeakyRelu {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for LeakyRelu {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let log_slope =
            x.zeros_like().mask_fill(x.clone().lower_elem(0.0), self.negative_slope.ln());
        (bend(x, self.negative_slope), sum_event(log_slope))
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        bend(z, 1.0 / self.negative_slope)
    }
}
