//! The operation in plain tensor operations: its definition, and its form without a kernel. For the
//! symbols see the parent module.

use burn::tensor::{Int, Tensor};

use super::{SplineEnds, SplineShape, check};
use crate::kernel::operands::operands;
use crate::tensor::smooth::softplus;

/// [`forward`](super::forward), differentiated by autodiff.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(x: Tensor<2>, theta: Tensor<3>, spline: SplineShape) -> (Tensor<2>, Tensor<2>) {
    check(operands!("spline", x, theta), "x", spline);
    let axes = axes(&theta, spline);
    let outside = spline.outside(&x);
    let inner = x.clone().mask_fill(outside.clone(), 0.0);
    let bin = axes.0.find(&inner);
    let (z, log_derivative) = found(&axes, &theta, &bin, spline).forward(inner);
    (z.mask_where(outside.clone(), x), log_derivative.mask_fill(outside, 0.0))
}

/// [`inverse`](super::inverse), differentiated by autodiff.
///
/// # Panics
/// Those of [`inverse`](super::inverse).
pub fn inverse(z: Tensor<2>, theta: Tensor<3>, spline: SplineShape) -> Tensor<2> {
    check(operands!("spline", z, theta), "z", spline);
    let axes = axes(&theta, spline);
    let outside = spline.outside(&z);
    let inner = z.clone().mask_fill(outside.clone(), 0.0);
    let bin = axes.1.find(&inner);
    found(&axes, &theta, &bin, spline).inverse(inner).mask_where(outside, z)
}

/// One axis of the spline: its bins, `[batch, K, dims]` each.
struct Bins {
    left: Tensor<3>,
    /// Distance between the rounded ends of a bin. Positions within the bin are measured by it.
    span: Tensor<3>,
    /// The same distance computed from the share itself, so all of its digits are correct. Slopes
    /// are computed from it.
    size: Tensor<3>,
}

impl Bins {
    /// Bins of at least the share `smallest` from unnormalised logarithms, and where each bin
    /// begins.
    fn new(logits: Tensor<3>, smallest: f64, spline: SplineShape) -> Self {
        let [batch, k, dims] = logits.dims();
        // The largest is a constant to the gradient, since it cancels. The sum is at least 1, the
        // term of the largest itself. burn's `softmax` computes differently with and without a
        // graph.
        let weights = (logits.clone() - logits.detach().max_dim(1)).exp();
        let softmax = weights.clone() / weights.sum_dim(1);
        // Positive: the softmax is at least 0 and `smallest` is above 0.
        let share = softmax.mul_scalar(spline.rest(smallest)).add_scalar(smallest);
        let zero = Tensor::zeros([batch, 1, dims], (&share.device(), share.dtype()));
        let before = Tensor::cat(vec![zero, share.clone().cumsum(1).narrow(1, 0, k - 1)], 1);
        let left = before.mul_scalar(2.0 * spline.bound).sub_scalar(spline.bound);
        // A difference of the knots after rounding, which keeps order: `x − x_k ≤ x_k+1 − x_k`, so
        // ξ is at most 1.
        let end = Tensor::full([batch, 1, dims], spline.bound, (&left.device(), left.dtype()));
        let span = Tensor::cat(vec![left.clone().narrow(1, 1, k - 1), end], 1) - left.clone();
        Self { left, span, size: share.mul_scalar(2.0 * spline.bound) }
    }

    /// The bin that contains each element of [−B, B], `[batch, 1, dims]`. The first bin begins at
    /// −B itself, so at least one bin begins at or below the element.
    fn find(&self, value: &Tensor<2>) -> Tensor<3, Int> {
        let value = value.clone().detach().unsqueeze_dim::<3>(1);
        self.left.clone().detach().lower_equal(value).int().sum_dim(1).sub_scalar(1)
    }
}

/// Bins in x and in y.
fn axes(theta: &Tensor<3>, spline: SplineShape) -> (Bins, Bins) {
    let k = spline.n_bins;
    let part = |index: usize| theta.clone().narrow(1, index * k, k);
    (Bins::new(part(0), spline.min_width, spline), Bins::new(part(1), spline.min_height, spline))
}

/// Slopes at the knots, `[batch, K + 1, dims]`.
fn slopes(theta: &Tensor<3>, spline: SplineShape) -> Tensor<3> {
    let [batch, _, dims] = theta.dims();
    let free = theta.clone().narrow(1, 2 * spline.n_bins, spline.n_slopes());
    // Positive: softplus is at least 0 and `min_slope` is above 0.
    let free = softplus(free.add_scalar(spline.slope_shift())).add_scalar(spline.min_slope);
    match spline.ends {
        SplineEnds::Identity => {
            let end = Tensor::<3>::ones([batch, 1, dims], (&theta.device(), theta.dtype()));
            Tensor::cat(vec![end.clone(), free, end], 1)
        }
        SplineEnds::Circular => Tensor::cat(vec![free.clone(), free.narrow(1, 0, 1)], 1),
    }
}

fn at(values: &Tensor<3>, bin: &Tensor<3, Int>) -> Tensor<2> {
    values.clone().gather(1, bin.clone()).squeeze_dim::<2>(1)
}

/// The bins that elements fall into, `[batch, dims]` each.
struct Found {
    x_left: Tensor<2>,
    y_left: Tensor<2>,
    width: Tensor<2>,
    height: Tensor<2>,
    /// `s`.
    slope: Tensor<2>,
    slope_left: Tensor<2>,
    slope_right: Tensor<2>,
}

fn found(
    (x, y): &(Bins, Bins),
    theta: &Tensor<3>,
    bin: &Tensor<3, Int>,
    spline: SplineShape,
) -> Found {
    let slopes = slopes(theta, spline);
    Found {
        x_left: at(&x.left, bin),
        y_left: at(&y.left, bin),
        width: at(&x.span, bin),
        height: at(&y.span, bin),
        slope: at(&y.size, bin) / at(&x.size, bin),
        slope_left: at(&slopes, bin),
        slope_right: at(&slopes, &bin.clone().add_scalar(1)),
    }
}

impl Found {
    /// `ξ` and `1 − ξ` of `x`.
    fn place(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let xi = (x - self.x_left.clone()) / self.width.clone();
        let rest = xi.clone().neg().add_scalar(1.0);
        (xi, rest)
    }

    fn forward(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (xi, rest) = self.place(x);
        let s = self.slope.clone();
        let (d, e) = (self.slope_left.clone(), self.slope_right.clone());
        let both = xi.clone() * rest.clone();
        let (square, square_rest) = (xi.square(), rest.square());
        let q = s.clone() * (square.clone() + square_rest.clone())
            + (d.clone() + e.clone()) * both.clone();
        let height = self.height.clone() * (s.clone() * square.clone() + d.clone() * both.clone());
        let steep = e * square + s.clone() * both.mul_scalar(2.0) + d * square_rest;
        let log_derivative = (s.log() - q.clone().log()).mul_scalar(2.0) + steep.log();
        (self.y_left.clone() + height / q, log_derivative)
    }

    fn inverse(&self, z: Tensor<2>) -> Tensor<2> {
        let twice = self.slope.clone().mul_scalar(2.0);
        let eta = (z - self.y_left.clone()) / self.height.clone();
        let rest = eta.clone().neg().add_scalar(1.0);
        let r = self.slope_left.clone() * rest.clone() - self.slope_right.clone() * eta.clone();
        let t = (r.clone().square() + twice.clone().square() * eta.clone() * rest.clone()).sqrt();
        let (up, down) = (twice.clone() * eta, twice * rest);
        let from_left = up.clone() / (t.clone() + r.clone() + up);
        let from_right = (t.clone() - r.clone()) / (t - r.clone() + down);
        let xi = from_left.mask_where(r.lower_elem(0.0), from_right);
        self.x_left.clone() + xi * self.width.clone()
    }
}
