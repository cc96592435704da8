//! Checkpoints: everything that a run needs to go on, in one file that is either whole or absent.
//!
//! ```text
//! file       safetensors, little-endian, readable by every safetensors library
//! tensor     "<section>.<path of the parameter>"      a module
//!            "<section>"                              plain bytes (u8), such as the state of an optimizer
//! metadata   what the caller gave, and
//!            flowkit.format     layout version
//!            flowkit.sections   JSON: kind of every section, identity of every parameter
//!            flowkit.crc32      CRC-32 of all else: names, types, shapes, elements, metadata
//! ```
//! The same contents give the same bytes. Writing goes to a temporary file in the folder of the target, which is
//! flushed to the disk and then renamed over the target, so that a crash leaves the earlier checkpoint or the new one.

use std::collections::BTreeMap;
use std::collections::btree_map::{Entry, VacantEntry};
use std::path::Path;

use burn::module::Module;

pub(super) use self::atomic::{create_folder, remove_leftovers, sync_folder};
use self::restore::Identity;
use self::section::{Blob, Section};
use super::error::CheckpointError;

mod atomic;
mod collect;
mod format;
mod restore;
mod section;

/// Several modules, bytes and text in one file.
///
/// A burn module saves no plain numbers: put the configuration, the step and the number of EMA updates into the
/// metadata. Parameters are stored as burn's own records store them (the `save_mapper` of a parameter applies), with
/// their element type; float, integer and boolean parameters are covered.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use burn::module::Param;
/// use burn::tensor::{Device, Tensor};
/// use flowkit::train::Checkpoint;
///
/// let device = Device::flex().autodiff();
/// let model: Param<Tensor<1>> = Param::from_data([1.0, 2.0], &device);
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("last.safetensors");
///
/// let mut checkpoint = Checkpoint::new(BTreeMap::from([("step".into(), "1000".into())]))?;
/// checkpoint.insert("model", &model)?;
/// checkpoint.save(&path)?;
///
/// let checkpoint = Checkpoint::load(&path)?;
/// let fresh: Param<Tensor<1>> = Param::from_data([0.0, 0.0], &device);
/// let restored = checkpoint.apply("model", fresh)?;
/// assert_eq!(checkpoint.metadata("step"), Some("1000"));
/// assert_eq!(restored.val().into_data(), model.val().into_data());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    metadata: BTreeMap<String, String>,
    sections: BTreeMap<String, Section>,
}

impl Checkpoint {
    /// An empty checkpoint with the given metadata.
    ///
    /// # Errors
    /// [`CheckpointError::ReservedKey`] if a key starts with `flowkit.`.
    pub fn new(metadata: BTreeMap<String, String>) -> Result<Self, CheckpointError> {
        match metadata.keys().find(|key| key.starts_with(format::RESERVED)) {
            Some(key) => Err(CheckpointError::ReservedKey { key: key.clone() }),
            None => Ok(Self { metadata, sections: BTreeMap::new() }),
        }
    }

    /// Copies the parameters of `module` into the section `name`. Lazy parameters are initialised by this.
    ///
    /// # Errors
    /// - [`CheckpointError::InvalidSection`] if `name` is empty or holds a dot.
    /// - [`CheckpointError::DuplicatePath`] if the section exists, or if two parameters have the same path.
    /// - [`CheckpointError::UnsupportedDType`] for a quantized or Flex32 parameter.
    /// - [`CheckpointError::Device`] if the device cannot give back a parameter.
    pub fn insert<M: Module>(&mut self, name: &str, module: &M) -> Result<(), CheckpointError> {
        let slot = self.vacant(name)?;
        slot.insert(Section::Module(collect::collect(name, module)?));
        Ok(())
    }

    /// Puts plain bytes into the section `name`: the state of an optimizer from `ModuleOptimizer::into_bytes`, say.
    ///
    /// burn keys the state of an optimizer by parameter identity: restore the model by [`Checkpoint::resume`].
    ///
    /// # Errors
    /// [`CheckpointError::InvalidSection`] and [`CheckpointError::DuplicatePath`] as for [`Checkpoint::insert`].
    pub fn insert_bytes(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), CheckpointError> {
        let slot = self.vacant(name)?;
        slot.insert(Section::Bytes(Blob::new(bytes)));
        Ok(())
    }

    fn vacant(&mut self, name: &str) -> Result<VacantEntry<'_, String, Section>, CheckpointError> {
        if name.is_empty() || name.contains('.') || name == format::METADATA {
            return Err(CheckpointError::InvalidSection { name: name.to_owned() });
        }
        match self.sections.entry(name.to_owned()) {
            Entry::Vacant(slot) => Ok(slot),
            Entry::Occupied(_) => Err(CheckpointError::DuplicatePath { name: name.to_owned() }),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]. No temporary file is left and an earlier file stays as it was, unless the very last
    /// step failed, which makes the renamed entry of the folder durable.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError> {
        let path = path.as_ref();
        atomic::write(path, |file| format::write(file, &self.metadata, &self.sections))
            .map_err(|source| CheckpointError::Write { path: path.to_owned(), source })
    }

    /// Reads a file and verifies its checksum. No size named in the file is believed: what is
    /// allocated is bounded by what was read, and no content can make this panic.
    ///
    /// # Errors
    /// [`CheckpointError::Read`], [`CheckpointError::NotSafetensors`], [`CheckpointError::NotCheckpoint`],
    /// [`CheckpointError::UnsupportedVersion`] and [`CheckpointError::Checksum`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let buffer = std::fs::read(path).map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
        let (metadata, sections) = format::read(path, buffer)?;
        Ok(Self { metadata, sections })
    }

    /// The caller's metadata under `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The bytes of the section `name`.
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`].
    pub fn bytes(&self, name: &str) -> Result<&[u8], CheckpointError> {
        match self.sections.get(name) {
            Some(Section::Bytes(blob)) => Ok(blob.as_slice()),
            _ => Err(self.missing("bytes", name)),
        }
    }

    /// Puts the stored values into `module`, which keeps the identity, device and `require_grad` of each parameter.
    ///
    /// All is checked before anything changes. A lazy parameter is filled without being initialised first; its element
    /// type is taken to be the default of its device if that is what the checkpoint holds. A failure consumes the
    /// module: clone it (cheaply) to keep it.
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`], [`CheckpointError::MissingTensor`],
    /// [`CheckpointError::UnexpectedTensors`], [`CheckpointError::ShapeMismatch`],
    /// [`CheckpointError::DTypeMismatch`], [`CheckpointError::DuplicatePath`].
    pub fn apply<M: Module>(&self, name: &str, module: M) -> Result<M, CheckpointError> {
        self.restore(name, module, Identity::OfModule)
    }

    /// Like [`Checkpoint::apply`], and also gives every parameter the identity that it was stored with.
    ///
    /// burn draws identities at random in every process, and both optimizers and [`Ema`](super::Ema) find their
    /// parameters by them: a run that goes on must restore the model, its average and then the optimizer this way.
    ///
    /// # Errors
    /// As [`Checkpoint::apply`].
    pub fn resume<M: Module>(&self, name: &str, module: M) -> Result<M, CheckpointError> {
        self.restore(name, module, Identity::Stored)
    }

    fn restore<M: Module>(&self, name: &str, module: M, identity: Identity) -> Result<M, CheckpointError> {
        match self.sections.get(name) {
            Some(Section::Module(tensors)) => restore::restore(name, tensors, module, identity),
            _ => Err(self.missing("module", name)),
        }
    }

    fn missing(&self, kind: &'static str, name: &str) -> CheckpointError {
        let available = self.sections.iter().filter(|(_, section)| section.kind() == kind);
        CheckpointError::MissingSection {
            kind,
            name: name.to_owned(),
            available: available.map(|(name, _)| name.clone()).collect(),
        }
    }
}
