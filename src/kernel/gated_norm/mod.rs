//! The end of Flow++'s blocks: convolution to a gate, gated residual sum, norm.
//! ```text
//! h = conv(before(c))          r = x + h_1..F·σ(h_F+1..2F)          y = channel_norm(r)
//! ```
//! # Memory
//! A graph of the three operations keeps `c`, `h` and `r`, four times the numbers of `x`; this node keeps `c` and computes `h` and `r` again. The
//! convolution is 1x1, a small part of a block's work.

pub(super) mod autodiff;
#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "flex")]
pub(super) mod flex;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::conv2d::{self, PreActivation};
use super::{NetworkOps, channel_norm, gated_residual, serve_networks};

/// What follows the sum.
#[derive(Debug)]
pub struct Norm {
    /// `[1, F, 1, 1]`.
    pub gain: Tensor<4>,
    /// `[1, F, 1, 1]`.
    pub shift: Tensor<4>,
    /// Added to the variance.
    pub epsilon: f64,
}

/// `y` from `x` and `c`.
///
/// # Shapes
/// `x [B, F, H, W]`, `c [B, G, H, W]`, `weight [2F, in, k, k]` with what `before` makes of `G` channels, `bias [2F]` to the shape of `x`.
///
/// # Panics
/// If the shapes do not match.
pub fn forward(
    x: Tensor<4>,
    c: Tensor<4>,
    (weight, bias): (Tensor<4>, Option<Tensor<1>>),
    norm: Norm,
    before: PreActivation,
) -> Tensor<4> {
    if !serve_networks(&x.device(), x.dtype()) {
        return reference(x, c, (weight, bias), norm, before);
    }
    let (found, expected) = (weight.dims()[1], c.dims()[1] * before.factor());
    assert_eq!(found, expected, "gated_norm: the weights take {found} channels, not {expected}");
    let (gates, channels) = (weight.dims()[0], x.dims()[1]);
    assert_eq!(gates, 2 * channels, "gated_norm: {channels} channels need {} gates, not {gates}", 2 * channels);
    let bias = bias.unwrap_or_else(|| Tensor::zeros([gates], (&weight.device(), weight.dtype())));
    let Norm { gain, shift, epsilon } = norm;
    let [x, c, weight, gain, shift] = [x, c, weight, gain, shift].map(Tensor::into_dispatch);
    let bias = bias.into_dispatch();
    let y = <Dispatch as NetworkOps>::gated_norm(x, c, weight, bias, gain, shift, before, epsilon);
    Tensor::from_dispatch(y)
}

/// The operation in plain tensor operations: its definition.
pub fn reference(
    x: Tensor<4>,
    c: Tensor<4>,
    (weight, bias): (Tensor<4>, Option<Tensor<1>>),
    norm: Norm,
    before: PreActivation,
) -> Tensor<4> {
    let h = conv2d::reference(c, weight, bias, conv2d::Form::behind(before));
    channel_norm::reference(gated_residual::reference(x, h), norm.gain, norm.shift, norm.epsilon)
}
