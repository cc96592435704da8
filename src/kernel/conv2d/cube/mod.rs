//! The operation on tensors of burn's GPU backends. The sums are burn's convolution; what comes
//! before and after them are kernels of one launch each.
//!
//! | launch | computes |
//! |---|---|
//! | forward | `y` from the sums: bias, border channel, scale and ReLU; none for a mere bias and several taps, which burn's convolution adds |
//! | backward | the gradient of the sums; only with a scale or a ReLU |
//! | backward | the gradients of bias and scale, and of each tap of the border channel |
//! | backward | the gradient of `w` from that of its own channels and that of the border channel; only with a border channel |
//!
//! The scale is that of [`scaled_conv2d`](crate::kernel::scaled_conv2d).
//!
//! burn's convolutions keep the channels of images on the last axis in memory, and so do most
//! kernels between two of them. A result stays in that order after a ReLU, and where only a bias is
//! added. With scales or a border channel and no ReLU, as at the end of a network, it is written in
//! the order of its axes.
//!
//! The border channel is 1 where a tap lies outside of the image. So its part of `y` is a sum of
//! weights, and its gradient one of gradients at the border: neither needs an image of it.

mod parameters;
mod scales;
pub mod sums;

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::permute_nhwc_to_nchw;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use self::parameters::joined;
pub use self::parameters::of_parameters;
pub use self::scales::Scales;
use self::scales::{bound, scale_of};
use super::{Border, Conv2dGradient, Conv2dOps, ConvStages, PreActivation, check};
use crate::kernel::concat_elu;
use crate::kernel::cube::{at, at_counted, empty, scalar, types, unit_each};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::operands::operands;

/// The part of the border channel in the output `o` at a position: the sum of its weights whose
/// taps lie outside of the image.
#[cube]
fn of_border<F: Float, N: Float>(
    weight: &Tensor<F>,
    output: usize,
    row: usize,
    column: usize,
    height: usize,
    width: usize,
) -> N {
    let (kh, kw) = (weight.shape(2), weight.shape(3));
    let inputs = weight.shape(1);
    let first = (output * inputs + inputs - 1) * kh * kw;
    let (above, before) = (kh / 2, kw / 2);
    let mut sum = N::new(0.0);
    let inside =
        row >= above && column >= before && row + above < height && column + before < width;
    if !inside {
        for tap in 0..kh * kw {
            // Positions in the padded image.
            let (r, c) = (row + tap / kw, column + tap % kw);
            let outside = r < above || c < before || r >= above + height || c >= before + width;
            sum += select(outside, N::cast_from(weight[first + tap]), N::new(0.0));
        }
    }
    sum
}

/// `y` of shape `[B, O, H, W]` if `channels_last` is false, otherwise `[B, H, W, O]`.
#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    sums: &Tensor<F>,
    weight: &Tensor<F>,
    bias: &Tensor<F>,
    log_scale: &Tensor<F>,
    y: &mut Tensor<F>,
    factor: InputScalar,
    #[comptime] border: bool,
    #[comptime] scaled: bool,
    #[comptime] relu: bool,
    #[comptime] channels_last: bool,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let (outputs, height, width) = (sums.shape(1), sums.shape(2), sums.shape(3));
    let positions = height * width;
    let mut output = ABSOLUTE_POS / positions % outputs;
    let mut position = ABSOLUTE_POS % positions;
    if comptime!(channels_last) {
        output = ABSOLUTE_POS % outputs;
        position = ABSOLUTE_POS / outputs % positions;
    }
    let example = ABSOLUTE_POS / (outputs * positions);
    let (row, column) = (position / width, position % width);
    let index = at::<F>(sums, example, output, row, column);
    let mut value = N::cast_from(sums[index]) + N::cast_from(bias[output]);
    if comptime!(border) {
        value += of_border::<F, N>(weight, output, row, column, height, width);
    }
    if comptime!(scaled) {
        value *= scale_of::<F, N>(log_scale, output, factor.get::<N>());
    }
    if comptime!(relu) {
        // A NaN stays one.
        value = max_nan(value, N::new(0.0));
    }
    y[ABSOLUTE_POS] = F::cast_from(value);
}

/// The gradient of the sums, `[B, H, W, O]`. `y` and its gradient are `[B, O, H, W]` in any order
/// in memory.
#[cube(launch)]
fn of_sums_kernel<F: Float, N: Float>(
    y: &Tensor<F>,
    gradient: &Tensor<F>,
    log_scale: &Tensor<F>,
    of_sums: &mut Tensor<F>,
    factor: InputScalar,
    #[comptime] scaled: bool,
    #[comptime] relu: bool,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= of_sums.len() {
        terminate!();
    }
    let outputs = y.shape(1);
    let mut value = N::cast_from(gradient[at_counted::<F>(gradient, ABSOLUTE_POS, outputs)]);
    if comptime!(scaled) {
        value *= scale_of::<F, N>(log_scale, ABSOLUTE_POS % outputs, factor.get::<N>());
    }
    if comptime!(relu) {
        let blocked = y[at_counted::<F>(y, ABSOLUTE_POS, outputs)] <= F::new(0.0);
        value = select(blocked, N::new(0.0), value);
    }
    of_sums[ABSOLUTE_POS] = F::cast_from(value);
}

/// The weights of the channels of `v`, without copying them.
fn own_channels(weight: &CubeTensor, stages: ConvStages) -> CubeTensor {
    let mut own = weight.clone();
    own.meta.shape_mut()[1] -= stages.border.channels();
    own
}

/// `v`, in the order of a convolution.
pub fn activated(x: CubeTensor, before: PreActivation) -> CubeTensor {
    match before {
        PreActivation::Identity => x,
        PreActivation::ConcatElu => concat_elu::cube::forward(x),
    }
}

/// `y`.
pub fn forward(
    x: CubeTensor,
    weight: CubeTensor,
    bias: CubeTensor,
    scales: Option<Scales>,
    stages: ConvStages,
) -> CubeTensor {
    let [weight, bias] = [weight, bias].map(into_contiguous);
    let own = own_channels(&weight, stages);
    let relu = stages.epilogue == Epilogue::Relu;
    let bias_alone = stages.border == Border::Zeros && scales.is_none() && !relu;
    let channels_last = relu || bias_alone;
    let v = activated(x, stages.before);
    if bias_alone && !sums::has_one_tap(&own) {
        return sums::with_bias(v, own, Some(bias));
    }
    let sums = sums::sums(v, own);
    let [batch, outputs, height, width] = sums.meta.shape().dims();
    let shape = match channels_last {
        true => [batch, height, width, outputs],
        false => [batch, outputs, height, width],
    };
    let y = empty(&sums, shape);
    let (count, units) = unit_each(&y, shape.iter().product());
    let (storage, arithmetic) = types(y.dtype);
    let (log_scale, factor) = bound(scales.as_ref(), &bias);
    forward_kernel::launch(
        &y.client,
        count,
        units,
        sums.into_tensor_arg(),
        weight.into_tensor_arg(),
        bias.into_tensor_arg(),
        log_scale.into_tensor_arg(),
        y.clone().into_tensor_arg(),
        scalar(factor, y.dtype),
        stages.border == Border::Channel,
        scales.is_some(),
        relu,
        channels_last,
        storage,
        arithmetic,
    );
    if channels_last { permute_nhwc_to_nchw(y) } else { y }
}

/// The gradient of the sums.
fn of_sums(
    y: &CubeTensor,
    gradient: &CubeTensor,
    scales: Option<&Scales>,
    stages: ConvStages,
) -> CubeTensor {
    let relu = stages.epilogue == Epilogue::Relu;
    if !relu && scales.is_none() {
        return gradient.clone();
    }
    let [batch, outputs, height, width] = gradient.meta.shape().dims();
    let of_sums = empty(gradient, [batch, height, width, outputs]);
    let (count, units) = unit_each(gradient, batch * outputs * height * width);
    let (storage, arithmetic) = types(gradient.dtype);
    let (log_scale, factor) = bound(scales, gradient);
    of_sums_kernel::launch(
        &of_sums.client,
        count,
        units,
        y.clone().into_tensor_arg(),
        gradient.clone().into_tensor_arg(),
        log_scale.into_tensor_arg(),
        of_sums.clone().into_tensor_arg(),
        scalar(factor, of_sums.dtype),
        scales.is_some(),
        relu,
        storage,
        arithmetic,
    );
    permute_nhwc_to_nchw(of_sums)
}

/// The gradients of a convolution. Without scales, that of the scales holds nothing.
pub struct Gradients {
    pub of_x: Option<CubeTensor>,
    pub of_weight: CubeTensor,
    pub of_bias: CubeTensor,
    pub of_scale: CubeTensor,
}

/// The gradients, that of `x` only where it is asked for.
pub fn backward(
    x: CubeTensor,
    weight: CubeTensor,
    y: CubeTensor,
    gradient: CubeTensor,
    scales: Option<Scales>,
    stages: ConvStages,
    wants_x: bool,
) -> Gradients {
    let weight = into_contiguous(weight);
    let own = own_channels(&weight, stages);
    let of_sums = of_sums(&y, &gradient, scales.as_ref(), stages);
    let (of_bias, of_border, of_scale) =
        of_parameters(&weight, y, gradient, scales.as_ref(), stages);
    let of_v = |v: &CubeTensor| sums::of_input(v.clone(), own.clone(), of_sums.clone());
    let (v, of_x) = match (stages.before, wants_x) {
        (PreActivation::Identity, _) => {
            let of_x = wants_x.then(|| of_v(&x));
            (x, of_x)
        }
        (PreActivation::ConcatElu, false) => (activated(x, stages.before), None),
        (PreActivation::ConcatElu, true) => {
            let v = concat_elu::cube::unwritten(&x);
            let of_v = of_v(&v);
            let of_x = concat_elu::cube::backward(x, of_v, Some(&v));
            (v, Some(of_x))
        }
    };
    let of_own = sums::of_weight(v, own, of_sums);
    let of_weight = match stages.border {
        // Norm and update of the weights read it in the order of its axes.
        Border::Zeros => into_contiguous(of_own),
        Border::Channel => joined(of_own, of_border, &weight),
    };
    Gradients { of_x, of_weight, of_bias, of_scale }
}

impl Conv2dOps for CubeBackend {
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self> {
        check(operands!("same_conv2d", x, weight, bias), stages);
        forward(x, weight, bias, None, stages)
    }
}

impl Conv2dGradient for CubeBackend {
    fn same_conv2d_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("same_conv2d_backward", x, weight, y, gradient), stages);
        let Gradients { of_x, of_weight, of_bias, .. } =
            backward(x, weight, y, gradient, None, stages, true);
        (of_x.expect("it was asked for"), of_weight, of_bias)
    }

    fn same_conv2d_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("same_conv2d_backward_of_parameters", x, weight, y, gradient), stages);
        let Gradients { of_weight, of_bias, .. } =
            backward(x, weight, y, gradient, None, stages, false);
        (of_weight, of_bias)
    }
}
