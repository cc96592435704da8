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
//! | backward | a position of the gradient of `x`; a cube adds to those of gain and shift | `x` three times, the gradient of `y` and the gain twice | `gx`, the sums of each cube |
//! | backward | a cube: one channel of the gradient of gain or shift | the sums of each cube | `2·C` elements |
//!
//! A pass over a tensor is `B·C·P` elements of its type. The second and third pass of a unit read
//! what the unit has just read, which may still be in a cache. [`columns`] describes the sums of a
//! cube, `1/128` of a pass.
//!
//! # Numerics
//! The mean of a first pass is rounded to the precision of `x`, which may be coarser than the
//! differences between the channels. The second pass sums the centred elements and their squares;
//! the mean of the centred elements is the `correction` of that rounding (Chan, Golub and LeVeque
//! 1983, the corrected two-pass algorithm). The gradients of gain and shift are summed in a fixed
//! order: there is no atomic addition, and each run gives the same result.

use burn::backend::tensor::FloatTensor;
use burn::tensor::Shape;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use super::check;
use super::{ChannelNormGradient, ChannelNormOps};
use crate::kernel::cube::columns::{self, ROUND};
use crate::kernel::cube::{empty_images, scalar, types, unit_each};
use crate::kernel::operands::operands;

/// Sums for each channel: the gradients of gain and shift.
const KINDS: usize = 2;

/// Channels of a round of sums.
const CHANNELS: usize = ROUND / KINDS;

/// The channels of one position.
#[derive(CubeType, Clone, Copy)]
pub struct Channels {
    /// Index of the first.
    first: usize,
    /// Distance from one to the next.
    stride: usize,
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
    Channels { first, stride: images.stride(1) }
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
pub fn moments_from<N: Float>(mean: N, centred: N, squares: N, count: N, epsilon: N) -> Moments<N> {
    let correction = centred / count;
    let variance = N::max(squares / count - correction * correction, N::new(0.0));
    Moments::<N> { mean, correction, scale: N::new(1.0) / N::sqrt(variance + epsilon) }
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

/// The above from sums over the channels, with `x − mean` for `u` in the last of them.
#[cube]
pub fn backward_from<N: Float>(
    moments: Moments<N>,
    weighted: N,
    product: N,
    count: N,
) -> Backward<N> {
    let product = (product - moments.correction * weighted) * moments.scale / count;
    Backward::<N> { moments, weighted: weighted / count, product }
}

/// The gradient of one channel `x`, where `of_u` is `γ·g`.
#[cube]
pub fn gradient_of<N: Float>(x: N, of_u: N, sums: &Backward<N>) -> N {
    let u = normalized::<N>(x, &sums.moments);
    (of_u - sums.weighted - u * sums.product) * sums.moments.scale
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
    let divisor = N::cast_from(count as u32);
    let mean = sum / divisor;
    let mut centred = N::new(0.0);
    let mut squares = N::new(0.0);
    for channel in 0..count {
        let difference = N::cast_from(x[channels.at(channel)]) - mean;
        centred += difference;
        squares += difference * difference;
    }
    let moments = moments_from::<N>(mean, centred, squares, divisor, epsilon.get::<N>());
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
    partials: &mut Tensor<N>,
    epsilon: InputScalar,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    let count = gain.len();
    let inside = ABSOLUTE_POS < positions_of::<F>(x);
    let channels = channels_of::<F>(x, ABSOLUTE_POS);
    let of_y = channels_of::<F>(gradient, ABSOLUTE_POS);
    let written = channels_of::<F>(&*of_x, ABSOLUTE_POS);
    let divisor = N::cast_from(count as u32);
    let mut mean = N::new(0.0);
    let mut centred = N::new(0.0);
    let mut squares = N::new(0.0);
    let mut weighted = N::new(0.0);
    let mut product = N::new(0.0);
    if inside {
        for channel in 0..count {
            mean += N::cast_from(x[channels.at(channel)]);
        }
        mean /= divisor;
        for channel in 0..count {
            let difference = N::cast_from(x[channels.at(channel)]) - mean;
            let of_u = N::cast_from(gain[channel]) * N::cast_from(gradient[of_y.at(channel)]);
            centred += difference;
            squares += difference * difference;
            weighted += of_u;
            product += of_u * difference;
        }
    }
    let moments = moments_from::<N>(mean, centred, squares, divisor, epsilon.get::<N>());
    let sums = backward_from::<N>(moments, weighted, product, divisor);
    let mut columns = columns::new_columns::<N>();
    for round in 0..count.div_ceil(CHANNELS) {
        #[unroll]
        for each in 0..CHANNELS {
            let channel = round * CHANNELS + each;
            let mut by_gain = N::new(0.0);
            let mut by_shift = N::new(0.0);
            if inside && channel < count {
                let here = N::cast_from(x[channels.at(channel)]);
                by_shift = N::cast_from(gradient[of_y.at(channel)]);
                by_gain = by_shift * normalized::<N>(here, &sums.moments);
                let of_u = N::cast_from(gain[channel]) * by_shift;
                of_x[written.at(channel)] = F::cast_from(gradient_of::<N>(here, of_u, &sums));
            }
            columns::put::<N>(&mut columns, each, by_gain);
            columns::put::<N>(&mut columns, CHANNELS + each, by_shift);
        }
        columns::end_round::<N>(&mut columns, partials, round, count, KINDS);
    }
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
        let shape @ [batch, channels, height, width] = x.meta.shape().dims();
        let positions = batch * height * width;
        let of_x = empty_images(&x, shape);
        let partials = columns::partials_of(&x, KINDS * channels, positions);
        let (count, units) = unit_each(&x, positions.max(1));
        let (storage, arithmetic) = types(x.dtype);
        backward_kernel::launch(
            &of_x.client,
            count,
            units,
            x.into_tensor_arg(),
            gain.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_x.clone().into_tensor_arg(),
            partials.clone().into_tensor_arg(),
            scalar(epsilon, of_x.dtype),
            storage,
            arithmetic,
        );
        let of_parameter = || Shape::new([1, channels, 1, 1]);
        let [of_gain, of_shift] =
            columns::totals(partials, &of_x, [of_parameter(), of_parameter()]);
        (of_x, of_gain, of_shift)
    }
}
