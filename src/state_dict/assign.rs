//! A module's parameters from a state dict, and back: every parameter has its arrays, and no array
//! is left over.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Int, Tensor, TensorData};

use super::slot::{Map, Part, Slot};
use super::{Array, StateDict, StateDictError, Values};
use crate::tensor::float_limits::largest_number;
use crate::tensor::parameter_path::ParameterPath;

/// A state dict whose arrays are used one after the other.
pub(crate) struct Assignment<'a> {
    state: &'a StateDict,
    /// Arrays that are taken in place of those of the file.
    changed: Option<&'a StateDict>,
    used: BTreeSet<String>,
}

impl<'a> Assignment<'a> {
    pub(crate) fn new(state: &'a StateDict) -> Self {
        Self { state, changed: None, used: BTreeSet::new() }
    }

    /// The same, where the arrays of `changed` are taken in place of those of the file.
    pub(crate) fn with_changed(self, changed: &'a StateDict) -> Self {
        Self { changed: Some(changed), ..self }
    }

    /// The module with the values of its arrays. `naming` gives the arrays of a parameter from its
    /// path and its shape. Everything is checked before anything changes; a lazy parameter is
    /// filled without being initialised first.
    pub(crate) fn fill<M: Module>(
        &mut self,
        module: M,
        naming: impl Fn(&str, &[usize]) -> Slot,
    ) -> Result<M, StateDictError> {
        let path = ParameterPath::default();
        let mut gather = Gather { assignment: self, naming: &naming, path, outcome: Ok(vec![]) };
        module.visit(&mut gather);
        let values = gather.outcome?;
        Ok(module.map(&mut Fill { values: values.into_iter() }))
    }

    /// Whether the file has an array of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.state.get(name).is_some()
    }

    /// The file.
    pub(crate) fn path(&self) -> &'a Path {
        self.state.path()
    }

    /// Lets the arrays that `is_known` selects be left over: the model has no use for them.
    pub(crate) fn leave(&mut self, is_known: impl Fn(&StateDict, &str) -> bool) {
        let known = self.state.names().filter(|name| is_known(self.state, name));
        self.used.extend(known.map(str::to_owned));
    }

    /// The module with the integers of its arrays, each named by the path of its parameter.
    pub(crate) fn fill_integers<M: Module>(&mut self, module: M) -> Result<M, StateDictError> {
        let path = ParameterPath::default();
        let mut fill = FillIntegers { assignment: self, path, outcome: Ok(()) };
        let module = module.map(&mut fill);
        fill.outcome.map(|()| module)
    }

    /// The array `name`, which is used from now on.
    pub(crate) fn take(&mut self, name: &str) -> Result<&'a Array, StateDictError> {
        let changed = self.changed.and_then(|changed| changed.get(name));
        let array = changed.or_else(|| self.state.get(name)).ok_or_else(|| {
            StateDictError::Missing { path: self.state.path().into(), name: name.to_owned() }
        })?;
        self.used.insert(name.to_owned());
        Ok(array)
    }

    /// Uses the array `name`, of which nothing but the shape matters.
    pub(crate) fn expect_shape(
        &mut self,
        name: &str,
        expected: &[usize],
    ) -> Result<(), StateDictError> {
        let array = self.take(name)?;
        if array.shape() == expected {
            return Ok(());
        }
        let (path, name) = (self.state.path().into(), name.to_owned());
        let (expected, found) = (expected.to_vec(), array.shape().to_vec());
        Err(StateDictError::Shape { path, name, expected, found })
    }

    /// An error that names the arrays that nothing used.
    pub(crate) fn finish(self) -> Result<(), StateDictError> {
        let unused = self.state.names().filter(|name| !self.used.contains(*name));
        let names: Vec<String> = unused.map(str::to_owned).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(StateDictError::Unused { path: self.state.path().into(), names })
    }

    /// The values of one part, in the order of the parameter.
    pub(crate) fn values(&mut self, part: &Part) -> Result<Vec<f64>, StateDictError> {
        let array = self.take(&part.name)?;
        let (path, name) = (|| self.state.path().into(), || part.name.clone());
        if array.shape() != part.theirs {
            let (expected, found) = (part.theirs.clone(), array.shape().to_vec());
            return Err(StateDictError::Shape { path: path(), name: name(), expected, found });
        }
        let places = part.places().into_iter();
        let values: Vec<f64> = match array.values() {
            Values::F32(values) => places.map(|place| f64::from(values[place])).collect(),
            Values::F64(values) => places.map(|place| values[place]).collect(),
            Values::I64(_) => {
                return Err(StateDictError::Integers { path: path(), name: name() });
            }
        };
        if let Some(found) = values.iter().copied().find(|value| !value.is_finite()) {
            return Err(StateDictError::NotFinite { path: path(), name: name(), found });
        }
        match part.map {
            Map::Same => Ok(values),
            Map::Ln { least: Some(least) } => {
                Ok(values.into_iter().map(|value| value.max(least).ln()).collect())
            }
            Map::Ln { least: None } => {
                if let Some(found) = values.iter().copied().find(|&value| value <= 0.0) {
                    return Err(StateDictError::NotPositive { path: path(), name: name(), found });
                }
                Ok(values.into_iter().map(f64::ln).collect())
            }
        }
    }

    /// The values of a parameter of type `dtype`, which has a place for each of them.
    fn slot(&mut self, slot: &Slot, dtype: DType) -> Result<Vec<f64>, StateDictError> {
        let (most, mut all) = (largest_number(dtype), Vec::new());
        for part in &slot.parts {
            let values = self.values(part)?;
            if let Some(found) = values.iter().find(|value| value.abs() > most) {
                return Err(StateDictError::Value {
                    path: self.state.path().into(),
                    name: part.name.clone(),
                    expected: format!("numbers up to {most:e}, the largest of {dtype:?}"),
                    found: found.to_string(),
                });
            }
            all.extend(values);
        }
        Ok(all)
    }
}

/// Collects the values of each parameter, in the order of a visit.
struct Gather<'a, 'b, N> {
    assignment: &'a mut Assignment<'b>,
    naming: &'a N,
    path: ParameterPath,
    outcome: Result<Vec<Vec<f64>>, StateDictError>,
}

impl<N: Fn(&str, &[usize]) -> Slot> ModuleVisitor for Gather<'_, '_, N> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Ok(gathered) = &mut self.outcome else { return };
        let (path, shape) = (self.path.join(), param.lazy_shape());
        let slot = (self.naming)(&path, &shape);
        match self.assignment.slot(&slot, dtype(param)) {
            Ok(values) => {
                let count: usize = shape.iter().product();
                assert_eq!(values.len(), count, "the naming of {path} gives another shape");
                gathered.push(values);
            }
            Err(error) => self.outcome = Err(error),
        }
    }
}

/// The type of a parameter, which a lazy one has from its device.
fn dtype<const D: usize>(param: &Param<Tensor<D>>) -> DType {
    if param.is_initialized() {
        return param.val().dtype();
    }
    DType::from(param.lazy_device().settings().float_dtype)
}

/// Fills every float parameter, in the order of a visit.
struct Fill {
    values: std::vec::IntoIter<Vec<f64>>,
}

impl ModuleMapper for Fill {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.values.next() else {
            unreachable!("a visit and a map see the same parameters")
        };
        let (id, device, shape) = (param.id, param.lazy_device(), param.lazy_shape());
        let dtype = dtype(&param);
        let data = TensorData::new(values, shape).convert_dtype(dtype);
        param.transform_for_load(Tensor::from_data(data, (&device, dtype)), id)
    }
}

/// Fills every integer parameter; after an error, none.
struct FillIntegers<'a, 'b> {
    assignment: &'a mut Assignment<'b>,
    path: ParameterPath,
    outcome: Result<(), StateDictError>,
}

impl FillIntegers<'_, '_> {
    fn values(&mut self, shape: &[usize]) -> Result<Vec<i64>, StateDictError> {
        let name = self.path.join();
        self.assignment.expect_shape(&name, shape)?;
        let array = self.assignment.take(&name)?;
        let Values::I64(values) = array.values() else {
            let (expected, found) = ("integers".to_owned(), array.values().kind().to_owned());
            let path = self.assignment.state.path().into();
            return Err(StateDictError::Value { path, name, expected, found });
        };
        Ok(values.clone())
    }
}

impl ModuleMapper for FillIntegers<'_, '_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        if self.outcome.is_err() {
            return param;
        }
        let shape = param.lazy_shape();
        match self.values(&shape) {
            Ok(values) => {
                let (id, device, dtype) = (param.id, param.lazy_device(), param.val().dtype());
                let data = TensorData::new(values, shape).convert_dtype(dtype);
                param.transform_for_load(Tensor::from_data(data, (&device, dtype)), id)
            }
            Err(error) => {
                self.outcome = Err(error);
                param
            }
        }
    }
}

/// The arrays of a module's parameters: the reverse of [`Assignment::fill`].
pub(crate) fn collect<M: Module>(
    module: &M,
    naming: impl Fn(&str, &[usize]) -> Slot,
) -> Result<Vec<(String, Array)>, StateDictError> {
    let path = ParameterPath::default();
    let mut collect = Collect { naming: &naming, path, outcome: Ok(vec![]) };
    module.visit(&mut collect);
    collect.outcome
}

/// Name and shape of each array of a module's parameters. Nothing is initialised.
pub(crate) fn shapes<M: Module>(
    module: &M,
    naming: impl Fn(&str, &[usize]) -> Slot,
) -> Vec<(String, Vec<usize>)> {
    let mut shapes = Shapes { naming: &naming, path: ParameterPath::default(), found: vec![] };
    module.visit(&mut shapes);
    shapes.found
}

struct Shapes<'a, N> {
    naming: &'a N,
    path: ParameterPath,
    found: Vec<(String, Vec<usize>)>,
}

impl<N: Fn(&str, &[usize]) -> Slot> ModuleVisitor for Shapes<'_, N> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let slot = (self.naming)(&self.path.join(), &param.lazy_shape());
        self.found.extend(slot.parts.into_iter().map(|part| (part.name, part.theirs)));
    }
}

struct Collect<'a, N> {
    naming: &'a N,
    path: ParameterPath,
    outcome: Result<Vec<(String, Array)>, StateDictError>,
}

impl<N: Fn(&str, &[usize]) -> Slot> ModuleVisitor for Collect<'_, N> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Ok(collected) = &mut self.outcome else { return };
        let path = self.path.join();
        let tensor = param.val();
        let slot = (self.naming)(&path, &tensor.dims());
        let is_double = tensor.dtype() == DType::F64;
        let data = match tensor.inner().try_into_data() {
            Ok(data) => data.convert::<f64>(),
            Err(error) => {
                let (name, reason) = (path, error.to_string());
                self.outcome = Err(StateDictError::Device { name, reason });
                return;
            }
        };
        let values: Vec<f64> = data.iter().collect();
        if let Some(found) = values.iter().copied().find(|value| !value.is_finite()) {
            self.outcome = Err(StateDictError::NonFiniteParameter { name: path, found });
            return;
        }
        let mut start = 0;
        for part in slot.parts {
            let own = &values[start..start + part.count()];
            start += part.count();
            collected.push((part.name.clone(), array(&part, own, is_double)));
        }
    }
}

/// The array of a part, from its values in the order of the parameter.
fn array(part: &Part, own: &[f64], is_double: bool) -> Array {
    let mut values = vec![0.0; own.len()];
    for (place, &value) in part.places().into_iter().zip(own) {
        values[place] = match part.map {
            Map::Same => value,
            Map::Ln { .. } => value.exp(),
        };
    }
    let values = if is_double || matches!(part.map, Map::Ln { .. }) {
        Values::F64(values)
    } else {
        Values::F32(values.into_iter().map(|value| value as f32).collect())
    };
    Array::new(part.theirs.clone(), values)
}
