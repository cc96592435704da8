//! From named bytes to a module: check all, then change all.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, BoolStore, DType, Int, Tensor};

use super::super::error::CheckpointError;
use super::super::parameter_path::ParameterPath;
use super::section::{StoredTensor, Tensors, burn_dtype};

/// Which identity a restored parameter has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Identity {
    /// The one that it has in the module.
    OfModule,
    /// The one that it was stored with.
    Stored,
}

/// Puts `tensors` into `module`; `section` only names them in errors.
pub(super) fn restore<M: Module>(
    section: &str,
    tensors: &Tensors,
    module: M,
    identity: Identity,
) -> Result<M, CheckpointError> {
    let mut check = Check { section, tensors, path: ParameterPath::default(), seen: BTreeSet::new(), outcome: Ok(()) };
    module.visit(&mut check);
    check.outcome?;
    let unexpected = tensors.keys().filter(|path| !check.seen.contains(*path));
    let names: Vec<String> = unexpected.map(|path| format!("{section}.{path}")).collect();
    if !names.is_empty() {
        return Err(CheckpointError::UnexpectedTensors { names });
    }
    Ok(module.map(&mut Fill { tensors, path: ParameterPath::default(), identity }))
}

/// Finds the first parameter that the stored tensors do not fit.
struct Check<'a> {
    section: &'a str,
    tensors: &'a Tensors,
    path: ParameterPath,
    seen: BTreeSet<String>,
    outcome: Result<(), CheckpointError>,
}

impl Check<'_> {
    /// `shape` is that of the stored form; `dtype` gets the stored type and answers with the type of the parameter.
    fn expect(&mut self, shape: Vec<usize>, dtype: impl FnOnce(DType) -> DType) {
        if self.outcome.is_ok() {
            self.outcome = self.try_expect(shape, dtype);
        }
    }

    fn try_expect(&mut self, expected: Vec<usize>, dtype: impl FnOnce(DType) -> DType) -> Result<(), CheckpointError> {
        let path = self.path.join();
        let name = format!("{}.{path}", self.section);
        let Some(stored) = self.tensors.get(&path) else {
            return Err(CheckpointError::MissingTensor { name, shape: expected });
        };
        if !self.seen.insert(path) {
            return Err(CheckpointError::DuplicatePath { name });
        }
        if stored.shape != expected {
            return Err(CheckpointError::ShapeMismatch { name, expected, found: stored.shape.clone() });
        }
        let found = found_dtype(stored);
        let expected = dtype(found);
        if expected == found { Ok(()) } else { Err(CheckpointError::DTypeMismatch { name, expected, found }) }
    }
}

/// The reader admits only element types that burn has.
fn found_dtype(stored: &StoredTensor) -> DType {
    burn_dtype(stored.dtype).unwrap_or(DType::Bool(BoolStore::Native))
}

/// An initialised parameter states its shape and type. A lazy one knows the shape of its stored form, but its type only
/// when it is made: making it is saved where the file holds the default type of the device.
macro_rules! check_numbers {
    ($method:ident, $kind:ty, $default:ident) => {
        fn $method<const D: usize>(&mut self, param: &Param<Tensor<D, $kind>>) {
            if param.is_initialized() {
                let value = param.transform_for_save().val();
                self.expect(value.dims().to_vec(), |_| value.dtype());
            } else {
                self.expect(param.lazy_shape().to_vec(), |found| {
                    let default = DType::from(param.lazy_device().settings().$default);
                    if found == default { default } else { param.transform_for_save().val().dtype() }
                });
            }
        }
    };
}

impl ModuleVisitor for Check<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    check_numbers!(visit_float, burn::tensor::Float, float_dtype);
    check_numbers!(visit_int, Int, int_dtype);

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let shape = if param.is_initialized() {
            param.transform_for_save().val().dims().to_vec()
        } else {
            param.lazy_shape().to_vec()
        };
        // How a device holds its booleans is its own business.
        self.expect(shape, |_| DType::Bool(BoolStore::Native));
    }
}

/// Fills every parameter, after [`Check`] found that all fit.
struct Fill<'a> {
    tensors: &'a Tensors,
    path: ParameterPath,
    identity: Identity,
}

impl<'a> Fill<'a> {
    fn take(&self, id: ParamId) -> Option<(&'a StoredTensor, ParamId)> {
        let stored = self.tensors.get(&self.path.join())?;
        let id = match self.identity {
            Identity::OfModule => id,
            Identity::Stored => ParamId::from(stored.id),
        };
        Some((stored, id))
    }
}

/// `transform_for_load` keeps device, mappers and `require_grad` and initialises nothing; the tensor is made on the
/// device of the parameter, with its autodiff, and is a leaf.
impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((stored, id)) = self.take(param.id) else { return param };
        let tensor = Tensor::from_data(stored.data(), (&param.lazy_device(), found_dtype(stored)));
        param.transform_for_load(tensor, id)
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let Some((stored, id)) = self.take(param.id) else { return param };
        let tensor = Tensor::from_data(stored.data(), (&param.lazy_device(), found_dtype(stored)));
        param.transform_for_load(tensor, id)
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        let Some((stored, id)) = self.take(param.id) else { return param };
        let tensor = Tensor::from_data(stored.data(), &param.lazy_device());
        param.transform_for_load(tensor, id)
    }
}
