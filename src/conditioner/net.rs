//! The interface of networks that compute the parameters of a law, and of their configurations.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::NetSite;
use crate::error::{ConfigError, ShapeError};

/// A network that computes the parameters of a law.
///
/// It reads the identity half of a coupling, the vector of an autoregressive layer or the condition
/// of a prior. [`Conditioned`](super::Conditioned), which holds it in the layer, checks the widths
/// and casts its inputs: a network computes in the type of its weights and gets tensors of that
/// type.
pub trait Net<const D: usize>: Module + ModuleDisplay + 'static {
    /// Parameters of every element.
    ///
    /// # Shapes
    /// `identity [batch, ...]` and `context [batch, width, ...]`, whose further axes are those of
    /// `identity` or 1, to `[batch, params, elements]`. [`theta`] makes this shape of the output of
    /// a last layer. The context is `None` where the site has none.
    fn forward(&self, identity: Tensor<D>, context: Option<Tensor<D>>) -> Tensor<3>;

    /// Data-dependent initialisation; returns the parameters, detached from the graph. The default
    /// sets nothing.
    fn initialize(self, identity: Tensor<D>, context: Option<Tensor<D>>) -> (Self, Tensor<3>) {
        let theta = self.forward(identity, context).detach();
        (self, theta)
    }

    /// Whether it can read tensors of this shape, whose width, axis 1, is that of its site. The
    /// default accepts every shape: it serves vectors, and convolutions that take images of any
    /// size.
    ///
    /// # Errors
    /// The axis that does not fit.
    fn check(&self, identity: [usize; D]) -> Result<(), ShapeError> {
        let _ = identity;
        Ok(())
    }

    /// Whether it reads the condition. A network that does not gets `None` and works in flows with
    /// any condition.
    fn reads_context(&self) -> bool {
        true
    }
}

/// A configuration of a network for tensors with `D` axes.
pub trait NetConfig<const D: usize> {
    /// The network that it builds.
    type Net: Net<D>;

    /// Whether the initial output of its networks is always [`NetSite::theta_init`], or random. If
    /// it is `false`, the layer runs a new network once, to check that no components of the law are
    /// initialised as equal.
    const SETS_THETA_INIT: bool = false;

    /// The network for a site.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn build(&self, site: &NetSite<D>) -> Result<Self::Net, ConfigError>;

    /// Number of parameters of the network. The default builds the network to count them.
    ///
    /// # Errors
    /// Those of [`NetConfig::build`].
    fn num_params(&self, site: &NetSite<D>) -> Result<usize, ConfigError> {
        Ok(Module::num_params(&self.build(site)?))
    }
}

/// Outputs of a last layer as parameters of every element: `[batch, params·C, ...]` to
/// `[batch, params, C·...]`, where output `j·C + c` is parameter `j` of channel `c`.
///
/// # Panics
/// If `n_params` does not divide the width.
pub fn theta<const D: usize>(output: Tensor<D>, n_params: usize) -> Tensor<3> {
    let dims = output.dims();
    let outputs: usize = dims[1..].iter().product();
    output.reshape([dims[0], n_params, outputs / n_params])
}
