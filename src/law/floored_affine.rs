//! Affine law whose scale has a smallest value: one scale and one shift per element.
//! ```text
//! theta = (s, t)
//! forward   z = a·x + t                    inverse   x = (z − t)/a
//! log_derivative = ln a
//! Softplus  a = m + ln(1 + e^s)            in (m, ∞)
//! Sigmoid   a = m + σ(s + 2)               in (m, 1 + m)
//! SoftClip  a = exp(s/(1 + |s|/l))         in (m, 1/m);  l = −ln m
//! ```
//! `m` is the smallest scale, so the inverse is at most `1/m` times as steep as the identity. With
//! [`super::Affine`] the scale has no such bound.
//!
//! The initial theta is such that `a = 1` and `t = 0`.
//!
//! # Numerics
//! `1/a` is at most `1/m` and `ln a` at least `ln m`, for every theta.
//!
//! # Reference
//! The affine maps of other libraries, with a smallest scale of 10⁻³ each: `Softplus` that of
//! `MaskedAffineAutoregressiveTransform` and `Sigmoid` that of `AffineCouplingTransform` of nflows
//! 0.14; `SoftClip` that of `MonotonicAffineTransform` of zuko 1.6.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::{FlooredAffineConfig, Law, LawConfig, ScaleForm};
//!
//! let device = Device::flex();
//! let law = FlooredAffineConfig::new(ScaleForm::Softplus).build()?;
//! let theta = Tensor::<3>::from_data([[[-1e30], [0.5]]], &device); // the smallest scale
//! let (z, _) = law.forward(Tensor::from_data([[2.0]], &device), theta.clone());
//! assert!((z.clone().into_scalar::<f32>() - 0.502).abs() < 1e-6);
//! assert!((law.inverse(z, theta).into_scalar::<f32>() - 2.0).abs() < 1e-3);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Law, LawConfig};
use crate::error::ConfigError;
use crate::tensor::channels::channel;
use crate::tensor::smooth::{sigmoid, soft_clip, softplus};

/// How the scale follows from its parameter. The formulas head this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScaleForm {
    /// `m + ln(1 + e^s)`: no largest scale.
    Softplus,
    /// `m + σ(s + 2)`: at most `1 + m`.
    Sigmoid,
    /// `exp(s/(1 + |s|/l))`: between `m` and `1/m`.
    SoftClip,
}

config! {
    /// Configuration of [`FlooredAffine`].
    #[derive(Debug)]
    pub struct FlooredAffineConfig {
        /// How the scale follows from its parameter.
        pub form: ScaleForm,
        /// `m`, the smallest scale.
        pub least: f64 = 1e-3,
    }
}

impl FlooredAffineConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if (1e-6..=0.5).contains(&self.least) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange {
            config: "FlooredAffineConfig",
            field: "least",
            range: "[1e-6, 0.5]",
            found: self.least,
        })
    }
}

impl LawConfig for FlooredAffineConfig {
    type Law = FlooredAffine;

    fn build(&self) -> Result<FlooredAffine, ConfigError> {
        self.validate()?;
        Ok(FlooredAffine { form: self.form, least: self.least })
    }
}

/// Affine law whose scale has a smallest value. The formulas head this module.
#[derive(Module, Debug)]
pub struct FlooredAffine {
    #[module(skip)]
    form: ScaleForm,
    least: f64,
}

impl FlooredAffine {
    /// The scale and its logarithm, `[batch, dims]`.
    fn scale(&self, theta: &Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let found = theta.dims()[1];
        assert_eq!(
            found, 2,
            "FlooredAffine: expected 2 parameters for each element, found {found}"
        );
        let s = channel(theta, 0);
        let above = |part: Tensor<2>| {
            let scale = part.add_scalar(self.least);
            (scale.clone(), scale.log())
        };
        match self.form {
            ScaleForm::Softplus => above(softplus(s)),
            ScaleForm::Sigmoid => above(sigmoid(s.add_scalar(2.0))),
            ScaleForm::SoftClip => {
                let log_scale = soft_clip(s, -self.least.ln());
                (log_scale.clone().exp(), log_scale)
            }
        }
    }
}

impl Law for FlooredAffine {
    fn n_params(&self) -> usize {
        2
    }

    /// A scale of 1 and no shift.
    fn theta_init(&self) -> Vec<f64> {
        let rest = 1.0 - self.least;
        let s = match self.form {
            ScaleForm::Softplus => rest.exp_m1().ln(),
            ScaleForm::Sigmoid => (rest / self.least).ln() - 2.0,
            ScaleForm::SoftClip => 0.0,
        };
        vec![s, 0.0]
    }

    fn is_affine(&self) -> bool {
        true
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let (scale, log_scale) = self.scale(&theta);
        (x * scale + channel(&theta, 1), log_scale)
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        let (scale, _) = self.scale(&theta);
        (z - channel(&theta, 1)) / scale
    }

    fn inverse_with_log_derivative(
        &self,
        z: Tensor<2>,
        theta: Tensor<3>,
    ) -> (Tensor<2>, Tensor<2>) {
        let (scale, log_scale) = self.scale(&theta);
        ((z - channel(&theta, 1)) / scale, log_scale.neg())
    }
}
