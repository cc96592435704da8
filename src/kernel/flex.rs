//! Kernels of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::{FlowOps, mixture_logistic};

impl FlowOps for Flex {
    fn mixture_logistic(x: FloatTensor<Self>, theta: FloatTensor<Self>, min_log_scale: f64) -> FloatTensor<Self> {
        mixture_logistic::flex::forward(x, theta, min_log_scale)
    }

    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        mixture_logistic::flex::backward(x, theta, gradient, min_log_scale)
    }

    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        mixture_logistic::flex::inverse(z, theta, min_log_scale)
    }
}
