//! The interface of networks that compute the parameters of a law, and of their configurations.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::NetSite;
use crate::error::{ConfigError, ShapeError};

/// A network that computes the parameters of a law.
///
/// It reads the identity half of a coupling (the half that passes unchanged), the vector of an
/// autoregressive layer or the condition of a prior; its input is called `identity` in all of these
/// cases. The layer holds it in a [`Conditioned`](super::Conditioned), which checks the widths
/// and casts the inputs: a network computes in the type of its weights and gets tensors of that
/// type.
pub trait Net<const D: usize>: Module + ModuleDisplay + 'static {
    /// The parameters of every element.
    ///
    /// # Shapes
    /// `identity [batch, ...]` and `context [batch, width, ...]` to `[batch, params, elements]`.
    /// The further axes of `context` have the lengths of those of `identity`, or the length 1.
    /// [`theta`] reshapes the output of a last layer to the result. `context` is `None` if the
    /// [`NetSite`] has no condition.
    fn forward(&self, identity: Tensor<D>, context: Option<Tensor<D>>) -> Tensor<3>;

    /// Data-dependent initialisation. Also returns the output of [`Net::forward`], detached from
    /// the graph. The default changes nothing.
    fn initialize(self, identity: Tensor<D>, context: Option<Tensor<D>>) -> (Self, Tensor<3>) {
        let theta = self.forward(identity, context).detach();
        (self, theta)
    }

    /// Checks that it can read tensors of this shape, whose width (axis 1) is that of its site. The
    /// default accepts every shape: this is right for vectors, and for convolutions that accept
    /// images of any size.
    ///
    /// # Errors
    /// The axis that does not fit.
    fn check(&self, identity: [usize; D]) -> Result<(), ShapeError> {
        let _ = identity;
        Ok(())
    }

    /// Whether it reads the condition. A network that does not read it gets `None` and works in
    /// flows with any condition.
    fn reads_context(&self) -> bool {
        true
    }
}

/// The configuration of a network for tensors with `D` axes.
pub trait NetConfig<const D: usize> {
    /// The network that it builds.
    type Net: Net<D>;

    /// `true` if the initial output of its networks is always [`NetSite::theta_init`], or is
    /// random. If it is `false`, the layer runs a new network once to check that no components of
    /// the law are initially equal.
    const SETS_THETA_INIT: bool = false;

    /// The network for a site.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn build(&self, site: &NetSite<D>) -> Result<Self::Net, ConfigError>;

    /// Number of parameters of the network. The [plan](crate::LayerConfig::plan) of a layer needs
    /// it. The default builds the network to count them, which allocates its parameters and uses
    /// random numbers; the networks of this crate compute it from the sizes.
    ///
    /// # Errors
    /// Those of [`NetConfig::build`].
    fn num_params(&self, site: &NetSite<D>) -> Result<usize, ConfigError> {
        Ok(Module::num_params(&self.build(site)?))
    }
}

/// Reshapes the outputs of a last layer to the parameters of every element:
/// `[batch, params·C, ...]` to `[batch, params, C·...]`, where output `j·C + c` is parameter `j` of
/// channel `c`.
///
/// # Panics
/// If `n_params` does not divide the width.
pub fn theta<const D: usize>(output: Tensor<D>, n_params: usize) -> Tensor<3> {
    let dims = output.dims();
    let outputs: usize = dims[1..].iter().product();
    output.reshape([dims[0], n_params, outputs / n_params])
}
