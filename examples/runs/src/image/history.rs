//! What a run has seen so far; it goes into each checkpoint, so that a resumed run reports all of
//! it.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::path::Path;

use flowkit::flow::likelihood::OneSampleBound;
use flowkit::train::Checkpoint;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::counted::counted;

/// Section of a checkpoint.
const SECTION: &str = "history";

/// What the values of a history are, as the file says it.
#[derive(Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Unit {
    #[default]
    #[serde(rename = "bits/dim (one-sample bound)")]
    OneSampleBitsPerDim,
}

impl Display for Unit {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self::OneSampleBitsPerDim = self;
        write!(f, "bits/dim ({OneSampleBound})")
    }
}

/// Bits/dim of every update that was done and, now and then, of test images; and the time it took.
#[derive(Default, Serialize, Deserialize)]
pub struct History {
    /// Of `train` and `test`. A history of an earlier version does not say it.
    #[serde(default)]
    pub unit: Unit,
    /// `None` where the update was passed over.
    pub train: Vec<Option<f64>>,
    /// After which update, and `None` where it is not finite.
    pub test: Vec<(u64, Option<f64>)>,
    /// Seconds of the updates alone.
    pub update_seconds: f64,
    /// Seconds of the whole run. A limit in time counts them, those before a resume too.
    pub seconds: f64,
}

impl History {
    /// Mean of the last 50 updates.
    pub fn recent_train(&self) -> Option<f64> {
        let recent: Vec<f64> =
            self.train[self.train.len().saturating_sub(50)..].iter().flatten().copied().collect();
        (!recent.is_empty()).then(|| recent.iter().sum::<f64>() / recent.len() as f64)
    }

    pub fn write(&self, checkpoint: &mut Checkpoint) -> Result<(), Failure> {
        Ok(checkpoint.insert_bytes(SECTION, serde_json::to_vec(self)?)?)
    }

    /// The history of a run after `step` updates. The file may be somebody else's: an impossible
    /// history is an error.
    pub fn read(checkpoint: &Checkpoint, path: &Path, step: u64) -> Result<Self, Failure> {
        let bytes = checkpoint.bytes(SECTION)?;
        let history: Self = serde_json::from_slice(bytes)
            .map_err(|source| Failure::Config { path: path.to_path_buf(), source })?;
        let fail = |what, found: String, expected| {
            Err(Failure::History { path: path.to_path_buf(), what, found, expected })
        };
        for (what, seconds) in
            [("seconds", history.seconds), ("update_seconds", history.update_seconds)]
        {
            if !(seconds.is_finite() && seconds >= 0.0) {
                return fail(what, seconds.to_string(), "at least 0".into());
            }
        }
        let n_updates = history.train.len() as u64;
        if n_updates != step {
            return fail(
                "train",
                counted(n_updates, "update"),
                format!("{step}, those of the run"),
            );
        }
        if let Some((late, _)) = history.test.iter().find(|(tested, _)| *tested > step) {
            return fail(
                "test",
                format!("update {late}"),
                format!("at most {step}, the last of the run"),
            );
        }
        Ok(history)
    }
}
