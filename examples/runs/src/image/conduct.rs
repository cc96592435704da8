//! How a run goes on: when it ends, what it saves, what it does about a NaN. It is kept in the
//! checkpoints, so that `--resume` alone finishes what was begun; unlike a setting, a flag may
//! change it at any time.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use flowkit::GradientMemory;
use flowkit::train::{Checkpoint, NonFinite};
use serde::{Deserialize, Serialize};

use super::args::RunArgs;
use super::failure::Failure;
use super::history::History;

/// Key in a checkpoint.
pub const KEY: &str = "conduct";

/// Failures in a row (skip), or since the last checkpoint (restore), that a run gets past: enough
/// for stray batches, too few to hide a training that diverges. Our choice.
const PATIENCE: u64 = 10;

/// What to do about a loss or gradient that is not finite.
#[derive(Clone, Copy, ValueEnum)]
#[allow(missing_docs)] // clap would print them, and the names say it
pub enum Policy {
    Stop,
    Skip,
    Restore,
}

/// What the backward pass keeps.
#[derive(Clone, Copy, ValueEnum)]
pub enum Keep {
    /// Every graph: the fastest
    Store,
    /// Each layer's input
    Recompute,
    /// Next to nothing: inputs by the inverses
    Reversible,
}

impl From<Keep> for GradientMemory {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::Store => Self::Store,
            Keep::Recompute => Self::Recompute,
            Keep::Reversible => Self::REVERSIBLE,
        }
    }
}

impl From<GradientMemory> for Keep {
    fn from(backward: GradientMemory) -> Self {
        match backward {
            GradientMemory::Store => Self::Store,
            GradientMemory::Recompute => Self::Recompute,
            GradientMemory::Reversible { .. } => Self::Reversible,
        }
    }
}

impl From<Policy> for NonFinite {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Stop => Self::Stop,
            Policy::Skip => Self::Skip { at_most: PATIENCE },
            Policy::Restore => Self::Restore { at_most: PATIENCE },
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Conduct {
    /// Updates in all.
    pub steps: u64,
    /// Time for them, if it is limited.
    pub time: Option<Duration>,
    /// Updates between two checkpoints.
    pub save_every: u64,
    /// Checkpoints that are kept.
    pub keep: usize,
}

impl Default for Conduct {
    fn default() -> Self {
        Self { steps: 600, time: Some(Duration::from_secs(240)), save_every: 100, keep: 2 }
    }
}

impl Conduct {
    /// That of a checkpoint.
    pub fn read(checkpoint: &Checkpoint, path: &Path) -> Result<Self, Failure> {
        let text = checkpoint
            .metadata(KEY)
            .ok_or_else(|| Failure::OtherProgram { path: path.to_path_buf() })?;
        serde_json::from_str(text)
            .map_err(|source| Failure::Config { path: path.to_path_buf(), source })
    }

    /// With what the command line says.
    pub fn with_flags(self, args: &RunArgs) -> Self {
        let (steps, time) = args.steps.map_or((self.steps, self.time), |steps| (steps, None));
        let save_every = args.save_every.unwrap_or(self.save_every);
        Self { steps, time, save_every, keep: args.keep.unwrap_or(self.keep) }
    }

    /// Whether a run is at its end.
    pub fn is_over(&self, step: u64, history: &History) -> bool {
        step >= self.steps || self.time.is_some_and(|time| history.seconds >= time.as_secs_f64())
    }
}
