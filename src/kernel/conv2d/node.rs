//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::stages::ConvStages;
use super::{Conv2dGradient, Conv2dOps};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::node::backward;

#[derive(Debug)]
struct Conv2d;

impl<B: Conv2dOps + Conv2dGradient> Backward<B, 3> for Conv2d {
    /// `x`, the weights, `y` if it is the result of a ReLU, and the stages. The activation before
    /// the convolution is recomputed.
    type State = (FloatTensor<B>, FloatTensor<B>, Option<FloatTensor<B>>, ConvStages);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 3>(ops, gradients, |(x, weight, y, stages), gradient, [of_x, ..]| {
            let y = y.unwrap_or_else(|| x.clone());
            if !of_x {
                let (weight, bias) =
                    B::same_conv2d_backward_of_parameters(x, weight, y, gradient, stages);
                return [None, Some(weight), Some(bias)];
            }
            let (x, weight, bias) = B::same_conv2d_backward(x, weight, y, gradient, stages);
            [Some(x), Some(weight), Some(bias)]
        });
    }
}

impl<B: Conv2dOps + Conv2dGradient, C: CheckpointStrategy> Conv2dOps for Autodiff<B, C> {
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (bias, bias_node) = bias.into_parts();
        match Conv2d.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::same_conv2d(x.clone(), weight.clone(), bias, stages);
                let y = (stages.epilogue == Epilogue::Relu).then(|| output.clone());
                node.finish((x, weight, y, stages), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::same_conv2d(x, weight, bias, stages)),
        }
    }
}
