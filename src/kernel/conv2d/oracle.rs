//! The definition of the operation, which calls no kernel of this crate: for tests.

use burn::tensor::Tensor;

use super::plain::convolve;
use super::{ConvStages, check_forward};
use crate::kernel::concat_elu;

/// [`forward`](super::forward), by its definition.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stages: ConvStages,
) -> Tensor<4> {
    check_forward(&x, &weight, bias.as_ref(), stages);
    convolve(concat_elu::plain::forward, x, (weight, bias), stages)
}
