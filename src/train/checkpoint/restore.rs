//! Converts named bytes to a module: checks everything, then changes everything.
//!
//! The architectures are compared before the tensors: in a stack with another layer, the layer is
//! the reason, and a missing tensor is only its effect.

use std::collections::BTreeSet;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, BoolStore, DType, Int, Tensor};

use super::super::checkpoint_error::CheckpointError;
use super::section::{StoredModule, StoredTensor, Tensors, burn_dtype};
use super::{architecture, identity};
use crate::tensor::parameter_path::ParameterPath;

/// What is restored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Extent {
    /// Values.
    Values,
    /// Values and which parameters are trained; tied parameters must occur at the same places.
    Training,
}

/// Puts `stored` into `module`; `section` is used only in errors.
pub(super) fn restore<M: Module>(
    section: &str,
    stored: &StoredModule,
    module: M,
    extent: Extent,
) -> Result<M, CheckpointError> {
    let StoredModule { tensors, frozen, architecture } = stored;
    let mut check = Check {
        section,
        tensors,
        path: ParameterPath::default(),
        seen: BTreeSet::new(),
        outcome: Ok(()),
    };
    module.visit(&mut check);
    let tensors_fit = check.finish();
    let Some(architecture) = architecture else {
        tensors_fit?;
        return Err(CheckpointError::NoArchitecture { section: section.to_owned() });
    };
    if let Some(difference) = architecture::difference(&architecture::of(&module), architecture) {
        let architecture::Difference { path, left: expected, right: found, more } = difference;
        let name = name(section, &path);
        return Err(match tensors_fit {
            // An optional parameter is a value on one side and a tensor on the other, of which the
            // tensor says more.
            Err(error) if is_about(&error, &name) => error,
            _ => CheckpointError::OtherArchitecture { name, expected, found, more },
        });
    }
    tensors_fit?;
    let mut fill = Fill { tensors, path: ParameterPath::default(), frozen: None };
    if extent == Extent::Training {
        let places = identity::identities(&module);
        let known = places
            .iter()
            .filter_map(|(path, id)| Some((path.as_str(), id.val(), tensors.get(path)?.number)));
        if let Some((first, second, in_file)) = identity::other_ties(known) {
            let (first, second) = (name(section, first), name(section, second));
            return Err(CheckpointError::OtherTies { first, second, in_file });
        }
        fill.frozen = frozen.as_ref();
    }
    Ok(module.map(&mut fill))
}

/// The name of a place in a section.
fn name(section: &str, path: &str) -> String {
    if path.is_empty() { section.to_owned() } else { format!("{section}.{path}") }
}

/// Whether an error of the tensors names this one.
fn is_about(error: &CheckpointError, tensor: &str) -> bool {
    match error {
        CheckpointError::MissingTensor { name, .. } => name == tensor,
        CheckpointError::UnexpectedTensors { names } => names.iter().any(|name| name == tensor),
        _ => false,
    }
}

/// Finds the first parameter that does not fit the stored tensors.
struct Check<'a> {
    section: &'a str,
    tensors: &'a Tensors,
    path: ParameterPath,
    seen: BTreeSet<String>,
    outcome: Result<(), CheckpointError>,
}

impl Check<'_> {
    /// The first parameter that does not fit, or else the stored tensors that no parameter takes.
    fn finish(self) -> Result<(), CheckpointError> {
        self.outcome?;
        let unexpected = self.tensors.keys().filter(|path| !self.seen.contains(*path));
        let names: Vec<String> = unexpected.map(|path| name(self.section, path)).collect();
        if names.is_empty() { Ok(()) } else { Err(CheckpointError::UnexpectedTensors { names }) }
    }

    /// `shape` is that of the stored form. `dtype` takes the stored type and returns the type of
    /// the parameter.
    fn expect(&mut self, shape: Vec<usize>, dtype: impl FnOnce(DType) -> DType) {
        if self.outcome.is_ok() {
            self.outcome = self.try_expect(shape, dtype);
        }
    }

    fn try_expect(
        &mut self,
        expected: Vec<usize>,
        dtype: impl FnOnce(DType) -> DType,
    ) -> Result<(), CheckpointError> {
        let path = self.path.join();
        let name = format!("{}.{path}", self.section);
        let Some(stored) = self.tensors.get(&path) else {
            return Err(CheckpointError::MissingTensor { name, shape: expected });
        };
        if !self.seen.insert(path) {
            return Err(CheckpointError::DuplicatePath { name });
        }
        if stored.shape != expected {
            return Err(CheckpointError::ShapeMismatch {
                name,
                expected,
                found: stored.shape.clone(),
            });
        }
        let found = found_dtype(stored);
        let expected = dtype(found);
        if expected == found {
            Ok(())
        } else {
            Err(CheckpointError::DTypeMismatch { name, expected, found })
        }
    }
}

/// The reader accepts only element types that burn has.
fn found_dtype(stored: &StoredTensor) -> DType {
    burn_dtype(stored.dtype).unwrap_or(DType::Bool(BoolStore::Native))
}

/// An initialised parameter states its shape and type. A lazy parameter knows the shape of its
/// stored form, but its type only after it is initialised. Where the file holds the default type of
/// the device, this initialisation is avoided.
macro_rules! check_numbers {
    ($method:ident, $kind:ty, $default:ident) => {
        fn $method<const D: usize>(&mut self, param: &Param<Tensor<D, $kind>>) {
            if param.is_initialized() {
                let value = param.transform_for_save().val();
                self.expect(value.dims().to_vec(), |_| value.dtype());
            } else {
                self.expect(param.lazy_shape().to_vec(), |found| {
                    let default = DType::from(param.lazy_device().settings().$default);
                    if found == default {
                        default
                    } else {
                        param.transform_for_save().val().dtype()
                    }
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
        // How a device stores its booleans does not matter here.
        self.expect(shape, |_| DType::Bool(BoolStore::Native));
    }
}

/// Fills every parameter, after [`Check`] has found that all fit.
struct Fill<'a> {
    tensors: &'a Tensors,
    path: ParameterPath,
    /// Paths of the parameters to freeze; `None`: as in the module.
    frozen: Option<&'a BTreeSet<String>>,
}

impl<'a> Fill<'a> {
    fn take(&self) -> Option<&'a StoredTensor> {
        self.tensors.get(&self.path.join())
    }
}

/// `transform_for_load` keeps device, mappers and `require_grad` and initialises nothing. The
/// tensor is created on the device of the parameter, with its autodiff, and is a leaf.
impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(stored) = self.take() else { return param };
        let (id, device) = (param.id, param.lazy_device());
        let tensor = Tensor::from_data(stored.data(), (&device, found_dtype(stored)));
        let param = param.transform_for_load(tensor, id);
        match self.frozen {
            Some(frozen) if device.is_autodiff() => {
                param.set_require_grad(!frozen.contains(&self.path.join()))
            }
            _ => param,
        }
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let Some(stored) = self.take() else { return param };
        let (id, tensor) = (
            param.id,
            Tensor::from_data(stored.data(), (&param.lazy_device(), found_dtype(stored))),
        );
        param.transform_for_load(tensor, id)
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        let Some(stored) = self.take() else { return param };
        let (id, tensor) = (param.id, Tensor::from_data(stored.data(), &param.lazy_device()));
        param.transform_for_load(tensor, id)
    }
}
