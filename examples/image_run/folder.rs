//! The folder that a run writes, file by file, each whole or absent.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowkit::BitsPerDim;
use flowkit::data::Split;
use flowkit::metric::{OneSampleBound, Provenance};
use flowkit::model::flow_plus_plus::FlowPlusPlus;
use flowkit::train::{Purpose, StepSeed, peak_rss_bytes};
use image::{ImageFormat, RgbImage};
use serde_json::json;

use super::args::RunArgs;
use super::failure::Failure;
use super::progress::Curve;
use super::{evaluate, pictures};

/// Test images that the final number is measured on.
const TEST_IMAGES: usize = 256;

/// A finished training run.
pub struct ModelRun {
    /// Averaged weights.
    pub model: FlowPlusPlus,
    /// The weights after the last update.
    pub last: Option<FlowPlusPlus>,
    pub curve: Curve,
    /// Time of the updates, without the evaluations between them.
    pub seconds: f64,
    pub batch_size: usize,
}

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

    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn write(&self, name: &str, what: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path(name);
        let fail = |source| Failure::Write { path: path.clone(), source };
        let mut builder = tempfile::Builder::new();
        // A picture is for everyone that the user's umask lets see it; temporary files are private.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(&self.path).map_err(fail)?;
        file.write_all(bytes).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        file.persist(&path).map_err(|error| fail(error.error))?;
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
    pub fn write_samples(&self, model: &FlowPlusPlus, temperature: f64) -> Result<(), Failure> {
        let halves = [model.sample::<4>(32, temperature)?, model.sample::<4>(32, temperature)?];
        let samples = pictures::bytes(Tensor::cat(halves.into(), 0), model.surjection.n_levels());
        self.write_png("samples.png", "samples", &pictures::grid(samples, 8))
    }

    /// The result of an evaluation as JSON.
    pub fn write_evaluation<P: Provenance>(&self, bits: &BitsPerDim<P>, images: usize) -> Result<(), Failure> {
        let report = json!({
            "test_bits_per_dim": bits.value(),
            "bound": bits.provenance().to_string(),
            "images": images,
        });
        self.write("evaluation.json", "evaluation", serde_json::to_string_pretty(&report)?.as_bytes())
    }

    /// Evaluates a trained model and writes everything but its checkpoint, which is there already.
    pub fn write_all(
        &self,
        run: &ModelRun,
        data: &Split,
        seed: u64,
        args: &RunArgs,
        device: &Device,
    ) -> Result<(), Failure> {
        let seeds = StepSeed::new(seed);
        let steps = run.curve.train.len() as u64;
        let test = data.test.clone().take(TEST_IMAGES);
        let measure = |model: &FlowPlusPlus| -> Result<BitsPerDim<OneSampleBound>, Failure> {
            device.seed(seeds.seed(steps, Purpose::Evaluation));
            Ok(evaluate(model, &test, device)?.bits_per_dim())
        };
        let bits = measure(&run.model)?;
        let last = run.last.as_ref().map(measure).transpose()?;
        println!("test            {bits}");

        let shown: Vec<usize> = (0..data.test.len().min(16)).collect();
        let originals = data.test.batch(&shown, device);
        let (rebuilt, error) = run.model.round_trip(originals.clone())?;
        println!("checkpoint      {}", self.path("checkpoint.safetensors").display());
        device.seed(seeds.seed(steps, Purpose::Sampling));
        self.write_samples(&run.model, 1.0)?;
        let n_levels = run.model.surjection.n_levels();
        let rows = pictures::bytes(Tensor::cat(vec![originals, rebuilt], 0), n_levels);
        self.write_png("reconstructions.png", "reconstructions", &pictures::grid(rows, shown.len() as u32))?;
        let svg = pictures::curve(&run.curve, &self.path("curve.svg"))?;
        self.write("curve.svg", "curve", svg.as_bytes())?;

        let report = json!({
            "parameters": run.model.num_params(),
            "steps": steps,
            "batch": run.batch_size,
            "train_bits_per_dim": run.curve.recent_train(),
            "test_bits_per_dim": bits.value(),
            "test_bits_per_dim_last_weights": last.map(|bits| bits.value()),
            "test_images": test.len(),
            "bound": bits.provenance().to_string(),
            "round_trip_max_error": error * n_levels as f64,
            "round_trip_unit": format!("steps of a pixel, of which {n_levels} make the range"),
            "seconds_per_step": run.seconds / steps as f64,
            "images_per_second": run.batch_size as f64 * steps as f64 / run.seconds,
            "peak_rss_mb": peak_rss_bytes().map(|bytes| bytes as f64 / 1e6),
            "device": args.device.name(),
            "seed": seed,
            "curve": { "train": run.curve.train, "test": run.curve.test },
        });
        self.write("report.json", "report", serde_json::to_string_pretty(&report)?.as_bytes())
    }
}
