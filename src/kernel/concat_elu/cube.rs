//! The operation on tensors of burn's GPU backends: one unit computes both halves of one element.

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use cubecl::prelude::*;

use super::check;
use super::{ConcatEluGradient, ConcatEluOps};
use crate::kernel::cube::{empty, first_half, types, unit_each};
use crate::kernel::operands::operands;

#[cube(launch)]
fn forward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    y: &mut Tensor<F>,
    length: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let here = N::cast_from(x[ABSOLUTE_POS]);
    // `elu` of the negative one of `x` and `−x`; that of the other is `|x|`.
    let below = N::exp(-N::abs(here)) - N::new(1.0);
    let first = first_half(ABSOLUTE_POS, length as usize);
    y[first] = F::cast_from(select(here > N::new(0.0), here, below));
    y[first + length as usize] = F::cast_from(select(here > N::new(0.0), below, -here));
}

#[cube(launch)]
fn backward_kernel<F: Float, N: Float>(
    x: &Tensor<F>,
    gradient: &Tensor<F>,
    of_x: &mut Tensor<F>,
    length: u32,
    #[define(F)] _storage: ElemType,
    #[define(N)] _arithmetic: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let here = N::cast_from(x[ABSOLUTE_POS]);
    let slope = N::exp(-N::abs(here));
    let first = first_half(ABSOLUTE_POS, length as usize);
    let of_first = N::cast_from(gradient[first]);
    let of_second = N::cast_from(gradient[first + length as usize]);
    let one = N::new(1.0);
    let rising = select(here > N::new(0.0), one, slope);
    let falling = select(here < N::new(0.0), one, slope);
    of_x[ABSOLUTE_POS] = F::cast_from(of_first * rising - of_second * falling);
}

impl ConcatEluOps for CubeBackend {
    fn concat_elu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        check(operands!("concat_elu", x));
        let x = into_contiguous(x);
        let [batch, channels, height, width] = x.meta.shape().dims();
        let length = channels * height * width;
        let y = empty(&x, [batch, 2 * channels, height, width]);
        let (count, units) = unit_each(&x, batch * length);
        let (storage, arithmetic) = types(x.dtype);
        forward_kernel::launch(
            &y.client,
            count,
            units,
            x.into_tensor_arg(),
            y.clone().into_tensor_arg(),
            length as u32,
            storage,
            arithmetic,
        );
        y
    }
}

impl ConcatEluGradient for CubeBackend {
    fn concat_elu_backward(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        check(operands!("concat_elu_backward", x, gradient));
        let (x, gradient) = (into_contiguous(x), into_contiguous(gradient));
        let [batch, channels, height, width] = x.meta.shape().dims();
        let length = channels * height * width;
        let of_x = empty(&x, [batch, channels, height, width]);
        let (count, units) = unit_each(&x, batch * length);
        let (storage, arithmetic) = types(x.dtype);
        backward_kernel::launch(
            &of_x.client,
            count,
            units,
            x.into_tensor_arg(),
            gradient.into_tensor_arg(),
            of_x.clone().into_tensor_arg(),
            length as u32,
            storage,
            arithmetic,
        );
        of_x
    }
}
