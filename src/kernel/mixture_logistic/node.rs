//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{MixtureLogisticGradient, MixtureLogisticOps};
use crate::kernel::node::{backward, constant};

/// `z` and the log-derivative, stacked in one node, since a node of burn has one output.
#[derive(Debug)]
struct MixtureLogistic;

impl<B: MixtureLogisticOps + MixtureLogisticGradient> Backward<B, 2> for MixtureLogistic {
    /// `x`, `theta` and the smallest log-scale; everything else is recomputed.
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 2>(ops, gradients, |(x, theta, min_log_scale), gradient, _| {
            let (x, theta) = B::mixture_logistic_backward(x, theta, gradient, min_log_scale);
            [Some(x), Some(theta)]
        });
    }
}

impl<B: MixtureLogisticOps + MixtureLogisticGradient, C: CheckpointStrategy> MixtureLogisticOps
    for Autodiff<B, C>
{
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (theta, theta_node)) = (x.into_parts(), theta.into_parts());
        match MixtureLogistic.prepare::<C>([x_node, theta_node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::mixture_logistic(x.clone(), theta.clone(), min_log_scale);
                node.finish((x, theta, min_log_scale), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::mixture_logistic(x, theta, min_log_scale)),
        }
    }

    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        // The gradient of the solution is that of `forward` there, which callers attach.
        constant::<B, C>(B::mixture_logistic_inverse(
            z.into_primitive(),
            theta.into_primitive(),
            min_log_scale,
        ))
    }
}
