//! Multi-head self-attention over the positions of an image.
//! ```text
//! (q, k, v) = thirds of the channels, each head-major; d = F/heads channels per head
//! s_ij = Σ_c q_ci k_cj/√d       y_ci = Σ_j e^(s_ij) v_cj / Σ_j e^(s_ij)
//! ```
//! `F` is the number of channels of the result, `c` a channel of a head; `i` and `j` are positions.
//!
//! The kernel keeps no scores. Input, output and the logarithm of each sum suffice for the backward
//! pass: `O(B·F·P)` elements for `B` examples and `P` positions. Time is `O(B·F·P²)`. `cpu/mod.rs`
//! and `cube/mod.rs` describe the algorithms.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
pub(super) mod cube;
#[cfg(feature = "flex")]
mod flex;
mod node;
pub mod plain;

use burn::backend::Dispatch;
#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::Tensor;

#[cfg(feature = "_gpu")]
use super::cube::arithmetic;
#[cfg(any(feature = "flex", feature = "_gpu"))]
use super::operands::Checked;
use super::operands::{Operands, operands};
use super::served::{FLOATS, FLOATS_AND_HALVES, Served};
use crate::tensor::dtype::{self, cast};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
    Autodiff,
)]
pub trait AttentionOps: Backend {
    /// `projected [B, 3F, P]` to the mixed values `[B, F, P]` and the log-sums of the scores
    /// `[B, heads, P]`. The log-sums have the type of the arithmetic: that of `projected`, or f32
    /// for 16-bit floats.
    #[fusion(meta = results)]
    fn self_attention(
        projected: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`AttentionOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait AttentionGradient: Backend {
    /// Gradient of `projected`, from the results of the forward pass.
    #[fusion(dtype = projected, shape = projected)]
    fn self_attention_backward(
        projected: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self>;
}

/// Shapes and types of the mixed values and the log-sums.
#[cfg(feature = "_gpu")]
fn results(projected: &TensorSpec, heads: &usize) -> (TensorSpec, TensorSpec) {
    let [batch, channels, positions] = projected.shape.dims();
    (
        TensorSpec::new([batch, channels / 3, positions].into(), projected.dtype),
        TensorSpec::new([batch, *heads, positions].into(), arithmetic(projected.dtype)),
    )
}

/// The mixed values. In a 16-bit type without a kernel they are computed in float32: the errors of
/// scores in such a type exceed the differences between them, and a kernel computes in f32 too.
///
/// # Shapes
/// `[B, 3F, H, W]` to `[B, F, H, W]`; `heads` divides `F`.
///
/// # Panics
/// If the number of channels is not a multiple of `3·heads`.
pub fn forward(projected: Tensor<4>, heads: usize) -> Tensor<4> {
    let [batch, channels, height, width] = projected.dims();
    check_heads(&operands!("attention", projected), channels, heads);
    if !SERVED.serves(&projected) {
        let dtype = projected.dtype();
        return match dtype::wide(dtype) {
            wide if wide == dtype => plain::forward(projected, heads),
            wide => cast(forward(cast(projected, wide), heads), dtype),
        };
    }
    let projected = projected.reshape([batch, channels, height * width]).into_dispatch();
    let (output, _) = <Dispatch as AttentionOps>::self_attention(projected, heads);
    Tensor::<3>::from_dispatch(output).reshape([batch, channels / 3, height, width])
}

/// Checks that the channels are queries, keys and values of this number of heads.
fn check_heads<const N: usize>(call: &Operands<N>, channels: usize, heads: usize) {
    let all = heads.checked_mul(3).filter(|&all| all > 0);
    let fits = channels > 0 && all.is_some_and(|all| channels.is_multiple_of(all));
    call.require("projected", fits, &format!("of queries, keys and values of {heads} heads"));
}

/// Checks that the operands fit, and those of the backward pass if there are any.
#[cfg(any(feature = "flex", feature = "_gpu"))]
fn check<const N: usize>(call: Operands<N>, heads: usize) -> Checked {
    let [batch, channels, positions] = call.dims("projected");
    check_heads(&call, channels, heads);
    let mixed = [Some(batch), Some(channels / 3), Some(positions)];
    call.expect("output", &mixed);
    call.expect("log_sums", &[Some(batch), Some(heads), Some(positions)]);
    call.expect("gradient", &mixed);
    call.checked()
}
