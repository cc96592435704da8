//! Tied parameters: one parameter at several places of a model.
//! ```text
//! gradient   the sum over its places
//! update     once, by one state of the optimizer; every place holds the new value
//! ```
//! Places hold one parameter if they have the same id, and a clone has the id of its original:
//! `(layer.clone(), layer)` is a layer that runs twice. Clones that hold different values are not
//! tied: an optimizer finds a parameter by its id, and would update only one of them. They are
//! therefore an error. Values are compared as numbers: 0 equals −0, and NaN equals NaN.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Bool, Int, Tensor, TensorData};

use super::error::TrainError;
use super::gradient::device_error;
use crate::tensor::parameter_path::ParameterPath;

/// Whether a parameter of the model occurs at several places. Only the values of such parameters
/// are copied to the host.
///
/// # Errors
/// [`TrainError::Clones`] if the places differ; [`TrainError::Device`].
pub(super) fn check<M: Module>(model: &M) -> Result<bool, TrainError> {
    let mut search = Search {
        path: ParameterPath::default(),
        first: HashMap::new(),
        tied: false,
        outcome: Ok(()),
    };
    model.visit(&mut search);
    search.outcome.map(|()| search.tied)
}

/// Gives every place of a parameter the value of the first.
pub(super) fn tie<M: Module>(model: M) -> M {
    model.map(&mut Tie(HashMap::new()))
}

struct Search {
    path: ParameterPath,
    /// Path, value, and whether it is trained.
    first: HashMap<ParamId, (String, Box<dyn Any>, bool)>,
    tied: bool,
    outcome: Result<(), TrainError>,
}

impl Search {
    fn place<T: Any + Clone>(
        &mut self,
        id: ParamId,
        value: T,
        trained: bool,
        data: impl Fn(T) -> Result<TensorData, TrainError>,
    ) {
        if self.outcome.is_err() {
            return;
        }
        let (first, known, known_trained) = match self.first.entry(id) {
            Entry::Vacant(slot) => {
                slot.insert((self.path.join(), Box::new(value), trained));
                return;
            }
            Entry::Occupied(slot) => slot.into_mut(),
        };
        self.tied = true;
        let differ = match known.downcast_ref::<T>() {
            None => Ok(Some("different kinds")),
            Some(_) if *known_trained != trained => Ok(Some("only one of them is trained")),
            Some(known) => data(known.clone()).and_then(|known| Ok(differ(&known, &data(value)?))),
        };
        self.outcome = match differ {
            Ok(None) => Ok(()),
            Ok(Some(differ)) => {
                Err(TrainError::Clones { first: first.clone(), second: self.path.join(), differ })
            }
            Err(error) => Err(error),
        };
    }
}

/// How two tensors differ, or `None` if they are equal.
fn differ(left: &TensorData, right: &TensorData) -> Option<&'static str> {
    if left.shape() != right.shape() || left.dtype() != right.dtype() {
        return Some("different shapes or types");
    }
    let same =
        left.bytes() == right.bytes() || (left.dtype().is_float() && equal_numbers(left, right));
    (!same).then_some("different values")
}

/// Whether all elements are equal by value. f64 holds every value of burn's float types exactly.
fn equal_numbers(left: &TensorData, right: &TensorData) -> bool {
    let mut pairs = left.iter::<f64>().zip(right.iter::<f64>());
    pairs.all(|(left, right)| left == right || (left.is_nan() && right.is_nan()))
}

impl ModuleVisitor for Search {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let trained = param.base().is_require_grad();
        self.place(param.id, param.base().without_autodiff(), trained, |value| {
            value.try_into_data().map_err(device_error)
        });
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.place(param.id, param.base(), false, |value| {
            value.try_into_data().map_err(device_error)
        });
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.place(param.id, param.base(), false, |value| {
            value.try_into_data().map_err(device_error)
        });
    }
}

/// The value at the first place of each parameter.
struct Tie(HashMap<ParamId, Box<dyn Any>>);

impl ModuleMapper for Tie {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.get(&param.id).and_then(|first| first.downcast_ref::<Tensor<D>>()) {
            Some(first) => param.map(|_| first.clone()),
            None => {
                self.0.insert(param.id, Box::new(param.base()));
                param
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let nan = f32::from_bits(f32::NAN.to_bits() ^ 0x8000_0001);
        let (left, right) = ([0.0, -0.0, f32::NAN, 2.5], [-0.0, 0.0, nan, 2.5]);
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let data = |values: [f32; 4]| TensorData::from(values).convert_dtype(dtype);
            assert_ne!(data(left).bytes(), data(right).bytes());
            assert_eq!(differ(&data(left), &data(right)), None, "{dtype:?}");
            for other in [
                [0.0, 1e-3, nan, 2.5],
                [0.0, 0.0, 1.0, 2.5],
                [0.0, 0.0, nan, f32::NAN],
                [0.0, 0.0, nan, -2.5],
            ] {
                assert_eq!(
                    differ(&data(left), &data(other)),
                    Some("different values"),
                    "{dtype:?} {other:?}"
                );
                assert_eq!(
                    differ(&data(other), &data(left)),
                    Some("different values"),
                    "{dtype:?} {other:?}"
                );
            }
        }
        // These integers are one number in float64.
        let (left, right) =
            (TensorData::from([1_i64 << 53]), TensorData::from([(1_i64 << 53) + 1]));
        assert_eq!(differ(&left, &right), Some("different values"));
        assert_eq!(differ(&left, &left.clone()), None);
    }
}
