//! Converts a module to named bytes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeSet, HashMap};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};

use super::super::checkpoint_error::CheckpointError;
use super::section::{Blob, StoredModule, StoredTensor, Tensors, stored_dtype};
use super::{architecture, identity};
use crate::tensor::parameter_path::ParameterPath;

/// Reads all parameters of `module`, and its architecture; `section` is used only in errors.
pub(super) fn collect<M: Module>(
    section: &str,
    module: &M,
) -> Result<StoredModule, CheckpointError> {
    let mut collector = Collector {
        section,
        path: ParameterPath::default(),
        numbers: identity::numbers(module),
        tensors: Tensors::new(),
        frozen: None,
        outcome: Ok(()),
    };
    module.visit(&mut collector);
    let Collector { tensors, frozen, outcome, .. } = collector;
    outcome.map(|()| StoredModule { tensors, frozen, architecture: Some(architecture::of(module)) })
}

struct Collector<'a> {
    section: &'a str,
    path: ParameterPath,
    numbers: HashMap<u64, u64>,
    tensors: Tensors,
    frozen: Option<BTreeSet<String>>,
    outcome: Result<(), CheckpointError>,
}

impl Collector<'_> {
    fn record<E: std::fmt::Display>(
        &mut self,
        id: ParamId,
        data: impl FnOnce() -> Result<TensorData, E>,
    ) {
        if self.outcome.is_ok() {
            self.outcome = self.try_record(id, data);
        }
    }

    fn try_record<E: std::fmt::Display>(
        &mut self,
        id: ParamId,
        data: impl FnOnce() -> Result<TensorData, E>,
    ) -> Result<(), CheckpointError> {
        let path = self.path.join();
        let name = format!("{}.{path}", self.section);
        let Entry::Vacant(slot) = self.tensors.entry(path) else {
            return Err(CheckpointError::DuplicatePath { name });
        };
        let data = match data() {
            Ok(data) => data,
            Err(error) => return Err(CheckpointError::Device { name, reason: error.to_string() }),
        };
        let dtype = data.dtype();
        let Some(stored) = stored_dtype(dtype) else {
            return Err(CheckpointError::UnsupportedDType { name, dtype });
        };
        let bytes = match dtype {
            DType::Bool(_) => data.iter::<bool>().map(u8::from).collect(),
            _ => data.bytes().to_vec(),
        };
        slot.insert(StoredTensor {
            dtype: stored,
            shape: data.shape().to_vec(),
            number: self.numbers[&id.val()],
            bytes: Blob::new(bytes),
        });
        Ok(())
    }
}

/// The stored form of a parameter is that of burn's own records: the result of its `save_mapper`.
impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.record(param.id, || {
            param.transform_for_save().val().without_autodiff().try_into_data()
        });
        if param.lazy_device().is_autodiff() {
            let frozen = self.frozen.get_or_insert_default();
            if !param.base().is_require_grad() {
                frozen.insert(self.path.join());
            }
        }
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.record(param.id, || param.transform_for_save().val().try_into_data());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.record(param.id, || param.transform_for_save().val().try_into_data());
    }
}
