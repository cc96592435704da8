//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{ScaledConv2dGradient, ScaledConv2dOps};
use crate::kernel::conv2d::ConvStages;
use crate::kernel::node::backward;

#[derive(Debug)]
struct ScaledConv2d;

impl<B: ScaledConv2dOps + ScaledConv2dGradient> Backward<B, 4> for ScaledConv2d {
    /// `x`, the weights, the log-scales and `y`; the factor and the stages.
    type State = ([FloatTensor<B>; 4], f64, ConvStages);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 4>(ops, gradients, |(kept, factor, stages), gradient, [of_x, ..]| {
            let [x, weight, log_scale, y] = kept;
            if of_x {
                let (x, weight, bias, log_scale) =
                    B::scaled_conv2d_backward(x, weight, log_scale, y, gradient, factor, stages);
                return [Some(x), Some(weight), Some(bias), Some(log_scale)];
            }
            let (weight, bias, log_scale) = B::scaled_conv2d_backward_of_parameters(
                x, weight, log_scale, y, gradient, factor, stages,
            );
            [None, Some(weight), Some(bias), Some(log_scale)]
        });
    }
}

impl<B: ScaledConv2dOps + ScaledConv2dGradient, C: CheckpointStrategy> ScaledConv2dOps
    for Autodiff<B, C>
{
    fn scaled_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        log_scale: FloatTensor<Self>,
        factor: f64,
        stages: ConvStages,
    ) -> FloatTensor<Self> {
        let ((x, of_x), (weight, of_weight)) = (x.into_parts(), weight.into_parts());
        let ((bias, of_bias), (log_scale, of_scale)) = (bias.into_parts(), log_scale.into_parts());
        let nodes = [of_x, of_weight, of_bias, of_scale];
        match ScaledConv2d.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let kept = [x.clone(), weight.clone(), log_scale.clone()];
                let y = B::scaled_conv2d(x, weight, bias, log_scale, factor, stages);
                let [x, weight, log_scale] = kept;
                node.finish(([x, weight, log_scale, y.clone()], factor, stages), y)
            }
            OpsKind::UnTracked(node) => {
                node.finish(B::scaled_conv2d(x, weight, bias, log_scale, factor, stages))
            }
        }
    }
}
