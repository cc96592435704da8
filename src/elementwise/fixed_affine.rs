//! Fixed affine map: every number multiplied and moved by constants.
//! ```text
//! forward   z = a·x + b                    inverse   x = (z − b)/a
//! log_det   D·ln|a|                        D numbers per example
//! ```
//! Neither constant is trained. Glow centres its images by it: dequantized images are on [0, 1], its layers take [−½, ½].
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, FixedAffineConfig};
//!
//! let centre = FixedAffineConfig::new().with_scale(2.0).with_shift(-1.0).init();
//! let (z, log_det) = centre.forward(Tensor::<2>::from_data([[0.0f32, 0.75]], &Device::flex()), &());
//! assert_eq!(z.into_data().to_vec::<f32>()?, [-1.0, 0.5]);
//! assert!((log_det.into_scalar::<f32>() - 2.0 * 2f32.ln()).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};

/// Configuration of [`FixedAffine`].
#[derive(Config, Debug)]
pub struct FixedAffineConfig {
    /// Factor `a`, not 0.
    #[config(default = 1.0)]
    pub scale: f64,
    /// Summand `b`.
    #[config(default = 0.0)]
    pub shift: f64,
}

impl FixedAffineConfig {
    /// Whether the configuration describes a bijector.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "FixedAffineConfig";
        // 1e±30: both a and 1/a are normal numbers in f32.
        if !(1e-30..=1e30).contains(&self.scale.abs()) {
            let (field, range) = ("scale", "±[1e-30, 1e30]");
            return Err(ConfigError::OutOfRange { config: NAME, field, range, found: self.scale });
        }
        if !self.shift.is_finite() {
            let (field, range) = ("shift", "(-∞, ∞)");
            return Err(ConfigError::OutOfRange { config: NAME, field, range, found: self.shift });
        }
        Ok(())
    }

    /// The bijector.
    ///
    /// # Panics
    /// If [`FixedAffineConfig::validate`] is an error.
    pub fn init(&self) -> FixedAffine {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        FixedAffine { scale: self.scale, shift: self.shift }
    }
}

/// Fixed affine map. The formulas head this module.
#[derive(Module, Debug)]
pub struct FixedAffine {
    scale: f64,
    shift: f64,
}

impl<const D: usize, C: Context> Bijector<D, C> for FixedAffine {
    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let dims = x.dims();
        let n: usize = dims[1..].iter().product();
        let log_det = Tensor::full([dims[0]], n as f64 * self.scale.abs().ln(), (&x.device(), x.dtype()));
        (x.mul_scalar(self.scale).add_scalar(self.shift), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        z.sub_scalar(self.shift).mul_scalar(self.scale.recip())
    }

    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}
