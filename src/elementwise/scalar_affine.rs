//! One fixed scale and one fixed shift for all elements: a change of units.
//! ```text
//! forward   z = a·x + b                    inverse   x = (z − b)/a
//! log_det   D·ln|a|                        D elements per example
//! ```
//! `a = 1`, `b = −1/2` maps pixels in [0, 1] to [−1/2, 1/2]. Nothing is trained.
//! [`crate::PositionNorm`] has a trained scale and shift for each element, [`crate::ActNorm`] for
//! each channel.
//!
//! # Numerics
//! `a` and `1/a` are each rounded once to the type of the data. The log-determinant is that of the
//! configured `a`.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, LayerConfig, ScalarAffineConfig, Site};
//!
//! let layer = ScalarAffineConfig::new(2.0, -1.0).build(&Site::new([1, 3], &Device::flex()))?;
//! let x = Tensor::<2>::from_data([[0.0, 0.5, 1.0]], &Device::flex());
//! let (z, log_det) = layer.forward(x.clone(), &());
//! assert_eq!(z.to_data(), Tensor::<2>::from_data([[-1.0, 0.0, 1.0]], &Device::flex()).to_data());
//! assert!((log_det.into_scalar::<f32>() - 3.0 * 2f32.ln()).abs() < 1e-6);
//! let back: Tensor<2> = layer.inverse(z, &());
//! assert_eq!(back.to_data(), x.to_data());
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError};

config! {
    /// Configuration of [`ScalarAffine`].
    #[derive(Debug)]
    pub struct ScalarAffineConfig {
        /// Scale `a`, not 0.
        pub scale: f64,
        /// Shift `b`.
        pub shift: f64,
    }
}

impl ScalarAffineConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let out_of_range = |field, range, found| {
            Err(ConfigError::OutOfRange { config: "ScalarAffineConfig", field, range, found })
        };
        // Scale and reciprocal must be finite in float32, with room for data.
        if !(1e-30..=1e30).contains(&self.scale.abs()) {
            return out_of_range("scale", "±[1e-30, 1e30]", self.scale);
        }
        if !(-1e30..=1e30).contains(&self.shift) {
            return out_of_range("shift", "[-1e30, 1e30]", self.shift);
        }
        Ok(())
    }
}

impl<const D: usize, C: Context> LayerConfig<D, C> for ScalarAffineConfig {
    type Layer = ScalarAffine;

    fn build(&self, site: &Site<D, C>) -> Result<ScalarAffine, ConfigError> {
        self.plan(site)?;
        Ok(ScalarAffine { scale: self.scale, shift: self.shift })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.validate()?;
        site.elements("ScalarAffine")?;
        Ok(site.keeps(0))
    }
}

/// Fixed scale and shift. The formulas head this module.
#[derive(Module, Debug)]
pub struct ScalarAffine {
    scale: f64,
    shift: f64,
}

impl<const D: usize> ShapeMap<D> for ScalarAffine {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for ScalarAffine {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let dims = x.dims();
        let n: usize = dims[1..].iter().product();
        let log_det =
            Tensor::full([dims[0]], n as f64 * self.scale.abs().ln(), (&x.device(), x.dtype()));
        (x.mul_scalar(self.scale).add_scalar(self.shift), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        z.sub_scalar(self.shift).mul_scalar(1.0 / self.scale)
    }
}
