//! The end of a block of Flow++: convolution to a gate, gated residual sum, norm.
//! ```text
//! h = conv(before(c))          r = x + h_1..F·σ(h_F+1..2F)          y = channel_norm(r)
//! ```
//! # Memory
//! A graph of the three operations keeps `c`, `h` and `r`, four times the elements of `x`. This
//! node keeps `x` and `c`, and recomputes `h` and `r`. The convolution is 1x1, a small part of a
//! block's work.

#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod ops;
pub mod oracle;
pub mod plain;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::conv2d::PreActivation;
use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS, FLOATS_AND_HALVES, Served};

pub use ops::{GatedNormGradient, GatedNormOps};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS_AND_HALVES };

/// The norm after the sum.
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
/// `x [B, F, H, W]`, `c [B, G, H, W]`, `weight [2F, in, k, k]` where `in` is the number of channels
/// that `before` makes from `G`, `bias [2F]` to the shape of `x`.
///
/// # Panics
/// If a side of the kernel is even, or if shapes or types do not match.
pub fn forward(
    x: Tensor<4>,
    c: Tensor<4>,
    (weight, bias): (Tensor<4>, Option<Tensor<1>>),
    norm: Norm,
    before: PreActivation,
) -> Tensor<4> {
    check_forward(&x, &c, (&weight, bias.as_ref()), &norm, before);
    if !SERVED.serves(&x) {
        return plain::forward(x, c, (weight, bias), norm, before);
    }
    let bias = bias
        .unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], (&weight.device(), weight.dtype())));
    let Norm { gain, shift, epsilon } = norm;
    let [x, c, weight, gain, shift] = [x, c, weight, gain, shift].map(Tensor::into_dispatch);
    let bias = bias.into_dispatch();
    let y =
        <Dispatch as GatedNormOps>::gated_norm(x, c, weight, bias, gain, shift, before, epsilon);
    Tensor::from_dispatch(y)
}

fn check_forward(
    x: &Tensor<4>,
    c: &Tensor<4>,
    (weight, bias): (&Tensor<4>, Option<&Tensor<1>>),
    norm: &Norm,
    before: PreActivation,
) {
    let Norm { gain, shift, .. } = norm;
    match bias {
        Some(bias) => check(operands!("gated_norm", x, c, weight, bias, gain, shift), before),
        None => check(operands!("gated_norm", x, c, weight, gain, shift), before),
    };
}

/// Checks that the operands fit. The gradient of `y` is checked if there is one.
fn check<const N: usize>(call: Operands<N>, before: PreActivation) -> Checked {
    let shape @ [batch, channels, height, width] = call.dims("x");
    call.expect("c", &[Some(batch), None, Some(height), Some(width)]);
    let ([_, c_channels, _, _], [_, _, kh, kw]) = (call.dims("c"), call.dims("weight"));
    call.expect("weight", &[Some(2 * channels), Some(c_channels * before.factor()), None, None]);
    call.require("weight", kh % 2 == 1 && kw % 2 == 1, "of odd sides");
    call.expect("bias", &[Some(2 * channels)]);
    call.expect("gain", &exactly([1, channels, 1, 1]));
    call.expect("shift", &exactly([1, channels, 1, 1]));
    call.expect("gradient", &exactly(shape));
    call.checked()
}
