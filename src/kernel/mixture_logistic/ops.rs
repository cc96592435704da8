//! What a backend implements, and the node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::Shape;

use crate::kernel::node::{backward, constant};

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
pub trait MixtureLogisticOps: Backend {
    /// [`forward`](super::forward) maps `x [batch, dims]` and `theta [batch, 2 + 3K, dims]` to
    /// `z` and the log-derivative, `[2, batch, dims]`.
    #[fusion(dtype = x, shape = stacked(2, x))]
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self>;

    /// [`solve`](super::solve) maps `z [batch, dims]` to `x`, the residual, and 1 where it is
    /// solved or 0 where not, `[3, batch, dims]`.
    #[fusion(dtype = z, shape = stacked(3, z))]
    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self>;
}

/// The gradients of [the operation](super). Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`MixtureLogisticOps`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait MixtureLogisticGradient: Backend {
    /// Gradients of `x` and `theta` from those of both outputs, `gradient [2, batch, dims]`.
    #[fusion(meta = |x, theta, _gradient, _min_log_scale| (x.clone(), theta.clone()))]
    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The shape of `n` stacked tensors.
#[cfg_attr(not(feature = "_gpu"), expect(dead_code, reason = "fusion asks for it"))]
fn stacked(n: usize, shape: &Shape) -> Shape {
    let mut dims = vec![n];
    dims.extend(shape.iter());
    dims.into()
}

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
