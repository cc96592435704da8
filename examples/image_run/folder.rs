//! The folder that a run writes, file by file, each whole or absent.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use flowkit::BitsPerDim;
use flowkit::data::Split;
use flowkit::metric::{OneSampleBound, Provenance};
use flowkit::random::Seeded;
use flowkit::train::{Purpose, StepSeed, peak_rss_bytes};
use flowkit::whole_file::{self, TEMPORARY};
use image::{ImageFormat, RgbImage};
use serde_json::json;

use super::args::RunArgs;
use super::failure::Failure;
use super::history::History;
use super::model::ImageModel;
use super::{evaluate, pictures};

/// Test images that the final number is measured on.
const TEST_IMAGES: usize = 256;

/// A finished training run.
pub struct ModelRun<M> {
    /// Averaged weights.
    pub model: M,
    /// The weights after the last update.
    pub last: M,
    /// Updates, those before a resume among them.
    pub steps: u64,
    pub history: History,
    pub batch_size: usize,
    pub seed: u64,
    /// Levels of a pixel.
    pub n_levels: usize,
}

/// The newest checkpoint's name in the folder.
const CHECKPOINT: &str = "checkpoint.safetensors";

pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder and tries to write there, before anything is computed.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let fail = |source| Failure::Write { path: path.to_path_buf(), source };
        fs::create_dir_all(path).map_err(fail)?;
        tempfile::tempfile_in(path).map_err(fail)?;
        Ok(Self { path: path.to_path_buf() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the checkpoints of a run are.
    pub fn checkpoints(&self) -> PathBuf {
        self.path("checkpoints")
    }

    /// Deletes the checkpoints of an earlier run. Their folder goes in one step, so that no moment leaves a part of them to be resumed.
    pub fn remove_checkpoints(&self) -> Result<(), Failure> {
        let place = self.checkpoints();
        let aside = self.path(&format!("{TEMPORARY}checkpoints"));
        let fail = |source| Failure::Write { path: place.clone(), source };
        fs::rename(&place, &aside).map_err(fail)?;
        self.sync().map_err(fail)?;
        fs::remove_dir_all(&aside).map_err(fail)
    }

    /// Makes the names in the folder durable, where a folder can be opened.
    fn sync(&self) -> std::io::Result<()> {
        if cfg!(unix) { fs::File::open(&self.path)?.sync_all() } else { Ok(()) }
    }

    /// Deletes what a killed run left half written or half deleted.
    pub fn remove_leftovers(&self) -> Result<(), Failure> {
        let fail = |source| Failure::Write { path: self.path.clone(), source };
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                let folder = entry.file_type().map_err(fail)?.is_dir();
                let remove = if folder { fs::remove_dir_all } else { fs::remove_file };
                remove(entry.path()).map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Makes `checkpoint.safetensors` another name of a checkpoint, or a copy where the file system has no second names.
    pub fn publish(&self, checkpoint: &Path) -> Result<(), Failure> {
        let path = self.path(CHECKPOINT);
        let fail = |source| Failure::Write { path: path.clone(), source };
        let temporary = self.path(&format!("{TEMPORARY}{CHECKPOINT}"));
        let remove = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fail(error)),
            _ => Ok(()),
        };
        remove(&temporary)?;
        if fs::hard_link(checkpoint, &temporary).is_err() {
            fs::copy(checkpoint, &temporary).map_err(fail)?;
            fs::File::open(&temporary).and_then(|copy| copy.sync_all()).map_err(fail)?;
        }
        fs::rename(&temporary, &path).map_err(fail)?;
        self.sync().map_err(fail)?;
        // Renaming one name of a file to another of its names leaves both.
        remove(&temporary)
    }

    fn write(&self, name: &str, what: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path(name);
        let fail = |source| Failure::Write { path: path.clone(), source };
        whole_file::write(&path, |file| file.write_all(bytes)).map_err(fail)?;
        println!("{what:<15} {}", path.display());
        Ok(())
    }

    fn write_png(&self, name: &str, what: &str, picture: &RgbImage) -> Result<(), Failure> {
        let mut bytes = Cursor::new(Vec::new());
        let fail = |reason: String| Failure::Picture { path: self.path(name), reason };
        picture.write_to(&mut bytes, ImageFormat::Png).map_err(|error| fail(error.to_string()))?;
        self.write(name, what, &bytes.into_inner())
    }

    /// An 8x8 grid of samples.
    pub fn write_samples(&self, model: &impl ImageModel, temperature: f64, n_levels: usize) -> Result<(), Failure> {
        let halves = [model.draw(32, temperature)?, model.draw(32, temperature)?];
        let samples = pictures::bytes(Tensor::cat(halves.into(), 0), n_levels);
        self.write_png("samples.png", "samples", &pictures::grid(samples, 8))
    }

    /// The result of an evaluation as JSON.
    pub fn write_evaluation<P: Provenance>(
        &self,
        bits: &BitsPerDim<P>,
        images: usize,
        source: &str,
    ) -> Result<(), Failure> {
        let report = json!({
            "test_bits_per_dim": bits.value(),
            "bound": bits.provenance().to_string(),
            "images": images,
            "data": source,
        });
        self.write("evaluation.json", "evaluation", serde_json::to_string_pretty(&report)?.as_bytes())
    }

    /// Evaluates a trained model and writes everything but its checkpoint, which is there already.
    pub fn write_all<M: ImageModel>(
        &self,
        run: &ModelRun<M>,
        data: &Split,
        args: &RunArgs,
        device: &Device,
    ) -> Result<(), Failure> {
        let ModelRun { steps, history, batch_size, seed, n_levels, .. } = run;
        let seeds = StepSeed::new(*seed);
        let test = data.test.clone().take(TEST_IMAGES);
        let measure = |model: &M| -> Result<BitsPerDim<OneSampleBound>, Failure> {
            let _noise = Seeded::new(device, seeds.seed(*steps, Purpose::Evaluation));
            Ok(evaluate(model, &test, device)?.bits_per_dim())
        };
        let bits = measure(&run.model)?;
        let last = measure(&run.last)?;
        println!("test            {bits}");

        let shown: Vec<usize> = (0..data.test.len().min(16)).collect();
        let originals = data.test.batch(&shown, device);
        let (rebuilt, error) = run.model.there_and_back(originals.clone())?;
        println!("checkpoint      {}", self.path(CHECKPOINT).display());
        device.seed(seeds.seed(*steps, Purpose::Sampling));
        self.write_samples(&run.model, 1.0, *n_levels)?;
        let rows = pictures::bytes(Tensor::cat(vec![originals, rebuilt], 0), *n_levels);
        self.write_png("reconstructions.png", "reconstructions", &pictures::grid(rows, shown.len() as u32))?;
        let svg = pictures::curve(history, &self.path("curve.svg"))?;
        self.write("curve.svg", "curve", svg.as_bytes())?;

        let report = json!({
            "parameters": run.model.num_params(),
            "steps": steps,
            "batch": batch_size,
            "train_bits_per_dim": history.recent_train(),
            "test_bits_per_dim": bits.value(),
            "test_bits_per_dim_last_weights": last.value(),
            "test_images": test.len(),
            "bound": bits.provenance().to_string(),
            "round_trip_max_error": error * *n_levels as f64,
            "round_trip_unit": format!("steps of a pixel, of which {n_levels} make the range"),
            "seconds_per_step": history.update_seconds / *steps as f64,
            "images_per_second": *batch_size as f64 * *steps as f64 / history.update_seconds,
            "peak_rss_mb": peak_rss_bytes().map(|bytes| bytes as f64 / 1e6),
            "device": args.device.name(),
            "seed": seed,
            "curve": { "train": history.train, "test": history.test },
        });
        self.write("report.json", "report", serde_json::to_string_pretty(&report)?.as_bytes())
    }
}
