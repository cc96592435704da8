//! The node of the graph.

use std::ops::Range;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{MixtureCouplingGradient, MixtureCouplingOps};
use crate::kernel::node::backward;

#[derive(Debug)]
struct MixtureCoupling;

impl<B: MixtureCouplingOps + MixtureCouplingGradient> Backward<B, 2> for MixtureCoupling {
    /// `x`, `theta`, the range and the smallest log-scale; everything else is recomputed.
    type State = (FloatTensor<B>, FloatTensor<B>, Range<usize>, f64);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 2>(ops, gradients, |(x, theta, range, bound), gradient, _| {
            let (x, theta) = B::mixture_coupling_backward(x, theta, gradient, range, bound);
            [Some(x), Some(theta)]
        });
    }
}

impl<B: MixtureCouplingOps + MixtureCouplingGradient, C: CheckpointStrategy> MixtureCouplingOps
    for Autodiff<B, C>
{
    fn mixture_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        range: Range<usize>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        let ((x, of_x), (theta, of_theta)) = (x.into_parts(), theta.into_parts());
        match MixtureCoupling.prepare::<C>([of_x, of_theta]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let row =
                    B::mixture_coupling(x.clone(), theta.clone(), range.clone(), min_log_scale);
                node.finish((x, theta, range, min_log_scale), row)
            }
            OpsKind::UnTracked(node) => {
                node.finish(B::mixture_coupling(x, theta, range, min_log_scale))
            }
        }
    }
}
