//! Checkpoints: the complete state of a run, in one file that is either whole or absent.
//!
//! ```text
//! file       safetensors, little-endian, readable by every safetensors library
//! tensor     "<section>.<path of the parameter>"      a module
//!            "<section>"                              bytes (u8), such as an optimizer's state
//! metadata   the caller's entries, and
//!            flowkit.format     layout version
//!            flowkit.sections   JSON: for a module its architecture, the numbers of its
//!                               parameters, and which are frozen
//!            flowkit.crc32      CRC-32 of all else: names, types, shapes, elements, metadata
//! ```
//! Equal contents give equal bytes: instead of the ids of parameters, which are random in every
//! process, a file holds numbers that state which parameters are the same. Files are written by
//! [`whole_file`], so a crash leaves either the earlier checkpoint or the new one.
//!
//! # Architecture
//! Tensors of equal shapes also fit modules that compute a different function: with another
//! activation, another bound of a spline, or another law of the same width. A module is therefore
//! stored with its architecture ([`Checkpoint::architecture`]): by path, the type of each module in
//! it and the value of each field that is not a parameter. Loading into a module that differs is an
//! error that names the field and both values, and changes nothing. A file of another program
//! without an architecture is an error too: write it with [`Checkpoint::insert`].
//!
//! | part of the architecture | not part of it |
//! |---|---|
//! | types of modules | parameters (including integers and booleans), which are in the file |
//! | `#[module(skip)]` fields, constants: activations, bounds, orders, forms, levels | devices, plain tensors |
//! | the probability of dropout, how a layer is initialised from data: they make a different run | whether dropout is on |
//!
//! It is read from `Debug`: a field that `Debug` does not show is not checked. Neither is a const
//! generic, which `Debug` never shows: keep such a number in a field too. Identities (`ParamId`)
//! and values that are addresses are omitted. Shared counters, such as an `Arc<AtomicUsize>`, are
//! shown and would have to agree: such a state belongs in a field named `started`, or must be
//! omitted from `Debug`.

use std::collections::BTreeMap;
use std::collections::btree_map::{Entry, VacantEntry};
use std::path::Path;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Bytes, FloatDType};

pub(super) use self::folder::{create_folder, remove_leftovers};
use self::optimizer_state::Expected;
use self::restore::Extent;
use self::section::{Blob, Section, StoredModule};
use super::checkpoint_error::CheckpointError;
use super::ema::MOST_UPDATES;
use crate::whole_file;

mod architecture;
mod collect;
mod folder;
mod format;
mod identity;
pub(super) mod moments;
pub(super) mod optimizer_state;
mod restore;
mod section;

/// Several modules, bytes and text in one file.
///
/// A burn module saves no plain numbers: store the configuration, the step and the number of EMA
/// updates in the metadata. Parameters are stored as burn's own records store them (the
/// `save_mapper` of a parameter applies), with their element type. Float, integer and boolean
/// parameters are stored.
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

    /// Copies the parameters of `module` into the section `name`. This initialises lazy parameters.
    ///
    /// # Errors
    /// - [`CheckpointError::InvalidSection`] if `name` is empty or contains a dot.
    /// - [`CheckpointError::DuplicatePath`] if the section exists, or if two parameters have the
    ///   same path.
    /// - [`CheckpointError::UnsupportedDType`] for a quantized or Flex32 parameter.
    /// - [`CheckpointError::Device`] if a parameter cannot be copied from its device.
    pub fn insert<M: Module>(&mut self, name: &str, module: &M) -> Result<(), CheckpointError> {
        let slot = self.vacant(name)?;
        slot.insert(Section::Module(collect::collect(name, module)?));
        Ok(())
    }

    /// Puts plain bytes into the section `name`. Use [`Checkpoint::insert_optimizer`] for the state
    /// of an optimizer.
    ///
    /// # Errors
    /// [`CheckpointError::InvalidSection`] and [`CheckpointError::DuplicatePath`] as for
    /// [`Checkpoint::insert`].
    pub fn insert_bytes(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), CheckpointError> {
        let slot = self.vacant(name)?;
        slot.insert(Section::Bytes(Blob::new(bytes)));
        Ok(())
    }

    /// Puts the state of an optimizer of `module`'s parameters into the section `name`: burn's
    /// record, with numbers instead of the ids of the parameters.
    ///
    /// # Errors
    /// As [`Checkpoint::insert_bytes`]; [`CheckpointError::Optimizer`] if it holds the state of a
    /// parameter that `module` lacks.
    pub fn insert_optimizer<M: Module>(
        &mut self,
        name: &str,
        optimizer: &ModuleOptimizer,
        module: &M,
    ) -> Result<(), CheckpointError> {
        let fail = |reason| CheckpointError::Optimizer { name: name.to_owned(), reason };
        let numbers = identity::numbers(module);
        let bytes = optimizer.into_bytes().map_err(|error| fail(error.to_string()))?;
        let bytes = moments::rename(&bytes, |id| numbers.get(&id).copied()).map_err(fail)?;
        self.insert_bytes(name, bytes)
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

    /// Writes the file: either the whole file or nothing.
    ///
    /// # Errors
    /// [`CheckpointError::Write`]. No temporary file remains and an earlier file stays as it was,
    /// unless only the last step failed, which makes the renamed entry of the folder durable.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError> {
        let path = path.as_ref();
        whole_file::write(path, |file| format::write(file, &self.metadata, &self.sections))
            .map_err(|source| CheckpointError::Write { path: path.to_owned(), source })
    }

    /// Reads a file and verifies its checksum. No size stated in the file is trusted: what is read
    /// bounds what is allocated, and no content can cause a panic.
    ///
    /// # Errors
    /// [`CheckpointError::Read`], also for a path that is not a regular file;
    /// [`CheckpointError::NotSafetensors`], [`CheckpointError::NotCheckpoint`],
    /// [`CheckpointError::UnsupportedVersion`] and [`CheckpointError::Checksum`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let buffer = whole_file::read(path, u64::MAX)
            .map_err(|source| CheckpointError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(path, buffer)
    }

    /// The checkpoint in the bytes of a file, such as one that is embedded in a program. `name` is
    /// the path in errors.
    ///
    /// # Errors
    /// Those of [`Checkpoint::load`] but for [`CheckpointError::Read`].
    pub fn from_bytes(name: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let (metadata, sections) = format::read(name.as_ref(), bytes)?;
        Ok(Self { metadata, sections })
    }

    /// The checkpoint with the float parameters of all modules in another type, each rounded to the
    /// nearest value of it. In half precision a file takes half of the space; before
    /// [`Checkpoint::apply`] the parameters need the type of the module again.
    ///
    /// ```
    /// use burn::module::Param;
    /// use burn::tensor::{Device, FloatDType, Tensor};
    /// use flowkit::train::Checkpoint;
    ///
    /// let device = Device::flex();
    /// let model: Param<Tensor<1>> = Param::from_data([1.0, 0.1], &device);
    /// let mut checkpoint = Checkpoint::new(Default::default())?;
    /// checkpoint.insert("model", &model)?;
    /// let half = checkpoint.with_float_dtype(FloatDType::F16)?;
    /// let fresh: Param<Tensor<1>> = Param::from_data([0.0, 0.0], &device);
    /// let restored = half.with_float_dtype(FloatDType::F32)?.apply("model", fresh)?;
    /// assert_eq!(restored.val().into_data().iter::<f32>().last(), Some(0.099975586));
    /// # Ok::<(), flowkit::train::CheckpointError>(())
    /// ```
    ///
    /// # Errors
    /// [`CheckpointError::NonFiniteWeights`] if a finite parameter is beyond the range of the type.
    pub fn with_float_dtype(mut self, dtype: FloatDType) -> Result<Self, CheckpointError> {
        for (section, content) in &mut self.sections {
            let Section::Module(module) = content else { continue };
            for (path, tensor) in &mut module.tensors {
                if !tensor.convert_floats(dtype.into()) {
                    let name = format!("{section}.{path}");
                    return Err(CheckpointError::NonFiniteWeights { name });
                }
            }
        }
        Ok(self)
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

    /// `optimizer` with the state in the section `name`, for the parameters of `module`, which must
    /// come from [`Checkpoint::resume`].
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`]; [`CheckpointError::Optimizer`] if the section does not
    /// contain the state of an optimizer; [`CheckpointError::OptimizerState`], which names the part
    /// and its parameter, if the state does not fit the module: if it has other parameters, shapes
    /// or types, values that are not finite, negative means of squares, or counts of updates
    /// outside 1 to 2⁵³.
    pub fn optimizer<M: Module>(
        &self,
        name: &str,
        optimizer: ModuleOptimizer,
        module: &M,
    ) -> Result<ModuleOptimizer, CheckpointError> {
        self.optimizer_of(name, optimizer, module, Expected { parts: None, updates: MOST_UPDATES })
    }

    /// [`Checkpoint::optimizer`], with further knowledge of the state.
    pub(super) fn optimizer_of<M: Module>(
        &self,
        name: &str,
        optimizer: ModuleOptimizer,
        module: &M,
        expected: Expected,
    ) -> Result<ModuleOptimizer, CheckpointError> {
        optimizer_state::check(name, self.bytes(name)?, module, expected)?;
        let fail = |reason| CheckpointError::Optimizer { name: name.to_owned(), reason };
        let ids: BTreeMap<u64, u64> =
            identity::numbers(module).into_iter().map(|(id, number)| (number, id)).collect();
        let bytes =
            moments::rename(self.bytes(name)?, |number| ids.get(&number).copied()).map_err(fail)?;
        optimizer.from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|error| fail(error.to_string()))
    }

    /// Number of float parameters in the section of a module: the `num_params` of the module that
    /// was saved.
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`].
    pub fn num_params(&self, name: &str) -> Result<usize, CheckpointError> {
        Ok(self.module(name)?.num_params())
    }

    /// Checks that the section holds as many parameters as a configuration states (`num_params`).
    /// Call it before a module is built from a configuration in a file: there a huge size takes no
    /// more text than a small one, and the module could exhaust the memory.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use flowkit::{MlpConfig, NetConfig, NetSite};
    /// use flowkit::train::{Checkpoint, CheckpointError};
    ///
    /// let site = NetSite::new([1, 1], [1, 1], vec![0.0; 2], &Device::flex());
    /// let config = MlpConfig::new([64, 64]);
    /// let mut checkpoint = Checkpoint::new(Default::default())?;
    /// checkpoint.insert("net", &config.build(&site)?)?;
    /// checkpoint.expect_params("net", config.num_params(&site)?)?;
    ///
    /// let claimed = MlpConfig::new([1 << 18]).num_params(&site)?;
    /// let error = checkpoint.expect_params("net", claimed).unwrap_err();
    /// assert!(matches!(error, CheckpointError::OtherSize { found: 4418, .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`]; [`CheckpointError::OtherSize`].
    pub fn expect_params(&self, name: &str, num_params: usize) -> Result<(), CheckpointError> {
        match self.num_params(name)? {
            found if found == num_params => Ok(()),
            found => Err(CheckpointError::OtherSize {
                section: name.to_owned(),
                expected: num_params,
                found,
            }),
        }
    }

    /// The architecture of the module in the section `name`: types of modules and values of fields,
    /// by path.
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`]; [`CheckpointError::NoArchitecture`].
    pub fn architecture(&self, name: &str) -> Result<&BTreeMap<String, String>, CheckpointError> {
        let none = || CheckpointError::NoArchitecture { section: name.to_owned() };
        self.module(name)?.architecture.as_ref().ok_or_else(none)
    }

    /// Puts the stored values into `module`, which keeps the identity, device and `require_grad` of
    /// each parameter.
    ///
    /// Everything is checked before anything changes. A lazy parameter is filled without being
    /// initialised first. If the checkpoint holds the default element type of the device, the lazy
    /// parameter is assumed to have this type. A failure consumes the module: clone it (cheaply) to
    /// keep it.
    ///
    /// # Errors
    /// [`CheckpointError::MissingSection`], [`CheckpointError::MissingTensor`],
    /// [`CheckpointError::UnexpectedTensors`], [`CheckpointError::ShapeMismatch`],
    /// [`CheckpointError::DTypeMismatch`], [`CheckpointError::DuplicatePath`],
    /// [`CheckpointError::OtherArchitecture`], [`CheckpointError::NoArchitecture`].
    pub fn apply<M: Module>(&self, name: &str, module: M) -> Result<M, CheckpointError> {
        restore::restore(name, self.module(name)?, module, Extent::Values)
    }

    /// [`Checkpoint::apply`] for a run that continues: it also restores which parameters are frozen
    /// (unless the module was saved outside any graph). A parameter that occurred at several places
    /// must occur at the same places.
    ///
    /// Optimizers and [`Ema`](super::Ema) find parameters by id, and the ids remain those of
    /// `module`. Resume the model, then its average from `model.valid()`, and the optimizer with
    /// [`Checkpoint::optimizer`].
    ///
    /// # Errors
    /// As [`Checkpoint::apply`], and [`CheckpointError::OtherTies`].
    pub fn resume<M: Module>(&self, name: &str, module: M) -> Result<M, CheckpointError> {
        restore::restore(name, self.module(name)?, module, Extent::Training)
    }

    fn module(&self, name: &str) -> Result<&StoredModule, CheckpointError> {
        match self.sections.get(name) {
            Some(Section::Module(module)) => Ok(module),
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
