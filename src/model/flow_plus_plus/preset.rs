//! Named pairs of a model and the training that goes with it.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use super::FlowPlusPlusConfig;
use crate::train::{EmaDecay, GradientUnit, TrainerConfig};

/// A model and its training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Learns within minutes on two cores.
    Tiny,
    /// The CIFAR-10 model at a size for one machine.
    Small,
    /// The paper's CIFAR-10 model.
    Cifar10,
}

/// A name that is no preset's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no preset is named `{name}`; there are tiny, small and cifar10")]
pub struct UnknownPreset {
    /// The name.
    pub name: String,
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        match name {
            "tiny" => Ok(Self::Tiny),
            "small" => Ok(Self::Small),
            "cifar10" => Ok(Self::Cifar10),
            _ => Err(UnknownPreset { name: name.into() }),
        }
    }
}

impl Display for Preset {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Cifar10 => "cifar10",
        })
    }
}

impl Preset {
    /// The model.
    pub fn model(self) -> FlowPlusPlusConfig {
        match self {
            Self::Tiny => FlowPlusPlusConfig::tiny(),
            Self::Small => FlowPlusPlusConfig::small(),
            Self::Cifar10 => FlowPlusPlusConfig::cifar10(),
        }
    }

    /// Its training. `cifar10`: the released code's rate 3e-4 after 2000 updates, clip at 1 of the loss in nats, average 0.999. `small`:
    /// 1e-3 after 100 updates, clip at 1 of the loss in bits/dim, the last weights, as the PyTorch program that it is compared with.
    /// `tiny`: 3e-3 after 50 updates, the same clip, and an average that forgets the start, since its runs are short.
    pub fn training(self) -> TrainerConfig {
        let config = TrainerConfig::new(self.model().image.iter().product());
        match self {
            Self::Tiny => config.with_learning_rate(3e-3).with_warm_up(50).with_norm_unit(GradientUnit::BitsPerDim),
            Self::Small => config.with_norm_unit(GradientUnit::BitsPerDim).with_ema(EmaDecay::Constant(0.0)),
            Self::Cifar10 => config.with_learning_rate(3e-4).with_warm_up(2000).with_ema(EmaDecay::Constant(0.999)),
        }
    }

    /// Images of one update.
    pub fn batch_size(self) -> usize {
        match self {
            Self::Tiny | Self::Small => 16,
            Self::Cifar10 => 64,
        }
    }

    /// Images of the data-dependent start.
    pub fn start_size(self) -> usize {
        match self {
            Self::Tiny | Self::Small => 64,
            Self::Cifar10 => 128,
        }
    }
}
