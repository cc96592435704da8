//! Integer columns of a table, dequantized; the other columns stay as they are.
//! ```text
//! lift     y_j = x_j + u_j,  u_j ~ U(0, 1)    in the integer columns; y_j = x_j elsewhere
//!          log_weight = 0,  NaN if an x_j is no integer or is too large
//! lower    x_j = ⌊y_j⌋                        in the integer columns
//! ln P(x)  ≥ E_u [ ln p(y) ]                  the probability of the integers, together with the
//!                                             density of the other columns, in nats
//! ```
//! The density of values that repeat has no upper bound: a flow that is fitted to the integers
//! themselves places narrow peaks on them, and its likelihood says nothing. With noise that fills
//! the cell `(x, x + 1)` of each integer, the expectation is a lower bound on the log-probability.
//!
//! Integers from `least` to `most` are lifted into `(least, most + 1)`, without the ends, so the
//! ends may be the bounds of [`ColumnMap::bounded`] and [`ColumnMap::positive`]. A bound must be an
//! integer, so that it cuts no cell.
//!
//! [`ColumnMap::bounded`]: crate::ColumnMap::bounded
//! [`ColumnMap::positive`]: crate::ColumnMap::positive
//!
//! # Numerics
//! `lower(lift(x))` is `x`, and `y` is neither `x` nor `x + 1`, where the map of a column may have
//! its bound: where `x + u` would round to one of them, `y` is a value of the type beside it. An
//! integer of magnitude below 2^16 in float32, 2^45 in float64, has at least 256 values of its type
//! in its cell, as the levels of the other dequantizations have. One above is an error
//! ([`FlowError::Integer`]): divide the column, and treat it as real, or use float64.
//!
//! # Reference
//! Theis et al. 2016 §3.1.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::model::RealNvpConfig;
//! use flowkit::{
//!     ColumnMap, ColumnsConfig, Density, Flow, IntegerColumnsConfig, StandardNormal,
//! };
//!
//! // Column 0 is the number of rooms, 1 to 6; column 1 a price.
//! let device = Device::flex();
//! let rooms = Tensor::<2>::random([64, 1], Distribution::Uniform(1.0, 7.0), &device).floor();
//! let price = Tensor::<2>::random([64, 1], Distribution::Uniform(50.0, 90.0), &device);
//! let x = Tensor::cat(vec![rooms, price], 1);
//! let maps = vec![ColumnMap::bounded(1.0, 7.0), ColumnMap::positive(0.0)];
//! let layers = (ColumnsConfig::new(maps), RealNvpConfig::new(2));
//! let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], &device)?;
//! let flow = flow.behind(IntegerColumnsConfig::new(vec![0]).build()?).initialize(x.clone())?;
//! assert_eq!(flow.evaluate(x)?.nats().len(), 64);
//! let sampled = flow.sample(16)?.narrow(1, 0, 1);
//! assert_eq!(sampled.to_data(), sampled.clone().floor().to_data());
//! # Ok::<(), flowkit::Error>(())
//! ```

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};

use crate::bijector::replay::{Cotangent, Replay};
use crate::error::{ConfigError, FlowError, ShapeError};
use crate::flow::likelihood::OneSampleBound;
use crate::flow::non_finite_counts;
use crate::flow::surjection::Surjection;
use crate::tensor::channels::{select, unselect};
use crate::tensor::float_limits::machine_epsilon;
use crate::tensor::per_example::zero_log_det;
use crate::tensor::uniform::open_interval;

const NAME: &str = "IntegerColumnsConfig";

config! {
    /// Configuration of [`IntegerColumns`].
    #[derive(Debug)]
    pub struct IntegerColumnsConfig {
        /// Indices of the integer columns, from 0.
        pub columns: Vec<usize>,
    }
}

impl IntegerColumnsConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// If there is no column, or if one is listed twice.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive(NAME, "columns", self.columns.len())?;
        let repeated = |place: &usize| self.columns[..*place].contains(&self.columns[*place]);
        if (0..self.columns.len()).any(|place| repeated(&place)) {
            let (field, found) = ("columns", self.columns.clone());
            return Err(ConfigError::RepeatedIndex { config: NAME, field, found });
        }
        Ok(())
    }

    /// The surjection.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self) -> Result<IntegerColumns, ConfigError> {
        self.validate()?;
        Ok(IntegerColumns { columns: self.columns.clone() })
    }
}

/// Dequantization of the integer columns of a table. The formulas head this module.
#[derive(Module, Debug)]
pub struct IntegerColumns {
    #[module(skip)]
    columns: Vec<usize>,
}

/// Least number of floating-point values in the cell of an integer.
const PER_CELL: f64 = 256.0;

/// The magnitude from which on an integer may have fewer values in its cell.
fn most(dtype: DType) -> f64 {
    2.0 / machine_epsilon(dtype) / PER_CELL
}

impl IntegerColumns {
    /// Indices of the integer columns.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Indices of the other columns of `dims`.
    fn others(&self, dims: usize) -> Vec<usize> {
        (0..dims).filter(|column| !self.columns.contains(column)).collect()
    }

    /// Replaces the integer columns by a function of them.
    fn map(&self, x: Tensor<2>, f: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let others = self.others(x.dims()[1]);
        let mut parts = vec![f(select(x.clone(), &self.columns))];
        if !others.is_empty() {
            parts.push(select(x, &others));
        }
        unselect(parts, self.columns.iter().chain(&others).copied())
    }
}

/// Where `x` is no integer, or too large for its type: 1, else 0.
fn wrong(x: Tensor<2>) -> Tensor<2> {
    let most = most(x.dtype());
    let fraction = x.clone().not_equal(x.clone().floor());
    // NaN equals nothing and is not less or larger than anything: it is found by the first test.
    fraction.bool_or(x.clone().abs().greater_equal_elem(most)).float().cast(x.dtype())
}

impl Surjection<2> for IntegerColumns {
    type Data = Tensor<2>;
    type Noise = Tensor<2>;
    type Provenance = OneSampleBound;
    const PROVENANCE: OneSampleBound = OneSampleBound;

    fn plain(&self, x: Tensor<2>) -> Tensor<2> {
        x.inner()
    }

    /// `[batch, integer columns]`.
    fn noise(&self, x: &Tensor<2>, dtype: DType) -> Tensor<2> {
        let shape = [x.dims()[0], self.columns.len()];
        open_interval(shape, &x.device(), dtype)
    }

    fn lift(&self, x: Tensor<2>, noise: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let integers = select(x.clone(), &self.columns);
        let refused = wrong(integers).max_dim(1).squeeze_dim::<1>(1).greater_elem(0.0);
        let log_weight = zero_log_det(&noise);
        let y = self.map(x, |x| {
            // Rounds to one or two spacings of the type at `x`. At 0, where there is none, a sum
            // with noise in (0, 1) is exact.
            let step =
                |x: &Tensor<2>| x.clone().abs().mul_scalar(0.75 * machine_epsilon(x.dtype()));
            let next = x.clone().add_scalar(1.0);
            let (first, last) = (x.clone() + step(&x), next.clone() - step(&next));
            let y = x.clone() + noise;
            let reached = y.clone().detach();
            let (under, over) = (reached.clone().lower_equal(x), reached.greater_equal(next));
            y.mask_where(under, first).mask_where(over, last)
        });
        (y, log_weight.mask_fill(refused, f64::NAN))
    }

    fn lower(&self, y: Tensor<2>) -> Tensor<2> {
        self.map(y, Tensor::floor)
    }

    fn shape(&self, x: &Tensor<2>) -> Result<[usize; 2], FlowError> {
        let dims = x.dims();
        if dims.contains(&0) {
            return Err(ShapeError::Empty { layer: NAMED, shape: dims.to_vec() }.into());
        }
        let least = self.columns.iter().max().map_or(1, |last| last + 1);
        if dims[1] < least {
            let shape = dims.to_vec();
            return Err(ShapeError::Short { layer: NAMED, axis: 1, least, shape }.into());
        }
        Ok(dims)
    }

    fn check(&self, x: &Tensor<2>) -> Result<[usize; 2], FlowError> {
        let shape = self.shape(x)?;
        let integers = select(x.clone().inner(), &self.columns);
        let device = |error: &dyn std::fmt::Display| FlowError::Device(error.to_string());
        let wrong = wrong(integers.clone()).try_into_data().map_err(|error| device(&error))?;
        let wrong = wrong.convert_dtype(DType::F64).iter::<f64>().position(|wrong| wrong > 0.0);
        let Some(index) = wrong else { return Ok(shape) };
        let most = most(integers.dtype());
        let values = integers.try_into_data().map_err(|error| device(&error))?;
        let found = values.convert_dtype(DType::F64).iter::<f64>().nth(index);
        Err(FlowError::Integer {
            example: index / self.columns.len(),
            column: self.columns[index % self.columns.len()],
            found: found.unwrap_or(f64::NAN),
            most,
        })
    }

    fn placement(&self, x: &Tensor<2>, _: DType) -> (DType, Device) {
        (x.dtype(), x.device())
    }

    // It has no parameters, and its noise is given: there is nothing to replay.
    fn replay_lift(
        &self,
        x: Tensor<2>,
        noise: Tensor<2>,
        _: &mut Replay<()>,
    ) -> (Tensor<2>, Tensor<1>) {
        self.lift(x.inner(), noise.inner())
    }

    fn replay_back(&self, _: Tensor<2>, _: Tensor<2>, _: Cotangent<2>, _: &mut Replay<()>) {}

    fn non_finite(&self, x: &Tensor<2>) -> Result<Option<Vec<usize>>, FlowError> {
        non_finite_counts(x.clone()).map(Some)
    }
}

/// The name of the layer in errors of shapes.
const NAMED: &str = "IntegerColumns";
