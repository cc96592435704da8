//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{GatedResidualGradient, GatedResidualOps};

#[derive(Debug)]
struct GatedResidual;

impl<B: GatedResidualOps + GatedResidualGradient> Backward<B, 2> for GatedResidual {
    /// `h`.
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let [x, h] = ops.parents;
        if let Some(node) = h {
            gradients
                .register::<B>(node.id, B::gated_residual_backward(ops.state, gradient.clone()));
        }
        if let Some(node) = x {
            gradients.register::<B>(node.id, gradient);
        }
    }
}

impl<B: GatedResidualOps + GatedResidualGradient, C: CheckpointStrategy> GatedResidualOps
    for Autodiff<B, C>
{
    fn gated_residual(x: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (h, h_node)) = (x.into_parts(), h.into_parts());
        match GatedResidual.prepare::<C>([x_node, h_node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::gated_residual(x, h.clone());
                node.finish(h, output)
            }
            OpsKind::UnTracked(node) => node.finish(B::gated_residual(x, h)),
        }
    }
}
