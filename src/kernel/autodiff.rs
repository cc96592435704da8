//! The kernels under automatic differentiation.

use std::ops::Range;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;

use super::affine_coupling::AffineForm;
use super::conv2d::{ConvStages, PreActivation};
use super::epilogue::Epilogue;
use super::node::constant;
use super::{
    FlowOps, NetworkOps, affine_coupling, attention, channel_affine, channel_norm, concat_elu,
    conv2d, gated_norm, gated_residual, linear, mixture_logistic,
};

impl<B: FlowOps, C: CheckpointStrategy> FlowOps for Autodiff<B, C> {
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        mixture_logistic::autodiff::forward::<B, C>(x, theta, min_log_scale)
    }

    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        // burn has no second derivatives, so the graph treats these tensors as constants.
        let [x, theta, gradient] = [x, theta, gradient].map(|tensor| tensor.into_primitive());
        let (x, theta) = B::mixture_logistic_backward(x, theta, gradient, min_log_scale);
        (constant::<B, C>(x), constant::<B, C>(theta))
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

impl<B: NetworkOps, C: CheckpointStrategy> NetworkOps for Autodiff<B, C> {
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self> {
        conv2d::autodiff::forward::<B, C>(x, weight, bias, stages)
    }

    fn same_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, weight, y, gradient] =
            [x, weight, y, gradient].map(|tensor| tensor.into_primitive());
        let (x, weight, bias) = B::same_conv2d_backward(x, weight, y, gradient, stages, of_x);
        (constant::<B, C>(x), constant::<B, C>(weight), constant::<B, C>(bias))
    }

    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> FloatTensor<Self> {
        linear::autodiff::forward::<B, C>(x, weight, bias, epilogue)
    }

    fn dense_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epilogue: Epilogue,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, weight, y, gradient] =
            [x, weight, y, gradient].map(|tensor| tensor.into_primitive());
        let (x, weight, bias) = B::dense_backward(x, weight, y, gradient, epilogue, of_x);
        (constant::<B, C>(x), constant::<B, C>(weight), constant::<B, C>(bias))
    }

    fn channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        channel_affine::autodiff::forward::<B, C>(x, shift, scale)
    }

    fn channel_affine_backward(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, shift, scale, gradient] =
            [x, shift, scale, gradient].map(|tensor| tensor.into_primitive());
        let (x, shift, scale) = B::channel_affine_backward(x, shift, scale, gradient, of_x);
        (constant::<B, C>(x), constant::<B, C>(shift), constant::<B, C>(scale))
    }

    fn affine_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        affine_coupling::autodiff::coupling::<B, C>(x, theta, form, range)
    }

    fn affine_coupling_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [x, theta, gradient] = [x, theta, gradient].map(|tensor| tensor.into_primitive());
        let (x, theta) = B::affine_coupling_backward(x, theta, gradient, form, range);
        (constant::<B, C>(x), constant::<B, C>(theta))
    }

    fn affine_coupling_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        // Callers that need its gradient use the plain operations.
        constant::<B, C>(B::affine_coupling_inverse(
            z.into_primitive(),
            theta.into_primitive(),
            form,
            range,
        ))
    }

    fn affine_log_det(theta: FloatTensor<Self>, form: AffineForm) -> FloatTensor<Self> {
        affine_coupling::autodiff::log_det::<B, C>(theta, form)
    }

    fn affine_log_det_backward(
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
    ) -> FloatTensor<Self> {
        constant::<B, C>(B::affine_log_det_backward(
            theta.into_primitive(),
            gradient.into_primitive(),
            form,
        ))
    }

    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        concat_elu::autodiff::forward::<B, C>(x)
    }

    fn concat_elu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        constant::<B, C>(B::concat_elu_backward(x.into_primitive(), gradient.into_primitive()))
    }

    fn gated_residual(x: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self> {
        gated_residual::autodiff::forward::<B, C>(x, h)
    }

    fn gated_residual_backward(
        h: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        constant::<B, C>(B::gated_residual_backward(h.into_primitive(), gradient.into_primitive()))
    }

    fn channel_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        channel_norm::autodiff::forward::<B, C>(x, gain, shift, epsilon)
    }

    fn channel_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [x, gain, gradient] = [x, gain, gradient].map(|tensor| tensor.into_primitive());
        let (x, gain, shift) = B::channel_norm_backward(x, gain, gradient, epsilon);
        (constant::<B, C>(x), constant::<B, C>(gain), constant::<B, C>(shift))
    }

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
        gated_norm::autodiff::forward::<B, C>(x, c, weight, bias, gain, shift, before, epsilon)
    }

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
    ) {
        let tensors = [x, c, weight, bias, gain, gradient].map(|tensor| tensor.into_primitive());
        let [x, c, weight, bias, gain, gradient] = tensors;
        let gradients = B::gated_norm_backward(x, c, weight, bias, gain, gradient, before, epsilon);
        <[_; 6]>::from(gradients).map(constant::<B, C>).into()
    }

    fn self_attention(
        projected: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (output, log_sums) = attention::autodiff::forward::<B, C>(projected, heads);
        (output, constant::<B, C>(log_sums))
    }

    fn self_attention_backward(
        projected: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        let tensors = [projected, output, log_sums, gradient].map(|tensor| tensor.into_primitive());
        let [projected, output, log_sums, gradient] = tensors;
        constant::<B, C>(B::self_attention_backward(projected, output, log_sums, gradient, heads))
    }
}
