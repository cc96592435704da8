//! Encoder of vectors: a residual network.
//! ```text
//! h = W·x + b                                               F elements
//! n_blocks times h = h + W_2·φ(W_1·φ(h) + b_1) + b_2
//! code = W_o·h + b_o                                        n_features elements
//! ```
//! # Initialisation
//! As [`ResNet`], except that `W_o` and `b_o` are uniform within `±1/√F`: a code of zeros would
//! give the layers that read it nothing to begin with.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::encoder::{Encoder, EncoderConfig, VectorEncoderConfig};
//! use flowkit::Site;
//!
//! let device = Device::flex();
//! let encoder = VectorEncoderConfig::new(16).build(&Site::new([1, 8], &device))?;
//! let x = Tensor::<2>::random([32, 8], Distribution::Normal(0.0, 1.0), &device);
//! assert_eq!(encoder.encode(x).dims(), [32, 16]);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Encoder, EncoderConfig, check_axis};
use crate::bijector::Site;
use crate::conditioner::{Activation, Net, NetConfig, NetSite, ResNet, ResNetConfig};
use crate::context::ContextShape;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::tensor::parameter;

config! {
    /// Configuration of [`VectorEncoder`].
    #[derive(Debug)]
    pub struct VectorEncoderConfig {
        /// Length of the code.
        pub n_features: usize,
        /// Width `F` of the blocks.
        pub d_hidden: usize = 64,
        /// Number of blocks.
        pub n_blocks: usize = 2,
        /// Nonlinearity `φ`.
        pub activation: Activation = Activation::Silu,
    }
}

impl VectorEncoderConfig {
    /// The network, and its site.
    fn net(&self, site: &Site<2>) -> Result<(ResNetConfig, NetSite<2>), ConfigError> {
        site.elements("VectorEncoder")?;
        ConfigError::positive("VectorEncoderConfig", "n_features", self.n_features)?;
        let net = ResNetConfig::new()
            .with_d_hidden(self.d_hidden)
            .with_n_blocks(self.n_blocks)
            .with_activation(self.activation);
        // One parameter for each feature.
        Ok((net, NetSite::new(site.shape(), [1, self.n_features], vec![0.0], site.device())))
    }
}

impl EncoderConfig<2> for VectorEncoderConfig {
    type Encoder = VectorEncoder;

    fn context(&self, site: &Site<2>) -> Result<ContextShape, ConfigError> {
        self.num_params(site)?;
        Ok(ContextShape::vector(Some(self.n_features)))
    }

    fn build(&self, site: &Site<2>) -> Result<VectorEncoder, ConfigError> {
        let (net, net_site) = self.net(site)?;
        let mut net = net.build(&net_site)?;
        net.output = parameter::fan_in_linear(self.d_hidden, self.n_features, site.device());
        Ok(VectorEncoder { net, n_inputs: site.shape()[1] })
    }

    fn num_params(&self, site: &Site<2>) -> Result<usize, ConfigError> {
        let (net, net_site) = self.net(site)?;
        net.num_params(&net_site)
    }
}

/// Encoder of vectors. The formulas head this module.
#[derive(Module, Debug)]
pub struct VectorEncoder {
    /// The network.
    pub net: ResNet,
    n_inputs: usize,
}

impl Encoder<2> for VectorEncoder {
    type Code = Tensor<2>;

    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        check_shape(self.check(x.dims()));
        self.net.forward(x, None).squeeze_dim::<2>(1)
    }

    fn initialize(self, x: Tensor<2>) -> (Self, Tensor<2>) {
        let code = self.encode(x).detach();
        (self, code)
    }

    fn check(&self, shape: [usize; 2]) -> Result<(), ShapeError> {
        check_axis("VectorEncoder", shape, 1, self.n_inputs)
    }
}
