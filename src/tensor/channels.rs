//! Parts of the channel axis, which is axis 1.

use std::ops::Range;

use burn::tensor::{Int, Tensor};

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

/// The channels with these indices, in this order. All of them in their own order cost nothing.
pub(crate) fn select(x: Tensor<2>, indices: &[usize]) -> Tensor<2> {
    if indices.iter().copied().eq(0..x.dims()[1]) {
        return x;
    }
    if let Some(&first) = indices.first()
        && indices.iter().copied().eq(first..first + indices.len())
    {
        return x.narrow(1, first, indices.len());
    }
    let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &x.device());
    x.select(1, indices)
}

/// The inverse of a selection of all channels: `parts`, one after the other, are the channels with
/// the indices `order`.
pub(crate) fn unselect(parts: Vec<Tensor<2>>, order: impl Iterator<Item = usize>) -> Tensor<2> {
    let mut places: Vec<(usize, usize)> = order.zip(0..).collect();
    places.sort_unstable();
    let places: Vec<usize> = places.into_iter().map(|(_, place)| place).collect();
    select(Tensor::cat(parts, 1), &places)
}
