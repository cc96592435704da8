//! Loss scale: a factor that keeps float16 gradients in their range.
//! ```text
//! gradient      ∇(s·loss) in float16, then / s in float32
//! overflow      a gradient that is not finite: s ← s/2, the update is skipped
//! growth        after n good updates without one: s ← 2s
//! ```
//! Every factor is a power of two, so multiplying and dividing by it rounds nothing. If a scale of
//! 1 still overflows, the scale is not the cause: [`NonFinite`](super::NonFinite) decides, as for a
//! loss that is not finite before any gradient.
//!
//! The scale and its count are in the checkpoint. An update that is skipped counts as an update:
//! its number, and with it batch and noise, advances.
//!
//! # Reference
//! Micikevicius et al. 2018 §3.2; initial value and growth are those of PyTorch's `GradScaler`:
//! 2^16 and 2000.

use serde::{Deserialize, Serialize};

use crate::counted::counted;
use crate::error::ConfigError;

/// The factor of the loss of a training in float16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum LossScale {
    /// Always `2^exponent`; an overflow is a gradient that is not finite, like any other.
    Fixed {
        /// The exponent, 0 to 60.
        exponent: u8,
    },
    /// Initially `2^exponent`; halved at an overflow, doubled after `growth` good updates in a row.
    Dynamic {
        /// The initial exponent, 0 to 60.
        exponent: u8,
        /// Number of good updates before it is doubled, at least 1.
        growth: u64,
    },
}

impl Default for LossScale {
    fn default() -> Self {
        Self::Dynamic { exponent: 16, growth: 2000 }
    }
}

/// The largest exponent. `2^60` times a loss is far beyond what float16 could need.
const LARGEST: u8 = 60;

impl LossScale {
    /// Checks exponent and growth.
    ///
    /// # Errors
    /// [`ConfigError::TooLarge`] for an exponent above 60, [`ConfigError::Zero`] for a growth of 0.
    pub fn validate(self) -> Result<(), ConfigError> {
        const CONFIG: &str = "LossScale";
        let (Self::Fixed { exponent } | Self::Dynamic { exponent, .. }) = self;
        ConfigError::at_most(CONFIG, "exponent", exponent.into(), LARGEST.into())?;
        match self {
            Self::Dynamic { growth: 0, .. } => {
                Err(ConfigError::Zero { config: CONFIG, field: "growth" })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(feature = "train")]
impl LossScale {
    /// The initial factor.
    pub(super) fn start(self) -> f64 {
        ScaleState::new(self).factor()
    }
}

/// The state of a scale, as a checkpoint stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScaleState {
    exponent: u8,
    /// Number of good updates since the last change.
    good: u64,
}

impl ScaleState {
    pub(super) fn new(scale: LossScale) -> Self {
        let (LossScale::Fixed { exponent } | LossScale::Dynamic { exponent, .. }) = scale;
        Self { exponent, good: 0 }
    }

    pub(super) fn factor(self) -> f64 {
        f64::from(self.exponent).exp2()
    }

    /// Why a state read from a file does not belong to a run with this scale after so many updates,
    /// or `None` if it does.
    pub(super) fn fault(self, scale: LossScale, updates: u64) -> Option<String> {
        let Self { exponent, good } = self;
        let fault = match scale {
            LossScale::Fixed { exponent: fixed } if exponent != fixed => {
                format!("expected the exponent {fixed}, found {exponent}")
            }
            LossScale::Fixed { .. } if good > 0 => {
                format!("a fixed scale counts no good updates, found {good}")
            }
            _ if exponent > LARGEST => {
                format!("expected an exponent of at most {LARGEST}, found {exponent}")
            }
            _ if good > updates => {
                format!("expected at most {}, found {good}", counted(updates, "good update"))
            }
            _ => return None,
        };
        Some(fault)
    }

    /// The state after an update that was made.
    pub(super) fn good(self, scale: LossScale) -> Self {
        match scale {
            LossScale::Fixed { .. } => self,
            LossScale::Dynamic { growth, .. } if self.good + 1 >= growth => {
                Self { exponent: (self.exponent + 1).min(LARGEST), good: 0 }
            }
            LossScale::Dynamic { .. } => Self { good: self.good + 1, ..self },
        }
    }

    /// The state after a gradient that is not finite, or `None` if the scale cannot help.
    pub(super) fn overflowed(self, scale: LossScale) -> Option<Self> {
        match scale {
            LossScale::Fixed { .. } => None,
            LossScale::Dynamic { .. } => {
                Some(Self { exponent: self.exponent.checked_sub(1)?, good: 0 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_doubles_and_halves() {
        let scale = LossScale::Dynamic { exponent: 3, growth: 2 };
        let mut state = ScaleState::new(scale);
        let mut factors = vec![];
        for good in [true, true, true, false, true, true, true] {
            state = if good { state.good(scale) } else { state.overflowed(scale).unwrap() };
            factors.push(state.factor());
        }
        assert_eq!(factors, [8.0, 16.0, 16.0, 8.0, 8.0, 16.0, 16.0]);
    }

    #[test]
    fn a_scale_of_one_and_a_fixed_one_cannot_help() {
        let dynamic = LossScale::Dynamic { exponent: 0, growth: 2 };
        assert_eq!(ScaleState::new(dynamic).overflowed(dynamic), None);
        let fixed = LossScale::Fixed { exponent: 10 };
        assert_eq!(ScaleState::new(fixed).overflowed(fixed), None);
        assert_eq!(ScaleState::new(fixed).good(fixed), ScaleState::new(fixed));
    }

    #[test]
    fn scales_are_validated() {
        assert!(LossScale::default().validate().is_ok());
        let exponent = "LossScale: `exponent` must be at most 60, found 61";
        let broken = [
            (LossScale::Fixed { exponent: 61 }, exponent),
            (LossScale::Dynamic { exponent: 61, growth: 1 }, exponent),
            (
                LossScale::Dynamic { exponent: 1, growth: 0 },
                "LossScale: `growth` must be at least 1, found 0",
            ),
        ];
        for (scale, message) in broken {
            assert_eq!(scale.validate().unwrap_err().to_string(), message);
        }
    }
}
