//! An encoder with the casts that every encoder needs.
//! ```text
//! code = encoder(x)           computed in the type of the encoder's weights,
//!                             then cast to the type of x
//! ```

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use super::Encoder;
use crate::context::Context;
use crate::error::{InitProblem, ShapeError};
use crate::tensor::dtype::{cast, narrowest};
use crate::tensor::marked_module::marked_module;

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

/// So it is an encoder whose input may have another type than its weights.
impl<const D: usize, N: Encoder<D>> Encoder<D> for Encoding<N> {
    type Code = N::Code;
    const FEATURE_AXIS: usize = N::FEATURE_AXIS;

    fn encode(&self, x: Tensor<D>) -> N::Code {
        Self::encode(self, x)
    }

    fn initialize(self, x: Tensor<D>) -> (Self, N::Code) {
        Self::initialize(self, x)
    }

    fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        self.net.check(shape)
    }

    fn init_problem(&self, x: &Tensor<D>) -> Option<InitProblem> {
        self.net.init_problem(x)
    }
}
