//! Log-determinants and inverses of small matrices, in float64 on the host, with their gradients on
//! the device.
//!
//! The matrices that mix channels are small and their determinants are products of many factors, so
//! they are factored in float64 whatever the type of the tensors. The gradient follows from the
//! identities `d ln|det W| = tr(W⁻¹ dW)` and `d W⁻¹ = −W⁻¹ dW W⁻¹`: the value is a constant, and a
//! term that is zero carries the differential. One factorisation needs one device-to-host copy of
//! all matrices.

use burn::tensor::{Tensor, TensorData};
use nalgebra::DMatrix;

use crate::kernel::exact_product;

/// Log-determinants and inverses from one copy of square matrices `W [groups, c, c]`.
pub(super) struct Factored {
    matrices: Tensor<3>,
    /// Sum of `ln|det W|` over the groups.
    log_abs_det: f64,
    /// `W⁻¹` of each group; `None` if one is singular.
    inverses: Option<Vec<DMatrix<f64>>>,
}

impl Factored {
    pub(super) fn new(matrices: Tensor<3>) -> Self {
        let [_, c, _] = matrices.dims();
        let values: Vec<f64> = matrices.clone().inner().into_data().iter::<f64>().collect();
        let factors: Vec<_> = values
            .chunks(c * c)
            .map(|rows| DMatrix::from_row_slice(c, c, rows).full_piv_lu())
            .collect();
        let pivots =
            factors.iter().flat_map(|lu| lu.u().diagonal().iter().copied().collect::<Vec<_>>());
        let log_abs_det = pivots.map(|pivot: f64| pivot.abs().ln()).sum();
        let inverses = factors.iter().map(|lu| lu.try_inverse()).collect();
        Self { matrices, log_abs_det, inverses }
    }

    /// Float64 matrices, in the type and on the device of `W`, outside the graph.
    fn to_device<'a>(&self, matrices: impl Iterator<Item = &'a DMatrix<f64>>) -> Tensor<3> {
        // nalgebra stores columns: the transpose's columns are the rows.
        let values: Vec<f64> = matrices.flat_map(|m| m.transpose().as_slice().to_vec()).collect();
        let dtype = self.matrices.dtype();
        let data = TensorData::new(values, self.matrices.dims()).convert_dtype(dtype);
        Tensor::from_data(data, (&self.matrices.device().inner(), dtype))
    }

    /// `Σ_g ln|det W_g|` as `[1]`: −∞ if a matrix is singular.
    pub(super) fn log_abs_det(&self) -> Tensor<1> {
        let plain = self.matrices.device().inner();
        let constant = Tensor::<1>::full([1], self.log_abs_det, (&plain, self.matrices.dtype()));
        match &self.inverses {
            Some(inverses) if self.matrices.is_autodiff() => {
                let transposed: Vec<_> = inverses.iter().map(DMatrix::transpose).collect();
                let change = self.matrices.clone() - self.matrices.clone().detach();
                constant + (change * self.to_device(transposed.iter())).sum()
            }
            _ => constant,
        }
    }

    /// `W⁻¹`: NaN throughout if a matrix is singular, so later layers do not take a guess for data.
    pub(super) fn inverse(&self) -> Tensor<3> {
        let Some(inverses) = &self.inverses else { return self.matrices.full_like(f32::NAN) };
        let inverse = self.to_device(inverses.iter());
        if !self.matrices.is_autodiff() {
            return inverse;
        }
        let change = self.matrices.clone() - self.matrices.clone().detach();
        let product = exact_product::forward(change, inverse.clone().unsqueeze());
        inverse.clone() - exact_product::forward(inverse, product).squeeze_dim::<3>(0)
    }
}

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
