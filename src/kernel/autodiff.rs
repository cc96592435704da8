//! Kernels under automatic differentiation.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;

use super::{FlowOps, mixture_logistic};

impl<B: FlowOps, C: CheckpointStrategy> FlowOps for Autodiff<B, C> {
    fn mixture_logistic(x: FloatTensor<Self>, theta: FloatTensor<Self>, min_log_scale: f64) -> FloatTensor<Self> {
        mixture_logistic::autodiff::forward::<B, C>(x, theta, min_log_scale)
    }

    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        // burn has no gradients of gradients: constants to the graph.
        let [x, theta, gradient] = [x, theta, gradient].map(|tensor| tensor.into_primitive());
        let (x, theta) = B::mixture_logistic_backward(x, theta, gradient, min_log_scale);
        (constant::<B, C>(x), constant::<B, C>(theta))
    }

    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        // Its gradient is that of `forward` at the solution, which callers attach.
        constant::<B, C>(B::mixture_logistic_inverse(z.into_primitive(), theta.into_primitive(), min_log_scale))
    }
}

/// A tensor that no gradient flows through.
fn constant<B: FlowOps, C: CheckpointStrategy>(tensor: FloatTensor<B>) -> FloatTensor<Autodiff<B, C>> {
    <Autodiff<B, C> as burn::backend::AutodiffBackend>::from_inner(tensor)
}
