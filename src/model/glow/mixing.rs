//! How a configuration lets a Glow step mix its channels.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::visit::Visit;
use crate::bijector::{Bijector, ShapeMap};
use crate::context::Context;
use crate::error::ShapeError;
use crate::linear::{ChannelMatrix, Conv1x1};
use crate::reshape::Permutation;

/// The channel mixing of a Glow step.
#[derive(Module, Debug)]
// Handles of tensors: a few hundred bytes a step, and a box would hide a module from burn.
#[allow(clippy::large_enum_variant)]
pub enum GlowMixing {
    /// A plain matrix.
    Matrix(ChannelMatrix),
    /// A matrix in PLU form.
    Plu(Conv1x1),
    /// An order that is not trained.
    Fixed(Permutation),
}

impl<const D: usize> ShapeMap<D> for GlowMixing {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        match self {
            Self::Matrix(inner) => inner.output_shape(shape),
            Self::Plu(inner) => inner.output_shape(shape),
            Self::Fixed(inner) => inner.output_shape(shape),
        }
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for GlowMixing {
    fn forward(&self, x: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        match self {
            Self::Matrix(inner) => inner.forward(x, context),
            Self::Plu(inner) => inner.forward(x, context),
            Self::Fixed(inner) => inner.forward(x, context),
        }
    }

    fn inverse(&self, z: Tensor<D>, context: &C) -> Tensor<D> {
        match self {
            Self::Matrix(inner) => inner.inverse(z, context),
            Self::Plu(inner) => inner.inverse(z, context),
            Self::Fixed(inner) => inner.inverse(z, context),
        }
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        match self {
            Self::Matrix(inner) => inner.inverse_with_log_det(z, context),
            Self::Plu(inner) => inner.inverse_with_log_det(z, context),
            Self::Fixed(inner) => inner.inverse_with_log_det(z, context),
        }
    }

    fn visit_layers(&self, x: Tensor<D>, context: &C, walk: &mut Visit<'_, D>) -> Tensor<D> {
        match self {
            Self::Matrix(inner) => walk.member("Matrix", inner, x, context),
            Self::Plu(inner) => walk.member("Plu", inner, x, context),
            Self::Fixed(inner) => walk.member("Fixed", inner, x, context),
        }
    }
}
