//! Configuration of a multi-scale flow: a list of levels, each built for the channels that remain.
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::{
//!     ActNormConfig, ChannelOrder, Conv1x1Config, LayerConfig, MultiScaleConfig, Site,
//!     SqueezeConfig,
//! };
//!
//! let squeeze = SqueezeConfig::new(ChannelOrder::ChannelMajor);
//! let level = (squeeze, vec![(ActNormConfig::new(), Conv1x1Config::new()); 2]);
//! let layer =
//!     MultiScaleConfig::new(vec![level; 3]).build(&Site::new([1, 3, 8, 8], &Device::flex()))?;
//! // 12 channels, 6 of them squeezed to 24, 12 of these to 48.
//! let channels: Vec<usize> =
//!     layer.levels.iter().map(|level| level.1[0].0.bias.dims()[1]).collect();
//! assert_eq!(channels, [12, 24, 48]);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::config::Config;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::multi_scale::{MultiScale, place, scales};
use super::{LayerConfig, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::ConfigError;
use crate::tensor::limit::MOST_REPEATS;

/// Configuration of [`MultiScale`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiScaleConfig<T> {
    /// The levels, first to deepest.
    pub levels: Vec<T>,
}

impl<T: std::fmt::Debug + Serialize + DeserializeOwned> Config for MultiScaleConfig<T> {}

impl<T> MultiScaleConfig<T> {
    /// These levels, first to deepest. Half of the channels is factored out after each but the
    /// deepest.
    pub fn new(levels: Vec<T>) -> Self {
        Self { levels }
    }

    /// Checks the number of levels.
    ///
    /// # Errors
    /// [`ConfigError::TooLarge`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::at_most("MultiScaleConfig", "levels", self.levels.len(), MOST_REPEATS)
    }
}

impl<C: Context, T: LayerConfig<4, C>> LayerConfig<4, C> for MultiScaleConfig<T> {
    type Layer = MultiScale<T::Layer>;

    fn build(&self, site: &Site<4, C>) -> Result<Self::Layer, ConfigError> {
        self.plan(site)?;
        let mut levels = Vec::with_capacity(self.levels.len());
        scales(self.levels.len(), site.shape(), |index, shape| {
            let built = self.levels[index].build(&site.at(shape)).and_then(|level| {
                let output = level.output_shape(shape)?;
                levels.push(level);
                Ok(output)
            });
            built.map_err(|error| error.at(place(index)))
        })?;
        Ok(MultiScale::new(levels))
    }

    fn plan(&self, site: &Site<4, C>) -> Result<Plan<4>, ConfigError> {
        self.validate()?;
        site.elements("MultiScale")?;
        let mut plan = site.keeps(0);
        scales(self.levels.len(), site.shape(), |index, shape| {
            plan = Plan { output: shape, ..plan }.then(&self.levels[index], site, place(index))?;
            Ok::<_, ConfigError>(plan.output)
        })?;
        Ok(Plan { output: site.shape(), num_params: plan.num_params })
    }
}
