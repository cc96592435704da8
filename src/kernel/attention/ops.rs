//! What a backend implements, and the node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

#[cfg(feature = "_gpu")]
use crate::kernel::cube::arithmetic;
use crate::kernel::node::constant;

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
pub trait AttentionOps: Backend {
    /// [`attention`](super::attention): `projected [B, 3F, P]` to the mixed values `[B, F, P]` and
    /// the log-sums of the scores `[B, heads, P]`. The log-sums have the type of the arithmetic:
    /// that of `projected`, or f32 for 16-bit floats.
    #[fusion(meta = results)]
    fn self_attention(
        projected: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The gradients of [the operation](super). Only the node of the graph calls these methods, on
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

#[derive(Debug)]
struct Attention;

impl<B: AttentionOps + AttentionGradient> Backward<B, 1> for Attention {
    /// Input, output, the log-sums of the scores, and the number of heads. The scores are
    /// recomputed.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, usize);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        unary::<B, _>(ops.parents, ops.node, gradients, |gradient| {
            let (projected, output, log_sums, heads) = ops.state;
            B::self_attention_backward(projected, output, log_sums, gradient, heads)
        });
    }
}

impl<B: AttentionOps + AttentionGradient, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn self_attention(
        projected: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (projected, node) = projected.into_parts();
        let (output, log_sums) = B::self_attention(projected.clone(), heads);
        let tracked = match Attention.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                node.finish((projected, output.clone(), log_sums.clone(), heads), output)
            }
            OpsKind::UnTracked(node) => node.finish(output),
        };
        (tracked, constant::<B, C>(log_sums))
    }
}
