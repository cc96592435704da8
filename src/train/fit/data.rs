//! The data of a fit: rows that can be gathered into a batch, each with a condition and a weight.

use burn::tensor::{Device, Int, Tensor};

use crate::context::Context;
use crate::counted::counted;
use crate::data::table::{Column, Values};
use crate::data::{Images, Table, TwoMoons};
use crate::tensor::graph::constant;

/// Examples that [`FitConfig::fit`](super::FitConfig::fit) gathers batches from.
///
/// | data | examples |
/// |---|---|
/// | `Tensor<D>` | the rows of a tensor: vectors, images |
/// | `Tensor<D, Int>` | levels, for a flow with a dequantization |
/// | `(data, condition)` | either, with one row of the condition for each example, or one for all |
/// | [`Weighted`] | any of these, with a weight for each example |
/// | [`Table`] | rows of numbers, with its weights |
/// | [`TwoMoons`], [`Images`] | points; levels |
///
/// Your own set implements `len` and `batch`.
pub trait FitData {
    /// A batch, as the flow takes it.
    type Data: Clone + Send + 'static;

    /// The condition of a batch, or `()` if there is none.
    type Context: Context;

    /// Number of examples.
    fn len(&self) -> usize;

    /// Whether there are no examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The examples `rows`, in this order, and their condition, on `device`. Your own set must
    /// return exactly one example for each of `rows`, and one row of the condition for each or one
    /// for all; another number is [`FitDataError::Batch`].
    fn batch(&self, rows: &[usize], device: &Device) -> (Self::Data, Self::Context);

    /// The weight of each example, or `None` if all weights are equal.
    fn weights(&self) -> Option<&[f64]> {
        None
    }

    /// Checks that all parts of the set have the same length.
    ///
    /// # Errors
    /// [`FitDataError::Lengths`].
    fn check(&self) -> Result<(), FitDataError> {
        Ok(())
    }
}

/// Rows of a tensor on another device: constants, if that device is one with autodiff.
fn rows_on<const D: usize>(x: &Tensor<D>, rows: &[usize], device: &Device) -> Tensor<D> {
    let x = Context::select(&x.clone().inner(), rows).to_device(&device.clone().without_autodiff());
    if device.is_autodiff() { constant(x, device) } else { x }
}

impl<const D: usize> FitData for Tensor<D> {
    type Data = Self;
    type Context = ();

    fn len(&self) -> usize {
        self.dims()[0]
    }

    fn batch(&self, rows: &[usize], device: &Device) -> (Self, ()) {
        (rows_on(self, rows, device), ())
    }
}

impl<const D: usize> FitData for Tensor<D, Int> {
    type Data = Self;
    type Context = ();

    fn len(&self) -> usize {
        self.dims()[0]
    }

    fn batch(&self, rows: &[usize], device: &Device) -> (Self, ()) {
        let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let indices = Tensor::<1, Int>::from_data(indices.as_slice(), &self.device());
        (self.clone().select(0, indices).to_device(device), ())
    }
}

/// The points, without a condition. The moon of each point can be used as a condition:
/// `(data.points(&device), data.moons(&device))`.
impl FitData for TwoMoons {
    type Data = Tensor<2>;
    type Context = ();

    fn len(&self) -> usize {
        self.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> (Tensor<2>, ()) {
        (self.batch(rows, device), ())
    }
}

/// The rows, without a condition, and the weights of the table. All columns hold numbers.
impl FitData for Table {
    type Data = Tensor<2>;
    type Context = ();

    fn len(&self) -> usize {
        self.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> (Tensor<2>, ()) {
        (self.batch(rows, device), ())
    }

    fn weights(&self) -> Option<&[f64]> {
        self.weights()
    }

    fn check(&self) -> Result<(), FitDataError> {
        let text = |Column { name, values }: &Column| match values {
            Values::Numbers(_) => None,
            Values::Texts { .. } => Some(FitDataError::Text { column: name.clone() }),
        };
        self.columns().iter().find_map(text).map_or(Ok(()), Err)
    }
}

/// The levels, without a condition.
impl FitData for Images {
    type Data = Tensor<4, Int>;
    type Context = ();

    fn len(&self) -> usize {
        self.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> (Tensor<4, Int>, ()) {
        (self.batch(rows, device), ())
    }
}

/// Data with a condition: one row of the condition for each example, or one for all of them.
impl<T, C> FitData for (T, C)
where
    T: FitData<Context = ()>,
    C: Context,
{
    type Data = T::Data;
    type Context = C;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> (T::Data, C) {
        let context = self.1.plain().for_batch(self.len()).select(rows);
        let context = if device.is_autodiff() { context.constant(device) } else { context };
        (self.0.batch(rows, device).0, context)
    }

    fn weights(&self) -> Option<&[f64]> {
        self.0.weights()
    }

    fn check(&self) -> Result<(), FitDataError> {
        self.0.check()?;
        let expected = self.len();
        let rows = |shape: &[usize]| shape.first().copied().unwrap_or(0);
        match self
            .1
            .parts()
            .into_iter()
            .map(|part| rows(&part.shape))
            .find(|&found| found != expected && found != 1)
        {
            None => Ok(()),
            Some(found) => Err(FitDataError::Lengths { what: "condition", expected, found }),
        }
    }
}

/// Data with a weight for each example.
///
/// ```text
/// loss   −Σ w_i ln p(x_i) / Σ w_i
/// ```
/// On average over the batches, an example of weight 2 counts as two equal examples: the loss of a
/// batch is `−mean(w_i ln p(x_i))`, with weights scaled to a mean of 1 over the training examples.
/// Examples of weight 0 are omitted from the beginning, and so are those whose weight is 0 in
/// float64 when it is divided by the largest weight.
#[derive(Debug, Clone)]
pub struct Weighted<T> {
    data: T,
    weights: Vec<f64>,
}

impl<T: FitData> Weighted<T> {
    /// Gives each example of `data` a weight, which replaces a weight that `data` itself has.
    /// [`FitConfig::fit`](super::FitConfig::fit) checks the weights.
    pub fn new(data: T, weights: Vec<f64>) -> Self {
        Self { data, weights }
    }
}

impl<T: FitData> FitData for Weighted<T> {
    type Data = T::Data;
    type Context = T::Context;

    fn len(&self) -> usize {
        self.data.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> (T::Data, T::Context) {
        self.data.batch(rows, device)
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.weights)
    }

    fn check(&self) -> Result<(), FitDataError> {
        self.data.check()?;
        let (expected, found) = (self.data.len(), self.weights.len());
        if expected == found {
            Ok(())
        } else {
            Err(FitDataError::Lengths { what: "weights", expected, found })
        }
    }
}

/// Data that no flow can be fitted to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FitDataError {
    /// No examples at all, or too few to train on some and hold others out.
    #[error(
        "{what}: expected at least {} of positive weight, found {found}",
        counted(*least, "example")
    )]
    TooFew {
        /// `data` or `held-out data`.
        what: &'static str,
        /// The least number.
        least: usize,
        /// Number of examples that was found.
        found: usize,
    },
    /// The number of rows differs from the number of examples.
    #[error(
        "{what}: expected {}, one for each example, found {found}",
        counted(*expected, "row")
    )]
    Lengths {
        /// `condition` or `weights`.
        what: &'static str,
        /// Number of examples.
        expected: usize,
        /// Number of rows.
        found: usize,
    },
    /// A set returned another number of rows than it was asked for.
    #[error(
        "{set}: `FitData::batch` was asked for {expected} examples, the first of them number \
         {first}: expected {expected} rows of {what}, found {found}"
    )]
    Batch {
        /// `data` or `held-out data`.
        set: &'static str,
        /// `data` or `condition`.
        what: &'static str,
        /// Number of examples that it was asked for.
        expected: usize,
        /// Number of rows that it returned.
        found: usize,
        /// The first example that it was asked for.
        first: usize,
    },
    /// A column of text.
    #[error(
        "column {column:?}: expected numbers, found text; leave it out, or use it as a condition"
    )]
    Text {
        /// The name of the column.
        column: String,
    },
    /// A weight that is negative or not finite.
    #[error("the weight of example {example} must lie in [0, ∞), found {found}")]
    Weight {
        /// The first such example.
        example: usize,
        /// Its weight.
        found: f64,
    },
}

/// The examples of positive weight, and their weights.
pub(super) fn weighed<T: FitData>(
    data: &T,
    what: &'static str,
    least: usize,
) -> Result<(Vec<usize>, Option<Vec<f64>>), FitDataError> {
    data.check()?;
    let (weights, expected) = (data.weights(), data.len());
    if let Some(found) = weights.map(<[f64]>::len).filter(|&found| found != expected) {
        return Err(FitDataError::Lengths { what: "weights", expected, found });
    }
    let wrong =
        |weights: &[f64]| weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0));
    if let Some((weights, example)) = weights.and_then(|weights| Some((weights, wrong(weights)?))) {
        return Err(FitDataError::Weight { example, found: weights[example] });
    }
    // A fit divides by the largest weight, so that no sum of weights overflows.
    let largest = weights.map_or(1.0, |weights| weights.iter().copied().fold(0.0, f64::max));
    let counts = |row: &usize| weights.is_none_or(|weights| weights[*row] / largest > 0.0);
    let rows: Vec<usize> = (0..data.len()).filter(counts).collect();
    if rows.len() < least {
        return Err(FitDataError::TooFew { what, least, found: rows.len() });
    }
    Ok((rows, weights.map(<[f64]>::to_vec)))
}
