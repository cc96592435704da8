//! What a backend implements, and the node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::stages::ConvStages;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::node::backward;

/// [The operation](super) on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(Flex: cfg(feature = "flex"), Autodiff)]
pub trait Conv2dOps: Backend {
    /// [`conv2d`](super::conv2d): `x [B, C, H, W]`, `weight [O, C, kh, kw]` or with a border
    /// channel `[O, C + 1, kh, kw]`, `bias [O]` to `[B, O, H, W]`.
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self>;
}

/// The gradients of [the operation](super). Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`Conv2dOps`].
#[backend_extension(Flex: cfg(feature = "flex"))]
pub trait Conv2dGradient: Backend {
    /// Gradients of `x`, `weight` and `bias`. `y` is the result if the epilogue is a ReLU, and any
    /// tensor of the same type otherwise.
    fn same_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients of `weight` and `bias` alone, for an `x` that is data.
    fn same_conv2d_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

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
