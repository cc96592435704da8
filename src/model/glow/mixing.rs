//! How a configuration lets a Glow step mix its channels.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::ShapeError;
use crate::linear::{ChannelMatrix, Conv1x1};

/// The channel mixing of a Glow step.
#[derive(Module, Debug)]
pub enum GlowMixing {
    /// A plain matrix.
    Matrix(ChannelMatrix),
    /// A matrix in PLU form.
    Plu(Conv1x1),
}

impl<const D: usize, C: Context> Bijector<D, C> for GlowMixing {
    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        match self {
            Self::Matrix(inner) => inner.forward(x, context),
            Self::Plu(inner) => inner.forward(x, context),
        }
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        match self {
            Self::Matrix(inner) => inner.inverse(z, context),
            Self::Plu(inner) => inner.inverse(z, context),
        }
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        match self {
            Self::Matrix(inner) => inner.inverse_with_log_det(z, context),
            Self::Plu(inner) => inner.inverse_with_log_det(z, context),
        }
    }

    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        match self {
            Self::Matrix(inner) => Bijector::<D, C>::output_shape(inner, shape),
            Self::Plu(inner) => Bijector::<D, C>::output_shape(inner, shape),
        }
    }
}
