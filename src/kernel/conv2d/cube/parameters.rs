//! The gradients of bias, border channel and log-scales, which are sums of the gradient of `y`.

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::scales::{Scales, bound, scale_of};
use crate::kernel::conv2d::{Border, ConvStages};
use crate::kernel::cube::reduce::sum_of_units;
use crate::kernel::cube::{UNITS, at, cube_each, empty, scalar, types, unit_each};
use crate::kernel::epilogue::Epilogue;

/// The gradients of the bias, of each tap of the border channel, `[O, taps]`, and of the
/// log-scales. A cube computes one of them. All are sums of the gradient where `y` passes the ReLU,
/// over all positions or those at the border, times the scale; that of a log-scale is one of
/// products with `y`.
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
                    value = select(result_here <= N::new(0.0), N::new(0.0), value);
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

/// The gradients of the bias, `[O]`, of the taps of the border channel, `[O, taps]`, and of the
/// log-scales, `[O]`. Those of what is not there hold nothing. `y` is read after a ReLU and with
/// scales only.
pub fn of_parameters(
    weight: &CubeTensor,
    y: CubeTensor,
    gradient: CubeTensor,
    scales: Option<&Scales>,
    stages: ConvStages,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [outputs, _, kh, kw] = weight.meta.shape().dims();
    let border = stages.border == Border::Channel;
    let of_bias = empty(weight, [outputs]);
    let of_border = empty(weight, if border { [outputs, kh * kw] } else { [1, 1] });
    let of_scale = empty(weight, if scales.is_some() { [outputs] } else { [1] });
    let results = 1 + usize::from(scales.is_some()) + if border { kh * kw } else { 0 };
    let (count, units) = cube_each(weight, outputs * results);
    let (storage, arithmetic) = types(weight.dtype);
    let (log_scale, factor) = bound(scales, &gradient);
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
    (of_bias, of_border, of_scale)
}

/// The gradient of the weights from that of their own channels and that of the border channel.
pub fn joined(of_own: CubeTensor, of_border: CubeTensor, weight: &CubeTensor) -> CubeTensor {
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
