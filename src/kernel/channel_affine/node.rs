//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{ChannelAffineGradient, ChannelAffineOps};
use crate::kernel::node::backward;

#[derive(Debug)]
struct ChannelAffine;

impl<B: ChannelAffineOps + ChannelAffineGradient> Backward<B, 3> for ChannelAffine {
    /// `x`, the shift and the scale.
    type State = [FloatTensor<B>; 3];

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 3>(ops, gradients, |[x, shift, scale], gradient, [of_x, ..]| {
            if !of_x {
                let (shift, scale) =
                    B::channel_affine_backward_of_parameters(x, shift, scale, gradient);
                return [None, Some(shift), Some(scale)];
            }
            let (x, shift, scale) = B::channel_affine_backward(x, shift, scale, gradient);
            [Some(x), Some(shift), Some(scale)]
        });
    }
}

impl<B: ChannelAffineOps + ChannelAffineGradient, C: CheckpointStrategy> ChannelAffineOps
    for Autodiff<B, C>
{
    fn channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (shift, shift_node)) = (x.into_parts(), shift.into_parts());
        let (scale, scale_node) = scale.into_parts();
        match ChannelAffine
            .prepare::<C>([x_node, shift_node, scale_node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(node) => {
                let output = B::channel_affine(x.clone(), shift.clone(), scale.clone());
                node.finish([x, shift, scale], output)
            }
            OpsKind::UnTracked(node) => node.finish(B::channel_affine(x, shift, scale)),
        }
    }
}
