//! The operation in other operations of this crate: its definition, and its form without a kernel.

use burn::tensor::Tensor;

use super::check_forward;
use crate::kernel::attention;
use crate::kernel::conv2d::{self, ConvStages, PreActivation};

/// [`forward`](super::forward) by a convolution and attention.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(
    x: Tensor<4>,
    positions: Tensor<4>,
    (weight, bias): (Tensor<4>, Option<Tensor<1>>),
    heads: usize,
) -> Tensor<4> {
    check_forward(&x, &positions, (&weight, bias.as_ref()), heads);
    let stages = ConvStages::preceded_by(PreActivation::Identity);
    attention::forward(conv2d::forward(x + positions, weight, bias, stages), heads)
}
