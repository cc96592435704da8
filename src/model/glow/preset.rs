//! Named pairs of a model and its training.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::str::FromStr;

use super::GlowConfig;
use crate::data::Augmentation;
use crate::model::unknown_preset::{UnknownPreset, named};
use crate::train::{EmaDecay, GradientUnit, OptimizerConfig, TrainerConfig};

/// A model and its training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlowPreset {
    /// Learns within minutes on two cores.
    Tiny,
    /// The CIFAR-10 model at a size for a single machine.
    Small,
    /// The paper's CIFAR-10 model.
    Cifar10,
    /// The same with additive couplings.
    Cifar10Additive,
    /// The paper's model of ImageNet at 32x32.
    ImageNet32,
    /// The paper's model of ImageNet at 64x64.
    ImageNet64,
    /// The paper's model of LSUN at 64x64.
    Lsun64,
    /// The paper's model of CelebA-HQ at 256x256.
    CelebAHq256,
}

impl FromStr for GlowPreset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        named(Self::ALL, name)
    }
}

impl Display for GlowPreset {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str(match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Cifar10 => "cifar10",
            Self::Cifar10Additive => "cifar10-additive",
            Self::ImageNet32 => "imagenet32",
            Self::ImageNet64 => "imagenet64",
            Self::Lsun64 => "lsun64",
            Self::CelebAHq256 => "celeba-hq256",
        })
    }
}

/// Number of images of an epoch of the released code, for every data set.
const EPOCH: u64 = 50_000;

impl GlowPreset {
    /// All presets.
    pub const ALL: [Self; 8] = [
        Self::Tiny,
        Self::Small,
        Self::Cifar10,
        Self::Cifar10Additive,
        Self::ImageNet32,
        Self::ImageNet64,
        Self::Lsun64,
        Self::CelebAHq256,
    ];

    /// The model.
    pub fn model(self) -> GlowConfig {
        match self {
            Self::Tiny => GlowConfig::tiny(),
            Self::Small => GlowConfig::small(),
            Self::Cifar10 => GlowConfig::cifar10(),
            Self::Cifar10Additive => GlowConfig::cifar10_additive(),
            Self::ImageNet32 => GlowConfig::imagenet32(),
            Self::ImageNet64 => GlowConfig::imagenet64(),
            Self::Lsun64 => GlowConfig::lsun64(),
            Self::CelebAHq256 => GlowConfig::celeba_hq256(),
        }
    }

    /// The training of the model. The paper's models train as the released code does on one GPU:
    /// Adamax at 1e-3 after ten epochs of 50,000 images, `β₂ = 1 − 1/n` with `n` updates per epoch,
    /// no clipping, the last weights. `small` and `tiny` train as the Flow++ presets of the same
    /// names, with which they are compared: Adam, gradients clipped at 1 in the unit of the loss in
    /// bits/dim, 1e-3 after 100 updates and 3e-3 after 50.
    pub fn training(self) -> TrainerConfig {
        let config = TrainerConfig::new();
        match self {
            Self::Tiny => config
                .with_learning_rate(3e-3)
                .with_warm_up(50)
                .with_norm_unit(GradientUnit::BitsPerDim),
            Self::Small => {
                config.with_norm_unit(GradientUnit::BitsPerDim).with_ema(EmaDecay::Constant(0.0))
            }
            _ => {
                let updates = EPOCH.div_ceil(self.batch_size() as u64);
                config
                    .with_optimizer(OptimizerConfig::Adamax { beta_2: 1.0 - 1.0 / updates as f64 })
                    .with_warm_up(10 * updates)
                    // Checkpoints hold JSON, which has no infinity.
                    .with_max_norm(f64::MAX)
                    .with_ema(EmaDecay::Constant(0.0))
            }
        }
    }

    /// Augmentation of training images: shifts for CIFAR-10, as in the released code, and none for
    /// other images.
    pub fn augmentations(self) -> Vec<Augmentation> {
        match self {
            Self::Cifar10 | Self::Cifar10Additive => vec![Augmentation::GLOW_SHIFT],
            _ => vec![],
        }
    }

    /// Number of images of an update: 64 at 32x32, and as many pixels at other sizes.
    pub fn batch_size(self) -> usize {
        match self {
            Self::Tiny | Self::Small => 16,
            Self::Cifar10 | Self::Cifar10Additive | Self::ImageNet32 => 64,
            Self::ImageNet64 | Self::Lsun64 => 16,
            Self::CelebAHq256 => 1,
        }
    }

    /// Number of images for data-dependent initialisation: four times as many.
    pub fn start_size(self) -> usize {
        4 * self.batch_size()
    }
}
