//! The definition of the operation, which calls no kernel of this crate: for tests.

use burn::tensor::Tensor;

use super::{Norm, check_forward};
use crate::kernel::conv2d::{self, ConvStages, PreActivation};
use crate::kernel::{channel_norm, gated_residual};

/// [`forward`](super::forward), by its definition.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(
    x: Tensor<4>,
    c: Tensor<4>,
    (weight, bias): (Tensor<4>, Option<Tensor<1>>),
    norm: Norm,
    before: PreActivation,
) -> Tensor<4> {
    check_forward(&x, &c, (&weight, bias.as_ref()), &norm, before);
    let h = conv2d::oracle::forward(c, weight, bias, ConvStages::preceded_by(before));
    let sum = gated_residual::plain::forward(x, h);
    channel_norm::plain::forward(sum, norm.gain, norm.shift, norm.epsilon)
}
