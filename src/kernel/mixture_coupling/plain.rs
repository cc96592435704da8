//! The operation by [`mixture_logistic`] and plain operations that cut and join channels.

use std::ops::Range;

use burn::tensor::Tensor;

use super::check;
use crate::kernel::mixture_logistic;
use crate::kernel::operands::operands;
use crate::tensor::channels::map_within;
use crate::tensor::per_example::{flatten, sum_event};

/// [`forward`](super::forward), with the kernel of [`mixture_logistic`] where the device has it.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(
    x: Tensor<3>,
    theta: Tensor<3>,
    range: Range<usize>,
    min_log_scale: f64,
) -> (Tensor<3>, Tensor<1>) {
    check(operands!("mixture_coupling", x, theta), &range);
    map_within(x, range, |x| {
        let dims = x.dims();
        let (z, log_derivative) = mixture_logistic::forward(flatten(x), theta, min_log_scale);
        (z.reshape(dims), sum_event(log_derivative))
    })
}
