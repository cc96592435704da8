//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use crate::kernel::NetworkOps;

#[derive(Debug)]
struct Conv2d;

impl<B: NetworkOps> Backward<B, 3> for Conv2d {
    /// `x`, the weights, and whether the convolution sees `concat_elu(x)`, which is computed again.
    type State = (FloatTensor<B>, FloatTensor<B>, bool);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, weight, concat_elu) = ops.state;
        let of_x = ops.parents[0].is_some();
        let (x, weight, bias) = B::same_conv2d_backward(x, weight, gradient, concat_elu, of_x);
        for (node, gradient) in ops.parents.into_iter().zip([x, weight, bias]) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

pub fn forward<B: NetworkOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    concat_elu: bool,
) -> FloatTensor<Autodiff<B, C>> {
    let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
    let (bias, bias_node) = bias.into_parts();
    match Conv2d.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
        OpsKind::Tracked(node) => {
            let output = B::same_conv2d(x.clone(), weight.clone(), bias, concat_elu);
            node.finish((x, weight, concat_elu), output)
        }
        OpsKind::UnTracked(node) => node.finish(B::same_conv2d(x, weight, bias, concat_elu)),
    }
}
