//! The channel mixing of a step: a matrix, its factors, or an order.
//! ```text
//! there   z = x·W,  W = P·L·(U + D)        x, z rows of channels
//! here    z = Wᵀx,  Wᵀ factored again      columns of channels
//! ```

use burn::module::Param;
use burn::tensor::{Int, Tensor, TensorData};
use nalgebra::DMatrix;

use super::scope::Scope;
use crate::linear::Conv1x1;
use crate::linear::plu_factors::PluFactors;
use crate::model::glow::GlowMixing;
use crate::reshape::Permutation;
use crate::state_dict::assign::{Assignment, collect, shapes};
use crate::state_dict::slot::{Part, Slot};
use crate::state_dict::{Array, StateDictError, Values};
use crate::tensor::parameter;

/// The layer with the arrays of a file at `scope`, that of the step.
pub(super) fn read(
    assignment: &mut Assignment,
    scope: &Scope,
    mixing: GlowMixing,
) -> Result<GlowMixing, StateDictError> {
    Ok(match mixing {
        GlowMixing::Matrix(layer) => {
            GlowMixing::Matrix(assignment.fill(layer, |_, shape| scope.matrix(shape))?)
        }
        GlowMixing::Plu(layer) => GlowMixing::Plu(read_factors(assignment, scope, layer)?),
        GlowMixing::Fixed(layer) => GlowMixing::Fixed(read_order(assignment, scope, layer)?),
    })
}

/// The arrays of the layer.
pub(super) fn write(
    scope: &Scope,
    mixing: &GlowMixing,
    orders: Orders,
) -> Result<Vec<(String, Array)>, StateDictError> {
    match mixing {
        GlowMixing::Matrix(layer) => collect(layer, |_, shape| scope.matrix(shape)),
        GlowMixing::Plu(layer) => write_factors(scope, layer),
        GlowMixing::Fixed(_) if orders == Orders::Reversed => Ok(vec![]),
        GlowMixing::Fixed(layer) => write_order(scope, layer),
    }
}

/// Names and shapes of the arrays of the layer.
pub(super) fn shapes_of(
    scope: &Scope,
    mixing: &GlowMixing,
    orders: Orders,
) -> Vec<(String, Vec<usize>)> {
    match mixing {
        GlowMixing::Matrix(layer) => shapes(layer, |_, shape| scope.matrix(shape)),
        GlowMixing::Plu(layer) => {
            let scope = scope.within("invconv");
            let n = layer.log_scale.lazy_shape()[0];
            let squares = SQUARES.map(|name| (scope.fixed(name), vec![n, n]));
            squares.into_iter().chain(DIAGONALS.map(|name| (scope.fixed(name), vec![n]))).collect()
        }
        GlowMixing::Fixed(_) if orders == Orders::Reversed => vec![],
        GlowMixing::Fixed(layer) => {
            let scope = scope.within("shuffle");
            let n = layer.indices.lazy_shape()[0];
            ORDERS.map(|name| (scope.fixed(name), vec![n])).into()
        }
    }
}

/// What a file says of the orders of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orders {
    /// Nothing: every step reverses its channels.
    Reversed,
    /// The order of every step.
    Listed,
}

impl Orders {
    /// Those of the layers of a model.
    pub(super) fn of<'a>(
        layers: impl Iterator<Item = &'a GlowMixing>,
    ) -> Result<Self, StateDictError> {
        for layer in layers {
            if let GlowMixing::Fixed(layer) = layer
                && !is_reversed(layer)?
            {
                return Ok(Self::Listed);
            }
        }
        Ok(Self::Reversed)
    }
}

/// The arrays of an order: itself and its inverse.
const ORDERS: [&str; 2] = ["indices", "indices_inverse"];

/// The matrices among the factors.
const SQUARES: [&str; 3] = ["P", "L", "U"];

/// The diagonals among the factors.
const DIAGONALS: [&str; 2] = ["sign_S", "log_S"];

fn read_factors(
    assignment: &mut Assignment,
    scope: &Scope,
    mut layer: Conv1x1,
) -> Result<Conv1x1, StateDictError> {
    let [n] = layer.log_scale.lazy_shape().dims();
    let scope = scope.within("invconv");
    let square = [n, n];
    let mut take = |name: String, shape: &[usize]| assignment.values(&Part::new(name, shape));
    let order = take(scope.fixed("P"), &square)?;
    let lower = take(scope.trained("L"), &square)?;
    let upper = take(scope.trained("U"), &square)?;
    let sign = take(scope.fixed("sign_S"), &[n])?;
    let log_scale = take(scope.trained("log_S"), &[n])?;
    let wrong = |variable: &str, expected: &str, found: String| {
        let (path, name) = (assignment.path().into(), scope.fixed(variable));
        StateDictError::Value { path, name, expected: expected.to_owned(), found }
    };
    if let Some(found) = sign.iter().find(|sign| sign.abs() != 1.0) {
        return Err(wrong("sign_S", "signs, -1 or 1", found.to_string()));
    }
    let permutation = order
        .chunks(n)
        .map(|row| {
            let place = row.iter().position(|&entry| entry == 1.0);
            let is_unit = row.iter().filter(|&&entry| entry != 0.0).count() == 1;
            place.filter(|_| is_unit).map(|place| place as i64)
        })
        .collect::<Option<Vec<i64>>>()
        .filter(|rows| is_permutation(rows))
        .ok_or_else(|| wrong("P", "a permutation matrix", "another matrix".into()))?;
    let theirs = PluFactors {
        lower: DMatrix::from_row_slice(n, n, &lower),
        upper: DMatrix::from_row_slice(n, n, &upper),
        log_scale,
        sign: sign.into_iter().map(|sign| sign as i64).collect(),
        permutation,
    };
    let ours = PluFactors::of(theirs.matrix().transpose());
    let entries = ours.lower.iter().chain(&ours.upper).chain(&ours.log_scale);
    if entries.copied().any(|entry| !entry.is_finite()) {
        let expected = "a matrix that float64 can invert";
        return Err(wrong("log_S", expected, "a singular or infinite one".into()));
    }
    layer.lower = parameter::set_values(layer.lower, by_rows(&ours.lower));
    layer.upper = parameter::set_values(layer.upper, by_rows(&ours.upper));
    layer.log_scale = parameter::set_values(layer.log_scale, ours.log_scale);
    layer.sign = with_integers(layer.sign, ours.sign);
    layer.permutation = with_integers(layer.permutation, ours.permutation);
    Ok(layer)
}

fn write_factors(scope: &Scope, layer: &Conv1x1) -> Result<Vec<(String, Array)>, StateDictError> {
    let scope = scope.within("invconv");
    let n = layer.log_scale.lazy_shape()[0];
    let mut is_double = false;
    let mut own = collect(layer, |path, shape| Slot::of(Part::new(path, shape)))?.into_iter();
    let mut next = || -> Vec<f64> {
        match own.next().map(|(_, array)| array.values().clone()) {
            Some(Values::F64(values)) => {
                is_double = true;
                values
            }
            Some(Values::F32(values)) => values.into_iter().map(f64::from).collect(),
            _ => unreachable!("a matrix in PLU form has three trained parameters"),
        }
    };
    let [lower, upper, log_scale] = [next(), next(), next()];
    let ours = PluFactors {
        lower: DMatrix::from_row_slice(n, n, &lower),
        upper: DMatrix::from_row_slice(n, n, &upper),
        log_scale,
        sign: integers(&layer.sign, "sign")?,
        permutation: integers(&layer.permutation, "permutation")?,
    };
    let theirs = PluFactors::of(ours.matrix().transpose());
    let order = DMatrix::from_fn(n, n, |row, column| {
        f64::from(u8::from(theirs.permutation[row] == column as i64))
    });
    let mut upper = theirs.upper.clone();
    upper.fill_diagonal(0.0);
    let array = |values: Vec<f64>, shape: &[usize]| {
        let values = if is_double {
            Values::F64(values)
        } else {
            Values::F32(values.into_iter().map(|value| value as f32).collect())
        };
        Array::new(shape, values)
    };
    let squares = [order, theirs.lower, upper].map(|matrix| array(by_rows(&matrix), &[n, n]));
    let sign = theirs.sign.into_iter().map(|sign| sign as f64).collect();
    let diagonals = [sign, theirs.log_scale].map(|diagonal| array(diagonal, &[n]));
    let arrays = SQUARES.into_iter().zip(squares).chain(DIAGONALS.into_iter().zip(diagonals));
    Ok(arrays.map(|(name, array)| (scope.fixed(name), array)).collect())
}

fn read_order(
    assignment: &mut Assignment,
    scope: &Scope,
    mut layer: Permutation,
) -> Result<Permutation, StateDictError> {
    let scope = scope.within("shuffle");
    if ORDERS.iter().all(|name| !assignment.has(&scope.fixed(name))) && is_reversed(&layer)? {
        return Ok(layer);
    }
    let n = layer.indices.lazy_shape()[0];
    let mut take = |variable: &str| {
        let (path, name) = (assignment.path().into(), scope.fixed(variable));
        let array = assignment.take(&name)?;
        if array.shape() != [n] {
            let (expected, found) = (vec![n], array.shape().to_vec());
            return Err(StateDictError::Shape { path, name, expected, found });
        }
        match array.values() {
            Values::I64(order) if is_permutation(order) => Ok(order.clone()),
            values => {
                let expected = format!("each integer from 0 to {} once", n - 1);
                let found = match values {
                    Values::I64(order) => format!("{order:?}"),
                    other => other.kind().to_owned(),
                };
                Err(StateDictError::Value { path, name, expected, found })
            }
        }
    };
    let [order, inverse] = ORDERS.map(&mut take);
    let (order, inverse) = (order?, inverse?);
    let undone = order.iter().map(|&place| inverse[place as usize]);
    if !undone.eq(0..n as i64) {
        let (path, name) = (assignment.path().into(), scope.fixed("indices_inverse"));
        let expected = format!("{:?}, the inverse of `indices`", inverted(&order));
        return Err(StateDictError::Value { path, name, expected, found: format!("{inverse:?}") });
    }
    layer.indices = with_integers(layer.indices, order);
    Ok(layer)
}

fn write_order(scope: &Scope, layer: &Permutation) -> Result<Vec<(String, Array)>, StateDictError> {
    let scope = scope.within("shuffle");
    let order = integers(&layer.indices, "indices")?;
    let inverse = inverted(&order);
    let array = |values: Vec<i64>| Array::new([values.len()], Values::I64(values));
    let arrays = ORDERS.into_iter().zip([order, inverse]);
    Ok(arrays.map(|(name, order)| (scope.fixed(name), array(order))).collect())
}

/// Whether the layer reverses the channels, for which a file has no arrays.
fn is_reversed(layer: &Permutation) -> Result<bool, StateDictError> {
    let order = integers(&layer.indices, "indices")?;
    Ok(order.iter().copied().eq((0..order.len() as i64).rev()))
}

/// Whether each number from 0 occurs once.
fn is_permutation(order: &[i64]) -> bool {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    sorted.into_iter().eq(0..order.len() as i64)
}

/// The inverse of a permutation.
fn inverted(order: &[i64]) -> Vec<i64> {
    let mut inverse = vec![0; order.len()];
    for (place, &from) in order.iter().enumerate() {
        inverse[from as usize] = place as i64;
    }
    inverse
}

fn by_rows(matrix: &DMatrix<f64>) -> Vec<f64> {
    // nalgebra stores columns.
    matrix.transpose().as_slice().to_vec()
}

fn integers(param: &Param<Tensor<1, Int>>, name: &str) -> Result<Vec<i64>, StateDictError> {
    let data = param.val().try_into_data().map_err(|error| StateDictError::Device {
        name: name.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(data.convert::<i64>().iter().collect())
}

fn with_integers(param: Param<Tensor<1, Int>>, values: Vec<i64>) -> Param<Tensor<1, Int>> {
    let (n, device) = (values.len(), param.lazy_device());
    Param::initialized(param.id, Tensor::from_data(TensorData::new(values, [n]), &device))
}
