//! Encoder of sets: the mean of the members' codes, encoded together with the size of the set.
//! ```text
//! h_i = φ(x_i)                for each member i = 1..N         a residual network, n_features
//! c = mean_i h_i
//! code = ρ(c, 1/√N)                                            a residual network, n_features
//! ```
//! The code does not depend on the order of the members, and all members count alike. `N` may
//! differ between batches. A mean does not know the number of its terms, hence `1/√N`: the
//! deviation of a mean of `N` independent terms is proportional to it, and it lies in (0, 1].
//!
//! # Cost
//! `φ` runs once for each member.
//!
//! # Reference
//! Zaheer et al. 2017 (deep sets), with a mean in place of the sum; as a summary network of
//! simulations, Radev et al. 2020 §III.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::encoder::{Encoder, EncoderConfig, SetEncoderConfig};
//! use flowkit::Site;
//!
//! let device = Device::flex();
//! // Sets of points in the plane. The number of members is not fixed.
//! let encoder = SetEncoderConfig::new(16).build(&Site::new([1, 10, 2], &device))?;
//! let x = Tensor::<3>::random([32, 7, 2], Distribution::Normal(0.0, 1.0), &device);
//! let code = encoder.encode(x.clone());
//! assert_eq!(code.dims(), [32, 16]);
//! let reversed = encoder.encode(x.flip([1]));
//! assert!((code - reversed).abs().max().into_scalar::<f32>() < 1e-6);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use super::vector::{VectorEncoder, VectorEncoderConfig};
use super::{Encoder, EncoderConfig, check_axis};
use crate::bijector::Site;
use crate::conditioner::Activation;
use crate::context::ContextShape;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::tensor::limit::sum;

config! {
    /// Configuration of [`SetEncoder`].
    #[derive(Debug)]
    pub struct SetEncoderConfig {
        /// Length of the code, and of the codes of the members.
        pub n_features: usize,
        /// Width of the blocks of both networks.
        pub d_hidden: usize = 64,
        /// Number of blocks of each network.
        pub n_blocks: usize = 1,
        /// Nonlinearity of both networks.
        pub activation: Activation = Activation::Silu,
    }
}

impl SetEncoderConfig {
    /// The networks, both of this configuration: `φ` for one member, `ρ` for mean and size.
    fn net(&self) -> VectorEncoderConfig {
        VectorEncoderConfig::new(self.n_features)
            .with_d_hidden(self.d_hidden)
            .with_n_blocks(self.n_blocks)
            .with_activation(self.activation)
    }

    /// The sites of both networks.
    fn sites(&self, site: &Site<3>) -> Result<[Site<2>; 2], ConfigError> {
        site.elements("SetEncoder")?;
        ConfigError::positive("SetEncoderConfig", "n_features", self.n_features)?;
        Ok([site.at([1, site.shape()[2]]), site.at([1, self.n_features + 1])])
    }
}

impl EncoderConfig<3> for SetEncoderConfig {
    type Encoder = SetEncoder;

    fn context(&self, site: &Site<3>) -> Result<ContextShape, ConfigError> {
        self.num_params(site)?;
        Ok(ContextShape::vector(Some(self.n_features)))
    }

    fn build(&self, site: &Site<3>) -> Result<SetEncoder, ConfigError> {
        self.num_params(site)?;
        let [member, whole] = self.sites(site)?;
        Ok(SetEncoder {
            member: self.net().build(&member)?,
            whole: self.net().build(&whole)?,
            n_inputs: site.shape()[2],
        })
    }

    fn num_params(&self, site: &Site<3>) -> Result<usize, ConfigError> {
        let [member, whole] = self.sites(site)?;
        let total = sum([self.net().num_params(&member)?, self.net().num_params(&whole)?]);
        let sizes = [("n_features", self.n_features), ("d_hidden", self.d_hidden)];
        ConfigError::parameters("SetEncoderConfig", total, sizes)
    }
}

/// Encoder of sets. The formulas head this module.
#[derive(Module, Debug)]
pub struct SetEncoder {
    /// The network `φ` of a member.
    pub member: VectorEncoder,
    /// The network `ρ` of mean and size.
    pub whole: VectorEncoder,
    n_inputs: usize,
}

impl Encoder<3> for SetEncoder {
    type Code = Tensor<2>;
    const FEATURE_AXIS: usize = 2;

    fn encode(&self, x: Tensor<3>) -> Tensor<2> {
        check_shape(self.check(x.dims()));
        let [batch, members, n] = x.dims();
        let codes = self.member.encode(x.reshape([batch * members, n]));
        let width = codes.dims()[1];
        let mean = codes.reshape([batch, members, width]).mean_dim(1).squeeze_dim::<2>(1);
        let size = 1.0 / (members as f64).sqrt();
        let size = Tensor::full([batch, 1], size, (&mean.device(), mean.dtype()));
        self.whole.encode(Tensor::cat(vec![mean, size], 1))
    }

    fn initialize(self, x: Tensor<3>) -> (Self, Tensor<2>) {
        let code = self.encode(x).detach();
        (self, code)
    }

    fn check(&self, shape: [usize; 3]) -> Result<(), ShapeError> {
        check_axis("SetEncoder", shape, 2, self.n_inputs)
    }
}
