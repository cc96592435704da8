//! What tells the dequantization noise about the data.
//! ```text
//! code = encoder(x/M − ½)     computed in the type of the encoder's weights,
//!                             then cast to the type of the noise
//! ```

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::context::Context;
use crate::tensor::dtype::{cast, narrowest};

/// A network that makes a condition of data scaled to [−½, ½).
///
/// It is given data in the type of its weights.
pub trait Encoder<const D: usize>: Module + ModuleDisplay {
    /// What it makes.
    type Code: Context;

    /// The condition of a batch.
    fn encode(&self, x: Tensor<D>) -> Self::Code;

    /// Data-dependent start; passes the condition on, cut from the graph.
    fn initialize(self, x: Tensor<D>) -> (Self, Self::Code);
}

/// An encoder in its place, with the casts that every encoder needs.
///
/// Mixed precision ([`train::Precision`](crate::train::Precision)) asks for this type: an encoder
/// within is trained in a half type, whoever wrote it.
#[derive(Module, Debug)]
pub struct Encoding<N> {
    /// The encoder.
    pub net: N,
}

impl<N> Encoding<N> {
    /// The encoder in its place.
    pub fn new(net: N) -> Self {
        Self { net }
    }

    /// The condition of a batch, in the type of `x`. Gradients of the code are added up over the
    /// layers that read it, in this type.
    pub fn encode<const D: usize>(&self, x: Tensor<D>) -> N::Code
    where
        N: Encoder<D>,
    {
        let dtype = x.dtype();
        let own = narrowest(&self.net).unwrap_or(dtype);
        self.net.encode(cast(x, own)).cast(dtype)
    }

    /// Data-dependent start; passes the condition on, cut from the graph.
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
