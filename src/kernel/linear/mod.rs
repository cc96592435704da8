//! A dense layer, with or without a ReLU after it.
//! ```text
//! y = x·W + β      or max(x·W + β, 0)      x [N, in], W [in, out], β [out], y [N, out]
//! ```
//! Bias and ReLU take one pass over the result. The backward pass computes the gradients of all
//! three operands from `x`, `W` and `y`.

#[cfg(feature = "flex")]
mod cpu;
#[cfg(feature = "flex")]
mod flex;
mod node;
pub mod plain;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::epilogue::Epilogue;
use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS, NONE, Served};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: NONE };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(Flex: cfg(feature = "flex"), Autodiff)]
pub trait LinearOps: Backend {
    /// `x [N, in]`, `weight [in, out]`, `bias [out]` to `[N, out]`.
    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operation. Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`LinearOps`].
#[backend_extension(Flex: cfg(feature = "flex"))]
pub trait LinearGradient: Backend {
    /// Gradients of `x`, `weight` and `bias` from that of `y` and from `y`.
    fn dense_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `weight` and `bias` alone, for an `x` that is data.
    fn dense_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// `y` from `x`.
///
/// # Panics
/// If widths or types do not match, or a row of `x` is empty.
pub fn forward(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, epilogue: Epilogue) -> Tensor<2> {
    check(operands!("linear", x, weight, bias));
    if !SERVED.serves(&x) {
        return plain::forward(x, weight, bias, epilogue);
    }
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as LinearOps>::dense(x, weight, bias, epilogue))
}

/// [`forward`] with the parameters of burn's layer, which has a bias.
pub(crate) fn layer(x: Tensor<2>, layer: &Linear, epilogue: Epilogue) -> Tensor<2> {
    let bias = layer.bias.as_ref().expect("layers of networks have a bias");
    forward(x, layer.weight.val(), bias.val(), epilogue)
}

/// Checks that the operands fit, and those of the backward pass if there are any.
fn check<const N: usize>(call: Operands<N>) -> Checked {
    let ([rows, inputs], [_, outputs]) = (call.dims("x"), call.dims("weight"));
    call.require("x", inputs > 0, "of rows with at least one element");
    call.expect("weight", &[Some(inputs), None]);
    call.expect("bias", &[Some(outputs)]);
    call.expect("y", &exactly([rows, outputs]));
    call.expect("gradient", &exactly([rows, outputs]));
    call.checked()
}
