//! A model that awaits its initialisation, with the parameters of a checkpoint.

use burn::module::Module;

use super::{Checkpoint, CheckpointError};
use crate::flow::uninit::Uninit;

impl<M: Module> Uninit<M> {
    /// The model with the parameters of a checkpoint's section, as [`Checkpoint::apply`] puts them in. No batch is seen.
    ///
    /// # Errors
    /// Those of [`Checkpoint::apply`].
    pub fn load(self, checkpoint: &Checkpoint, section: &str) -> Result<M, CheckpointError> {
        self.start(|model| checkpoint.apply(section, model))
    }
}
