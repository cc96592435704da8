//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use burn_flex::FlexTensor;

use super::cpu::{Batch, ExponentLimit, MixtureLogistic};
use super::{MixtureLogisticGradient, MixtureLogisticOps};
use super::{check, n_components};
use crate::kernel::cpu::flex_slices::{Number, Rows, dims, narrow, tensor, wide};
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::{Checked, operands};
use crate::tensor::float_limits::largest_number;

fn forward(
    x: FloatTensor<Flex>,
    theta: FloatTensor<Flex>,
    min_log_scale: f64,
) -> FloatTensor<Flex> {
    let checked = check(operands!("mixture_logistic", x, theta), "x");
    match x.dtype() {
        DType::F32 => forward_in::<f32>(&x, &theta, min_log_scale, &checked),
        DType::F64 => forward_in::<f64>(&x, &theta, min_log_scale, &checked),
        dtype => narrow(forward_in::<f32>(&wide(x), &wide(theta), min_log_scale, &checked), dtype),
    }
}

fn backward(
    x: FloatTensor<Flex>,
    theta: FloatTensor<Flex>,
    gradient: FloatTensor<Flex>,
    min_log_scale: f64,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("mixture_logistic_backward", x, theta, gradient), "x");
    match x.dtype() {
        DType::F32 => backward_in::<f32>(&x, &theta, &gradient, min_log_scale, &checked),
        DType::F64 => backward_in::<f64>(&x, &theta, &gradient, min_log_scale, &checked),
        dtype => {
            let (x, theta) = backward_in::<f32>(
                &wide(x),
                &wide(theta),
                &wide(gradient),
                min_log_scale,
                &checked,
            );
            (narrow(x, dtype), narrow(theta, dtype))
        }
    }
}

fn inverse(
    z: FloatTensor<Flex>,
    theta: FloatTensor<Flex>,
    min_log_scale: f64,
) -> FloatTensor<Flex> {
    let checked = check(operands!("mixture_logistic_inverse", z, theta), "z");
    match z.dtype() {
        DType::F32 => inverse_in::<f32>(&z, &theta, min_log_scale, DType::F32, &checked),
        DType::F64 => inverse_in::<f64>(&z, &theta, min_log_scale, DType::F64, &checked),
        dtype => {
            let found = inverse_in::<f32>(&wide(z), &wide(theta), min_log_scale, dtype, &checked);
            narrow(found, dtype)
        }
    }
}

/// The operands that all three operations use.
struct Call {
    x: Rows,
    theta: Rows,
    batch: usize,
    dims: usize,
    n_params: usize,
}

impl Call {
    fn new(x: &FlexTensor, theta: &FlexTensor) -> Self {
        let ([batch, dims], [_, n_params, _]) = (dims(x), dims(theta));
        Self { x: Rows::of(x), theta: Rows::of(theta), batch, dims, n_params }
    }

    fn batch<T: Number>(&self) -> Batch<'_, T> {
        Batch {
            n_examples: self.batch,
            n_dims: self.dims,
            x: self.x.elements(),
            x_stride: self.x.strides[0],
            theta: self.theta.elements(),
            theta_stride: self.theta.strides[0],
            row_stride: self.theta.strides[1],
        }
    }

    fn law<T: Number + ExponentLimit>(&self, min_log_scale: f64) -> MixtureLogistic<T> {
        MixtureLogistic::new(n_components(self.n_params), T::of(min_log_scale))
    }
}

fn forward_in<T: Number + ExponentLimit>(
    x: &FlexTensor,
    theta: &FlexTensor,
    min_log_scale: f64,
    checked: &Checked,
) -> FlexTensor {
    let call = Call::new(x, theta);
    let n = call.batch * call.dims;
    let mut output = uninitialised(2 * n, checked);
    let (z, log_derivative) = output.split_at_mut(n);
    call.law(min_log_scale).forward(&call.batch::<T>(), z, log_derivative);
    tensor(output, [2, call.batch, call.dims])
}

fn backward_in<T: Number + ExponentLimit>(
    x: &FlexTensor,
    theta: &FlexTensor,
    gradient: &FlexTensor,
    min_log_scale: f64,
    checked: &Checked,
) -> (FlexTensor, FlexTensor) {
    let call = Call::new(x, theta);
    let n = call.batch * call.dims;
    let gradient = gradient.to_contiguous();
    let gradients = gradient.as_slice::<T>().expect("contiguous, and of the type that was matched");
    let (by_z, by_log_derivative) = gradients.split_at(n);
    let mut x_gradient = uninitialised(n, checked);
    let mut theta_gradient = uninitialised(n * call.n_params, checked);
    let law = call.law(min_log_scale);
    law.backward(&call.batch::<T>(), by_z, by_log_derivative, &mut x_gradient, &mut theta_gradient);
    (
        tensor(x_gradient, [call.batch, call.dims]),
        tensor(theta_gradient, [call.batch, call.n_params, call.dims]),
    )
}

/// The root is one in the type `of`: a root beyond a quarter of its largest number is none.
fn inverse_in<T: Number + ExponentLimit>(
    z: &FlexTensor,
    theta: &FlexTensor,
    min_log_scale: f64,
    of: DType,
    checked: &Checked,
) -> FlexTensor {
    let call = Call::new(z, theta);
    let n = call.batch * call.dims;
    let mut output = uninitialised(3 * n, checked);
    let mut solved = vec![false; n];
    let (x, rest) = output.split_at_mut(n);
    let (residual, flags) = rest.split_at_mut(n);
    call.law(min_log_scale).solve(&call.batch::<T>(), x, residual, &mut solved);
    let limit = T::of(0.25 * largest_number(of));
    for ((flag, solved), x) in flags.iter_mut().zip(solved).zip(x) {
        *flag = if solved && x.abs() <= limit { T::one() } else { T::zero() };
    }
    tensor(output, [3, call.batch, call.dims])
}

impl MixtureLogisticOps for Flex {
    fn mixture_logistic(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        forward(x, theta, min_log_scale)
    }

    fn mixture_logistic_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> FloatTensor<Self> {
        inverse(z, theta, min_log_scale)
    }
}

impl MixtureLogisticGradient for Flex {
    fn mixture_logistic_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        min_log_scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        backward(x, theta, gradient, min_log_scale)
    }
}
