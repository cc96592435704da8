//! The map of one column of a table. [`Columns`](super::Columns) has the formulas.

use std::f64::consts::{PI, TAU};

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::tensor::float_limits::next_above;

/// The map of one column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ColumnMap {
    /// Any real number.
    Real {
        /// The value that is mapped to 0.
        center: f64,
        /// The distance that is mapped to 1.
        scale: f64,
    },
    /// Numbers above a bound: `(lower, ∞)`.
    Positive {
        /// The bound.
        lower: f64,
        /// The logarithm that is mapped to 0.
        center: f64,
        /// The difference of logarithms that is mapped to 1.
        scale: f64,
    },
    /// Numbers between two bounds: `(lower, upper)`.
    Bounded {
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
        /// The logit that is mapped to 0.
        center: f64,
        /// The difference of logits that is mapped to 1.
        scale: f64,
    },
    /// Positions on a circle that begins at `lower` and is back there at `upper`.
    Circular {
        /// Where the circle begins.
        lower: f64,
        /// Where it is back.
        upper: f64,
    },
    /// Classes, which are the numbers 0 to `n − 1`; class `k` is the cell `[k, k + 1)`. They stay
    /// as they are.
    Class {
        /// Number of classes.
        n: usize,
    },
}

impl ColumnMap {
    /// The identity.
    pub fn real() -> Self {
        Self::Real { center: 0.0, scale: 1.0 }
    }

    /// `ln(x − lower)`.
    pub fn positive(lower: f64) -> Self {
        Self::Positive { lower, center: 0.0, scale: 1.0 }
    }

    /// `ln(x − lower) − ln(upper − x)`.
    pub fn bounded(lower: f64, upper: f64) -> Self {
        Self::Bounded { lower, upper, center: 0.0, scale: 1.0 }
    }

    /// The angle of a position, in `[−π, π)`.
    pub fn circular(lower: f64, upper: f64) -> Self {
        Self::Circular { lower, upper }
    }

    /// Classes `0, …, n − 1`, which stay as they are.
    pub fn class(n: usize) -> Self {
        Self::Class { n }
    }

    /// The same map with the center and the scale that give these values mean 0 and deviation 1.
    /// Values that are constant are only centred. A circle and
    /// classes have neither and stay as they are. The map
    /// must accept every value, see [`ColumnMap::accepts`].
    pub fn standardised(self, values: &[f64]) -> Self {
        let plain = self.with(0.0, 1.0);
        // Equal values have a deviation of 0, but the mean of their sum may be rounded.
        if let [first, rest @ ..] = values
            && rest.iter().all(|value| value == first)
        {
            return self.with(plain.apply(*first), 1.0);
        }
        let n = values.len() as f64;
        let mean = values.iter().map(|&value| plain.apply(value)).sum::<f64>() / n;
        let square = |&value: &f64| (plain.apply(value) - mean).powi(2);
        let deviation = (values.iter().map(square).sum::<f64>() / n).sqrt();
        self.with(mean, if deviation > 0.0 { deviation } else { 1.0 })
    }

    fn with(self, center: f64, scale: f64) -> Self {
        match self {
            Self::Real { .. } => Self::Real { center, scale },
            Self::Positive { lower, .. } => Self::Positive { lower, center, scale },
            Self::Bounded { lower, upper, .. } => Self::Bounded { lower, upper, center, scale },
            Self::Circular { .. } | Self::Class { .. } => self,
        }
    }

    /// The forward map of one number, in float64.
    pub fn apply(&self, x: f64) -> f64 {
        match *self {
            Self::Real { center, scale } => (x - center) / scale,
            Self::Positive { lower, center, scale } => ((x - lower).ln() - center) / scale,
            Self::Bounded { lower, upper, center, scale } => {
                ((x - lower).ln() - (upper - x).ln() - center) / scale
            }
            Self::Circular { lower, upper } => {
                // Twice: the remainder of a small negative number rounds to 1.
                TAU * ((x - lower) / (upper - lower)).rem_euclid(1.0).rem_euclid(1.0) - PI
            }
            Self::Class { .. } => x,
        }
    }

    /// Whether the map accepts a number: it is finite and between the bounds, and still is if
    /// number and bounds are rounded to float32.
    pub fn accepts(&self, x: f64) -> bool {
        let (lower, upper) = self.interval();
        let rounded = |value: f64| value as f32;
        x.is_finite()
            && (lower < x && x < upper)
            && (rounded(lower) < rounded(x) && rounded(x) < rounded(upper))
    }

    /// The numbers that the map accepts, as an interval.
    pub fn interval(&self) -> (f64, f64) {
        match *self {
            Self::Real { .. } | Self::Circular { .. } => (f64::NEG_INFINITY, f64::INFINITY),
            Self::Positive { lower, .. } => (lower, f64::INFINITY),
            Self::Bounded { lower, upper, .. } => (lower, upper),
            Self::Class { n } => (0.0, n as f64),
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if let Self::Class { n } = *self {
            return ConfigError::positive(NAME, "n", n);
        }
        let out_of_range = |field, range, found| {
            Err(ConfigError::OutOfRange { config: NAME, field, range, found })
        };
        // Logarithms and squares of all constants are far from the ends of float32.
        let sized = |x: f64| x.abs() <= MOST;
        let numbers = self.numbers();
        for (field, found) in
            [("lower", numbers.lower), ("upper", numbers.upper), ("center", numbers.center)]
        {
            if !sized(found) {
                return out_of_range(field, "±1e30", found);
            }
        }
        let bounds = matches!(self, Self::Bounded { .. } | Self::Circular { .. });
        // Something is between them, in float32.
        let first = next_above(numbers.lower, DType::F32);
        if bounds && first >= f64::from(numbers.upper as f32) {
            return out_of_range("upper", "(lower, 1e30], in float32", numbers.upper);
        }
        if !(1.0 / MOST..=MOST).contains(&numbers.scale) {
            return out_of_range("scale", "[1e-30, 1e30]", numbers.scale);
        }
        Ok(())
    }

    /// The constants; those that a map does not have are harmless.
    pub(super) fn numbers(&self) -> Numbers {
        let (lower, upper) = match *self {
            Self::Real { .. } | Self::Class { .. } => (0.0, 0.0),
            Self::Positive { lower, .. } => (lower, 0.0),
            Self::Bounded { lower, upper, .. } | Self::Circular { lower, upper } => (lower, upper),
        };
        let (center, scale) = match *self {
            Self::Real { center, scale }
            | Self::Positive { center, scale, .. }
            | Self::Bounded { center, scale, .. } => (center, scale),
            Self::Circular { .. } | Self::Class { .. } => (0.0, 1.0),
        };
        Numbers { lower, upper, center, scale }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Real { .. } => Kind::Real,
            Self::Positive { .. } => Kind::Positive,
            Self::Bounded { .. } => Kind::Bounded,
            Self::Circular { .. } => Kind::Circular,
            Self::Class { .. } => Kind::Class,
        }
    }
}

/// Largest magnitude of a constant, and of the reciprocal of a scale.
const MOST: f64 = 1e30;

/// The name of the configuration in its errors.
pub(super) const NAME: &str = "ColumnsConfig";

/// The constants of a map.
pub(super) struct Numbers {
    pub lower: f64,
    pub upper: f64,
    pub center: f64,
    pub scale: f64,
}

/// Which formula a map has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Real,
    Positive,
    Bounded,
    Circular,
    Class,
}
