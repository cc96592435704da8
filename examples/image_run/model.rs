//! What the image examples ask of a model: any flow of images behind a surjection to levels.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use flowkit::flow::likelihood::{ImportanceWeightedBound, OneSampleBound};
use flowkit::train::{NegativeLogLikelihood, TrainError, Trainer, Update};
use flowkit::{
    Bijector, ConfigError, Density, Flow, FlowError, LogLikelihood, Prior, ShapeError, Surjection,
    Uninit,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Batches of levels, `[n, channels, height, width]`.
pub type Levels = Tensor<4, Int>;

/// A bound on the likelihood of images.
pub trait ImageModel: Module {
    fn initialize(unstarted: Uninit<Self>, x: Levels) -> Result<Self, FlowError>;
    fn update(
        trainer: &mut Trainer<Self>,
        device: &Device,
        x: Levels,
    ) -> Result<Update, TrainError>;
    fn bound(&self, x: Levels) -> Result<LogLikelihood<OneSampleBound>, FlowError>;
    fn weighted_bound(
        &self,
        x: Levels,
        samples: usize,
    ) -> Result<LogLikelihood<ImportanceWeightedBound>, FlowError>;
    fn draw(&self, n: usize, temperature: f64) -> Result<Levels, FlowError>;
    fn there_and_back(&self, x: Levels) -> Result<(Levels, f64), FlowError>;
}

impl<S, B, P> ImageModel for Flow<B, P, 4, (), S>
where
    S: Surjection<4, Data = Levels, Provenance = OneSampleBound>,
    B: Bijector<4>,
    P: Prior<4>,
{
    fn initialize(unstarted: Uninit<Self>, x: Levels) -> Result<Self, FlowError> {
        unstarted.initialize(x)
    }

    fn update(
        trainer: &mut Trainer<Self>,
        device: &Device,
        x: Levels,
    ) -> Result<Update, TrainError> {
        trainer.update_on(device, &NegativeLogLikelihood::new(x))
    }

    fn bound(&self, x: Levels) -> Result<LogLikelihood<OneSampleBound>, FlowError> {
        self.evaluate(x)
    }

    fn weighted_bound(
        &self,
        x: Levels,
        samples: usize,
    ) -> Result<LogLikelihood<ImportanceWeightedBound>, FlowError> {
        self.evaluate_importance_weighted(x, samples)
    }

    fn draw(&self, n: usize, temperature: f64) -> Result<Levels, FlowError> {
        self.sample_at(n, temperature)
    }

    fn there_and_back(&self, x: Levels) -> Result<(Levels, f64), FlowError> {
        self.round_trip(x)
    }
}

/// A model as a checkpoint describes it.
pub trait ImageModelConfig: Serialize + DeserializeOwned {
    type Model: ImageModel;
    /// Key of the configuration in a checkpoint.
    const KEY: &'static str;
    /// Name of the model.
    const NAME: &'static str;
    /// Parameters of the model, counted without making it.
    fn num_params(&self) -> Result<usize, ConfigError>;
    fn build(&self, device: &Device) -> Result<Uninit<Self::Model>, ConfigError>;
    /// Shape `[C, H, W]` of its images.
    fn image(&self) -> [usize; 3];
    /// Levels of a pixel.
    fn n_levels(&self) -> usize;
    /// Whether it takes images of a shape.
    fn check_images(&self, shape: [usize; 3]) -> Result<(), ShapeError>;
}
