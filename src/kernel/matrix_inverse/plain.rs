//! The operation in float64 on the host: its definition, and its form without a kernel.
//!
//! The gradient follows from `d ln|det W| = tr(W⁻¹ dW)` and `d W⁻¹ = −W⁻¹ dW W⁻¹`: the value is a
//! constant, and a term that is zero carries the differential. One factorisation needs one
//! device-to-host copy of all matrices.

use burn::tensor::{Tensor, TensorData};
use nalgebra::DMatrix;

use super::check;
use crate::kernel::exact_product;
use crate::kernel::operands::operands;

/// Log-determinants and inverses from one copy of square matrices `W [G, n, n]`.
#[derive(Debug)]
pub struct Factored {
    matrices: Tensor<3>,
    /// Sum of `ln|det W|` over the groups.
    log_abs_det: f64,
    /// `W⁻¹` of each group; `None` if it is singular or not finite.
    inverses: Vec<Option<DMatrix<f64>>>,
}

/// [`factor`](super::factor) in float64 on the host.
///
/// # Panics
/// Those of [`factor`](super::factor).
pub fn factor(matrices: Tensor<3>) -> Factored {
    check(operands!("matrix_inverse", matrices));
    let [_, n, _] = matrices.dims();
    let values: Vec<f64> = matrices.clone().inner().into_data().iter::<f64>().collect();
    let factors: Vec<_> = values
        .chunks((n * n).max(1))
        .map(|rows| DMatrix::from_row_slice(n, n, rows).full_piv_lu())
        .collect();
    let log_abs_dets: Vec<f64> = factors
        .iter()
        .map(|lu| lu.u().diagonal().iter().map(|pivot| pivot.abs().ln()).sum())
        .collect();
    let inverses = factors.iter().zip(&log_abs_dets);
    let inverses =
        inverses.map(|(lu, log)| log.is_finite().then(|| lu.try_inverse()).flatten()).collect();
    let log_abs_det = log_abs_dets.iter().sum();
    Factored { matrices, log_abs_det, inverses }
}

impl Factored {
    /// Float64 matrices, in the type and on the device of `W`, outside the graph.
    fn to_device<'a>(&self, matrices: impl Iterator<Item = &'a DMatrix<f64>>) -> Tensor<3> {
        // nalgebra stores columns: the transpose's columns are the rows.
        let values: Vec<f64> = matrices.flat_map(|m| m.transpose().as_slice().to_vec()).collect();
        let dtype = self.matrices.dtype();
        let data = TensorData::new(values, self.matrices.dims()).convert_dtype(dtype);
        Tensor::from_data(data, (&self.matrices.device().inner(), dtype))
    }

    /// `Σ_g ln|det W_g|` as `[1]`: −∞ if a matrix is singular.
    pub fn log_abs_det(&self) -> Tensor<1> {
        let plain = self.matrices.device().inner();
        let constant = Tensor::<1>::full([1], self.log_abs_det, (&plain, self.matrices.dtype()));
        let inverses: Option<Vec<_>> = self.inverses.iter().map(Option::as_ref).collect();
        match inverses {
            Some(inverses) if self.matrices.is_autodiff() => {
                let transposed: Vec<_> = inverses.into_iter().map(DMatrix::transpose).collect();
                let change = self.matrices.clone() - self.matrices.clone().detach();
                constant + (change * self.to_device(transposed.iter())).sum()
            }
            _ => constant,
        }
    }

    /// `W_g⁻¹`, NaN throughout for a singular matrix, so later layers do not take a guess for data.
    pub fn inverse(&self) -> Tensor<3> {
        let [_, n, _] = self.matrices.dims();
        let unknown = DMatrix::from_element(n, n, f64::NAN);
        let inverse =
            self.to_device(self.inverses.iter().map(|of| of.as_ref().unwrap_or(&unknown)));
        if !self.matrices.is_autodiff() {
            return inverse;
        }
        let change = self.matrices.clone() - self.matrices.clone().detach();
        let product = exact_product::forward(change, inverse.clone().unsqueeze());
        inverse.clone() - exact_product::forward(inverse, product).squeeze_dim::<3>(0)
    }
}
