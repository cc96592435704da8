//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use burn_flex::FlexTensor;

use super::cpu::{self, Batch};
use super::{SplineGradient, SplineOps, SplineShape, check};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, Rows, dims, narrow, tensor, wide};
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::{Checked, operands};

/// The operands that all three operations use.
struct Call {
    values: Rows,
    theta: Rows,
    shape: [usize; 2],
}

impl Call {
    fn new(values: &FlexTensor, theta: &FlexTensor) -> Self {
        Self { values: Rows::of(values), theta: Rows::of(theta), shape: dims(values) }
    }

    fn batch<T: Number>(&self) -> Batch<'_, T> {
        Batch {
            n_dims: self.shape[1],
            values: self.values.elements(),
            stride: self.values.strides[0],
            theta: self.theta.elements(),
            theta_stride: self.theta.strides[0],
            row_stride: self.theta.strides[1],
        }
    }

    fn n(&self) -> usize {
        self.shape[0] * self.shape[1]
    }
}

fn forward_in<T: Number>(
    x: &FlexTensor,
    theta: &FlexTensor,
    spline: SplineShape,
    checked: &Checked,
) -> FlexTensor {
    let call = Call::new(x, theta);
    let mut output = uninitialised(2 * call.n(), checked);
    let (z, log_derivative) = output.split_at_mut(call.n());
    cpu::forward(&call.batch::<T>(), spline, z, log_derivative);
    tensor(output, [2, call.shape[0], call.shape[1]])
}

fn inverse_in<T: Number>(
    z: &FlexTensor,
    theta: &FlexTensor,
    spline: SplineShape,
    checked: &Checked,
) -> FlexTensor {
    let call = Call::new(z, theta);
    let mut x = uninitialised(call.n(), checked);
    cpu::inverse(&call.batch::<T>(), spline, &mut x);
    tensor(x, call.shape)
}

fn backward_in<T: Number>(
    x: &FlexTensor,
    theta: &FlexTensor,
    gradient: &FlexTensor,
    spline: SplineShape,
    checked: &Checked,
) -> (FlexTensor, FlexTensor) {
    let (call, gradient) = (Call::new(x, theta), Contiguous::of(gradient));
    let [batch, dims] = call.shape;
    let mut of_x = uninitialised(call.n(), checked);
    let mut of_theta = uninitialised(call.n() * spline.n_params(), checked);
    cpu::backward(&call.batch::<T>(), spline, gradient.elements(), &mut of_x, &mut of_theta);
    (tensor(of_x, call.shape), tensor(of_theta, [batch, spline.n_params(), dims]))
}

impl SplineOps for Flex {
    fn spline(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self> {
        let checked = check(operands!("spline", x, theta), "x", spline);
        match x.dtype() {
            DType::F32 => forward_in::<f32>(&x, &theta, spline, &checked),
            DType::F64 => forward_in::<f64>(&x, &theta, spline, &checked),
            dtype => narrow(forward_in::<f32>(&wide(x), &wide(theta), spline, &checked), dtype),
        }
    }

    fn spline_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self> {
        let checked = check(operands!("spline_inverse", z, theta), "z", spline);
        match z.dtype() {
            DType::F32 => inverse_in::<f32>(&z, &theta, spline, &checked),
            DType::F64 => inverse_in::<f64>(&z, &theta, spline, &checked),
            dtype => narrow(inverse_in::<f32>(&wide(z), &wide(theta), spline, &checked), dtype),
        }
    }
}

impl SplineGradient for Flex {
    fn spline_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        spline: SplineShape,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let checked = check(operands!("spline_backward", x, theta, gradient), "x", spline);
        match x.dtype() {
            DType::F32 => backward_in::<f32>(&x, &theta, &gradient, spline, &checked),
            DType::F64 => backward_in::<f64>(&x, &theta, &gradient, spline, &checked),
            dtype => {
                let [x, theta, gradient] = [x, theta, gradient].map(wide);
                let (x, theta) = backward_in::<f32>(&x, &theta, &gradient, spline, &checked);
                (narrow(x, dtype), narrow(theta, dtype))
            }
        }
    }
}
