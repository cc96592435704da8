//! The list of checks.

use std::fmt::{Display, Formatter, Result as FmtResult};

use burn::tensor::DType;

use super::conformance::Conformance;
use super::context::SampleContext;
use super::failure::{Failure, Fault, Setting};
use super::panic::catch;
use super::{
    evaluation, finite, gradients, independence, initialization, layers, log_det, moves, precision,
    records, repeats, replay, round_trip, shapes, training,
};
use crate::tensor::graph::free_unused;

/// One promise of a bijector. The functions of the same names in the parent module are the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// [`shapes()`]
    Shapes,
    /// [`finite()`]
    Finite,
    /// [`round_trip()`]
    RoundTrip,
    /// [`log_det()`]
    LogDet,
    /// [`gradients()`]
    Gradients,
    /// [`training()`]
    Training,
    /// [`evaluation()`]
    Evaluation,
    /// [`independence()`]
    Independence,
    /// [`precision()`]
    Precision,
    /// [`records()`]
    Records,
    /// [`moves()`]
    Moves,
    /// [`replay()`]
    Replay,
    /// [`initialization()`]
    Initialization,
    /// [`repeats()`]
    Repeats,
    /// [`layers()`]
    Layers,
}

impl Check {
    /// All checks, cheap ones first.
    pub const ALL: [Self; 15] = [
        Self::Shapes,
        Self::Finite,
        Self::RoundTrip,
        Self::LogDet,
        Self::Gradients,
        Self::Training,
        Self::Evaluation,
        Self::Independence,
        Self::Precision,
        Self::Records,
        Self::Moves,
        Self::Replay,
        Self::Initialization,
        Self::Repeats,
        Self::Layers,
    ];

    /// Runs this check. Most checks use no gradient; what their graphs have in memory would stay
    /// there through the checks that follow, and a GPU's allocator would search through all of it.
    pub(super) fn run<const D: usize, C: SampleContext>(
        self,
        of: &Conformance<D, C>,
    ) -> Result<Outcome, Failure> {
        let outcome = self.check(of);
        for dtype in [DType::F32, DType::F64] {
            free_unused(&of.device_for(dtype));
        }
        outcome
    }

    fn check<const D: usize, C: SampleContext>(
        self,
        of: &Conformance<D, C>,
    ) -> Result<Outcome, Failure> {
        match self {
            Self::Shapes => shapes(of),
            Self::Finite => finite(of),
            Self::RoundTrip => round_trip(of),
            Self::LogDet => log_det(of),
            Self::Gradients => gradients(of),
            Self::Training => training(of),
            Self::Evaluation => evaluation(of),
            Self::Independence => independence(of),
            Self::Precision => precision(of),
            Self::Records => records(of),
            Self::Moves => moves(of),
            Self::Replay => replay(of),
            Self::Initialization => initialization(of),
            Self::Repeats => repeats(of),
            Self::Layers => layers(of),
        }
    }

    /// Runs the body of this check under each setting. Stops at the first that fails.
    pub(super) fn under(
        self,
        settings: impl IntoIterator<Item = Setting>,
        body: impl Fn(Setting) -> Result<f64, Fault>,
    ) -> Result<Outcome, Failure> {
        let mut used = 0.0f64;
        for setting in settings {
            match catch(|| body(setting)).unwrap_or_else(|message| Err(Fault::Panicked(message))) {
                Ok(share) => used = used.max(share),
                Err(fault) => return Err(Failure { check: self, setting, fault: Box::new(fault) }),
            }
        }
        Ok(Outcome { check: self, used })
    }
}

impl Display for Check {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.pad(match self {
            Self::Shapes => "shapes",
            Self::Finite => "finite",
            Self::RoundTrip => "round trip",
            Self::LogDet => "log-determinant",
            Self::Gradients => "gradients",
            Self::Training => "training",
            Self::Evaluation => "evaluation",
            Self::Independence => "independence",
            Self::Precision => "precision",
            Self::Records => "records",
            Self::Moves => "moves",
            Self::Replay => "replay",
            Self::Initialization => "initialisation",
            Self::Repeats => "repeats",
            Self::Layers => "layers",
        })
    }
}

/// A check that passed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Which check.
    pub check: Check,
    /// Largest share of its tolerance that a difference used; 1 is all of it. 0 where everything
    /// agreed exactly, and for checks without a tolerance.
    pub used: f64,
}

/// All checks passed.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Name of the bijector.
    pub name: String,
    /// In the order of [`Check::ALL`].
    pub outcomes: Vec<Outcome>,
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        write!(f, "{} passes {} checks", self.name, self.outcomes.len())?;
        for Outcome { check, used } in &self.outcomes {
            match used {
                0.0 => write!(f, "\n  {check:<16}holds")?,
                used => write!(f, "\n  {check:<16}{:.1} % of the tolerance", 100.0 * used)?,
            }
        }
        Ok(())
    }
}
