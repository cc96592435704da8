//! Networks that give a law its parameters.

pub mod conv_res_net;
pub mod gated_net;
pub mod glow_net;
pub mod layer;
pub mod mlp;
pub mod res_net;
pub mod theta_init;
pub(crate) mod widths;
pub mod zero_conv;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

pub use conv_res_net::{ConvResBlock, ConvResNet, ConvResNetConfig};
pub use gated_net::{GatedNet, GatedNetConfig, OutputActivation};
pub use glow_net::{GlowNet, GlowNetConfig, NormedConv};
pub use mlp::{Mlp, MlpConfig};
pub use res_net::{ResBlock, ResNet, ResNetConfig};
pub use theta_init::ThetaInit;
pub use zero_conv::{ZeroConv, ZeroConvConfig};

pub use layer::*;

use crate::context::Context;
use crate::error::ShapeError;

/// The shapes that a network takes and gives, whatever its condition is.
pub trait NetShape<const D: usize> {
    /// Whether a kept half of shape `kept` gives `n_params` parameters for each number of a half of shape `other`.
    fn check(&self, kept: [usize; D], other: [usize; D], n_params: usize) -> Result<(), ShapeError>;
}

/// A network that gives the parameters of a law from the kept half of a coupling and the context.
///
/// [`ThetaInit`] sets where the law's parameters start, once for all axes and conditions.
pub trait Conditioner<const D: usize, C: Context = ()>:
    NetShape<D> + ThetaInit + Module + ModuleDisplay + 'static
{
    /// Parameters of every number of the half that changes.
    ///
    /// # Shapes
    /// `kept [batch, ...]` to `[batch, params, dims]`.
    fn forward(&self, kept: Tensor<D>, context: &C) -> Tensor<3>;

    /// Whether the network was built for a condition of the kind `C`. The default accepts every kind.
    fn accepts(&self) -> Result<(), ShapeError> {
        Ok(())
    }

    /// Whether a condition fits a kept half of shape `kept`, for networks that take one of some widths only.
    fn check_context(&self, kept: [usize; D], context: &C) -> Result<(), ShapeError> {
        let _ = (kept, context);
        Ok(())
    }

    /// Data-dependent start; passes the parameters on, cut from the graph.
    fn initialize(self, kept: Tensor<D>, context: &C) -> (Self, Tensor<3>) {
        let theta = self.forward(kept, context).detach();
        (self, theta)
    }
}
