//! The projection to queries, keys and values, and their attention, in one.
//! ```text
//! q, k, v = w·(x + p) + b        a 1x1 convolution
//! y = attention(q, k, v)         as in `attention`
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `x`, `y` | images | `[B, F, H, W]` |
//! | `p` | embedding of the positions, the same for all examples | `[1, F, H, W]` |
//! | `w`, `b` | weights and bias | `[3F, F, 1, 1]`, `[3F]` |
//!
//! A GPU computes it as
//! ```text
//! q, k, v = w·x + (w·p + b)
//! ```
//! and adds the second term, which is small, where [`attention`](crate::kernel::attention) loads
//! the first. By separate operations `x + p` and the sums with their bias are written and read once
//! more, and copied from the order in memory of convolutions to that of attention.
//!
//! # Backward
//! With the gradient `g` of the projected values and their sum over the examples, `s = Σ_i g_i`:
//! ```text
//! ∂/∂x = wᵀ·g        ∂/∂p = wᵀ·s        ∂/∂b = Σ_positions s        ∂/∂w = g·xᵀ + s·pᵀ
//! ```
//! The graph keeps `x`, `p`, `w`, both terms of the projected values, `y` and the log-sums.

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
use burn::tensor::Tensor;

#[cfg(feature = "_gpu")]
use super::cube::arithmetic;
use super::operands::{Checked, Operands, exactly, operands};
use super::served::{FLOATS_AND_HALVES, NONE, Served};

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: NONE, gpu: FLOATS_AND_HALVES };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion, Autodiff)]
pub trait ProjectedAttentionOps: Backend {
    /// `y`, and what the backward pass needs: `w·x [B, 3F, P]`, `w·p + b [3F, P]` and the log-sums
    /// `[B, heads, P]` in the type of the arithmetic.
    #[allow(clippy::type_complexity)]
    #[fusion(meta = results)]
    fn projected_attention(
        x: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// The gradients of the operation. Only the node of the graph calls these methods, on tensors of
/// the backend below autodiff.
///
/// # Panics
/// As in [`ProjectedAttentionOps`].
#[cfg(feature = "_gpu")]
#[backend_extension(Cube, Fusion)]
pub trait ProjectedAttentionGradient: Backend {
    /// Gradients of `x`, `p`, `w` and `b`.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    #[fusion(meta = |x, positions, weight, _sums, _term, _y, _log_sums, _gradient, _heads| {
        let bias = TensorSpec::new([weight.shape[0]].into(), weight.dtype);
        (x.clone(), positions.clone(), weight.clone(), bias)
    })]
    fn projected_attention_backward(
        x: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        term: FloatTensor<Self>,
        y: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// Shapes and types of the results.
#[cfg(feature = "_gpu")]
fn results(
    x: &TensorSpec,
    _positions: &TensorSpec,
    weight: &TensorSpec,
    _bias: &TensorSpec,
    heads: &usize,
) -> (TensorSpec, TensorSpec, TensorSpec, TensorSpec) {
    let ([batch, _, height, width], outputs) = (x.shape.dims(), weight.shape[0]);
    let positions = height * width;
    (
        x.clone(),
        TensorSpec::new([batch, outputs, positions].into(), x.dtype),
        TensorSpec::new([outputs, positions].into(), x.dtype),
        TensorSpec::new([batch, *heads, positions].into(), arithmetic(x.dtype)),
    )
}

/// `y` from `x`.
///
/// # Shapes
/// `x [B, F, H, W]`, `positions [1, F, H, W]`, `weight [3F, F, 1, 1]`, `bias [3F]` to the shape of
/// `x`; `heads` divides `F`.
///
/// # Panics
/// If the number of filters is not a multiple of `heads`, or if shapes or types do not match.
pub fn forward(
    x: Tensor<4>,
    positions: Tensor<4>,
    (weight, bias): (Tensor<4>, Option<Tensor<1>>),
    heads: usize,
) -> Tensor<4> {
    check_forward(&x, &positions, (&weight, bias.as_ref()), heads);
    // burn's products take no tensor without elements.
    #[cfg(feature = "_gpu")]
    if SERVED.serves(&x) && !x.dims().contains(&0) {
        let placement = (&weight.device(), weight.dtype());
        let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], placement));
        let [x, positions, weight] = [x, positions, weight].map(Tensor::into_dispatch);
        let bias = bias.into_dispatch();
        let (y, ..) = <Dispatch as ProjectedAttentionOps>::projected_attention(
            x, positions, weight, bias, heads,
        );
        return Tensor::from_dispatch(y);
    }
    plain::forward(x, positions, (weight, bias), heads)
}

fn check_forward(
    x: &Tensor<4>,
    positions: &Tensor<4>,
    (weight, bias): (&Tensor<4>, Option<&Tensor<1>>),
    heads: usize,
) {
    match bias {
        Some(bias) => check(operands!("projected_attention", x, positions, weight, bias), heads),
        None => check(operands!("projected_attention", x, positions, weight), heads),
    };
}

/// Checks that the operands fit, and those of the backward pass if there are any.
fn check<const N: usize>(call: Operands<N>, heads: usize) -> Checked {
    let shape @ [batch, filters, height, width] = call.dims("x");
    let whole = heads > 0 && filters > 0 && filters.is_multiple_of(heads);
    call.require("x", whole, &format!("of filters for {heads} heads"));
    call.expect("positions", &exactly([1, filters, height, width]));
    call.expect("weight", &exactly([3 * filters, filters, 1, 1]));
    call.expect("bias", &[Some(3 * filters)]);
    let positions = height * width;
    call.expect("sums", &exactly([batch, 3 * filters, positions]));
    call.expect("term", &exactly([3 * filters, positions]));
    call.expect("log_sums", &exactly([batch, heads, positions]));
    call.expect("y", &exactly(shape));
    call.expect("gradient", &exactly(shape));
    call.checked()
}
