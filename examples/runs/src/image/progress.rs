//! Progress of a run: a bar with rate, losses and time left.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::conduct::Conduct;
use super::history::History;
use crate::say;

pub struct Progress {
    bar: ProgressBar,
    limit: Conduct,
    /// When the last look at the clock was taken.
    last: Instant,
}

impl Progress {
    pub fn new(limit: Conduct) -> Self {
        // With a limit in time the bar counts milliseconds, so that its estimate of the time left
        // is right.
        let length = limit.time.map_or(limit.steps, |time| time.as_millis() as u64);
        let bar = ProgressBar::new(length);
        // The template is a constant; if it were malformed the bar would keep its default look.
        if let Ok(style) =
            ProgressStyle::with_template("[{elapsed_precise}] {bar:30} {msg}, {eta} left")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, limit, last: Instant::now() }
    }

    /// Starts the clock.
    pub fn restart(&mut self) {
        self.last = Instant::now();
    }

    /// Adds the time since the last call to the run's.
    pub fn clock(&mut self, history: &mut History) {
        let now = Instant::now();
        history.seconds += (now - self.last).as_secs_f64();
        self.last = now;
    }

    pub fn show(&self, step: u64, history: &History) {
        let rate = step as f64 / history.update_seconds;
        let train = history.recent_train().map_or("-".into(), |bits| format!("{bits:.3}"));
        let test = history
            .test
            .last()
            .and_then(|(_, bits)| *bits)
            .map_or("-".into(), |bits| format!("{bits:.3}"));
        let unit = history.unit;
        let message = format!("step {step}, {rate:.2} steps/s, {unit}: train {train}, test {test}");
        let by_steps = step as f64 / self.limit.steps as f64;
        let position = match self.limit.time {
            None => step,
            // Whichever limit comes first.
            Some(time) => {
                (time.as_millis() as f64 * by_steps.max(history.seconds / time.as_secs_f64()))
                    as u64
            }
        };
        self.bar.set_position(position);
        if self.bar.is_hidden() && step.is_multiple_of(50) {
            say!("{message}");
        }
        self.bar.set_message(message);
    }

    /// Ends the bar.
    pub fn finish(&self) {
        self.bar.finish();
    }
}

/// Runs an update and counts its time.
pub fn time<T>(history: &mut History, update: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = update();
    history.update_seconds += start.elapsed().as_secs_f64();
    result
}
