//! The node on the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use crate::kernel::NetworkOps;
use crate::kernel::node::backward;

#[derive(Debug)]
struct ChannelAffine;

impl<B: NetworkOps> Backward<B, 3> for ChannelAffine {
    /// `x`, the shift and the scale.
    type State = [FloatTensor<B>; 3];

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 3>(ops, gradients, |[x, shift, scale], gradient, [of_x, ..]| {
            let (x, shift, scale) = B::channel_affine_backward(x, shift, scale, gradient, of_x);
            [x, shift, scale]
        });
    }
}

pub fn forward<B: NetworkOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    shift: FloatTensor<Autodiff<B, C>>,
    scale: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let ((x, x_node), (shift, shift_node)) = (x.into_parts(), shift.into_parts());
    let (scale, scale_node) = scale.into_parts();
    match ChannelAffine.prepare::<C>([x_node, shift_node, scale_node]).compute_bound().stateful() {
        OpsKind::Tracked(node) => {
            let output = B::channel_affine(x.clone(), shift.clone(), scale.clone());
            node.finish([x, shift, scale], output)
        }
        OpsKind::UnTracked(node) => node.finish(B::channel_affine(x, shift, scale)),
    }
}
