//! The node on the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::ConvStages;
use crate::kernel::NetworkOps;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::node::backward;

#[derive(Debug)]
struct Conv2d;

impl<B: NetworkOps> Backward<B, 3> for Conv2d {
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
            let (x, weight, bias) = B::same_conv2d_backward(x, weight, y, gradient, stages, of_x);
            [x, weight, bias]
        });
    }
}

pub fn forward<B: NetworkOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    stages: ConvStages,
) -> FloatTensor<Autodiff<B, C>> {
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
