//! A log of the metrics for output without a terminal: one line for each metric after every split
//! of an epoch.

use std::collections::HashMap;
use std::fmt::Arguments;
use std::io::{Write, stdout};

use burn::train::LearnerSummary;
use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn::train::metric::{MetricDefinition, MetricEntry, MetricId};
use burn::train::renderer::{
    EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation,
    MetricsRendererTraining,
};

/// A renderer for output without a terminal. It writes one line for each metric after each split of
/// an epoch (training, validation) to the standard output.
///
/// burn's own renderer writes the progress of every batch there, and no metric before the end. If
/// the standard output is closed or full, the training continues without it.
#[derive(Debug, Default)]
pub struct EpochLog {
    names: HashMap<MetricId, String>,
    /// The metrics of the current split, in the order of their arrival.
    latest: Vec<(MetricId, String)>,
    split: String,
    epoch: usize,
}

/// Writes a line if the standard output accepts it. If it is closed, `println!` would panic and so
/// end the training.
fn line(text: Arguments<'_>) {
    let _ = writeln!(stdout().lock(), "{text}");
}

impl EpochLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    fn keep(&mut self, state: MetricState) {
        let (MetricState::Generic(entry) | MetricState::Numeric(entry, _)) = state;
        let MetricEntry { metric_id, serialized_entry } = entry;
        let text = serialized_entry.formatted;
        match self.latest.iter_mut().find(|(id, _)| *id == metric_id) {
            Some((_, latest)) => *latest = text,
            None => self.latest.push((metric_id, text)),
        }
    }

    fn print(&mut self) {
        for (id, text) in self.latest.drain(..) {
            let name = self.names.get(&id).map_or("metric", String::as_str);
            // Of "epoch 1.0 - batch 0.9" only the part about the epoch.
            let value =
                text.split(" - batch").next().unwrap_or_default().trim_start_matches("epoch ");
            line(format_args!("epoch {} {}: {name} {value}", self.epoch, self.split));
        }
    }
}

impl MetricsRendererTraining for EpochLog {
    fn update_train(&mut self, state: MetricState) {
        self.keep(state);
    }

    fn update_valid(&mut self, state: MetricState) {
        self.keep(state);
    }

    fn on_train_end(
        &mut self,
        summary: Option<LearnerSummary>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        if let Some(summary) = summary {
            line(format_args!("{summary}"));
        }
        Ok(())
    }
}

impl TrainingProgressLogger for EpochLog {
    fn start(
        &mut self,
        _total_epochs: usize,
        starting_epoch: usize,
        _items: Option<usize>,
        _label: Option<&str>,
    ) {
        self.epoch = starting_epoch;
    }

    fn start_split(&mut self, split: &str, _total_items: usize) {
        self.split = split.to_owned();
    }

    fn update_split(&mut self, _items_processed: usize) {}

    fn end_split(&mut self) {
        self.print();
    }

    fn update_epoch(&mut self, epoch: usize) {
        self.epoch = epoch + 1;
    }

    fn end(&mut self) {}

    fn log_event_training(&mut self, _event: String) {}
}

impl MetricsRendererEvaluation for EpochLog {
    fn update_test(&mut self, _name: EvaluationName, state: MetricState) {
        self.keep(state);
    }
}

impl EvaluationProgressLogger for EpochLog {
    fn start_global_progress(&mut self, _total_tests: usize) {}

    fn start_test(&mut self, name: &str, _total_items: usize) {
        self.split = name.to_owned();
    }

    fn update_test_progress(&mut self, _items_processed: usize) {}

    fn end_test(&mut self) {
        self.print();
    }

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _event: String) {}
}

impl MetricsRenderer for EpochLog {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.names.insert(definition.metric_id, definition.name.to_string());
    }
}
