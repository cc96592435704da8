//! The operation on tensors of burn's GPU backends: the kernels of [`conv2d`], which take scales.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;

use super::{ScaledConv2dGradient, ScaledConv2dOps, check};
use crate::kernel::conv2d::ConvStages;
use crate::kernel::conv2d::cube::{Gradients, Scales, backward, forward};
use crate::kernel::operands::operands;

impl ScaledConv2dOps for CubeBackend {
    fn scaled_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        log_scale: FloatTensor<Self>,
        factor: f64,
        stages: ConvStages,
    ) -> FloatTensor<Self> {
        check(operands!("scaled_conv2d", x, weight, bias, log_scale), stages);
        forward(x, weight, bias, Some(Scales { log_scale, factor }), stages)
    }
}

impl ScaledConv2dGradient for CubeBackend {
    fn scaled_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        log_scale: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factor: f64,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("scaled_conv2d_backward", x, weight, log_scale, y, gradient), stages);
        let scales = Some(Scales { log_scale, factor });
        let Gradients { of_x, of_weight, of_bias, of_scale } =
            backward(x, weight, y, gradient, scales, stages, true);
        let of_x = of_x.expect("it was asked for");
        (of_x, of_weight, of_bias, of_scale)
    }

    fn scaled_conv2d_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        log_scale: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        factor: f64,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        check(
            operands!("scaled_conv2d_backward_of_parameters", x, weight, log_scale, y, gradient),
            stages,
        );
        let scales = Some(Scales { log_scale, factor });
        let Gradients { of_weight, of_bias, of_scale, .. } =
            backward(x, weight, y, gradient, scales, stages, false);
        (of_weight, of_bias, of_scale)
    }
}
