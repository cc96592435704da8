//! The folder that a run writes, file by file, each whole or absent.

use std::fs::{self, File, TryLockError};
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use flowkit::data::Split;
use flowkit::flow::likelihood::{OneSampleBound, Provenance};
use flowkit::random::Seeded;
use flowkit::train::{Purpose, StepSeed, peak_rss_bytes};
use flowkit::whole_file::{self, TEMPORARY};
use flowkit::{BitsPerDim, FlowError};
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

/// What a finished run writes beside it.
const RESULTS: [&str; 5] =
    ["report.json", "curve.svg", "samples.png", "reconstructions.png", "evaluation.json"];

pub struct Folder {
    path: PathBuf,
    /// Held until the program ends, however it ends.
    lock: Option<File>,
}

impl Folder {
    /// Makes the folder and tries to write there, before anything is computed.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let fail = |source| Failure::Write { path: path.to_path_buf(), source };
        fs::create_dir_all(path).map_err(fail)?;
        tempfile::tempfile_in(path).map_err(fail)?;
        Ok(Self { path: path.to_path_buf(), lock: None })
    }

    /// Keeps other runs out. Where the system does not lock folders, the lock in `checkpoints`
    /// keeps them from saving.
    pub fn lock(&mut self) -> Result<(), Failure> {
        let Ok(folder) = File::open(&self.path) else { return Ok(()) };
        if let Err(TryLockError::WouldBlock) = folder.try_lock() {
            return Err(Failure::InUse { out: self.path.clone() });
        }
        self.lock = Some(folder);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the checkpoints of a run are.
    pub fn checkpoints(&self) -> PathBuf {
        self.path("checkpoints")
    }

    /// The newest of them, under the name that users know.
    pub fn published(&self) -> PathBuf {
        self.path(CHECKPOINT)
    }

    /// Deletes the results of an earlier run, which would otherwise lie beside the checkpoints of
    /// another one.
    pub fn remove_results(&self) -> Result<(), Failure> {
        RESULTS.into_iter().try_for_each(|name| self.remove(name))?;
        self.sync().map_err(|source| Failure::Write { path: self.path.clone(), source })
    }

    /// Deletes a file of the program's, if it is there. A link or a folder of that name is somebody
    /// else's.
    fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {
                fs::remove_file(&path).map_err(|source| Failure::Write { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Makes the names in the folder durable, where a folder can be opened.
    fn sync(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.path)?.sync_all() } else { Ok(()) }
    }

    /// Deletes what a killed run left half written.
    pub fn remove_leftovers(&self) -> Result<(), Failure> {
        let fail = |source| Failure::Write { path: self.path.clone(), source };
        self.remove(&half_published())?;
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            if let Some(name) = name.to_str()
                && RESULTS.iter().any(|target| whole_file::is_leftover(name, target))
            {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    /// An error if something else is in the place of `checkpoint.safetensors`: renaming would
    /// replace a link, too.
    pub fn check_published(&self) -> Result<(), Failure> {
        let path = self.published();
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
            let source = io::Error::new(
                io::ErrorKind::InvalidInput,
                "what is in its place is no regular file",
            );
            return Err(Failure::Write { path, source });
        }
        Ok(())
    }

    /// Makes `checkpoint.safetensors` another name of a checkpoint, or a copy where the file system
    /// has no second names.
    pub fn publish(&self, checkpoint: &Path) -> Result<(), Failure> {
        let (path, temporary) = (self.published(), self.path(&half_published()));
        let fail = |source| Failure::Write { path: path.clone(), source };
        self.check_published()?;
        self.remove(&half_published())?;
        let is_link = checkpoint.is_symlink();
        if is_link || fs::hard_link(checkpoint, &temporary).is_err() {
            let copied =
                fs::copy(checkpoint, &temporary).and_then(|_| File::open(&temporary)?.sync_all());
            if let Err(source) = copied {
                // A part of a copy would fill the disk further.
                let _ = self.remove(&half_published());
                return Err(fail(source));
            }
        }
        fs::rename(&temporary, &path).map_err(fail)?;
        self.sync().map_err(fail)?;
        // Renaming one name of a file to another of its names leaves both.
        self.remove(&half_published())
    }

    fn write(&self, name: &str, what: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.path(name);
        let fail = |source| Failure::Write { path: path.clone(), source };
        whole_file::write(&path, |file| file.write_all(bytes)).map_err(fail)?;
        say!("{what:<15} {}", path.display());
        Ok(())
    }

    fn write_png(&self, name: &str, what: &str, picture: &RgbImage) -> Result<(), Failure> {
        let mut bytes = Cursor::new(Vec::new());
        let fail = |reason: String| Failure::Picture { path: self.path(name), reason };
        picture.write_to(&mut bytes, ImageFormat::Png).map_err(|error| fail(error.to_string()))?;
        self.write(name, what, &bytes.into_inner())
    }

    /// An 8x8 grid of samples.
    pub fn write_samples(
        &self,
        model: &impl ImageModel,
        temperature: f64,
        n_levels: usize,
    ) -> Result<(), Failure> {
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
        self.write(
            "evaluation.json",
            "evaluation",
            serde_json::to_string_pretty(&report)?.as_bytes(),
        )
    }

    /// Evaluates a trained model and writes everything but its checkpoint, which is there already.
    /// What the model cannot do is printed and reported, and is no error: the run is finished.
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
        let mut problems = Problems::default();
        let bits = problems.of("bits/dim of the averaged weights", measure(&run.model));
        let last = problems.of("bits/dim of the last weights", measure(&run.last));
        if let Some(bits) = &bits {
            say!("test            {bits}");
        }

        let shown: Vec<usize> = (0..data.test.len().min(16)).collect();
        let originals = data.test.batch(&shown, device);
        let round_trip = run.model.there_and_back(originals.clone()).map_err(Failure::from);
        let round_trip = problems.of("round trip", round_trip);
        say!("checkpoint      {}", self.published().display());
        device.seed(seeds.seed(*steps, Purpose::Sampling));
        problems.of("samples", self.write_samples(&run.model, 1.0, *n_levels));
        let error = round_trip.map(|(rebuilt, error)| {
            let rows = pictures::bytes(Tensor::cat(vec![originals, rebuilt], 0), *n_levels);
            let grid = pictures::grid(rows, shown.len() as u32);
            problems.of(
                "reconstructions",
                self.write_png("reconstructions.png", "reconstructions", &grid),
            );
            error * *n_levels as f64
        });
        let curve = pictures::curve(history, &self.path("curve.svg"));
        problems
            .of("curve", curve.and_then(|svg| self.write("curve.svg", "curve", svg.as_bytes())));

        let report = json!({
            "parameters": run.model.num_params(),
            "steps": steps,
            "batch": batch_size,
            "train_bits_per_dim": history.recent_train(),
            "test_bits_per_dim": bits.as_ref().map(BitsPerDim::value),
            "test_bits_per_dim_last_weights": last.as_ref().map(BitsPerDim::value),
            "test_images": test.len(),
            "bound": OneSampleBound.to_string(),
            "round_trip_max_error": error,
            "round_trip_unit": format!("steps of a pixel, of which {n_levels} make the range"),
            "problems": problems.texts,
            "seconds_per_step": history.update_seconds / *steps as f64,
            "images_per_second": *batch_size as f64 * *steps as f64 / history.update_seconds,
            "peak_rss_mb": peak_rss_bytes().map(|bytes| bytes as f64 / 1e6),
            "device": args.device.name(),
            "seed": seed,
            "curve": { "train": history.train, "test": history.test },
        });
        self.write("report.json", "report", serde_json::to_string_pretty(&report)?.as_bytes())?;
        problems.error.map_or(Ok(()), Err)
    }
}

/// The name of `checkpoint.safetensors` while it is made.
fn half_published() -> String {
    format!("{TEMPORARY}{CHECKPOINT}")
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
