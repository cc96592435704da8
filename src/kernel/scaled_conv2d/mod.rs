//! A convolution whose outputs are scaled, each by its own factor, in the passes of the
//! convolution.
//! ```text
//! y[b, o, p] = f(e^{k·ℓ[o]}·u[b, o, p])        u = w ∗ v + bias, as in `conv2d`
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `w`, `bias`, `y`, `f` | those of [`conv2d`] | |
//! | `ℓ` | log-scales divided by their factor | `[O]` |
//! | `k` | the factor of the log-scales, as in [`ActNorm`](crate::ActNorm) | |
//!
//! The plain form scales weights and bias, which costs less than to scale outputs. But that is
//! seven small launches a convolution on a GPU, forward and backward, beside kernels that read the
//! outputs anyway.
//!
//! # Backward
//! With the gradient `g` of `y`, and `h = g·f′(y)`:
//! ```text
//! ∂/∂u  h·e^{k·ℓ}        ∂/∂ℓ[o]  k·Σ_{b, p} g·y
//! ```
//! since `y` is `e^{k·ℓ}·u` where `f′` is not 0, and 0 elsewhere. The other gradients follow from
//! that of `u` as in [`conv2d`]. The graph keeps `x`, `w`, `ℓ` and `y`.

#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "_gpu")]
mod node;
pub mod plain;

#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;
#[cfg(feature = "_gpu")]
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "_gpu")]
use burn::backend::{Backend, Dispatch, backend_extension};
#[cfg(feature = "_gpu")]
use burn::tensor::Shape;
use burn::tensor::Tensor;

use super::conv2d::{self, ConvStages};
use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS, NONE, Served};

/// The devices and types that have kernels. With 16-bit floats scales would lose digits that scaled
/// weights keep.
pub const SERVED: Served = Served { cpu: NONE, gpu: FLOATS };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion, Autodiff)]
pub trait ScaledConv2dOps: Backend {
    /// `x`, `weight` and `bias` as in [`conv2d`], `log_scale [O]`, to `[B, O, H, W]`.
    #[fusion(dtype = x, shape = result(x, weight))]
    fn scaled_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        log_scale: FloatTensor<Self>,
        factor: f64,
        stages: ConvStages,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on tensors of
/// the backend below autodiff.
///
/// # Panics
/// As in [`ScaledConv2dOps`].
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion)]
pub trait ScaledConv2dGradient: Backend {
    /// Gradients of `x`, `weight`, `bias` and `log_scale`.
    #[fusion(meta = |x, weight, log_scale, _y, _gradient, _factor, _stages| {
        let (x, rest) = (x.clone(), of_parameters(weight, log_scale));
        (x, rest.0, rest.1, rest.2)
    })]
    fn scaled_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        log_scale: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factor: f64,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `weight`, `bias` and `log_scale`, for an `x` that is data.
    #[fusion(meta = |_x, weight, log_scale, _y, _gradient, _factor, _stages| {
        of_parameters(weight, log_scale)
    })]
    fn scaled_conv2d_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        log_scale: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factor: f64,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// The shape of `y`.
#[cfg(feature = "_gpu")]
fn result(x: &Shape, weight: &Shape) -> Shape {
    [x[0], weight[0], x[2], x[3]].into()
}

/// Shapes and types of the gradients of weights, bias and log-scales.
#[cfg(feature = "_gpu")]
fn of_parameters(
    weight: &TensorSpec,
    log_scale: &TensorSpec,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    (weight.clone(), log_scale.clone(), log_scale.clone())
}

/// `y` from `x`.
///
/// # Shapes
/// Those of [`conv2d::forward`], and `log_scale [O]`.
///
/// # Panics
/// Those of [`conv2d::forward`], and if the log-scales do not match.
pub fn forward(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    (log_scale, factor): (Tensor<1>, f64),
    stages: ConvStages,
) -> Tensor<4> {
    check(operands!("scaled_conv2d", x, weight, bias, log_scale), stages);
    #[cfg(feature = "_gpu")]
    if SERVED.serves(&x) {
        let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
        let log_scale = log_scale.into_dispatch();
        let y = <Dispatch as ScaledConv2dOps>::scaled_conv2d(
            x, weight, bias, log_scale, factor, stages,
        );
        return Tensor::from_dispatch(y);
    }
    plain::forward(x, weight, bias, (log_scale, factor), stages)
}

/// Checks that the operands fit, and those of the backward pass if there are any.
fn check<const N: usize>(call: Operands<N>, stages: ConvStages) -> Checked {
    let ([batch, _, height, width], [outputs, _, _, _]) = (call.dims("x"), call.dims("weight"));
    call.expect("log_scale", &[Some(outputs)]);
    call.expect("y", &exactly([batch, outputs, height, width]));
    conv2d::check(call, stages)
}
