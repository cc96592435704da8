//! The kernels of burn's CPU backend.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::adam::Rates;
use super::affine_coupling::AffineForm;
use super::conv2d::{ConvStages, PreActivation};
use super::epilogue::Epilogue;
use super::flex_slices::with_number;
use super::{
    FlowOps, NetworkOps, TrainingOps, adam, affine_coupling, attention, channel_affine,
    channel_norm, concat_elu, conv2d, gated_norm, gated_residual, linear, mixture_logistic,
    moving_average,
};

impl FlowOps for Flex {
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
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

impl NetworkOps for Flex {
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self> {
        use conv2d::flex::forward;
        with_number!(x, forward(&x, &weight, &bias, stages))
    }

    fn same_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        use conv2d::flex::backward;
        with_number!(x, backward(&x, &weight, &y, gradient, stages, of_x))
    }

    fn dense(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epilogue: Epilogue,
    ) -> FloatTensor<Self> {
        use linear::flex::forward;
        with_number!(x, forward(&x, &weight, &bias, epilogue))
    }

    fn dense_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epilogue: Epilogue,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        use linear::flex::backward;
        with_number!(x, backward(&x, &weight, &y, &gradient, epilogue, of_x))
    }

    fn channel_affine(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        use channel_affine::flex::forward;
        with_number!(x, forward(&x, &shift, &scale))
    }

    fn channel_affine_backward(
        x: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        of_x: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        use channel_affine::flex::backward;
        with_number!(x, backward(&x, &shift, &scale, &gradient, of_x))
    }

    fn affine_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        use affine_coupling::flex::forward;
        with_number!(x, forward(&x, &theta, form, range))
    }

    fn affine_coupling_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        use affine_coupling::flex::backward;
        with_number!(x, backward(&x, &theta, &gradient, form, range))
    }

    fn affine_coupling_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        use affine_coupling::flex::inverse;
        with_number!(z, inverse(&z, &theta, form, range))
    }

    fn affine_log_det(theta: FloatTensor<Self>, form: AffineForm) -> FloatTensor<Self> {
        use affine_coupling::flex::log_det;
        with_number!(theta, log_det(&theta, form))
    }

    fn affine_log_det_backward(
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
    ) -> FloatTensor<Self> {
        use affine_coupling::flex::log_det_backward;
        with_number!(theta, log_det_backward(&theta, &gradient, form))
    }

    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        use concat_elu::flex::forward;
        with_number!(x, forward(&x))
    }

    fn concat_elu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        use concat_elu::flex::backward;
        with_number!(x, backward(&x, &gradient))
    }

    fn gated_residual(x: FloatTensor<Self>, h: FloatTensor<Self>) -> FloatTensor<Self> {
        use gated_residual::flex::forward;
        with_number!(x, forward(&x, &h))
    }

    fn gated_residual_backward(
        h: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        use gated_residual::flex::backward;
        with_number!(h, backward(&h, &gradient))
    }

    fn channel_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        use channel_norm::flex::forward;
        with_number!(x, forward(&x, &gain, &shift, epsilon))
    }

    fn channel_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        use channel_norm::flex::backward;
        with_number!(x, backward(&x, &gain, &gradient, epsilon))
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
        use gated_norm::flex::forward;
        let arguments = [&x, &c, &weight, &bias, &gain];
        with_number!(x, forward(arguments, &shift, before, epsilon))
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
        use gated_norm::flex::backward;
        let arguments = [&x, &c, &weight, &bias, &gain];
        with_number!(x, backward(arguments, &gradient, before, epsilon)).into()
    }

    fn self_attention(
        projected: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        use attention::flex::forward;
        with_number!(projected, forward(&projected, heads))
    }

    fn self_attention_backward(
        projected: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        use attention::flex::backward;
        with_number!(projected, backward(&projected, &output, &log_sums, &gradient, heads))
    }
}

impl TrainingOps for Flex {
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        rates: Rates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        use adam::flex::update;
        with_number!(parameter, update(&parameter, &gradient, mean, square, rates))
    }

    fn moving_average(
        average: FloatTensor<Self>,
        value: FloatTensor<Self>,
        rate: f64,
    ) -> FloatTensor<Self> {
        use moving_average::flex::update;
        with_number!(average, update(&average, &value, rate))
    }
}
