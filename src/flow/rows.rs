//! Results of a batch row by row: the values of the good rows, and the faults of the others.

use crate::counted::counted;
use crate::error::FlowError;
use crate::flow::likelihood::{LogLikelihood, Provenance};

/// Why one row of a batch has no result.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowFault {
    /// The input contains NaN or an infinity.
    #[error("the input is not finite: {count} of {}", counted(*total, "element"))]
    Input {
        /// Number of such elements of the row.
        count: usize,
        /// Number of all its elements.
        total: usize,
    },
    /// The log-likelihood is NaN or an infinity.
    #[error("the log-likelihood is {value}")]
    Likelihood {
        /// The value.
        value: f64,
    },
    /// The latents could not be mapped to data.
    #[error(
        "{count} of {} are undefined because the latents could not be inverted",
        counted(*total, "element")
    )]
    NotInverted {
        /// Number of such elements of the row.
        count: usize,
        /// Number of all its elements.
        total: usize,
    },
}

/// A row of a batch that has no result.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("row {row}: {fault}")]
pub struct FailedRow {
    /// Its index in the batch, from 0.
    pub row: usize,
    /// What is wrong with it.
    pub fault: RowFault,
}

impl From<FailedRow> for FlowError {
    fn from(FailedRow { row, fault }: FailedRow) -> Self {
        match fault {
            RowFault::Input { count, total } => Self::NonFiniteInput { count, total, example: row },
            RowFault::Likelihood { value } => Self::NonFiniteLikelihood { example: row, value },
            RowFault::NotInverted { count, total } => {
                Self::NotInverted { count, total, rows: vec![row] }
            }
        }
    }
}

/// Log-likelihoods of the rows of a batch, some of which may have failed. Each depends only on its
/// own row, so a failed row does not affect the others.
#[derive(Debug, Clone, PartialEq)]
pub struct RowLikelihoods<P> {
    rows: Vec<Result<f64, RowFault>>,
    dims: usize,
    provenance: P,
}

impl<P: Provenance> RowLikelihoods<P> {
    /// From values in nats. A value that is not finite marks its row as failed.
    pub(crate) fn new(rows: Vec<Result<f64, RowFault>>, dims: usize, provenance: P) -> Self {
        let checked = |value: f64| {
            if value.is_finite() { Ok(value) } else { Err(RowFault::Likelihood { value }) }
        };
        Self { rows: rows.into_iter().map(|row| row.and_then(checked)).collect(), dims, provenance }
    }

    /// For each row of the batch, in order, `ln p` in nats or the fault of the row.
    pub fn rows(&self) -> &[Result<f64, RowFault>] {
        &self.rows
    }

    /// The log-likelihoods of a batch in which no row failed.
    ///
    /// # Errors
    /// The fault of the first row that failed.
    pub fn whole(self) -> Result<LogLikelihood<P>, FlowError> {
        let rows = self.rows.into_iter().enumerate();
        let nats: Result<Vec<f64>, FlowError> = rows
            .map(|(row, value)| value.map_err(|fault| FailedRow { row, fault }.into()))
            .collect();
        Ok(LogLikelihood::new(nats?, self.dims, self.provenance))
    }

    /// Indices of the rows that did not fail, in order.
    pub fn good(&self) -> Vec<usize> {
        self.rows.iter().enumerate().filter(|(_, row)| row.is_ok()).map(|(row, _)| row).collect()
    }

    /// The rows that failed, in order.
    pub fn failed(&self) -> Vec<FailedRow> {
        let failed = self
            .rows
            .iter()
            .enumerate()
            .map(|(row, value)| Some(FailedRow { row, fault: value.err()? }));
        failed.flatten().collect()
    }

    /// The log-likelihoods of the good rows, in the order of [`RowLikelihoods::good`], or `None` if
    /// there are none.
    pub fn log_likelihood(&self) -> Option<LogLikelihood<P>> {
        let nats: Vec<f64> = self.rows.iter().flatten().copied().collect();
        (!nats.is_empty()).then(|| LogLikelihood::new(nats, self.dims, self.provenance))
    }
}

/// Samples, some of which may have failed.
#[derive(Debug, Clone)]
pub struct SampledRows<T> {
    /// The samples that did not fail: at least one.
    pub samples: T,
    /// For each of `samples`, its index among all `n` samples, from 0. That is also the row of its
    /// condition.
    pub rows: Vec<usize>,
    /// The samples that failed, in order.
    pub failed: Vec<FailedRow>,
}

impl<T> SampledRows<T> {
    /// Maps the samples and keeps the rest.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> SampledRows<U> {
        SampledRows { samples: change(self.samples), rows: self.rows, failed: self.failed }
    }
}
