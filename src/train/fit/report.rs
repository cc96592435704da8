//! The report of a fit.

use std::fmt::{Display, Formatter, Result as FmtResult};

use crate::counted::counted;
use crate::flow::MeanLikelihood;
use crate::flow::likelihood::Provenance;

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
                let epochs = counted(*epochs, "epoch");
                write!(f, "the held-out likelihood had not risen for {epochs}")
            }
            Self::Steps => f.write_str("the limit of updates was reached"),
            Self::Seconds => f.write_str("the limit of time was reached"),
            Self::Broken => f.write_str("an update failed"),
        }
    }
}

/// The likelihoods after an epoch, or before the first update.
///
/// Its text is one line:
/// ```text
/// epoch 2, update 70: training -1.2110 nats per example (exact); held out -1.1502 ± 0.0223 nats
/// per example (exact)
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint<P> {
    /// Number of epochs begun; 0 before the first.
    pub epoch: u64,
    /// Number of updates.
    pub step: u64,
    /// Mean log-likelihood of the batches since the preceding point, each with the weights at that
    /// batch. It has no standard error. `None` before the first update, and if every update since
    /// the preceding point was skipped.
    pub train: Option<MeanLikelihood<P>>,
    /// Weighted mean of the held-out log-likelihoods.
    pub held_out: MeanLikelihood<P>,
}

impl<P: Provenance> Display for CurvePoint<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self { epoch, step, train, held_out } = self;
        write!(f, "epoch {epoch}, update {step}: ")?;
        if let Some(train) = train {
            write!(f, "training {train}; ")?;
        }
        write!(f, "held out {held_out}")
    }
}

/// The result of a fit, and how it was reached.
///
/// Its text is one paragraph:
/// ```text
/// Held out: -1.0174 ± 0.0223 nats per example (exact), on 1000 examples, with the weights after
/// update 700 (epoch 20).
/// Trained on 9000 examples in 700 updates, 20 epochs, 10.3 s; it ended because all epochs were
/// done.
/// ```
/// A third sentence says so if no update improved on the initial weights, and what to try.
#[derive(Debug, Clone, PartialEq)]
pub struct FitReport<P> {
    /// The held-out likelihood of the kept weights, the best of the curve. Because these weights
    /// were selected by it, it is slightly higher than the likelihood of data that played no part
    /// in the selection.
    pub held_out: MeanLikelihood<P>,
    /// One point before the first update, one after each epoch, and one at the end of a last epoch
    /// that a limit cut short.
    pub curve: Vec<CurvePoint<P>>,
    /// Number of updates that led to the kept weights.
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

/// What to try if the fit returns its initial weights.
const NO_RISE: &str = "\nNo update improved on the initial weights: standardise data whose spread \
    is far from 1, because shifts are trained in the units of the data, or try another learning \
    rate.";

impl<P: Provenance> Display for FitReport<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self { held_out, best_step, best_epoch, steps, epochs, examples, seconds, end, .. } =
            self;
        let n = counted(held_out.examples(), "example");
        write!(f, "Held out: {held_out}, on {n}, with the weights after update {best_step} ")?;
        writeln!(f, "(epoch {best_epoch}).")?;
        write!(
            f,
            "Trained on {} in {}, {}, {seconds:.1} s; ",
            counted(*examples, "example"),
            counted(*steps, "update"),
            counted(*epochs, "epoch")
        )?;
        write!(f, "it ended because {end}.")?;
        if *best_step == 0 && *steps > 0 {
            f.write_str(NO_RISE)?;
        }
        Ok(())
    }
}
