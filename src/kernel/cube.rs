//! The kernels of the GPU backends.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;

use super::{FlowOps, mixture_logistic};

impl FlowOps for CubeBackend {
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        mixture_logistic::cube::forward(x, theta, min_log_scale)
    }

    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        mixture_logistic::cube::backward(x, theta, gradient, min_log_scale)
    }

    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        mixture_logistic::cube::inverse(z, theta, min_log_scale)
    }
}
