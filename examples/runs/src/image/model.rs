//! A model's configuration, as a checkpoint holds it.

use std::path::Path;

use burn::module::Module;
use burn::tensor::FloatDType;
use flowkit::model::flow_plus_plus::FlowPlusPlusConfig;
use flowkit::model::glow::GlowConfig;
use flowkit::train::Checkpoint;
use flowkit::{ConfigError, ShapeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;

/// The section of a checkpoint with the weights that are evaluated and sampled.
const AVERAGE: &str = "average";

/// The configuration of a model of images.
pub trait ImageConfig: Serialize + DeserializeOwned {
    /// Key of the configuration in a checkpoint.
    const KEY: &'static str;
    /// Name of the model.
    const NAME: &'static str;
    /// Parameters of the model, counted without building it.
    fn num_params(&self) -> Result<usize, ConfigError>;
    /// Shape `[C, H, W]` of its images.
    fn image(&self) -> [usize; 3];
    /// Levels of a pixel.
    fn n_levels(&self) -> usize;
    /// Whether it takes images of a shape.
    fn check_images(&self, shape: [usize; 3]) -> Result<(), ShapeError>;
}

impl ImageConfig for FlowPlusPlusConfig {
    const KEY: &'static str = "flow_plus_plus";
    const NAME: &'static str = "Flow++";

    fn num_params(&self) -> Result<usize, ConfigError> {
        self.num_params()
    }

    fn image(&self) -> [usize; 3] {
        self.image
    }

    fn n_levels(&self) -> usize {
        self.n_levels
    }

    fn check_images(&self, shape: [usize; 3]) -> Result<(), ShapeError> {
        self.check_images(shape)
    }
}

impl ImageConfig for GlowConfig {
    const KEY: &'static str = "glow";
    const NAME: &'static str = "Glow";

    fn num_params(&self) -> Result<usize, ConfigError> {
        self.num_params()
    }

    fn image(&self) -> [usize; 3] {
        self.image
    }

    fn n_levels(&self) -> usize {
        self.n_levels
    }

    fn check_images(&self, shape: [usize; 3]) -> Result<(), ShapeError> {
        self.check_images(shape)
    }
}

/// The configuration of the model in a checkpoint, valid and of as many parameters as the
/// checkpoint holds.
pub fn read_config<C: ImageConfig>(checkpoint: &Checkpoint, path: &Path) -> Result<C, Failure> {
    let other = || Failure::OtherModel { path: path.to_path_buf(), name: C::NAME };
    let text = checkpoint.metadata(C::KEY).ok_or_else(other)?;
    let config: C = serde_json::from_str(text)
        .map_err(|source| Failure::Config { path: path.to_path_buf(), source })?;
    checkpoint.expect_params(AVERAGE, config.num_params()?)?;
    Ok(config)
}

/// Writes a trained model to a checkpoint in half precision, which has a quarter of the bytes of
/// the run's weights and their averages.
pub fn export<M: Module, C: ImageConfig>(
    model: &M,
    config: &C,
    path: &Path,
) -> Result<(), Failure> {
    let metadata = [(C::KEY.to_owned(), serde_json::to_string(config)?)].into();
    let mut checkpoint = Checkpoint::new(metadata)?;
    checkpoint.insert(AVERAGE, model)?;
    Ok(checkpoint.with_float_dtype(FloatDType::F16)?.save(path)?)
}
