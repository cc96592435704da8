//! The report of a fit.

use std::f64::consts::LN_2;
use std::fmt::{Display, Formatter, Result as FmtResult};

use crate::flow::likelihood::{BitsPerDim, LogLikelihood, Provenance};

/// Why a fit ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FitEnd {
    /// All epochs were done.
    Epochs,
    /// The held-out likelihood had not risen for this many epochs.
    Patience(u64),
    /// The limit of updates was reached.
    Steps,
    /// The limit of time was reached.
    Seconds,
    /// The training failed with an error.
    Broken,
}

impl Display for FitEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::Epochs => f.write_str("all epochs were done"),
            Self::Patience(epochs) => {
                write!(f, "the held-out likelihood had not risen for {epochs} epochs")
            }
            Self::Steps => f.write_str("the limit of updates was reached"),
            Self::Seconds => f.write_str("the limit of time was reached"),
            Self::Broken => f.write_str("an update failed"),
        }
    }
}

/// The likelihoods after an epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Number of epochs begun; 0 before the first.
    pub epoch: u64,
    /// Number of updates.
    pub step: u64,
    /// Mean training loss over the updates since the preceding point, in nats per example, of the
    /// weights at that time; `None` before the first update.
    pub train_loss: Option<f64>,
    /// Weighted mean of the held-out log-likelihoods, in nats per example.
    pub held_out: f64,
}

/// Mean of log-likelihoods, with its uncertainty and its provenance.
/// ```text
/// mean             m = Σ w_i ln p_i / Σ w_i
/// standard error   √(n/(n − 1) · Σ w_i² (ln p_i − m)²) / Σ w_i        with equal weights s/√n
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanLikelihood<P> {
    mean: f64,
    standard_error: Option<f64>,
    examples: usize,
    dims: usize,
    provenance: P,
}

impl<P: Provenance> MeanLikelihood<P> {
    pub(super) fn new(likelihood: &LogLikelihood<P>, weights: Option<&[f64]>) -> Self {
        let nats = likelihood.nats();
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let total: f64 = (0..nats.len()).map(weight).sum();
        let mean =
            nats.iter().enumerate().map(|(row, nats)| weight(row) * nats).sum::<f64>() / total;
        let squares =
            nats.iter().enumerate().map(|(row, nats)| (weight(row) * (nats - mean)).powi(2));
        let (n, squares) = (nats.len() as f64, squares.sum::<f64>());
        let standard_error = (nats.len() > 1).then(|| (n / (n - 1.0) * squares).sqrt() / total);
        let (dims, provenance) = (likelihood.dims(), likelihood.provenance());
        Self { mean, standard_error, examples: nats.len(), dims, provenance }
    }

    /// The mean, in nats per example.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Its standard error, in nats per example; `None` for a single example.
    pub fn standard_error(&self) -> Option<f64> {
        self.standard_error
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.examples
    }

    /// How the values were found.
    pub fn provenance(&self) -> P {
        self.provenance
    }

    /// The mean in bits/dim.
    pub fn bits_per_dim(&self) -> BitsPerDim<P> {
        LogLikelihood::new(vec![self.mean], self.dims, self.provenance).bits_per_dim()
    }
}

/// `-1.0123 ± 0.0045 nats per example (exact)`; for discrete data with bits/dim.
impl<P: Provenance> Display for MeanLikelihood<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{:.4}", self.mean)?;
        if let Some(error) = self.standard_error {
            write!(f, " ± {error:.4}")?;
        }
        if P::OF_DENSITY {
            return write!(f, " nats per example ({})", self.provenance);
        }
        write!(f, " nats per example, {:.4}", self.bits_per_dim().value())?;
        if let Some(error) = self.standard_error {
            write!(f, " ± {:.4}", error / (self.dims as f64 * LN_2))?;
        }
        write!(f, " bits/dim ({})", self.provenance)
    }
}

/// The result of a fit, and how it was found.
///
/// Its text is one paragraph:
/// ```text
/// Held out: -1.0174 ± 0.0223 nats per example (exact), on 1000 examples, with the weights after
/// update 700 (epoch 20).
/// Trained on 9000 examples in 700 updates, 20 epochs, 10.3 s; it ended because all epochs were
/// done.
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FitReport<P> {
    /// The held-out likelihood of the kept weights, the best of the curve. Because these weights
    /// were selected by it, it is slightly higher than the likelihood of data that played no part
    /// in the selection.
    pub held_out: MeanLikelihood<P>,
    /// One point before the first update, and one after each epoch.
    pub curve: Vec<CurvePoint>,
    /// Number of updates after which the kept weights were reached.
    pub best_step: u64,
    /// The epoch of that update.
    pub best_epoch: u64,
    /// Number of updates.
    pub steps: u64,
    /// Number of epochs begun.
    pub epochs: u64,
    /// Number of training examples, without those of weight 0.
    pub examples: usize,
    /// Time in seconds, from the beginning to the last evaluation.
    pub seconds: f64,
    /// Why it ended.
    pub end: FitEnd,
}

impl<P: Provenance> Display for FitReport<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self { held_out, best_step, best_epoch, steps, epochs, examples, seconds, end, .. } =
            self;
        let n = held_out.examples;
        write!(
            f,
            "Held out: {held_out}, on {n} examples, with the weights after update {best_step} "
        )?;
        writeln!(f, "(epoch {best_epoch}).")?;
        write!(
            f,
            "Trained on {examples} examples in {steps} updates, {epochs} epochs, {seconds:.1} s; "
        )?;
        write!(f, "it ended because {end}.")
    }
}
