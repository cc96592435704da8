//! The operation in plain tensor operations, for devices and types without its kernel.

use burn::tensor::Tensor;

use super::{Norm, check_forward};
use crate::kernel::conv2d::{self, ConvStages, PreActivation};
use crate::kernel::{channel_norm, gated_residual};

/// [`forward`](super::forward), with the kernels of its three parts where the device has them.
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
    let h = conv2d::forward(c, weight, bias, ConvStages::preceded_by(before));
    channel_norm::forward(gated_residual::forward(x, h), norm.gain, norm.shift, norm.epsilon)
}
