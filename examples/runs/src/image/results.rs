//! What a finished run writes: pictures, the learning curve and a report.

use std::io::Cursor;

use burn::module::Module;
use burn::tensor::Tensor;
use flowkit::data::Images;
use flowkit::flow::MeanLikelihood;
use flowkit::flow::likelihood::{OneSampleBound, Provenance};
use flowkit::train::{Trainer, peak_rss_bytes};
use flowkit::{BitsPerDim, FlowError};
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use super::evaluation::Levels;
use super::failure::Failure;
use super::folder::Folder;
use super::history::History;
use super::pictures;
use super::source::Source;
use crate::{complain, say};

/// The results of a run. What the model cannot do is printed and reported, and is no error: the run
/// is finished.
pub struct Results<'a> {
    folder: &'a Folder,
    history: &'a History,
    n_levels: usize,
    /// What the report says.
    report: serde_json::Map<String, Value>,
    problems: Problems,
}

impl<'a> Results<'a> {
    pub(super) fn new<M: Module>(
        folder: &'a Folder,
        history: &'a History,
        trainer: &Trainer<M>,
        batch_size: usize,
        n_levels: usize,
        device: &str,
    ) -> Self {
        let (steps, seconds) = (trainer.step_count(), history.update_seconds);
        let mut results = Self {
            folder,
            history,
            n_levels,
            report: Default::default(),
            problems: Default::default(),
        };
        results.note([
            ("parameters", json!(trainer.average().num_params())),
            ("steps", json!(steps)),
            ("batch", json!(batch_size)),
            ("train_bits_per_dim", json!(history.recent_train())),
            ("round_trip_max_error", Value::Null),
            (
                "round_trip_unit",
                json!(format!("steps of a pixel, of which {n_levels} make the range")),
            ),
            ("seconds_per_step", json!(seconds / steps as f64)),
            ("images_per_second", json!(batch_size as f64 * steps as f64 / seconds)),
            ("device", json!(device)),
            ("seed", json!(trainer.config().seed)),
            ("bound", json!(OneSampleBound.to_string())),
            (
                "curve",
                json!({ "unit": history.unit, "train": history.train, "test": history.test }),
            ),
        ]);
        results
    }

    fn note<const N: usize>(&mut self, entries: [(&str, Value); N]) {
        self.report.extend(entries.map(|(key, value)| (key.to_owned(), value)));
    }

    /// A result, if it could be computed.
    pub fn of<T>(&mut self, what: &str, result: Result<T, impl Into<Failure>>) -> Option<T> {
        self.problems.of(what, result.map_err(Into::into))
    }

    /// Bits/dim of held-out images: of the averaged weights and of the last ones.
    pub fn held_out(
        &mut self,
        images: &Images,
        averaged: Result<BitsPerDim<OneSampleBound>, Failure>,
        last: Result<BitsPerDim<OneSampleBound>, Failure>,
    ) {
        let averaged = self.of("bits/dim of the averaged weights", averaged);
        let last = self.of("bits/dim of the last weights", last);
        if let Some(bits) = &averaged {
            say!("test            {bits}");
        }
        say!("checkpoint      {}", self.folder.published().display());
        self.note([
            ("test_bits_per_dim", json!(averaged.as_ref().map(BitsPerDim::value))),
            ("test_bits_per_dim_last_weights", json!(last.as_ref().map(BitsPerDim::value))),
            ("test_images", json!(images.len())),
        ]);
    }

    /// `samples.png`.
    pub fn samples(&mut self, sample: impl Fn(usize) -> Result<Levels, FlowError>) {
        let written = write_samples(self.folder, self.n_levels, sample);
        self.of("samples", written);
    }

    /// `reconstructions.png`: images, and below them what a round trip through the flow made of
    /// them, with the largest error of it.
    pub fn reconstructions(&mut self, images: Levels, round_trip: Option<(Levels, f64)>) {
        let Some((rebuilt, error)) = round_trip else { return };
        let columns = images.dims()[0] as u32;
        let rows = pictures::bytes(Tensor::cat(vec![images, rebuilt], 0), self.n_levels);
        let grid = pictures::grid(rows, columns);
        let written = write_png(self.folder, "reconstructions.png", "reconstructions", &grid);
        self.of("reconstructions", written);
        self.note([("round_trip_max_error", json!(error * self.n_levels as f64))]);
    }

    /// `curve.svg` and `report.json`. The error is the first that does not come from the model.
    pub fn write(mut self) -> Result<(), Failure> {
        let curve = pictures::curve(self.history, &self.folder.path("curve.svg"))
            .and_then(|svg| self.folder.write("curve.svg", "curve", svg.as_bytes()));
        self.of("curve", curve);
        let problems = json!(self.problems.texts);
        let peak_rss = peak_rss_bytes().map(|bytes| bytes as f64 / 1e6);
        self.note([("problems", problems), ("peak_rss_mb", json!(peak_rss))]);
        let text = serde_json::to_string_pretty(&self.report)?;
        self.folder.write("report.json", "report", text.as_bytes())?;
        self.problems.error.map_or(Ok(()), Err)
    }
}

/// `samples.png`: an 8x8 grid, sampled in two halves.
pub fn write_samples(
    folder: &Folder,
    n_levels: usize,
    sample: impl Fn(usize) -> Result<Levels, FlowError>,
) -> Result<(), Failure> {
    let halves = [sample(32)?, sample(32)?];
    let samples = pictures::bytes(Tensor::cat(halves.into(), 0), n_levels);
    write_png(folder, "samples.png", "samples", &pictures::grid(samples, 8))
}

/// `evaluation.json`.
pub fn write_evaluation<P: Provenance>(
    folder: &Folder,
    mean: &MeanLikelihood<P>,
    source: &Source,
) -> Result<(), Failure> {
    let report = json!({
        "test_bits_per_dim": mean.bits_per_dim().value(),
        "standard_error": mean.bits_per_dim_error(),
        "bound": mean.provenance().to_string(),
        "images": mean.examples(),
        "data": source.to_string(),
    });
    let text = serde_json::to_string_pretty(&report)?;
    folder.write("evaluation.json", "evaluation", text.as_bytes())
}

fn write_png(folder: &Folder, name: &str, what: &str, picture: &RgbImage) -> Result<(), Failure> {
    let mut bytes = Cursor::new(Vec::new());
    let fail = |reason: String| Failure::Picture { path: folder.path(name), reason };
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|error| fail(error.to_string()))?;
    folder.write(name, what, &bytes.into_inner())
}

/// Results of a finished run that could not be computed or written. All others are written, and the
/// report lists these.
#[derive(Default)]
struct Problems {
    texts: Vec<String>,
    /// The first failure that does not come from the model: that of a disk or a device.
    error: Option<Failure>,
}

impl Problems {
    fn of<T>(&mut self, what: &str, result: Result<T, Failure>) -> Option<T> {
        let failure = match result {
            Ok(value) => return Some(value),
            Err(failure) => failure,
        };
        let text = format!("{what}: {failure}");
        complain!("warning: {text}");
        self.texts.push(text);
        let is_models = matches!(
            failure,
            Failure::Flow(FlowError::NonFiniteLikelihood { .. } | FlowError::NotInverted { .. })
        );
        if !is_models {
            self.error.get_or_insert(failure);
        }
        None
    }
}
