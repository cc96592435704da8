//! The end of a block of Flow++: convolution to a gate, gated residual sum, norm.
//! ```text
//! h = conv(before(c))          r = x + h_1..F·σ(h_F+1..2F)          y = channel_norm(r)
//! ```
//! `x [B, F, H, W]` is the input of the block, `c [B, G, H, W]` that of its convolution to `2F`
//! channels, and `before` the activation that precedes the convolution.
//!
//! # Memory
//! A graph of the three operations keeps `c`, `h` and `r`, four times the elements of `x` if `G` is
//! `F`. This node keeps `x` and `c`, and recomputes `h` and `r`. The convolution is 1x1, a small
//! part of a block's work.

#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod node;
pub mod oracle;
pub mod plain;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::conv2d::PreActivation;
use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS, FLOATS_AND_HALVES, Served};

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
pub trait GatedNormOps: Backend {
    /// `x [B, F, H, W]`, `c [B, G, H, W]`, weights and bias of a
    /// convolution to `2F` channels, gain and shift of `F` elements to the shape of `x`.
    #[allow(clippy::too_many_arguments)]
    #[fusion(dtype = x, shape = x)]
    fn gated_norm(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`GatedNormOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait GatedNormGradient: Backend {
    /// Gradients of `x`, `c`, weights, bias, gain and shift.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    #[fusion(meta = |x, c, weight, bias, gain, _gradient, _before, _epsilon| {
        let [x, c, weight, bias, gain] = [x, c, weight, bias, gain].map(Clone::clone);
        (x, c, weight, bias, gain.clone(), gain)
    })]
    fn gated_norm_backward(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );
}

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
