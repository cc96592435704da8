//! A fixed map for each column of a table: to the real line, with mean 0 and deviation 1, or to a
//! circle.
//! ```text
//! map        forward                              log-derivative ℓ
//! Real       z = (x − c)/s                        −ln s
//! Positive   z = (ln(x − a) − c)/s                −ln(x − a) − ln s
//! Bounded    z = (ln(x − a) − ln(b − x) − c)/s    ln(b − a) − ln(x − a) − ln(b − x) − ln s
//! Circular   z = 2π·frac((x − a)/(b − a)) − π     ln 2π − ln(b − a)
//! Class      z = x                                0
//! log_det    Σ ℓ over the columns
//!
//!            inverse, with y = c + s·z            log-derivative, from z
//! Real       x = y                                ln s
//! Positive   x = a + exp(y)                       y + ln s
//! Bounded    x = a + (b − a)·σ(y)                 ln(b − a) + ln σ(y) + ln σ(−y) + ln s
//! Circular   x = a + (b − a)·frac(z/2π + ½)       ln(b − a) − ln 2π
//! ```
//! `a` is `lower`, `b` is `upper`, `c` is `center` and `s` is `scale`; `frac(t) = t − ⌊t⌋`.
//!
//! The layer is the first of a flow for a table: the layers that follow get columns of one scale,
//! without bounds. No mass lies outside the bounds of a column: a sample is between them, or rounds
//! to one of them.
//! Nothing is trained. [`ColumnMap::standardised`] finds `c` and `s` from data in float64, and
//! [`Table::column_maps`](crate::data::Table::column_maps) chooses the map of each column.
//!
//! # Circular columns
//! An angle, an hour or a month has no end: its largest value is next to its smallest. `Circular`
//! maps such a column to `[−π, π)` and forgets how often it went round. A density on a circle needs
//! layers and a prior that know the circle: [`CircularSpline`](crate::law::CircularSpline) and
//! [`UniformBox`](crate::UniformBox). [`MixedNsf`](crate::model::MixedNsf) has them for the
//! circular columns of a table, and others for its classes and its real numbers.
//!
//! # Numerics
//! `x − a` and `b − x` are exact near each bound, so a column keeps its digits at both. The inverse
//! of `Bounded` is computed from the nearer bound. An element that is so near to a bound that it
//! rounds to it is mapped to ±∞, and one outside the bounds to NaN. Data with such elements is
//! refused: [`Table::check_maps`](crate::data::Table::check_maps) names row and column.
//! The log-derivatives of the inverse are computed from `z`, which still has the digits that `x`
//! lost at a bound. An `x` of the inverse that would be rounded to a bound is the number of its
//! type beside the bound: a sample is always one that the forward map accepts.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, ColumnMap, ColumnsConfig, LayerConfig, Site};
//!
//! // A price, and a share between 0 and 1.
//! let prices = [10.0, 100.0, 1000.0];
//! let maps = vec![ColumnMap::positive(0.0).standardised(&prices), ColumnMap::bounded(0.0, 1.0)];
//! let device = Device::flex();
//! let layer = ColumnsConfig::new(maps).build(&Site::new([1, 2], &device))?;
//! let x = Tensor::<2>::from_data([[100.0, 0.5]], &device);
//! let (z, log_det) = layer.forward(x.clone(), &());
//! assert!(z.clone().abs().max().into_scalar::<f32>() < 1e-6);
//! // The logarithms of the prices have a deviation of ln 10·√(2/3); the slope of logit at ½ is 4.
//! let expected = -(100f64 * 10f64.ln() * (2f64 / 3.0).sqrt()).ln() + 4f64.ln();
//! assert!((f64::from(log_det.into_scalar::<f32>()) - expected).abs() < 1e-5);
//! layer.inverse(z, &()).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use std::f64::consts::{PI, TAU};

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::column_map::{ColumnMap, Kind, NAME, Numbers};
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape};
use crate::tensor::channels::{select, unselect};
use crate::tensor::float_limits::next_above;
use crate::tensor::per_example::{sum_event, zero_log_det};
use crate::tensor::smooth::{sigmoid, softplus};

config! {
    /// Configuration of [`Columns`].
    #[derive(Debug)]
    pub struct ColumnsConfig {
        /// The map of each column, in the order of the columns.
        pub maps: Vec<ColumnMap>,
    }
}

impl ColumnsConfig {
    /// Columns between two bounds each: `(lower, upper)`.
    pub fn bounded(bounds: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let map = |(lower, upper)| ColumnMap::bounded(lower, upper);
        Self::new(bounds.into_iter().map(map).collect())
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken, with the place of its map.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |(place, map): (usize, &ColumnMap)| {
            map.validate().map_err(|error| error.at(format_args!(".maps[{place}]")))
        };
        self.maps.iter().enumerate().try_for_each(check)
    }
}

impl<C: Context> LayerConfig<2, C> for ColumnsConfig {
    type Layer = Columns;

    fn build(&self, site: &Site<2, C>) -> Result<Columns, ConfigError> {
        self.plan(site)?;
        Ok(Columns { maps: self.maps.clone() })
    }

    fn plan(&self, site: &Site<2, C>) -> Result<Plan<2>, ConfigError> {
        self.validate()?;
        let (expected, found) = (site.channels("Columns")?, self.maps.len());
        if found != expected {
            return Err(ConfigError::Length { config: NAME, field: "maps", expected, found });
        }
        Ok(site.keeps(0))
    }
}

/// A fixed map for each column. The formulas head this module.
#[derive(Module, Debug)]
pub struct Columns {
    #[module(skip)]
    maps: Vec<ColumnMap>,
}

/// The columns of one formula: their places, and their constants, `[1, columns]`.
struct Group {
    kind: Kind,
    places: Vec<usize>,
    lower: Tensor<2>,
    upper: Tensor<2>,
    center: Tensor<2>,
    scale: Tensor<2>,
    /// The numbers beside the bounds, within them.
    first: Tensor<2>,
    last: Tensor<2>,
}

impl Group {
    fn width(&self) -> Tensor<2> {
        self.upper.clone() - self.lower.clone()
    }

    /// `z`, and the log-derivative as far as it is not `−ln s`.
    fn forward(&self, x: Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>) {
        let scaled = |y: Tensor<2>| (y - self.center.clone()) / self.scale.clone();
        match self.kind {
            Kind::Real => (scaled(x), None),
            Kind::Class => (x, None),
            Kind::Positive => {
                let log = (x - self.lower.clone()).log();
                (scaled(log.clone()), Some(log.neg()))
            }
            Kind::Bounded => {
                let above = (x.clone() - self.lower.clone()).log();
                let below = (self.upper.clone() - x).log();
                let log_derivative = self.width().log() - (above.clone() + below.clone());
                (scaled(above - below), Some(log_derivative))
            }
            Kind::Circular => {
                let turns = fraction((x - self.lower.clone()) / self.width());
                let angle = turns.mul_scalar(TAU).sub_scalar(PI);
                let log_derivative = self.width().log().neg().add_scalar(TAU.ln());
                let log_derivative = log_derivative.expand(angle.dims());
                (angle, Some(log_derivative))
            }
        }
    }

    /// `x`, and the log-derivative of the inverse as far as it is not `ln s`.
    fn inverse(&self, z: Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>) {
        let scaled = |z: Tensor<2>| z * self.scale.clone() + self.center.clone();
        match self.kind {
            Kind::Real => (scaled(z), None),
            Kind::Class => (z, None),
            Kind::Positive => {
                let y = scaled(z);
                let x = y.clone().exp() + self.lower.clone();
                (x.max_pair(self.first.clone().expand(y.dims())), Some(y))
            }
            Kind::Bounded => {
                let y = scaled(z);
                let log_derivative =
                    self.width().log() - (softplus(y.clone()) + softplus(y.clone().neg()));
                let far = y.clone().greater_elem(0.0);
                // σ of minus the size, at most ½: the distance from the nearer bound.
                let size = y.clone().mask_where(far.clone(), y.neg());
                let distance = sigmoid(size) * self.width();
                let near_upper = self.upper.clone() - distance.clone();
                let x = (distance + self.lower.clone()).mask_where(far, near_upper);
                let [first, last] =
                    [&self.first, &self.last].map(|end| end.clone().expand(x.dims()));
                (x.max_pair(first).min_pair(last), Some(log_derivative))
            }
            Kind::Circular => {
                let turns = fraction(z.mul_scalar(1.0 / TAU).add_scalar(0.5));
                let log_derivative = self.width().log().sub_scalar(TAU.ln());
                let log_derivative = log_derivative.expand(turns.dims());
                let x = turns * self.width() + self.lower.clone();
                let last = self.last.clone().expand(x.dims());
                (x.min_pair(last), Some(log_derivative))
            }
        }
    }
}

/// `t − ⌊t⌋`, in [0, 1): the difference for a small negative `t` rounds to 1, which is 0.
fn fraction(t: Tensor<2>) -> Tensor<2> {
    let fraction = t.clone() - t.floor();
    let whole = fraction.clone().greater_equal_elem(1.0);
    fraction.mask_fill(whole, 0.0)
}

impl Columns {
    /// The maps of the columns.
    pub fn maps(&self) -> &[ColumnMap] {
        &self.maps
    }

    fn groups(&self, device: &Device, dtype: DType) -> Vec<Group> {
        let group = |kind: Kind| {
            let places: Vec<usize> =
                (0..self.maps.len()).filter(|&place| self.maps[place].kind() == kind).collect();
            let row = |number: &dyn Fn(Numbers) -> f64| {
                let row: Vec<f64> =
                    places.iter().map(|&place| number(self.maps[place].numbers())).collect();
                let shape = [1, row.len()];
                Tensor::<2>::from_data(TensorData::new(row, shape), (device, dtype))
            };
            let (lower, upper) = (row(&|numbers| numbers.lower), row(&|numbers| numbers.upper));
            let (center, scale) = (row(&|numbers| numbers.center), row(&|numbers| numbers.scale));
            let first = row(&|numbers| next_above(numbers.lower, dtype));
            let last = row(&|numbers| -next_above(-numbers.upper, dtype));
            Group { kind, places, lower, upper, center, scale, first, last }
        };
        let kinds = [Kind::Real, Kind::Positive, Kind::Bounded, Kind::Circular, Kind::Class];
        let has = |kind: &Kind| self.maps.iter().any(|map| map.kind() == *kind);
        kinds.into_iter().filter(has).map(group).collect()
    }

    /// `Σ ln s` over the columns.
    fn log_scales(&self) -> f64 {
        self.maps.iter().map(|map| map.numbers().scale.ln()).sum()
    }

    /// Applies `map` to the columns of each formula.
    fn each(
        &self,
        x: Tensor<2>,
        map: impl Fn(&Group, Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>),
    ) -> (Tensor<2>, Tensor<1>) {
        let mut log_det = zero_log_det(&x);
        let groups = self.groups(&x.device(), x.dtype());
        let mut parts = Vec::with_capacity(groups.len());
        for group in &groups {
            let (part, log_derivative) = map(group, select(x.clone(), &group.places));
            if let Some(log_derivative) = log_derivative {
                log_det = log_det + sum_event(log_derivative);
            }
            parts.push(part);
        }
        let order = groups.iter().flat_map(|group| group.places.iter().copied());
        (unselect(parts, order), log_det)
    }
}

impl ShapeMap<2> for Columns {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        check_event("Columns", &[self.maps.len()], shape)
    }
}

impl<C: Context> Bijector<2, C> for Columns {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let (z, log_det) = self.each(x, Group::forward);
        (z, log_det.sub_scalar(self.log_scales()))
    }

    fn inverse(&self, z: Tensor<2>, _: &C) -> Tensor<2> {
        check_shape(self.input_shape(z.dims()));
        self.each(z, Group::inverse).0
    }

    fn inverse_with_log_det(&self, z: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.input_shape(z.dims()));
        let (x, log_det) = self.each(z, Group::inverse);
        (x, log_det.add_scalar(self.log_scales()))
    }
}
