//! The operation on tensors of burn's GPU backends: one unit computes both halves of one element.
//! The backward pass of a convolution behind the activation needs `y` again, and gets it from the
//! kernel of the gradient, which reads `x` anyway.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::check;
use super::{ConcatEluGradient, ConcatEluOps};
use crate::kernel::cube::{at_counted, empty_images, first_half, types, unit_each};
use crate::kernel::operands::operands;

/// `elu(x)` and `elu(−x)`.
#[cube]
fn halves<N: Float>(x: N) -> (N, N) {
    // `elu` of the negative one of `x` and `−x`; that of the other is `|x|`.
    let below = N::exp(-N::abs(x)) - N::new(1.0);
    (select(x > N::new(0.0), x, below), select(x > N::new(0.0), below, -x))
}

/// Both halves of one element of `y`, `[B, H, W, 2C]`.
#[cube]
fn write<F: Float, N: Float>(y: &mut [F], x: N, element: usize, channels: usize) {
    let first = first_half(element, channels);
    let (positive, negative) = halves::<N>(x);
    y[first] = F::cast_from(positive);
    y[first + channels] = F::cast_from(negative);
}

/// `y` is `[B, H, W, 2C]`.
#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    y: &mut [F],
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if 2 * ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let channels = x.shape(1);
    let here = N::cast_from(x[at_counted::<F>(x, ABSOLUTE_POS, channels)]);
    write::<F, N>(y, here, ABSOLUTE_POS, channels);
}

/// The gradient of `x`, `[B, H, W, C]`, and `y` anew if the list for it is not empty.
#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    gradient: &Tensor<F>,
    of_x: &mut Tensor<F>,
    y: &mut Sequence<Box<[F]>>,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= of_x.len() {
        terminate!();
    }
    let channels = x.shape(1);
    let here = N::cast_from(x[at_counted::<F>(x, ABSOLUTE_POS, channels)]);
    let slope = N::exp(-N::abs(here));
    let first = at_counted::<F>(gradient, ABSOLUTE_POS, channels);
    let of_first = N::cast_from(gradient[first]);
    let of_second = N::cast_from(gradient[first + channels * gradient.stride(1)]);
    let one = N::new(1.0);
    let rising = select(here > N::new(0.0), one, slope);
    let falling = select(here < N::new(0.0), one, slope);
    of_x[ABSOLUTE_POS] = F::cast_from(of_first * rising - of_second * falling);
    let copies = comptime!(y.len());
    #[unroll]
    for index in 0..copies {
        write::<F, N>(&mut y[index], here, ABSOLUTE_POS, channels);
    }
}

/// `y` of a tensor with the channels last in memory, whose elements are not written yet.
pub fn unwritten(x: &CubeTensor) -> CubeTensor {
    let [batch, channels, height, width] = x.meta.shape().dims();
    empty_images(x, [batch, 2 * channels, height, width])
}

/// The gradient of `x`. Writes `y` anew, if it is given, into [`unwritten`] memory.
pub fn backward(x: CubeTensor, gradient: CubeTensor, y: Option<&CubeTensor>) -> CubeTensor {
    let shape @ [batch, channels, height, width] = x.meta.shape().dims();
    let of_x = empty_images(&x, shape);
    let (count, units) = unit_each(&x, batch * channels * height * width);
    let (storage, arithmetic) = types(x.dtype);
    backward_kernel::launch(
        &of_x.client,
        count,
        units,
        x.into_tensor_arg(),
        gradient.into_tensor_arg(),
        of_x.clone().into_tensor_arg(),
        y.into_iter().map(|y| y.clone().into_buffer_arg()).collect(),
        storage,
        arithmetic,
    );
    of_x
}

/// `y`, with the channels last in memory, as a convolution reads it.
pub fn forward(x: CubeTensor) -> CubeTensor {
    let y = unwritten(&x);
    let (count, units) = unit_each(&x, x.meta.shape().num_elements());
    let (storage, arithmetic) = types(x.dtype);
    forward_kernel::launch(
        &y.client,
        count,
        units,
        x.into_tensor_arg(),
        y.clone().into_buffer_arg(),
        storage,
        arithmetic,
    );
    y
}

impl ConcatEluOps for CubeBackend {
    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        check(operands!("concat_elu", x));
        forward(x)
    }
}

impl ConcatEluGradient for CubeBackend {
    fn concat_elu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        check(operands!("concat_elu_backward", x, gradient));
        backward(x, gradient, None)
    }
}
