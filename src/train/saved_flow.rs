//! A flow in its own file: one call to save it, one to load it.
//! ```text
//! file       a checkpoint with the section `flow`: parameters and architecture
//! ```
//! The file is a [`Checkpoint`], a safetensors file with a checksum, of which either the whole file
//! is written or nothing. It describes the configuration by the architecture: by path, the type of
//! each layer and the value of each field. A flow that is built from the same configuration accepts
//! the parameters; for any other flow the error names the first difference and both values.
//!
//! burn's own records work too, and so do the files of `burn-store`:
//! `flow.save_into(&mut SafetensorsStore::from_file(path))` and `flow.load_from(...)`. They contain
//! parameters only, so a flow that computes another function with equal shapes accepts them.
//! ```
//! use burn::module::Module;
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{ActNormConfig, Density, Flow, StandardNormal};
//!
//! let device = Device::flex();
//! let flow = || Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 2], &device);
//! let x = Tensor::<2>::from_data([[1.0, 5.0], [3.0, 9.0], [4.0, 4.0]], &device);
//! let fitted = flow()?.initialize(x.clone())?;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("flow.safetensors");
//! fitted.save(&path)?;
//! let loaded = flow()?.load(&path)?;
//! assert_eq!(loaded.evaluate(x.clone())?, fitted.evaluate(x.clone())?);
//!
//! // By burn's record.
//! let loaded = flow()?.without_data().load_record(fitted.clone().into_record());
//! assert_eq!(loaded.evaluate(x.clone())?, fitted.evaluate(x)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;

use super::weights::first_not_finite;
use super::{Checkpoint, CheckpointError};
use crate::flow::uninit::Uninit;
use crate::flow::{Embedded, Flow};

/// The section that holds the flow.
const FLOW: &str = "flow";

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S>
where
    Self: Module,
{
    /// Writes parameters and architecture to a safetensors file: either the whole file or nothing.
    /// [`Uninit::load`] reads it.
    ///
    /// # Errors
    /// [`CheckpointError::NonFiniteWeights`]; [`CheckpointError::UnsupportedDType`] for a quantized
    /// parameter; [`CheckpointError::Device`]; [`CheckpointError::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError> {
        save(self, path.as_ref())
    }
}

impl<E: Module, F: Module, const K: usize> Embedded<E, F, K>
where
    Self: Module,
{
    /// Writes parameters and architecture of encoder and flow to one file, as [`Flow::save`] does.
    /// [`Uninit::load`] reads it.
    ///
    /// # Errors
    /// As [`Flow::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError> {
        save(self, path.as_ref())
    }
}

fn save<M: Module>(model: &M, path: &Path) -> Result<(), CheckpointError> {
    if let Some(name) = first_not_finite(model) {
        return Err(CheckpointError::NonFiniteWeights { name: format!("{FLOW}.{name}") });
    }
    let mut checkpoint = Checkpoint::new(BTreeMap::new())?;
    checkpoint.insert(FLOW, model)?;
    checkpoint.save(path)
}

impl<M: Module> Uninit<M> {
    /// The flow with the parameters of a file that [`Flow::save`] wrote. It needs no batch. The
    /// flow must have the architecture of the saved flow; it keeps its own device.
    ///
    /// # Errors
    /// [`CheckpointError::OtherArchitecture`] names the first difference, with both values. Those
    /// of [`Checkpoint::load`] for a file that cannot be read, is damaged or truncated, or was not
    /// written by this crate; [`CheckpointError::MissingSection`] for a checkpoint of something
    /// else; others of [`Checkpoint::apply`].
    pub fn load(self, path: impl AsRef<Path>) -> Result<M, CheckpointError> {
        self.load_section(&Checkpoint::load(path)?, FLOW)
    }

    /// The model with the parameters of a section of a checkpoint, as loaded by
    /// [`Checkpoint::apply`]. It needs no batch.
    ///
    /// # Errors
    /// Those of [`Checkpoint::apply`].
    pub fn load_section(
        self,
        checkpoint: &Checkpoint,
        section: &str,
    ) -> Result<M, CheckpointError> {
        self.initialize_with(|model| checkpoint.apply(section, model))
    }
}
