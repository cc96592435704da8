//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{ProjectedAttentionGradient, ProjectedAttentionOps};
use crate::kernel::node::{backward, constant};

#[derive(Debug)]
struct ProjectedAttention;

impl<B: ProjectedAttentionOps + ProjectedAttentionGradient> Backward<B, 4> for ProjectedAttention {
    /// `x`, `p` and `w`, the results of the forward pass, and the number of heads.
    type State = ([FloatTensor<B>; 3], [FloatTensor<B>; 4], usize);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 4>(ops, gradients, |(operands, results, heads), gradient, _| {
            let ([x, positions, weight], [y, sums, term, log_sums]) = (operands, results);
            let gradients = B::projected_attention_backward(
                x, positions, weight, sums, term, y, log_sums, gradient, heads,
            );
            <[_; 4]>::from(gradients).map(Some)
        });
    }
}

impl<B: ProjectedAttentionOps + ProjectedAttentionGradient, C: CheckpointStrategy>
    ProjectedAttentionOps for Autodiff<B, C>
{
    fn projected_attention(
        x: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ((x, of_x), (positions, of_positions)) = (x.into_parts(), positions.into_parts());
        let ((weight, of_weight), (bias, of_bias)) = (weight.into_parts(), bias.into_parts());
        let kept = [x.clone(), positions.clone(), weight.clone()];
        let (y, sums, term, log_sums) = B::projected_attention(x, positions, weight, bias, heads);
        let nodes = [of_x, of_positions, of_weight, of_bias];
        let tracked = match ProjectedAttention.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let results = [y.clone(), sums.clone(), term.clone(), log_sums.clone()];
                node.finish((kept, results, heads), y)
            }
            OpsKind::UnTracked(node) => node.finish(y),
        };
        (tracked, constant::<B, C>(sums), constant::<B, C>(term), constant::<B, C>(log_sums))
    }
}
