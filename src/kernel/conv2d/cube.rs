//! The operation on tensors of burn's GPU backends. The sums are burn's convolution; what comes
//! before and after them are kernels of one launch each.
//!
//! | launch | computes |
//! |---|---|
//! | forward | `y` from the sums: bias, border channel, scale and ReLU |
//! | backward | the gradient of the sums; only with a scale or a ReLU |
//! | backward | the gradients of bias and scale, and of each tap of the border channel |
//! | backward | the gradient of `w` from that of its own channels and that of the border channel |
//!
//! The scale is that of [`scaled_conv2d`](crate::kernel::scaled_conv2d).
//!
//! burn's convolutions keep the channels of images on the last axis in memory. The result of a ReLU
//! stays in that order, since another convolution reads it next; other results are written in the
//! order of their axes.
//!
//! The border channel is 1 where a tap lies outside of the image. So its part of `y` is a sum of
//! weights, and its gradient one of gradients at the border: neither needs an image of it.

use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::ops::ConvOptions;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::permute_nhwc_to_nchw;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{Border, Conv2dGradient, Conv2dOps, ConvStages, PreActivation, check};
use crate::kernel::concat_elu::{ConcatEluGradient, ConcatEluOps};
use crate::kernel::cube::reduce::sum_of_units;
use crate::kernel::cube::{UNITS, cube_each, empty, scalar, types, unit_each};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::operands::operands;

/// The place in memory of an element of a tensor `[B, O, H, W]`.
#[cube]
fn at<F: Float>(
    tensor: &Tensor<F>,
    example: usize,
    output: usize,
    row: usize,
    column: usize,
) -> usize {
    example * tensor.stride(0)
        + output * tensor.stride(1)
        + row * tensor.stride(2)
        + column * tensor.stride(3)
}

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

#[cube]
fn scale_of<F: Float, N: Float>(log_scale: &Tensor<F>, output: usize, factor: N) -> N {
    N::exp(N::cast_from(log_scale[output]) * factor)
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
        value = N::max(value, N::new(0.0));
    }
    y[ABSOLUTE_POS] = F::cast_from(value);
}

/// The gradient of the sums, `[B, H, W, O]`. `y` and its gradient are `[B, O, H, W]` in any order in
/// memory.
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
    let (outputs, height, width) = (y.shape(1), y.shape(2), y.shape(3));
    let output = ABSOLUTE_POS % outputs;
    let position = ABSOLUTE_POS / outputs;
    let column = position % width;
    let row = position / width % height;
    let example = position / (width * height);
    let mut value = N::cast_from(gradient[at::<F>(gradient, example, output, row, column)]);
    if comptime!(scaled) {
        value *= scale_of::<F, N>(log_scale, output, factor.get::<N>());
    }
    if comptime!(relu) {
        let positive = y[at::<F>(y, example, output, row, column)] > F::new(0.0);
        value = select(positive, value, N::new(0.0));
    }
    of_sums[ABSOLUTE_POS] = F::cast_from(value);
}

/// The gradients of the bias, of each tap of the border channel, `[O, taps]`, and of the log-scales.
/// A cube computes one of them. All are sums of the gradient where `y` passes the ReLU, over all
/// positions or those at the border, times the scale; that of a log-scale is one of products with
/// `y`.
#[cube(launch)]
fn of_parameters_kernel<F: Float, N: Float>(
    y: &Tensor<F>,
    gradient: &Tensor<F>,
    log_scale: &Tensor<F>,
    of_bias: &mut Tensor<F>,
    of_border: &mut Tensor<F>,
    of_scale: &mut Tensor<F>,
    kh: u32,
    kw: u32,
    factor: InputScalar,
    #[comptime] border: bool,
    #[comptime] scaled: bool,
    #[comptime] relu: bool,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let (kh, kw) = (kh as usize, kw as usize);
    let (batch, outputs) = (gradient.shape(0), gradient.shape(1));
    let (height, width) = (gradient.shape(2), gradient.shape(3));
    let (above, before) = (kh / 2, kw / 2);
    // Results: the bias, the log-scale where there is one, then the taps.
    let mut first_tap = 1usize.runtime();
    if comptime!(scaled) {
        first_tap += 1;
    }
    let mut results = first_tap;
    if comptime!(border) {
        results += kh * kw;
    }
    // The grid may have more cubes than there are results.
    let (output, result) = (CUBE_POS / results, CUBE_POS % results);
    let mut sum = N::new(0.0);
    if output < outputs {
        // The positions whose tap is outside: some rows in full, and some columns of the others.
        // For bias and scale, all rows.
        let all = result < first_tap;
        let tap = select(all, above * kw + before, result - first_tap);
        let (tap_row, tap_column) = (tap / kw, tap % kw);
        let down = tap_row > above;
        let right = tap_column > before;
        let rows = select(down, tap_row - above, above - tap_row);
        let rows = min(select(all, height, rows), height);
        let columns = min(select(right, tap_column - before, before - tap_column), width);
        let zero = 0usize.runtime();
        let first_row = select(down, height - rows, zero);
        let other_row = select(down, zero, rows);
        let first_column = select(right, width - columns, zero);
        let of_rows = rows * width;
        let of_example = of_rows + (height - rows) * columns;
        let divisor = max(columns, 1usize);
        let mut index = UNIT_POS as usize;
        while index < batch * of_example {
            let (example, place) = (index / of_example, index % of_example);
            let in_rows = place < of_rows;
            let rest = select(in_rows, zero, place - of_rows);
            let row = select(in_rows, first_row + place / width, other_row + rest / divisor);
            let column = select(in_rows, place % width, first_column + rest % divisor);
            let mut value = N::cast_from(gradient[at::<F>(gradient, example, output, row, column)]);
            if comptime!(scaled || relu) {
                let result_here = N::cast_from(y[at::<F>(y, example, output, row, column)]);
                if comptime!(scaled) {
                    let weight = select(result == 1, result_here, N::new(1.0));
                    value *= weight;
                }
                if comptime!(relu) {
                    value = select(result_here > N::new(0.0), value, N::new(0.0));
                }
            }
            sum += value;
            index += UNITS as usize;
        }
    }
    let mut sum = sum_of_units::<N>(sum);
    if UNIT_POS == 0 && output < outputs {
        let is_scale = result > 0 && result < first_tap;
        if comptime!(scaled) {
            let factor = factor.get::<N>();
            let through = scale_of::<F, N>(log_scale, output, factor);
            sum *= select(is_scale, factor, through);
        }
        if result == 0 {
            of_bias[output] = F::cast_from(sum);
        } else if is_scale {
            if comptime!(scaled) {
                of_scale[output] = F::cast_from(sum);
            }
        } else {
            if comptime!(border) {
                of_border[output * kh * kw + result - first_tap] = F::cast_from(sum);
            }
        }
    }
}

/// The gradient of weights with a border channel.
#[cube(launch)]
fn join_kernel<F: Float>(
    own: &Tensor<F>,
    of_border: &Tensor<F>,
    of_weight: &mut Tensor<F>,
    #[define(F)] _storage: ElemType,
) {
    if ABSOLUTE_POS >= of_weight.len() {
        terminate!();
    }
    let (kh, kw) = (of_weight.shape(2), of_weight.shape(3));
    let inputs = of_weight.shape(1);
    let taps = kh * kw;
    let tap = ABSOLUTE_POS % taps;
    let input = ABSOLUTE_POS / taps % inputs;
    let output = ABSOLUTE_POS / (taps * inputs);
    if input + 1 == inputs {
        of_weight[ABSOLUTE_POS] = of_border[output * taps + tap];
    } else {
        of_weight[ABSOLUTE_POS] = own[at::<F>(own, output, input, tap / kw, tap % kw)];
    }
}

/// The scales `e^{factor·log_scale}` of the outputs.
#[derive(Clone)]
pub struct Scales {
    pub log_scale: CubeTensor,
    pub factor: f64,
}

/// What a kernel binds: the log-scales, or a tensor that it does not read.
fn bound(scales: Option<&Scales>, other: &CubeTensor) -> (CubeTensor, f64) {
    match scales {
        Some(scales) => (into_contiguous(scales.log_scale.clone()), scales.factor),
        None => (other.clone(), 1.0),
    }
}

/// The weights of the channels of `v`, without copying them.
fn own_channels(weight: &CubeTensor, stages: ConvStages) -> CubeTensor {
    let mut own = weight.clone();
    own.meta.shape_mut()[1] -= stages.border.channels();
    own
}

fn activated(x: CubeTensor, before: PreActivation) -> CubeTensor {
    match before {
        PreActivation::Identity => x,
        PreActivation::ConcatElu => CubeBackend::concat_elu(x),
    }
}

/// Stride 1 and zero padding that keeps the size.
fn options(weight: &CubeTensor) -> ConvOptions<2> {
    let [_, _, height, width] = weight.meta.shape().dims();
    ConvOptions::new([1, 1], [height / 2, width / 2], [1, 1], 1)
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
    let (own, options) = (own_channels(&weight, stages), options(&weight));
    let sums = CubeBackend::conv2d(activated(x, stages.before), own, None, options);
    let [batch, outputs, height, width] = sums.meta.shape().dims();
    let relu = stages.epilogue == Epilogue::Relu;
    let shape = match relu {
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
        relu,
        storage,
        arithmetic,
    );
    if relu { permute_nhwc_to_nchw(y) } else { y }
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
    let [outputs, _, kh, kw] = weight.meta.shape().dims();
    let (own, options) = (own_channels(&weight, stages), options(&weight));
    let border = stages.border == Border::Channel;
    let of_sums = of_sums(&y, &gradient, scales.as_ref(), stages);
    let of_bias = empty(&weight, [outputs]);
    let of_border = empty(&weight, if border { [outputs, kh * kw] } else { [1, 1] });
    let of_scale = empty(&weight, if scales.is_some() { [outputs] } else { [1] });
    let results = 1 + usize::from(scales.is_some()) + if border { kh * kw } else { 0 };
    let (count, units) = cube_each(&weight, outputs * results);
    let (storage, arithmetic) = types(weight.dtype);
    let (log_scale, factor) = bound(scales.as_ref(), &gradient);
    of_parameters_kernel::launch(
        &of_bias.client,
        count,
        units,
        y.into_tensor_arg(),
        gradient.into_tensor_arg(),
        log_scale.into_tensor_arg(),
        of_bias.clone().into_tensor_arg(),
        of_border.clone().into_tensor_arg(),
        of_scale.clone().into_tensor_arg(),
        kh as u32,
        kw as u32,
        scalar(factor, of_bias.dtype),
        border,
        scales.is_some(),
        stages.epilogue == Epilogue::Relu,
        storage,
        arithmetic,
    );
    let v = activated(x.clone(), stages.before);
    let of_own = CubeBackend::conv2d_weight_backward(
        v.clone(),
        own.clone(),
        of_sums.clone(),
        options.clone(),
    );
    let of_weight = if border { joined(of_own, of_border, &weight) } else { of_own };
    let of_x = wants_x.then(|| {
        let of_v = CubeBackend::conv2d_x_backward(v, own, of_sums, options);
        match stages.before {
            PreActivation::Identity => of_v,
            PreActivation::ConcatElu => CubeBackend::concat_elu_backward(x, of_v),
        }
    });
    Gradients { of_x, of_weight, of_bias, of_scale }
}

/// The gradient of the weights from that of their own channels and that of the border channel.
fn joined(of_own: CubeTensor, of_border: CubeTensor, weight: &CubeTensor) -> CubeTensor {
    let shape = weight.meta.shape().clone();
    let (count, units) = unit_each(weight, shape.num_elements());
    let of_weight = empty(weight, shape);
    let (storage, _) = types(weight.dtype);
    join_kernel::launch(
        &of_weight.client,
        count,
        units,
        of_own.into_tensor_arg(),
        of_border.into_tensor_arg(),
        of_weight.clone().into_tensor_arg(),
        storage,
    );
    of_weight
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
