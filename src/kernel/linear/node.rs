//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{LinearGradient, LinearOps};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::node::backward;

#[derive(Debug)]
struct Linear;

impl<B: LinearOps + LinearGradient> Backward<B, 3> for Linear {
    /// `x`, the weights, `y`, and the epilogue: `y` shows where a ReLU passed its input.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Epilogue);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 3>(ops, gradients, |(x, weight, y, epilogue), gradient, [of_x, ..]| {
            if !of_x {
                let (weight, bias) =
                    B::dense_backward_of_parameters(x, weight, y, gradient, epilogue);
                return [None, Some(weight), Some(bias)];
            }
            let (x, weight, bias) = B::dense_backward(x, weight, y, gradient, epilogue);
            [Some(x), Some(weight), Some(bias)]
        });
    }
}

impl<B: LinearOps + LinearGradient, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (bias, bias_node) = bias.into_parts();
        match Linear.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::dense(x.clone(), weight.clone(), bias, epilogue);
                node.finish((x, weight, output.clone(), epilogue), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::dense(x, weight, bias, epilogue)),
        }
    }
}
