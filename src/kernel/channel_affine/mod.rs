//! A shift and a scale for each channel.
//! ```text
//! z[n, c, p] = (x[n, c, p] + b[c])·a[c]
//! ```
//! The shift comes first, so no precision is lost where it cancels `x`. One pass over `x` and the
//! gradient of `z` computes the gradients of all three operands.

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

use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS, FLOATS_AND_HALVES, Served};

pub use ops::{ChannelAffineGradient, ChannelAffineOps};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS_AND_HALVES };

/// `z` from `x`.
///
/// # Shapes
/// `x [N, C, P]`, `shift [C]`, `scale [C]` to the shape of `x`.
///
/// # Panics
/// If the number of shifts or scales is not that of the channels, or if types differ.
pub fn forward(x: Tensor<3>, shift: Tensor<1>, scale: Tensor<1>) -> Tensor<3> {
    check(operands!("channel_affine", x, shift, scale));
    // With one position per channel, the planes are too small for this kernel.
    let planes = x.dims()[2] > 1;
    if !planes || !SERVED.serves(&x) {
        return plain::forward(x, shift, scale);
    }
    let (x, shift, scale) = (x.into_dispatch(), shift.into_dispatch(), scale.into_dispatch());
    Tensor::from_dispatch(<Dispatch as ChannelAffineOps>::channel_affine(x, shift, scale))
}

/// Checks that the operands fit. The gradient of `z` is checked if there is one.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let shape @ [_, channels, _] = call.dims("x");
    call.expect("shift", &[Some(channels)]);
    call.expect("scale", &[Some(channels)]);
    call.expect("gradient", &exactly(shape));
    call.checked()
}
