//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;

use super::{AttentionGradient, AttentionOps};
use crate::kernel::node::constant;

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
