//! Parts of the channel axis, which is axis 1.

use std::ops::Range;

use burn::tensor::Tensor;

/// Applies `f` to the channels in `range` and leaves the other channels unchanged. Returns the
/// result of `f` too.
///
/// # Shapes
/// `x [batch, channels, ...]`. `f` keeps the shape of its argument, `[batch, range, ...]`.
pub(crate) fn map_within<const D: usize, R>(
    x: Tensor<D>,
    range: Range<usize>,
    f: impl FnOnce(Tensor<D>) -> (Tensor<D>, R),
) -> (Tensor<D>, R) {
    let channels = x.dims()[1];
    let (inside, result) = f(x.clone().narrow(1, range.start, range.len()));
    let mut parts = Vec::with_capacity(3);
    if range.start > 0 {
        parts.push(x.clone().narrow(1, 0, range.start));
    }
    parts.push(inside);
    if range.end < channels {
        parts.push(x.narrow(1, range.end, channels - range.end));
    }
    (if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 1) }, result)
}

/// Channel `index`, alone.
///
/// # Shapes
/// `[batch, channels, positions]` to `[batch, positions]`.
pub(crate) fn channel(x: &Tensor<3>, index: usize) -> Tensor<2> {
    x.clone().narrow(1, index, 1).squeeze_dim::<2>(1)
}
