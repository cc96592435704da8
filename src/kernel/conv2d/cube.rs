//! The operation on tensors of burn's GPU backends. The sums are burn's convolution; what comes
//! before and after them are kernels of one launch each.
//!
//! | launch | computes |
//! |---|---|
//! | forward | `y` from the sums: bias, border channel and ReLU |
//! | backward | the gradient of the sums, where `y` is positive; only after a ReLU |
//! | backward | the gradients of the bias, and of each tap of the border channel |
//! | backward | the gradient of `w` from that of its own channels and that of the border channel |
//!
//! burn's convolutions keep the channels of images on the last axis in memory. The result of a ReLU
//! stays in that order, since another convolution reads it next; other results are written in the
//! order of their axes.
//!
//! The border channel is 1 where a tap lies outside of the image. So its part of `y` is a sum of
//! weights, and its gradient one of gradients at the border: neither needs an image of it.

use burn::backend::ops::{FloatTensorOps, ModuleOps};
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
use crate::kernel::cube::{UNITS, cube_each, empty, types, unit_each};
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
    y: &mut Tensor<F>,
    #[comptime] border: bool,
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
    let index = example * sums.stride(0)
        + output * sums.stride(1)
        + row * sums.stride(2)
        + column * sums.stride(3);
    let mut value = N::cast_from(sums[index]) + N::cast_from(bias[output]);
    if comptime!(border) {
        value += of_border::<F, N>(weight, output, row, column, height, width);
    }
    if comptime!(relu) {
        value = N::max(value, N::new(0.0));
    }
    y[ABSOLUTE_POS] = F::cast_from(value);
}

/// The gradient before a ReLU, `[B, H, W, O]`. `y` and its gradient are `[B, O, H, W]` in any order
/// in memory.
#[cube(launch)]
fn relu_kernel<F: Float>(
    y: &Tensor<F>,
    gradient: &Tensor<F>,
    of_sums: &mut Tensor<F>,
    #[define(F)] _storage: ElemType,
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
    let of_y =
        example * y.stride(0) + output * y.stride(1) + row * y.stride(2) + column * y.stride(3);
    let of_gradient = example * gradient.stride(0)
        + output * gradient.stride(1)
        + row * gradient.stride(2)
        + column * gradient.stride(3);
    let zero = F::new(0.0);
    of_sums[ABSOLUTE_POS] = select(y[of_y] > zero, gradient[of_gradient], zero);
}

/// The gradients of bias and border channel, `[O, 1 + taps]`, or of the bias alone, `[O, 1]`. A
/// cube computes one of them.
#[cube(launch)]
fn sums_kernel<F: Float, N: Float>(
    gradient: &Tensor<F>,
    found: &mut Tensor<F>,
    kh: u32,
    kw: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let (kh, kw) = (kh as usize, kw as usize);
    let (batch, height, width) = (gradient.shape(0), gradient.shape(2), gradient.shape(3));
    let (above, before) = (kh / 2, kw / 2);
    let results = found.shape(1);
    let mut sum = N::new(0.0);
    // The grid may have more cubes than there are results.
    if CUBE_POS < found.len() {
        let (output, result) = (CUBE_POS / results, CUBE_POS % results);
        // The positions whose tap is outside: some rows in full, and some columns of the others. For
        // the bias, all rows.
        let tap = select(result == 0, kh / 2 * kw + kw / 2, result - 1);
        let (tap_row, tap_column) = (tap / kw, tap % kw);
        let down = tap_row > above;
        let right = tap_column > before;
        let rows = select(down, tap_row - above, above - tap_row);
        let rows = min(select(result == 0, height, rows), height);
        let columns = min(select(right, tap_column - before, before - tap_column), width);
        let first_row = select(down, height - rows, 0usize.runtime());
        let other_row = select(down, 0usize.runtime(), rows);
        let first_column = select(right, width - columns, 0usize.runtime());
        let of_rows = rows * width;
        let of_example = of_rows + (height - rows) * columns;
        let divisor = max(columns, 1usize);
        let mut index = UNIT_POS as usize;
        while index < batch * of_example {
            let (example, place) = (index / of_example, index % of_example);
            let in_rows = place < of_rows;
            let rest = select(in_rows, 0usize.runtime(), place - of_rows);
            let row = select(in_rows, first_row + place / width, other_row + rest / divisor);
            let column = select(in_rows, place % width, first_column + rest % divisor);
            sum += N::cast_from(
                gradient[example * gradient.stride(0)
                    + output * gradient.stride(1)
                    + row * gradient.stride(2)
                    + column * gradient.stride(3)],
            );
            index += UNITS as usize;
        }
    }
    let sum = sum_of_units::<N>(sum);
    if UNIT_POS == 0 && CUBE_POS < found.len() {
        found[CUBE_POS] = F::cast_from(sum);
    }
}

/// The gradient of weights with a border channel, and that of the bias.
#[cube(launch)]
fn join_kernel<F: Float>(
    own: &Tensor<F>,
    found: &Tensor<F>,
    of_weight: &mut Tensor<F>,
    of_bias: &mut Tensor<F>,
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
        of_weight[ABSOLUTE_POS] = found[output * (taps + 1) + 1 + tap];
        if tap == 0 {
            of_bias[output] = found[output * (taps + 1)];
        }
    } else {
        of_weight[ABSOLUTE_POS] = own[output * own.stride(0)
            + input * own.stride(1)
            + tap / kw * own.stride(2)
            + tap % kw * own.stride(3)];
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

impl Conv2dOps for CubeBackend {
    fn same_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stages: ConvStages,
    ) -> FloatTensor<Self> {
        check(operands!("same_conv2d", x, weight, bias), stages);
        let [weight, bias] = [weight, bias].map(into_contiguous);
        let own = own_channels(&weight, stages);
        let options = options(&weight);
        let sums = Self::conv2d(activated(x, stages.before), own, None, options);
        let [batch, outputs, height, width] = sums.meta.shape().dims();
        let relu = stages.epilogue == Epilogue::Relu;
        let shape = match relu {
            true => [batch, height, width, outputs],
            false => [batch, outputs, height, width],
        };
        let y = empty(&sums, shape);
        let (count, units) = unit_each(&y, batch * outputs * height * width);
        let (storage, arithmetic) = types(y.dtype);
        forward_kernel::launch(
            &y.client,
            count,
            units,
            sums.into_tensor_arg(),
            weight.into_tensor_arg(),
            bias.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            stages.border == Border::Channel,
            relu,
            relu,
            storage,
            arithmetic,
        );
        if relu { permute_nhwc_to_nchw(y) } else { y }
    }
}

/// The gradient of the sums.
fn of_sums(y: CubeTensor, gradient: CubeTensor, stages: ConvStages) -> CubeTensor {
    if stages.epilogue == Epilogue::Nothing {
        return gradient;
    }
    let [batch, outputs, height, width] = y.meta.shape().dims();
    let of_sums = empty(&y, [batch, height, width, outputs]);
    let (count, units) = unit_each(&y, batch * outputs * height * width);
    let (storage, _) = types(y.dtype);
    relu_kernel::launch(
        &of_sums.client,
        count,
        units,
        y.into_tensor_arg(),
        gradient.into_tensor_arg(),
        of_sums.clone().into_tensor_arg(),
        storage,
    );
    permute_nhwc_to_nchw(of_sums)
}

/// Gradients of weights and bias from that of the sums.
fn of_parameters(
    v: CubeTensor,
    weight: &CubeTensor,
    of_sums: CubeTensor,
    stages: ConvStages,
) -> (CubeTensor, CubeTensor) {
    let [outputs, _, kh, kw] = weight.meta.shape().dims();
    let border = stages.border == Border::Channel;
    let results = if border { 1 + kh * kw } else { 1 };
    let found = empty(weight, [outputs, results]);
    let (count, units) = cube_each(weight, outputs * results);
    let (storage, arithmetic) = types(weight.dtype);
    sums_kernel::launch(
        &found.client,
        count,
        units,
        of_sums.clone().into_tensor_arg(),
        found.clone().into_tensor_arg(),
        kh as u32,
        kw as u32,
        storage,
        arithmetic,
    );
    let own = own_channels(weight, stages);
    let of_own = CubeBackend::conv2d_weight_backward(v, own, of_sums, options(weight));
    if !border {
        return (of_own, CubeBackend::float_reshape(found, [outputs].into()));
    }
    let of_weight = empty(weight, weight.meta.shape().clone());
    let of_bias = empty(weight, [outputs]);
    let (count, units) = unit_each(weight, weight.meta.shape().num_elements());
    join_kernel::launch(
        &of_weight.client,
        count,
        units,
        of_own.into_tensor_arg(),
        found.into_tensor_arg(),
        of_weight.clone().into_tensor_arg(),
        of_bias.clone().into_tensor_arg(),
        storage,
    );
    (of_weight, of_bias)
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
        let weight = into_contiguous(weight);
        let v = activated(x.clone(), stages.before);
        let of_sums = of_sums(y, gradient, stages);
        let (of_weight, of_bias) = of_parameters(v.clone(), &weight, of_sums.clone(), stages);
        let own = own_channels(&weight, stages);
        let of_v = Self::conv2d_x_backward(v, own, of_sums, options(&weight));
        let of_x = match stages.before {
            PreActivation::Identity => of_v,
            PreActivation::ConcatElu => Self::concat_elu_backward(x, of_v),
        };
        (of_x, of_weight, of_bias)
    }

    fn same_conv2d_backward_of_parameters(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        y: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stages: ConvStages,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("same_conv2d_backward_of_parameters", x, weight, y, gradient), stages);
        let weight = into_contiguous(weight);
        let of_sums = of_sums(y, gradient, stages);
        of_parameters(activated(x, stages.before), &weight, of_sums, stages)
    }
}
