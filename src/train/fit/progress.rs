//! The progress bar of a fit, on standard error, with the feature `progress`.

use serde::{Deserialize, Serialize};

use crate::flow::MeanLikelihood;
use crate::flow::likelihood::Provenance;

/// What a fit shows during training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// A bar on standard error, with the best held-out likelihood so far and its provenance.
    /// Nothing without the feature `progress`, or if standard error is not a terminal.
    Bar,
    /// Nothing.
    None,
}

/// A bar in use.
pub(super) struct Shown {
    #[cfg(feature = "progress")]
    bar: indicatif::ProgressBar,
}

#[cfg(feature = "progress")]
impl Shown {
    pub(super) fn new(progress: Progress, steps: u64) -> Self {
        use indicatif::{ProgressBar, ProgressStyle};
        // A bar on standard error hides itself if that is not a terminal.
        let bar = match progress {
            Progress::Bar => ProgressBar::new(steps),
            Progress::None => ProgressBar::hidden(),
        };
        let style = "{elapsed_precise} {wide_bar} {pos}/{len} updates, {eta} left, {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(super) fn held_out<P: Provenance>(&self, best: &MeanLikelihood<P>) {
        self.bar.set_message(format!("held out {best}"));
    }

    pub(super) fn step(&self) {
        self.bar.inc(1);
    }
}

#[cfg(feature = "progress")]
impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(not(feature = "progress"))]
impl Shown {
    pub(super) fn new(_: Progress, _: u64) -> Self {
        Self {}
    }

    pub(super) fn held_out<P: Provenance>(&self, _: &MeanLikelihood<P>) {}

    pub(super) fn step(&self) {}
}
