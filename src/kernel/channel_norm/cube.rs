//! The operation on tensors of burn's GPU backends.
//!
//! # Kernels
//! One unit computes all channels of one position, so that no unit waits for another. With the
//! channels last in memory it reads one run of elements; otherwise neighbouring units read
//! neighbouring ones. `B·P` is the number of positions of a batch.
//!
//! | launch | one unit or cube computes | reads | writes |
//! |---|---|---|---|
//! | forward | a position of `y` | `x` three times, gain and shift | `y` |
//! | backward | a position of the gradient of `x`, and its statistics | `x` three times, the gradient of `y` and the gain twice | `gx`, `[3, B·P]` |
//! | backward | a cube: one channel of the gradients of gain and shift | `x`, the gradient of `y`, the statistics once a channel | `2·C` elements |
//!
//! A pass over a tensor is `B·C·P` elements of its type. The second and third pass of a unit read
//! what the unit has just read, which may still be in a cache. The statistics are of the
//! arithmetic's type, and `3/C` of a pass.
//!
//! # Numerics
//! The mean of a first pass is rounded to the precision of `x`, which may be coarser than the
//! differences between the channels. The second pass sums the centred elements and their squares;
//! the mean of the centred elements is the `correction` of that rounding (Chan, Golub and LeVeque
//! 1983, the corrected two-pass algorithm). The gradients of gain and shift are summed in a fixed
//! order: there is no atomic addition, and each run gives the same result.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::check;
use super::{ChannelNormGradient, ChannelNormOps};
use crate::kernel::cube::reduce::sum_of_units;
use crate::kernel::cube::{
    UNITS, arithmetic, cube_each, empty, empty_images, empty_in, scalar, types, unit_each,
};
use crate::kernel::operands::operands;

/// Rows of the statistics `[3, B·P]`: mean, correction and scale of [`Moments`].
const STATISTICS: usize = 3;

/// The channels of one position.
#[derive(CubeType, Clone, Copy)]
pub struct Channels {
    /// Index of the first.
    first: usize,
    /// Distance from one to the next.
    stride: usize,
    count: usize,
}

#[cube]
impl Channels {
    /// Index of a channel.
    pub fn at(&self, channel: usize) -> usize {
        self.first + channel * self.stride
    }
}

/// The channels of a position of a batch, in images `[B, C, H, W]` of any order in memory.
#[cube]
pub fn channels_of<F: Float>(images: &Tensor<F>, position: usize) -> Channels {
    let (height, width) = (images.shape(2), images.shape(3));
    let (row, column) = (position / width % height, position % width);
    let example = position / (width * height);
    let first = example * images.stride(0) + row * images.stride(2) + column * images.stride(3);
    Channels { first, stride: images.stride(1), count: images.shape(1) }
}

/// Number of positions of a batch.
#[cube]
pub fn positions_of<F: Float>(images: &Tensor<F>) -> usize {
    images.shape(0) * images.shape(2) * images.shape(3)
}

/// What normalises the channels of one position.
#[derive(CubeType, Clone, Copy)]
pub struct Moments<N: Float> {
    /// The mean, rounded.
    mean: N,
    /// The mean minus the above.
    correction: N,
    /// `1/√(var + ε)`.
    scale: N,
}

/// `u = (x − mean)/√(var + ε)`.
#[cube]
pub fn normalized<N: Float>(x: N, moments: &Moments<N>) -> N {
    ((x - moments.mean) - moments.correction) * moments.scale
}

/// The moments from the sums over the channels of `x − mean` and of its square. Rounding may make
/// the variance of equal channels negative.
#[cube]
fn moments_from<N: Float>(mean: N, centred: N, squares: N, count: N, epsilon: N) -> Moments<N> {
    let correction = centred / count;
    let variance = N::max(squares / count - correction * correction, N::new(0.0));
    Moments::<N> { mean, correction, scale: N::new(1.0) / N::sqrt(variance + epsilon) }
}

/// The moments of the channels of a position, from their sum.
#[cube]
pub fn moments<F: Float, N: Float>(
    x: &Tensor<F>,
    channels: &Channels,
    sum: N,
    epsilon: N,
) -> Moments<N> {
    let count = N::cast_from(channels.count as u32);
    let mean = sum / count;
    let mut centred = N::new(0.0);
    let mut squares = N::new(0.0);
    for channel in 0..channels.count {
        let difference = N::cast_from(x[channels.at(channel)]) - mean;
        centred += difference;
        squares += difference * difference;
    }
    moments_from::<N>(mean, centred, squares, count, epsilon)
}

/// What the gradient of `x` at a position depends on, beside its own channel.
#[derive(CubeType, Clone, Copy)]
pub struct Backward<N: Float> {
    pub moments: Moments<N>,
    /// `mean(γ·g)`.
    weighted: N,
    /// `mean(γ·g·u)`.
    product: N,
}

/// The above from the sum of the channels, in one pass over `x`, the gain and the gradient of `y`,
/// whose channels are `of_y`.
#[cube]
pub fn backward_sums<F: Float, N: Float>(
    x: &Tensor<F>,
    gain: &Tensor<F>,
    gradient: &Tensor<F>,
    channels: &Channels,
    of_y: &Channels,
    sum: N,
    epsilon: N,
) -> Backward<N> {
    let count = N::cast_from(channels.count as u32);
    let mean = sum / count;
    let mut centred = N::new(0.0);
    let mut squares = N::new(0.0);
    let mut weighted = N::new(0.0);
    let mut product = N::new(0.0);
    for channel in 0..channels.count {
        let difference = N::cast_from(x[channels.at(channel)]) - mean;
        let of_u = N::cast_from(gain[channel]) * N::cast_from(gradient[of_y.at(channel)]);
        centred += difference;
        squares += difference * difference;
        weighted += of_u;
        product += of_u * difference;
    }
    let moments = moments_from::<N>(mean, centred, squares, count, epsilon);
    let product = (product - moments.correction * weighted) * moments.scale / count;
    Backward::<N> { moments, weighted: weighted / count, product }
}

/// The gradient of one channel `x`, where `of_u` is `γ·g`.
#[cube]
pub fn gradient_of<N: Float>(x: N, of_u: N, sums: &Backward<N>) -> N {
    let u = normalized::<N>(x, &sums.moments);
    (of_u - sums.weighted - u * sums.product) * sums.moments.scale
}

/// Writes the moments of a position.
#[cube]
pub fn write_moments<N: Float>(statistics: &mut Tensor<N>, position: usize, moments: &Moments<N>) {
    let rows = statistics.len() / STATISTICS;
    statistics[position] = moments.mean;
    statistics[rows + position] = moments.correction;
    statistics[2 * rows + position] = moments.scale;
}

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    gain: &Tensor<F>,
    shift: &Tensor<F>,
    y: &mut Tensor<F>,
    epsilon: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= positions_of::<F>(x) {
        terminate!();
    }
    let count = gain.len();
    let channels = channels_of::<F>(x, ABSOLUTE_POS);
    let mut sum = N::new(0.0);
    for channel in 0..count {
        sum += N::cast_from(x[channels.at(channel)]);
    }
    let moments = moments::<F, N>(x, &channels, sum, epsilon.get::<N>());
    let of_y = channels_of::<F>(&*y, ABSOLUTE_POS);
    for channel in 0..count {
        let u = normalized::<N>(N::cast_from(x[channels.at(channel)]), &moments);
        let value = u * N::cast_from(gain[channel]) + N::cast_from(shift[channel]);
        y[of_y.at(channel)] = F::cast_from(value);
    }
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    gain: &Tensor<F>,
    gradient: &Tensor<F>,
    of_x: &mut Tensor<F>,
    statistics: &mut Tensor<N>,
    epsilon: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= positions_of::<F>(x) {
        terminate!();
    }
    let count = gain.len();
    let channels = channels_of::<F>(x, ABSOLUTE_POS);
    let mut sum = N::new(0.0);
    for channel in 0..count {
        sum += N::cast_from(x[channels.at(channel)]);
    }
    let of_y = channels_of::<F>(gradient, ABSOLUTE_POS);
    let sums = backward_sums::<F, N>(x, gain, gradient, &channels, &of_y, sum, epsilon.get::<N>());
    write_moments::<N>(statistics, ABSOLUTE_POS, &sums.moments);
    let written = channels_of::<F>(&*of_x, ABSOLUTE_POS);
    for channel in 0..count {
        let of_u = N::cast_from(gain[channel]) * N::cast_from(gradient[of_y.at(channel)]);
        let here = N::cast_from(x[channels.at(channel)]);
        of_x[written.at(channel)] = F::cast_from(gradient_of::<N>(here, of_u, &sums));
    }
}

#[cube(launch)]
fn parameters_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    gradient: &Tensor<F>,
    statistics: &Tensor<N>,
    of_gain: &mut Tensor<F>,
    of_shift: &mut Tensor<F>,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let count = of_gain.len();
    let rows = statistics.len() / STATISTICS;
    let mut by_gain = N::new(0.0);
    let mut by_shift = N::new(0.0);
    // The grid may have more cubes than there are channels.
    if CUBE_POS < count {
        let mut position = UNIT_POS as usize;
        while position < rows {
            let moments = Moments::<N> {
                mean: statistics[position],
                correction: statistics[rows + position],
                scale: statistics[2 * rows + position],
            };
            let of_y = channels_of::<F>(gradient, position).at(CUBE_POS);
            let here = N::cast_from(gradient[of_y]);
            let index = channels_of::<F>(x, position).at(CUBE_POS);
            by_gain += here * normalized::<N>(N::cast_from(x[index]), &moments);
            by_shift += here;
            position += UNITS as usize;
        }
    }
    let by_gain = sum_of_units::<N>(by_gain);
    let by_shift = sum_of_units::<N>(by_shift);
    if UNIT_POS == 0 && CUBE_POS < count {
        of_gain[CUBE_POS] = F::cast_from(by_gain);
        of_shift[CUBE_POS] = F::cast_from(by_shift);
    }
}

/// The statistics `[3, B·P]` of the positions of `x`, which are not written yet.
pub fn statistics_of(x: &CubeTensor) -> CubeTensor {
    let [batch, _, height, width] = x.meta.shape().dims();
    empty_in(x, arithmetic(x.dtype), [STATISTICS, batch * height * width])
}

/// The gradients of gain and shift, `[1, C, 1, 1]`, from the input of the norm, the gradient of its
/// result, and the statistics.
pub fn of_parameters(
    x: CubeTensor,
    gradient: CubeTensor,
    statistics: CubeTensor,
) -> (CubeTensor, CubeTensor) {
    let [_, channels, _, _] = x.meta.shape().dims();
    let (of_gain, of_shift) = (empty(&x, [1, channels, 1, 1]), empty(&x, [1, channels, 1, 1]));
    let (count, units) = cube_each(&x, channels);
    let (storage, arithmetic) = types(x.dtype);
    parameters_kernel::launch(
        &of_gain.client,
        count,
        units,
        x.into_tensor_arg(),
        gradient.into_tensor_arg(),
        statistics.into_tensor_arg(),
        of_gain.clone().into_tensor_arg(),
        of_shift.clone().into_tensor_arg(),
        storage,
        arithmetic,
    );
    (of_gain, of_shift)
}

impl ChannelNormOps for CubeBackend {
    fn channel_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        check(operands!("channel_norm", x, gain, shift));
        let [gain, shift] = [gain, shift].map(into_contiguous);
        let shape @ [batch, _, height, width] = x.meta.shape().dims();
        let y = empty_images(&x, shape);
        let (count, units) = unit_each(&x, batch * height * width);
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &y.client,
            count,
            units,
            x.into_tensor_arg(),
            gain.into_tensor_arg(),
            shift.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            scalar(epsilon, y.dtype),
            storage,
            arithmetic,
        );
        y
    }
}

impl ChannelNormGradient for CubeBackend {
    fn channel_norm_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        check(operands!("channel_norm_backward", x, gain, gradient));
        let gain = into_contiguous(gain);
        let shape @ [batch, _, height, width] = x.meta.shape().dims();
        let (of_x, statistics) = (empty_images(&x, shape), statistics_of(&x));
        let (count, units) = unit_each(&x, batch * height * width);
        let (storage, arithmetic) = types(x.dtype);
        backward_kernel::launch(
            &of_x.client,
            count,
            units,
            x.clone().into_tensor_arg(),
            gain.into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            of_x.clone().into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            scalar(epsilon, x.dtype),
            storage,
            arithmetic,
        );
        let (of_gain, of_shift) = of_parameters(x, gradient, statistics);
        (of_x, of_gain, of_shift)
    }
}
