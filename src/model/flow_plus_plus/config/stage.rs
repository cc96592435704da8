//! Stages: couplings at one resolution in one pattern.

use serde::{Deserialize, Serialize};

use super::super::{Stage, Step};
use crate::bijector::{Bijector, LayerConfig, Plan, Repeated, ShapeMap, Site};
use crate::context::Context;
use crate::error::ConfigError;
use crate::reshape::{ChannelOrder, PartitionConfig, Pattern, SqueezeConfig};

/// Resolution of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Resolution {
    /// That of the preceding stage.
    Keep,
    /// Half of it, after a squeeze.
    Squeeze,
    /// `2^-times` of it, after `times` squeezes.
    SqueezeRepeatedly {
        /// Number of squeezes, at least 2.
        times: usize,
    },
}

impl Resolution {
    /// Number of squeezes before the couplings.
    pub fn n_squeezes(self) -> usize {
        match self {
            Self::Keep => 0,
            Self::Squeeze => 1,
            Self::SqueezeRepeatedly { times } => times,
        }
    }
}

/// One stage: couplings at one resolution in one pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Resolution.
    pub resolution: Resolution,
    /// Pattern of the halves.
    pub pattern: Pattern,
    /// Number of couplings.
    pub n_couplings: usize,
}

impl StageConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::repeated("StageConfig", "n_couplings", self.n_couplings)?;
        match self.resolution {
            Resolution::SqueezeRepeatedly { times } if times < 2 => Err(ConfigError::OutOfRange {
                config: "StageConfig",
                field: "resolution.times",
                range: "[2, ∞)",
                found: times as f64,
            }),
            _ => Ok(()),
        }
    }
}

/// Configuration of the layers of a stage, of which `S` is the configuration of a step.
pub(super) struct StageLayers<S> {
    pub(super) stage: StageConfig,
    pub(super) squeeze_order: ChannelOrder,
    pub(super) step: S,
}

impl<S: Clone> StageLayers<S> {
    fn squeeze(&self) -> SqueezeConfig {
        SqueezeConfig::new(self.squeeze_order)
    }

    fn partition(&self) -> PartitionConfig {
        PartitionConfig::new(self.stage.pattern)
    }

    fn steps(&self) -> Repeated<impl Fn(usize) -> S> {
        Repeated::new(self.stage.n_couplings, |_| self.step.clone())
    }
}

impl<C: Context, S: LayerConfig<4, C, Layer = Step> + Clone> LayerConfig<4, C> for StageLayers<S>
where
    Stage: Bijector<4, C>,
{
    type Layer = Stage;

    fn build(&self, site: &Site<4, C>) -> Result<Stage, ConfigError> {
        self.plan(site)?;
        let squeezes = vec![self.squeeze(); self.stage.resolution.n_squeezes()].build(site)?;
        let site = site.at(squeezes.output_shape(site.shape())?);
        let partition = self.partition().build(&site)?;
        let site = site.at(partition.output_shape(site.shape())?);
        let steps = self.steps().build(&site)?;
        Ok(Stage { squeezes, partition, steps })
    }

    fn plan(&self, site: &Site<4, C>) -> Result<Plan<4>, ConfigError> {
        self.stage.validate()?;
        let (squeeze, partition) = (self.squeeze(), self.partition());
        // A squeeze halves both sides, so a large number of squeezes fails early.
        let plan = (0..self.stage.resolution.n_squeezes())
            .try_fold(site.keeps(0), |plan, index| {
                plan.then(&squeeze, site, format_args!(".squeezes[{index}]"))
            })?;
        let plan =
            plan.then(&partition, site, ".partition")?.then(&self.steps(), site, ".steps")?;
        Ok(Plan { output: partition.plan_inverse(&site.at(plan.output))?.output, ..plan })
    }
}
