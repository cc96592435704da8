//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::SplineShape;
use super::{SplineGradient, SplineOps};
use crate::kernel::node::{backward, constant};

/// `z` and the log-derivative, stacked in one node, since a node of burn has one output.
#[derive(Debug)]
struct Spline;

impl<B: SplineOps + SplineGradient> Backward<B, 2> for Spline {
    /// `x` and `theta`; everything else is recomputed.
    type State = (FloatTensor<B>, FloatTensor<B>, SplineShape);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 2>(ops, gradients, |(x, theta, spline), gradient, _| {
            let (x, theta) = B::spline_backward(x, theta, gradient, spline);
            [Some(x), Some(theta)]
        });
    }
}

impl<B: SplineOps + SplineGradient, C: CheckpointStrategy> SplineOps for Autodiff<B, C> {
    fn spline(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (theta, theta_node)) = (x.into_parts(), theta.into_parts());
        match Spline.prepare::<C>([x_node, theta_node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::spline(x.clone(), theta.clone(), spline);
                node.finish((x, theta, spline), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::spline(x, theta, spline)),
        }
    }

    fn spline_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self> {
        // The gradient of the solution is that of `forward` there, which callers attach.
        constant::<B, C>(B::spline_inverse(z.into_primitive(), theta.into_primitive(), spline))
    }
}
