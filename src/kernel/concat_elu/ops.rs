//! What a backend implements, and the node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::Shape;

/// [The operation](super) on a backend's tensors.
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
pub trait ConcatEluOps: Backend {
    /// [`concat_elu`](super::concat_elu): `[B, C, H, W]` to `[B, 2C, H, W]`.
    #[fusion(dtype = x, shape = doubled(x))]
    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The gradients of [the operation](super). Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`ConcatEluOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait ConcatEluGradient: Backend {
    /// Gradient of `x`.
    #[fusion(dtype = x, shape = x)]
    fn concat_elu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The shape with twice the channels.
#[cfg_attr(not(feature = "_gpu"), expect(dead_code, reason = "fusion asks for it"))]
fn doubled(shape: &Shape) -> Shape {
    let [batch, channels, height, width] = shape.dims();
    [batch, 2 * channels, height, width].into()
}

#[derive(Debug)]
struct ConcatElu;

impl<B: ConcatEluOps + ConcatEluGradient> Backward<B, 1> for ConcatElu {
    /// `x`.
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
            B::concat_elu_backward(ops.state, gradient)
        });
    }
}

impl<B: ConcatEluOps + ConcatEluGradient, C: CheckpointStrategy> ConcatEluOps for Autodiff<B, C> {
    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match ConcatElu.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::concat_elu(x.clone());
                node.finish(x, output)
            }
            OpsKind::UnTracked(node) => node.finish(B::concat_elu(x)),
        }
    }
}
