//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use crate::kernel::NetworkOps;

#[derive(Debug)]
struct Linear;

impl<B: NetworkOps> Backward<B, 3> for Linear {
    /// `x`, the weights, `y`, and whether a rectifier stands behind the sum: `y` says where it was open.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, bool);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (x, weight, y, relu) = ops.state;
        let of_x = ops.parents[0].is_some();
        let (x, weight, bias) = B::dense_backward(x, weight, y, gradient, relu, of_x);
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
    relu: bool,
) -> FloatTensor<Autodiff<B, C>> {
    let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
    let (bias, bias_node) = bias.into_parts();
    match Linear.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
        OpsKind::Tracked(node) => {
            let output = B::dense(x.clone(), weight.clone(), bias, relu);
            node.finish((x, weight, output.clone(), relu), output)
        }
        OpsKind::UnTracked(node) => node.finish(B::dense(x, weight, bias, relu)),
    }
}
