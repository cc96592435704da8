//! Dense layer with initial weights of zero. In Glow it embeds the class for the top prior and is
//! the output layer of the classifier.
//! ```text
//! y = (x·W + β)·exp(3·ℓ)
//! ```
//! | symbol | meaning | shape | trained | initial value |
//! |---|---|---|---|---|
//! | `W` | weights | `[in, out]` | yes | 0 |
//! | `β` | bias | `[out]` | yes | 0 |
//! | `ℓ` | log-scale divided by 3 | `[out]` | yes | 0 |
//!
//! # Reference
//! `linear_zeros` of the code of Kingma & Dhariwal 2018.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

use crate::error::ConfigError;
use crate::tensor::limit::{product, sum};

/// Factor of the trained log-scales, as in the released code.
pub(crate) const LOG_SCALE_FACTOR: f64 = 3.0;

config! {
    /// Configuration of [`ZeroLinear`].
    #[derive(Debug)]
    pub struct ZeroLinearConfig {
        /// Width of the input.
        pub n_inputs: usize,
        /// Width of the output.
        pub n_outputs: usize,
    }
}

impl ZeroLinearConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Number of parameters of the layer, counted without building it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        ConfigError::positive("ZeroLinearConfig", "n_inputs", self.n_inputs)?;
        ConfigError::positive("ZeroLinearConfig", "n_outputs", self.n_outputs)?;
        let sizes = [("n_inputs", self.n_inputs), ("n_outputs", self.n_outputs)];
        ConfigError::parameters("ZeroLinearConfig", self.count(), sizes)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        sum([product([self.n_inputs, self.n_outputs]), product([2, self.n_outputs])])
    }

    /// The layer.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self, device: &Device) -> Result<ZeroLinear, ConfigError> {
        self.validate()?;
        Ok(ZeroLinear {
            weight: Initializer::Zeros.init([self.n_inputs, self.n_outputs], device),
            bias: Initializer::Zeros.init([self.n_outputs], device),
            log_scale: Initializer::Zeros.init([self.n_outputs], device),
        })
    }
}

/// Dense layer with initial weights of zero. The formulas head this module.
#[derive(Module, Debug)]
pub struct ZeroLinear {
    /// Weights `W`, `[in, out]`.
    pub weight: Param<Tensor<2>>,
    /// Bias `β`, `[out]`.
    pub bias: Param<Tensor<1>>,
    /// Log-scale divided by 3, `ℓ`, `[out]`.
    pub log_scale: Param<Tensor<1>>,
}

impl ZeroLinear {
    /// Applies the layer.
    ///
    /// # Shapes
    /// `[B, in]` to `[B, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = x.matmul(self.weight.val()) + self.bias.val().unsqueeze::<2>();
        y * self.log_scale.val().mul_scalar(LOG_SCALE_FACTOR).exp().unsqueeze::<2>()
    }

    /// Width of the input.
    pub fn n_inputs(&self) -> usize {
        self.weight.lazy_shape()[0]
    }
}
