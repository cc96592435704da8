//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;

use super::{ConcatEluGradient, ConcatEluOps};

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
