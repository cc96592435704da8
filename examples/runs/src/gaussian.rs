//! The Gaussian that a flow must beat.

use std::f64::consts::TAU;

use burn::tensor::Tensor;
use nalgebra::{Cholesky, DMatrix};

/// Rows of numbers, `[rows, columns]`, with what they are given and their weights.
pub struct Rows {
    /// The numbers.
    pub x: DMatrix<f64>,
    /// What each row is given, `[rows, width]`; of width 0 if there is nothing.
    pub given: DMatrix<f64>,
    /// The weight of each row.
    pub weights: Vec<f64>,
}

impl Rows {
    /// Rows of tensors, `[rows, columns]`, without a condition or with one.
    pub fn new(x: &Tensor<2>, given: Option<&Tensor<2>>, weights: Option<&[f64]>) -> Self {
        let matrix = |x: &Tensor<2>| {
            let [rows, columns] = x.dims();
            let values: Vec<f64> = x.clone().into_data().iter::<f64>().collect();
            DMatrix::from_row_slice(rows, columns, &values)
        };
        let plain = Self::plain(matrix(x));
        Self {
            given: given.map_or_else(|| plain.given.clone(), matrix),
            weights: weights.map_or_else(|| plain.weights.clone(), <[f64]>::to_vec),
            ..plain
        }
    }

    /// Rows without a condition, of equal weight.
    pub fn plain(x: DMatrix<f64>) -> Self {
        let rows = x.nrows();
        Self { x, given: DMatrix::zeros(rows, 0), weights: vec![1.0; rows] }
    }

    /// A constant, and what the rows are given.
    fn regressors(&self) -> DMatrix<f64> {
        self.given.clone().insert_column(0, 1.0)
    }
}

/// Mean log-density of `test` under the normal distribution that `train` has, in nats: a mean that
/// is linear in what the rows are given, and one covariance. `None` if the columns of `train` are
/// linear functions of each other.
pub fn mean_log_density(train: &Rows, test: &Rows) -> Option<f64> {
    let (columns, total) = (train.x.ncols(), train.weights.iter().sum::<f64>());
    let spread = |column: usize| {
        let deviation = train.x.column(column).variance().sqrt();
        if deviation > 0.0 { deviation } else { 1.0 }
    };
    let scales: Vec<f64> = (0..columns).map(spread).collect();
    let scaled = |rows: &Rows| {
        DMatrix::from_fn(rows.x.nrows(), columns, |row, column| {
            rows.x[(row, column)] / scales[column]
        })
    };
    let regressors = train.regressors();
    let weighted = |mut rows: DMatrix<f64>| {
        for (row, weight) in train.weights.iter().enumerate() {
            rows.row_mut(row).scale_mut(weight.sqrt());
        }
        rows
    };
    let (a, b) = (weighted(regressors.clone()), weighted(scaled(train)));
    // The pseudo-inverse: one-hot texts sum to the constant.
    let gram = (a.transpose() * &a).pseudo_inverse(1e-9 * total).ok()?;
    let slopes = gram * a.transpose() * &b;
    let residuals = b - a * &slopes;
    let covariance = residuals.transpose() * residuals / total;
    let factor = Cholesky::new(covariance)?.l();
    let log_scale: f64 = factor.diagonal().iter().zip(&scales).map(|(l, s)| (l * s).ln()).sum();
    let constant = -0.5 * columns as f64 * TAU.ln() - log_scale;
    let residuals = scaled(test) - test.regressors() * slopes;
    let standard = factor.solve_lower_triangular(&residuals.transpose())?;
    let log_density = |row: usize| constant - 0.5 * standard.column(row).norm_squared();
    let total: f64 = test.weights.iter().sum();
    let sum: f64 =
        test.weights.iter().enumerate().map(|(row, weight)| weight * log_density(row)).sum();
    Some(sum / total)
}
