//! Sums over one example: everything but the batch axis.

use burn::tensor::Tensor;

/// Sum over all axes but the first.
///
/// # Shapes
/// `[batch, ...]` to `[batch]`.
pub(crate) fn sum_event<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let dims = x.dims();
    let batch = dims[0];
    let event = dims.iter().skip(1).product::<usize>();
    x.reshape([batch, event]).sum_dim(1).squeeze_dim::<1>(1)
}

/// A log-determinant of 0 for each example, on the device and in the type of `x`.
pub(crate) fn zero_log_det<const D: usize>(x: &Tensor<D>) -> Tensor<1> {
    Tensor::zeros([x.dims()[0]], (&x.device(), x.dtype()))
}

/// `(x + |x|) / 2`: the positive part, with derivative 1/2 at 0 as the smooth functions built on it need.
pub(crate) fn positive_part<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    (x.clone() + x.abs()).mul_scalar(0.5)
}

/// `ln(1 + exp(x))` without overflow.
///
/// `max(x, 0) + ln(1 + exp(-|x|))`; burn's own `softplus` evaluates `exp(x)` and is infinite above 88 in f32.
pub(crate) fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let tail = x.clone().abs().neg().exp().log1p();
    positive_part(x) + tail
}
