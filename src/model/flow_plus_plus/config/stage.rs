//! Stages: couplings at one resolution in one pattern.

use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, ShapeError};
use crate::reshape::Pattern;

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

    /// Shape of an image after the squeezes.
    pub(super) fn squeezed(self, image: [usize; 3]) -> Result<[usize; 3], ShapeError> {
        (0..self.n_squeezes()).try_fold(image, |[c, h, w], _| {
            for (axis, length) in [(2, h), (3, w)] {
                if length % 2 != 0 {
                    let shape = vec![1, c, h, w];
                    return Err(ShapeError::NotDivisible {
                        layer: "Squeeze",
                        axis,
                        factor: 2,
                        shape,
                    });
                }
            }
            Ok([4 * c, h / 2, w / 2])
        })
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
