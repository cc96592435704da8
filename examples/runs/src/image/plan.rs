//! What a run does: the flags of the command line, and a preset's values where there is no flag.

use flowkit::data::Augmentation;
use flowkit::train::TrainerConfig;

use super::conduct::Conduct;
use super::settings::{Setting, Settings};

/// What holds where the command line says nothing.
pub struct Defaults {
    /// The training. `--seed`, `--lr`, `--ema`, `--non-finite` and `--backward` change it.
    pub training: TrainerConfig,
    /// Images of one update, unless `--batch` is given.
    pub batch_size: usize,
    /// What is done to training images, unless `--augment` is given.
    pub augmentations: Vec<Augmentation>,
    /// The flags of the example itself that the course of a run depends on.
    pub flags: Vec<Setting>,
}

/// What a run does, from the command line or from the checkpoint that it goes on from.
pub struct Plan {
    /// The training of a new run. A trainer from a checkpoint has its own.
    pub training: TrainerConfig,
    /// Images of one update.
    pub batch_size: usize,
    /// What is done to training images.
    pub augmentations: Vec<Augmentation>,
    pub(super) settings: Settings,
    pub(super) conduct: Conduct,
}
