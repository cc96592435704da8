//! Products that mix channels, and condition numbers in float64 on the host.

use burn::tensor::Tensor;
use nalgebra::DMatrix;

use crate::kernel::exact_product;

/// The largest divided by the smallest singular value of the block-diagonal matrix of all groups,
/// in float64; NaN where an entry is not finite.
pub(super) fn condition_number(matrices: Tensor<3>) -> f64 {
    let [_, c, _] = matrices.dims();
    let values: Vec<f64> = matrices.inner().into_data().iter::<f64>().collect();
    if values.iter().any(|value| !value.is_finite()) {
        return f64::NAN;
    }
    let sizes = values.chunks(c * c).flat_map(|rows| {
        DMatrix::from_row_slice(c, c, rows).singular_values().iter().copied().collect::<Vec<f64>>()
    });
    let (smallest, largest) =
        sizes.fold((f64::INFINITY, 0.0f64), |(low, high), size| (low.min(size), high.max(size)));
    // Never NaN: a matrix of zeros is singular.
    if smallest > 0.0 { largest / smallest } else { f64::INFINITY }
}

/// The largest divided by the smallest of `exp(log_scale)`, the condition number of a diagonal
/// matrix; NaN where a value is not finite.
pub(super) fn condition_number_of_scales<const D: usize>(log_scale: Tensor<D>) -> f64 {
    let values: Vec<f64> = log_scale.inner().into_data().iter::<f64>().collect();
    if values.iter().any(|value| !value.is_finite()) {
        return f64::NAN;
    }
    let spread = values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        - values.iter().copied().fold(f64::INFINITY, f64::min);
    spread.exp()
}

/// Multiplies the channels of each group by the matrix of the group: `z[b, g] = W[g]·x[b, g]`, in
/// the full precision of the type on every device.
///
/// # Shapes
/// `x [batch, G·c, ...]`, `matrices [G, c, c]` to the shape of `x`.
pub(super) fn mix_channels<const D: usize>(matrices: Tensor<3>, x: Tensor<D>) -> Tensor<D> {
    let dims = x.dims();
    let [groups, channels, _] = matrices.dims();
    let positions: usize = dims[2..].iter().product();
    let columns = x.reshape([dims[0], groups, channels, positions]);
    exact_product::forward(matrices, columns).reshape(dims)
}
