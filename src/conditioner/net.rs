//! What a network is to the layer that asks it for parameters, and what builds one.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::NetSite;
use crate::error::{ConfigError, ShapeError};

/// A network that gives the parameters of a law.
///
/// It reads the identity half of a coupling, the vector of an autoregressive layer or the condition of a prior.
/// [`Conditioned`](super::Conditioned), which holds it in the layer, checks the widths and casts: a network computes in
/// the type of its weights and is given tensors of that type.
pub trait Net<const D: usize>: Module + ModuleDisplay + 'static {
    /// Parameters of every element.
    ///
    /// # Shapes
    /// `identity [batch, ...]` and `context [batch, width, ...]`, whose further axes are those of `identity` or 1, to
    /// `[batch, params, elements]`. [`theta`] makes this shape of the output of a last layer. The context is `None`
    /// where the site has none.
    fn forward(&self, identity: Tensor<D>, context: Option<Tensor<D>>) -> Tensor<3>;

    /// Data-dependent start; passes the parameters on, cut from the graph. The default sets nothing.
    fn initialize(self, identity: Tensor<D>, context: Option<Tensor<D>>) -> (Self, Tensor<3>) {
        let theta = self.forward(identity, context).detach();
        (self, theta)
    }

    /// Whether it can read tensors of this shape, whose width, axis 1, is that of its site. The default accepts every
    /// shape: it serves vectors, and convolutions that take images of any size.
    ///
    /// # Errors
    /// The axis that does not fit.
    fn check(&self, identity: [usize; D]) -> Result<(), ShapeError> {
        let _ = identity;
        Ok(())
    }

    /// Whether it reads the condition. One that does not is given `None` and serves flows of every condition.
    fn reads_context(&self) -> bool {
        true
    }
}

/// A configuration of a network for tensors with `D` axes.
pub trait NetConfig<const D: usize> {
    /// What it builds.
    type Net: Net<D>;

    /// Whether the parameters that its networks give start at [`NetSite::theta_init`], or at random. Where it is `false`
    /// and components of the law must not start equal, the layer runs a network that it built to find out.
    const SETS_THETA_INIT: bool = false;

    /// The network for a site.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn build(&self, site: &NetSite<D>) -> Result<Self::Net, ConfigError>;

    /// Parameters of the network. The default builds it to find out.
    ///
    /// # Errors
    /// Those of [`NetConfig::build`].
    fn num_params(&self, site: &NetSite<D>) -> Result<usize, ConfigError> {
        Ok(Module::num_params(&self.build(site)?))
    }
}

/// Outputs of a last layer as parameters of every element: `[batch, params·C, ...]` to `[batch, params, C·...]`, where output
/// `j·C + c` is parameter `j` of channel `c`.
///
/// # Panics
/// If `n_params` does not divide the width.
pub fn theta<const D: usize>(output: Tensor<D>, n_params: usize) -> Tensor<3> {
    let dims = output.dims();
    let outputs: usize = dims[1..].iter().product();
    output.reshape([dims[0], n_params, outputs / n_params])
}
