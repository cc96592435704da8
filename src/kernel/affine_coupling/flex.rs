//! The operation on tensors of burn's CPU backend.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::cpu::AffineCoupling;
use super::{AffineCouplingGradient, AffineCouplingOps};
use super::{AffineForm, check, check_log_det, has_kernel};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, tensor, with_number};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::operands;

fn coupling(x: [usize; 3], form: AffineForm, range: &Range<usize>) -> AffineCoupling {
    let [_, channels, positions] = x;
    AffineCoupling {
        example: channels * positions,
        start: range.start * positions,
        dims: range.len() * positions,
        form,
        set: InstructionSet::detect(),
    }
}

/// The coupling of the transformed elements alone.
fn parameters([_, _, n_dims]: [usize; 3], form: AffineForm) -> AffineCoupling {
    AffineCoupling { example: n_dims, start: 0, dims: n_dims, form, set: InstructionSet::detect() }
}

fn forward<T: Number>(
    x: &FloatTensor<Flex>,
    theta: &FloatTensor<Flex>,
    form: AffineForm,
    range: Range<usize>,
) -> FloatTensor<Flex> {
    has_kernel(form);
    check(operands!("affine_coupling", x, theta), "x", form, &range);
    let shape = dims(x);
    let [x, theta] = [x, theta].map(Contiguous::of);
    let mut z = x.elements::<T>().to_vec();
    coupling(shape, form, &range).forward(theta.elements(), &mut z);
    tensor(z, shape)
}

fn inverse<T: Number>(
    z: &FloatTensor<Flex>,
    theta: &FloatTensor<Flex>,
    form: AffineForm,
    range: Range<usize>,
) -> FloatTensor<Flex> {
    has_kernel(form);
    check(operands!("affine_coupling_inverse", z, theta), "z", form, &range);
    let shape = dims(z);
    let [z, theta] = [z, theta].map(Contiguous::of);
    let mut x = z.elements::<T>().to_vec();
    coupling(shape, form, &range).inverse(theta.elements(), &mut x);
    tensor(x, shape)
}

fn backward<T: Number>(
    x: &FloatTensor<Flex>,
    theta: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    form: AffineForm,
    range: Range<usize>,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    has_kernel(form);
    let checked =
        check(operands!("affine_coupling_backward", x, theta, gradient), "x", form, &range);
    let (shape, theta_shape) = (dims::<3>(x), dims::<3>(theta));
    let [x, theta, gradient] = [x, theta, gradient].map(Contiguous::of);
    let mut of_x = gradient.elements::<T>().to_vec();
    let mut of_theta = uninitialised(theta_shape.iter().product(), &checked);
    coupling(shape, form, &range).backward(
        x.elements(),
        theta.elements(),
        &mut of_x,
        &mut of_theta,
    );
    (tensor(of_x, shape), tensor(of_theta, theta_shape))
}

fn log_det<T: Number>(theta: &FloatTensor<Flex>, form: AffineForm) -> FloatTensor<Flex> {
    check_log_det(operands!("affine_log_det", theta), form);
    let shape @ [batch, _, _] = dims(theta);
    let mut sums = vec![T::zero(); batch];
    parameters(shape, form).log_det(Contiguous::of(theta).elements(), &mut sums);
    tensor(sums, [batch])
}

fn log_det_backward<T: Number>(
    theta: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    form: AffineForm,
) -> FloatTensor<Flex> {
    check_log_det(operands!("affine_log_det_backward", theta, gradient), form);
    let shape = dims::<3>(theta);
    let [theta, gradient] = [theta, gradient].map(Contiguous::of);
    let mut of_theta = vec![T::zero(); shape.iter().product()];
    parameters(shape, form).log_det_backward(theta.elements(), gradient.elements(), &mut of_theta);
    tensor(of_theta, shape)
}

impl AffineCouplingOps for Flex {
    fn affine_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        with_number!(x, forward(&x, &theta, form, range))
    }

    fn affine_coupling_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        with_number!(z, inverse(&z, &theta, form, range))
    }

    fn affine_log_det(theta: FloatTensor<Self>, form: AffineForm) -> FloatTensor<Self> {
        with_number!(theta, log_det(&theta, form))
    }
}

impl AffineCouplingGradient for Flex {
    fn affine_coupling_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(x, backward(&x, &theta, &gradient, form, range))
    }

    fn affine_log_det_backward(
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        form: AffineForm,
    ) -> FloatTensor<Self> {
        with_number!(theta, log_det_backward(&theta, &gradient, form))
    }
}
