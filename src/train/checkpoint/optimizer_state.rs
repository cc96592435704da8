//! Checks that the record of an optimizer is the state of a module's parameters.
//! ```text
//! name       "<number>.<part>", of a float parameter
//! part       __rank                axes of the parameter
//!            [momentum.]time       updates of the parameter, 1 to those of the run
//!            [momentum.]moment_1   decayed mean of gradients:
//!                                  shape and type of the parameter, finite
//!            [momentum.]moment_2   decayed mean of squares, or largest magnitude:
//!                                  the same, and not negative
//! ```
//! The checksum of a file only shows that its bytes are those that were written, and a record does
//! not describe the parameters. burn accepts any record, and panics at the first operation on
//! tensors that do not fit each other.
//!
//! All parts of a trainer's optimizers are known. For any other optimizer, parts of other names are
//! accepted if they have the type and the number of axes of their parameter, and are finite.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};
use burn_pack::{Reader, Scalar};

use super::super::checkpoint_error::CheckpointError;
use super::super::state_fault::StateFault;
use super::{identity, moments};
use crate::tensor::parameter_path::ParameterPath;

/// The part in which burn stores the number of axes.
const RANK: &str = "__rank";
const COUNT: &str = "time";
const MEAN: &str = "moment_1";
const SQUARE: &str = "moment_2";

/// What is known about a record besides the module.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Expected {
    /// Prefix of the names of the parts; `None` for an optimizer whose parts are not known.
    pub parts: Option<&'static str>,
    /// Number of updates of the run.
    pub updates: u64,
}

/// A float parameter.
struct Parameter {
    path: String,
    shape: Vec<usize>,
    dtype: DType,
}

/// A part of the state of a parameter that is invalid.
struct Found {
    key: String,
    parameter: String,
    fault: StateFault,
}

/// Checks the record in the section `section`.
///
/// # Errors
/// [`CheckpointError::Optimizer`] if it is not a record; [`CheckpointError::OptimizerState`].
pub(super) fn check<M: Module>(
    section: &str,
    bytes: &[u8],
    module: &M,
    expected: Expected,
) -> Result<(), CheckpointError> {
    let unreadable = |reason| CheckpointError::Optimizer { name: section.to_owned(), reason };
    let reader = moments::reader(bytes).map_err(unreadable)?;
    let parameters = Parameters::of(module);
    match inspect(reader, &parameters, expected).map_err(unreadable)? {
        None => Ok(()),
        Some(Found { key, parameter, fault }) => Err(CheckpointError::OptimizerState {
            name: format!("{section}.{key}"),
            parameter,
            fault,
        }),
    }
}

/// The first part at fault. `Err` for bytes that are not a record.
fn inspect(
    reader: Reader,
    parameters: &Parameters,
    expected: Expected,
) -> Result<Option<Found>, String> {
    let found = |key: &str, fault| {
        let parameter = parameters
            .named(key)
            .map(|(_, parameter, _)| parameter.path.clone())
            .unwrap_or_default();
        Some(Found { key: key.to_owned(), parameter, fault })
    };
    let mut parts: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for (key, value) in reader.scalars() {
        let Some((number, parameter, part)) = parameters.named(key) else {
            return Ok(found(key, StateFault::Foreign));
        };
        if let Some(fault) = scalar(part, *value, parameter, expected) {
            return Ok(found(key, fault));
        }
        parts.entry(number).or_default().insert(part.to_owned());
    }
    for key in reader.metadata().keys() {
        if parameters.numbered(key).is_none() {
            return Ok(found(key, StateFault::Foreign));
        }
    }
    for tensor in reader.into_tensors().map_err(moments::text)? {
        let (key, dtype, shape, id, bytes) = tensor.into_parts().map_err(moments::text)?;
        let Some((number, parameter, part)) = parameters.named(&key) else {
            return Ok(found(&key, StateFault::Foreign));
        };
        if id != Some(number) {
            return Ok(found(&key, StateFault::OtherNumber { found: id }));
        }
        let shape: Vec<usize> = shape.to_vec();
        if let Some(fault) = tensor_layout(part, dtype, &shape, parameter, expected) {
            return Ok(found(&key, fault));
        }
        let data = TensorData::from_bytes(bytes, shape, dtype);
        if let Some(fault) = values(last(part) == SQUARE, &data) {
            return Ok(found(&key, fault));
        }
        parts.entry(number).or_default().insert(part.to_owned());
    }
    for (number, parts) in parts {
        let prefix = expected.parts.unwrap_or_default();
        let known = [COUNT, MEAN, SQUARE].map(|part| format!("{prefix}{part}"));
        let known = known.iter().map(String::as_str).filter(|_| expected.parts.is_some());
        if let Some(missing) = known.chain([RANK]).find(|part| !parts.contains(*part)) {
            return Ok(found(&format!("{number}.{missing}"), StateFault::Missing));
        }
    }
    Ok(None)
}

/// What is wrong with a number.
fn scalar(
    part: &str,
    value: Scalar,
    parameter: &Parameter,
    expected: Expected,
) -> Option<StateFault> {
    let whole = u64::try_from(value).ok();
    let axes = parameter.shape.len();
    if part == RANK {
        let fits = whole == Some(axes as u64);
        return (!fits).then(|| StateFault::Rank { expected: axes, found: text(value) });
    }
    if expected.parts.is_some_and(|prefix| part.strip_prefix(prefix) != Some(COUNT)) {
        return Some(StateFault::Unknown);
    }
    if last(part) == COUNT {
        let counts = whole.is_some_and(|count| (1..=expected.updates).contains(&count));
        return (!counts).then(|| StateFault::Count { most: expected.updates, found: text(value) });
    }
    matches!(value, Scalar::Float(value) if !value.is_finite()).then_some(StateFault::NonFinite)
}

/// What is wrong with the shape or type of a tensor.
fn tensor_layout(
    part: &str,
    dtype: DType,
    shape: &[usize],
    parameter: &Parameter,
    expected: Expected,
) -> Option<StateFault> {
    let moment = [MEAN, SQUARE].contains(&last(part));
    let known =
        |prefix| part.strip_prefix(prefix).is_some_and(|part| [MEAN, SQUARE].contains(&part));
    if expected.parts.is_some_and(|prefix| !known(prefix)) {
        return Some(StateFault::Unknown);
    }
    let fits =
        if moment { *shape == *parameter.shape } else { shape.len() == parameter.shape.len() };
    if !fits {
        return Some(StateFault::Shape {
            expected: parameter.shape.clone(),
            found: shape.to_vec(),
        });
    }
    (dtype != parameter.dtype)
        .then_some(StateFault::Type { expected: parameter.dtype, found: dtype })
}

/// What is wrong with the elements of a tensor.
fn values(not_negative: bool, data: &TensorData) -> Option<StateFault> {
    data.iter::<f64>().find_map(|value| match value {
        value if !value.is_finite() => Some(StateFault::NonFinite),
        value if not_negative && value < 0.0 => Some(StateFault::Negative { found: value }),
        _ => None,
    })
}

fn text(value: Scalar) -> String {
    match value {
        Scalar::Int(value) => value.to_string(),
        Scalar::UInt(value) => value.to_string(),
        Scalar::Float(value) => format!("{value:?}"),
        Scalar::Bool(value) => value.to_string(),
    }
}

/// The last segment of a name.
fn last(part: &str) -> &str {
    part.rsplit('.').next().unwrap_or(part)
}

/// The float parameters of a module by number.
struct Parameters {
    numbers: HashMap<u64, u64>,
    path: ParameterPath,
    found: BTreeMap<u64, Parameter>,
}

impl Parameters {
    fn of<M: Module>(module: &M) -> Self {
        let numbers = identity::numbers(module);
        let mut parameters =
            Self { numbers, path: ParameterPath::default(), found: BTreeMap::new() };
        module.visit(&mut parameters);
        parameters
    }

    /// The parameter with a number, if the number is written in its normal form.
    fn numbered(&self, text: &str) -> Option<(u64, &Parameter)> {
        let number: u64 = text.parse().ok().filter(|number: &u64| number.to_string() == text)?;
        Some((number, self.found.get(&number)?))
    }

    /// Number, parameter and part of a name.
    fn named<'a>(&self, key: &'a str) -> Option<(u64, &Parameter, &'a str)> {
        let (number, part) = key.split_once('.')?;
        let (number, parameter) = self.numbered(number)?;
        Some((number, parameter, part))
    }
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.base();
        let parameter = Parameter {
            path: self.path.join(),
            shape: value.dims().to_vec(),
            dtype: value.dtype(),
        };
        self.found.entry(self.numbers[&param.id.val()]).or_insert(parameter);
    }
}
