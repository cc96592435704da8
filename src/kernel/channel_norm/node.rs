//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{ChannelNormGradient, ChannelNormOps};
use crate::kernel::node::backward;

#[derive(Debug)]
struct ChannelNorm;

impl<B: ChannelNormOps + ChannelNormGradient> Backward<B, 3> for ChannelNorm {
    /// `x`, the gain and `ε`: mean and variance are recomputed.
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 3>(ops, gradients, |(x, gain, epsilon), gradient, _| {
            let (x, gain, shift) = B::channel_norm_backward(x, gain, gradient, epsilon);
            [Some(x), Some(gain), Some(shift)]
        });
    }
}

impl<B: ChannelNormOps + ChannelNormGradient, C: CheckpointStrategy> ChannelNormOps
    for Autodiff<B, C>
{
    fn channel_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (gain, gain_node)) = (x.into_parts(), gain.into_parts());
        let (shift, shift_node) = shift.into_parts();
        match ChannelNorm.prepare::<C>([x_node, gain_node, shift_node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::channel_norm(x.clone(), gain.clone(), shift, epsilon);
                node.finish((x, gain, epsilon), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::channel_norm(x, gain, shift, epsilon)),
        }
    }
}
