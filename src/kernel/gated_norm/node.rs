//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{GatedNormGradient, GatedNormOps};
use crate::kernel::conv2d::PreActivation;
use crate::kernel::node::backward;

#[derive(Debug)]
struct GatedNorm;

/// The arguments that the graph keeps.
#[derive(Debug, Clone)]
struct State<B: GatedNormOps + GatedNormGradient> {
    x: FloatTensor<B>,
    c: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    gain: FloatTensor<B>,
    before: PreActivation,
    epsilon: f64,
}

impl<B: GatedNormOps + GatedNormGradient> Backward<B, 6> for GatedNorm {
    type State = State<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 6>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 6>(ops, gradients, |state, gradient, _| {
            let State { x, c, weight, bias, gain, before, epsilon } = state;
            let gradients =
                B::gated_norm_backward(x, c, weight, bias, gain, gradient, before, epsilon);
            <[_; 6]>::from(gradients).map(Some)
        });
    }
}

impl<B: GatedNormOps + GatedNormGradient, C: CheckpointStrategy> GatedNormOps for Autodiff<B, C> {
    fn gated_norm(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (c, c_node)) = (x.into_parts(), c.into_parts());
        let ((weight, weight_node), (bias, bias_node)) = (weight.into_parts(), bias.into_parts());
        let ((gain, gain_node), (shift, shift_node)) = (gain.into_parts(), shift.into_parts());
        let nodes = [x_node, c_node, weight_node, bias_node, gain_node, shift_node];
        let state = State::<B> { x, c, weight, bias, gain, before, epsilon };
        let run = |State { x, c, weight, bias, gain, .. }| {
            B::gated_norm(x, c, weight, bias, gain, shift, before, epsilon)
        };
        match GatedNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = run(state.clone());
                node.finish(state, output)
            }
            OpsKind::UnTracked(node) => node.finish(run(state)),
        }
    }
}
