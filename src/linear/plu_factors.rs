//! PLU factors of a matrix, computed in float64 on the host.
//! ```text
//! row i of W = row P_i of L·(U + D)        L unit lower, U strictly upper triangular
//!                                          D = diag(sign·exp(s))
//! ```

use nalgebra::DMatrix;

/// The factors of one matrix. The formula heads this module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PluFactors {
    /// `L`; only the entries below the diagonal are used.
    pub(crate) lower: DMatrix<f64>,
    /// `U`; only the entries above the diagonal are used.
    pub(crate) upper: DMatrix<f64>,
    /// Log-magnitude of the diagonal, `s`.
    pub(crate) log_scale: Vec<f64>,
    /// Signs of the diagonal, ±1.
    pub(crate) sign: Vec<i64>,
    /// The row of the triangular product that each row of `W` is, `P`.
    pub(crate) permutation: Vec<i64>,
}

impl PluFactors {
    /// The factors of a square matrix, by elimination with partial pivoting. The diagonal of a
    /// singular matrix has a log-magnitude of −∞.
    pub(crate) fn of(matrix: DMatrix<f64>) -> Self {
        let n = matrix.nrows();
        let lu = matrix.lu();
        // nalgebra factors P'·W = L·U. Applying its row swaps to 0..n tells which row of W each row
        // of L·U is.
        let mut rows = DMatrix::<f64>::from_fn(n, 1, |row, _| row as f64);
        lu.p().permute_rows(&mut rows);
        let mut permutation = vec![0i64; n];
        for (row, source) in rows.iter().enumerate() {
            permutation[*source as usize] = row as i64;
        }
        let (lower, upper) = (lu.l(), lu.u());
        let diagonal: Vec<f64> = upper.diagonal().iter().copied().collect();
        let log_scale = diagonal.iter().map(|v| v.abs().ln()).collect();
        let sign = diagonal.iter().map(|v| if *v < 0.0 { -1 } else { 1 }).collect();
        Self { lower, upper, log_scale, sign, permutation }
    }

    /// The matrix `W`.
    pub(crate) fn matrix(&self) -> DMatrix<f64> {
        let n = self.log_scale.len();
        let lower = DMatrix::from_fn(n, n, |row, column| match row.cmp(&column) {
            std::cmp::Ordering::Greater => self.lower[(row, column)],
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Less => 0.0,
        });
        let upper = DMatrix::from_fn(n, n, |row, column| match row.cmp(&column) {
            std::cmp::Ordering::Greater => 0.0,
            std::cmp::Ordering::Equal => self.sign[row] as f64 * self.log_scale[row].exp(),
            std::cmp::Ordering::Less => self.upper[(row, column)],
        });
        let product = lower * upper;
        DMatrix::from_fn(n, n, |row, column| product[(self.permutation[row] as usize, column)])
    }
}
