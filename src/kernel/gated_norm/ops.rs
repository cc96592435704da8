//! What a backend implements, and the node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use crate::kernel::conv2d::PreActivation;
use crate::kernel::node::backward;

/// [The operation](super) on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
    Autodiff,
)]
pub trait GatedNormOps: Backend {
    /// [`gated_norm`](super::gated_norm): `x [B, F, H, W]`, `c [B, G, H, W]`, weights and bias of a
    /// convolution to `2F` channels, gain and shift of `F` elements to the shape of `x`.
    #[allow(clippy::too_many_arguments)]
    #[fusion(dtype = x, shape = x)]
    fn gated_norm(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> FloatTensor<Self>;
}

/// The gradients of [the operation](super). Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`GatedNormOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait GatedNormGradient: Backend {
    /// Gradients of `x`, `c`, weights, bias, gain and shift.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)]
    #[fusion(meta = |x, c, weight, bias, gain, _gradient, _before, _epsilon| {
        let [x, c, weight, bias, gain] = [x, c, weight, bias, gain].map(Clone::clone);
        (x, c, weight, bias, gain.clone(), gain)
    })]
    fn gated_norm_backward(
        x: FloatTensor<Self>,
        c: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        before: PreActivation,
        epsilon: f64,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );
}

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
