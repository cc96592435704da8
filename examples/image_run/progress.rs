//! Progress of a run: a bar with rate, losses and time left.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::Limit;

/// Bits/dim of a run: of every update, and of the test images now and then.
#[derive(Default)]
pub struct Curve {
    pub train: Vec<f64>,
    pub test: Vec<(u64, f64)>,
}

impl Curve {
    /// Mean of the last 50 updates.
    pub fn recent_train(&self) -> Option<f64> {
        let recent = &self.train[self.train.len().saturating_sub(50)..];
        (!recent.is_empty()).then(|| recent.iter().sum::<f64>() / recent.len() as f64)
    }
}

pub struct Progress {
    bar: ProgressBar,
    limit: Limit,
    start: Instant,
    updates: Duration,
}

impl Progress {
    pub fn new(limit: Limit) -> Self {
        // With a limit in time the bar counts milliseconds, so that its estimate of the time left is right.
        let length = limit.time.map_or(limit.steps, |time| time.as_millis() as u64);
        let bar = ProgressBar::new(length);
        // The template is a constant; if it were malformed the bar would keep its default look.
        if let Ok(style) = ProgressStyle::with_template("[{elapsed_precise}] {bar:30} {msg}, {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, limit, start: Instant::now(), updates: Duration::ZERO }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Runs an update and counts its time.
    pub fn time<T>(&mut self, update: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = update();
        self.updates += start.elapsed();
        result
    }

    /// Whether the test images are due after this update.
    pub fn wants_test(&self, step: u64) -> bool {
        step.is_multiple_of(25) || step == self.limit.steps
    }

    pub fn show(&self, step: u64, curve: &Curve) {
        let seconds = self.elapsed().as_secs_f64();
        let rate = step as f64 / self.updates.as_secs_f64();
        let train = curve.recent_train().map_or("-".into(), |bits| format!("{bits:.3}"));
        let test = curve.test.last().map_or("-".into(), |(_, bits)| format!("{bits:.3}"));
        let message = format!("step {step}, {rate:.2} steps/s, bits/dim train {train} test {test}");
        let by_steps = step as f64 / self.limit.steps as f64;
        let position = match self.limit.time {
            None => step,
            // Whichever limit comes first.
            Some(time) => (time.as_millis() as f64 * by_steps.max(seconds / time.as_secs_f64())) as u64,
        };
        self.bar.set_position(position);
        if self.bar.is_hidden() && step.is_multiple_of(50) {
            println!("{message}");
        }
        self.bar.set_message(message);
    }

    /// Ends the bar; seconds that the updates took.
    pub fn finish(self) -> f64 {
        self.bar.finish();
        self.updates.as_secs_f64()
    }
}
