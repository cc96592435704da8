//! Multi-head self-attention over the positions of an image.
//! ```text
//! (q, k, v) = thirds of the channels, each head-major; d = F/heads channels per head
//! s_ij = Σ_c q_ci k_cj/√d       y_ci = Σ_j e^(s_ij) v_cj / Σ_j e^(s_ij)
//! ```
//! The kernel keeps no scores. Input, output and the logarithm of each sum suffice for the backward
//! pass: `O(B·F·P)` elements for `P` positions. Time is `O(B·F·P²)`. `cpu/mod.rs` and `cube/mod.rs`
//! describe the algorithms.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod ops;
pub mod plain;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "_gpu"))]
use super::operands::Checked;
use super::operands::{Operands, operands};
use super::served::{FLOATS, FLOATS_AND_HALVES, Served};

pub use ops::{AttentionGradient, AttentionOps};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS_AND_HALVES };

/// The mixed values.
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
        return plain::forward(projected, heads);
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
