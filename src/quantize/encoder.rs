//! Encoders: networks that condition the dequantization noise on the data.
//! ```text
//! code = encoder(x/M − ½)     computed in the type of the encoder's weights,
//!                             then cast to the type of the noise
//! ```

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::bijector::Site;
use crate::context::{Context, ContextShape};
use crate::error::ConfigError;
use crate::tensor::dtype::{cast, narrowest};
use crate::tensor::marked_module::marked_module;

/// A network that computes a condition from data scaled to [−½, ½).
///
/// Its input has the type of its weights.
pub trait Encoder<const D: usize>: Module + ModuleDisplay {
    /// The condition that it computes.
    type Code: Context;

    /// The condition of a batch.
    fn encode(&self, x: Tensor<D>) -> Self::Code;

    /// Data-dependent initialisation. Returns the condition too, detached from the graph.
    fn initialize(self, x: Tensor<D>) -> (Self, Self::Code);
}

/// The configuration of an encoder.
pub trait EncoderConfig<const D: usize> {
    /// The encoder that it builds.
    type Encoder: Encoder<D>;

    /// The shape of the condition that the encoder computes from data of the site's shape.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn context(&self, site: &Site<D>) -> Result<ContextShape, ConfigError>;

    /// The encoder for data of the site's shape.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn build(&self, site: &Site<D>) -> Result<Self::Encoder, ConfigError>;
}

/// An encoder with the casts that every encoder needs.
///
/// Mixed precision ([`train::Precision`](crate::train::Precision)) finds encoders by this type: an
/// encoder within it is trained in a half-precision type, whoever wrote it.
#[derive(Debug, Clone)]
pub struct Encoding<N> {
    /// The encoder.
    pub net: N,
}

marked_module! {
    NETWORK: Encoding [N], module [N: Module], display [N: Module + ModuleDisplay],
    modules [net], others []
}

impl<N: Module + ModuleDisplay> ModuleDisplay for Encoding<N> {}

impl<N> Encoding<N> {
    /// Wraps an encoder.
    pub fn new(net: N) -> Self {
        Self { net }
    }

    /// The condition of a batch, in the type of `x`. The gradients of the layers that read the
    /// condition are summed in this type.
    pub fn encode<const D: usize>(&self, x: Tensor<D>) -> N::Code
    where
        N: Encoder<D>,
    {
        let dtype = x.dtype();
        let own = narrowest(&self.net).unwrap_or(dtype);
        self.net.encode(cast(x, own)).cast(dtype)
    }

    /// Data-dependent initialisation. Returns the condition too, detached from the graph.
    pub fn initialize<const D: usize>(self, x: Tensor<D>) -> (Self, N::Code)
    where
        N: Encoder<D>,
    {
        let dtype = x.dtype();
        let own = narrowest(&self.net).unwrap_or(dtype);
        let (net, code) = self.net.initialize(cast(x, own));
        (Self { net }, code.cast(dtype))
    }
}
