//! A stack of layers from a configuration file.

use burn::tensor::Device;
use flowkit::law::{AffineConfig, AffineForm, LawConfig, MixLogCdfConfig};
use flowkit::{
    ActNormConfig, BoxBijector, Conv1x1Config, CouplingConfig, Flow, Half, LayerConfig as _,
    MlpConfig, Site, StandardNormal, Uninit,
};
use serde::{Deserialize, Serialize};

use crate::arcsinh::Arcsinh;

/// One layer, as a file names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "layer", rename_all = "snake_case", deny_unknown_fields)]
pub enum LayerConfig {
    ActNorm,
    Conv1x1,
    Arcsinh,
    Affine { identity: Half, hidden: Vec<usize> },
    MixLogCdf { identity: Half, hidden: Vec<usize>, n_components: usize },
}

/// A flow of vectors, as a file describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackConfig {
    pub dims: usize,
    pub layers: Vec<LayerConfig>,
}

/// What a file can be wrong about.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("the file is no stack")]
    Json(#[from] serde_json::Error),
    #[error("layer {index} is wrong")]
    Layer { index: usize, source: flowkit::ConfigError },
    #[error("the layers do not fit")]
    Shape(#[from] flowkit::ShapeError),
}

/// The flow of the layers of a file.
pub type Stack = Flow<Vec<BoxBijector<2>>, StandardNormal, 2>;

impl StackConfig {
    pub fn parse(text: &str) -> Result<Self, StackError> {
        Ok(serde_json::from_str(text)?)
    }

    pub fn init(&self, device: &Device) -> Result<Uninit<Stack>, StackError> {
        let layers = self.layers.iter().enumerate().map(|(index, layer)| {
            self.layer(layer, device).map_err(|source| StackError::Layer { index, source })
        });
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(Flow::new(layers, StandardNormal::new(), [1, self.dims])?)
    }

    fn layer(
        &self,
        layer: &LayerConfig,
        device: &Device,
    ) -> Result<BoxBijector<2>, flowkit::ConfigError> {
        Ok(match layer {
            LayerConfig::ActNorm => {
                BoxBijector::new(ActNormConfig::new().build(&Site::new([1, self.dims], device))?)
            }
            LayerConfig::Conv1x1 => {
                BoxBijector::new(Conv1x1Config::new().build(&Site::new([1, self.dims], device))?)
            }
            LayerConfig::Arcsinh => BoxBijector::new(Arcsinh::new(self.dims, device)),
            LayerConfig::Affine { identity, hidden } => self.coupling(
                *identity,
                hidden,
                AffineConfig::new(AffineForm::Exponential),
                device,
            )?,
            LayerConfig::MixLogCdf { identity, hidden, n_components } => {
                self.coupling(*identity, hidden, MixLogCdfConfig::new(*n_components), device)?
            }
        })
    }

    fn coupling<L: LawConfig>(
        &self,
        identity: Half,
        hidden: &[usize],
        law: L,
        device: &Device,
    ) -> Result<BoxBijector<2>, flowkit::ConfigError>
    where
        L::Law: Sync,
    {
        let config = CouplingConfig::new(law, MlpConfig::new(hidden)).with_identity(identity);
        Ok(BoxBijector::new(config.build(&Site::new([1, self.dims], device))?))
    }
}
