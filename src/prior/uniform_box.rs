//! Independent latents, each uniform between two bounds.
//! ```text
//! ln p(z) = −Σ ln(upper − lower) where lower ≤ z ≤ upper for every element, −∞ elsewhere
//! sample    (lower + upper)/2 + temperature·(U − ½)·(upper − lower)
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `lower`, `upper` | bounds | one number, or one for each element | no |
//! | `U` | uniform on [0, 1) | | |
//!
//! On `[−π, π)` it is the uniform distribution of a circle, the prior of laws such as
//! [`CircularSpline`](crate::law::CircularSpline). [`Uniform`](super::Uniform) is the unit cube.
//!
//! # Numerics
//! `Σ ln(upper − lower)` is computed in float64 from the given bounds. Elements are compared with
//! the bounds rounded to the type of the latents, and no sample at temperature 1 lies outside of
//! them. A box that is narrower than the spacing of the type at its bounds has few points: 17 in
//! float32 between 1e6 and 1e6 + 1. Use float64 there, or scale the latents.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Prior, PriorConfig, Site, UniformBoxConfig};
//!
//! let site = Site::new([1, 2], &Device::flex());
//! let prior = UniformBoxConfig::between(-1.0, vec![1.0, 7.0]).build(&site)?;
//! let z = Tensor::<2>::from_data([[0.5, 6.0], [1.5, 0.0]], &Device::flex());
//! let nats: Vec<f32> = prior.log_prob(z, &()).into_data().iter().collect();
//! assert!((nats[0] + 16f32.ln()).abs() < 1e-6);
//! assert_eq!(nats[1], f32::NEG_INFINITY);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Prior, PriorConfig, ReparametrisedPrior};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape, check_shape_size};
use crate::tensor::dtype::{cast, wide};
use crate::tensor::per_example::{flatten, sum_event};

/// Largest magnitude of a bound, for which every width is a float32 number.
const MOST: f64 = 1e37;

const NAME: &str = "UniformBoxConfig";

/// A bound of all elements, or one of each. In JSON it is a number or a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BoxBound {
    /// The same for all elements.
    All(f64),
    /// One for each element of an example, in the order of its axes.
    Each(Vec<f64>),
}

impl BoxBound {
    /// Checks that there is one bound for all, or one for each of `n` elements.
    fn check_length(&self, field: &'static str, n: usize) -> Result<(), ConfigError> {
        match self {
            Self::Each(bounds) if bounds.len() != n => {
                let found = bounds.len();
                Err(ConfigError::Length { config: NAME, field, expected: n, found })
            }
            _ => Ok(()),
        }
    }

    fn values(&self) -> &[f64] {
        match self {
            Self::All(bound) => std::slice::from_ref(bound),
            Self::Each(bounds) => bounds,
        }
    }
}

impl From<f64> for BoxBound {
    fn from(bound: f64) -> Self {
        Self::All(bound)
    }
}

impl From<Vec<f64>> for BoxBound {
    fn from(bounds: Vec<f64>) -> Self {
        Self::Each(bounds)
    }
}

config! {
    /// Configuration of [`UniformBox`].
    #[derive(Debug)]
    pub struct UniformBoxConfig {
        /// Lower bounds, within ±10³⁷.
        pub lower: BoxBound,
        /// Upper bounds, above the lower ones and within ±10³⁷.
        pub upper: BoxBound,
    }
}

impl UniformBoxConfig {
    /// The box between two bounds, each of them a number for all elements or a list with one for
    /// each.
    pub fn between(lower: impl Into<BoxBound>, upper: impl Into<BoxBound>) -> Self {
        Self::new(lower.into(), upper.into())
    }

    /// Checks what needs no shape: that bounds are within ±10³⁷, and that lower bounds are below
    /// upper ones.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (field, bound) in [("lower", &self.lower), ("upper", &self.upper)] {
            // A range does not contain NaN.
            let legal = |value: &f64| (-MOST..=MOST).contains(value);
            if let Some(&found) = bound.values().iter().find(|value| !legal(value)) {
                let range = "[-10³⁷, 10³⁷]";
                return Err(ConfigError::OutOfRange { config: NAME, field, range, found });
            }
        }
        let (lower, upper) = (self.lower.values(), self.upper.values());
        // Two lists of different lengths break a rule of the shape.
        let at = |values: &[f64], element: usize| values[element.min(values.len() - 1)];
        let n = if lower.is_empty() || upper.is_empty() { 0 } else { lower.len().max(upper.len()) };
        for element in 0..n {
            let (lower, upper) = (at(lower, element), at(upper, element));
            if lower >= upper {
                return Err(ConfigError::EmptyInterval { config: NAME, element, lower, upper });
            }
        }
        Ok(())
    }
}

impl<const D: usize, C: Context> PriorConfig<D, C> for UniformBoxConfig {
    type Prior = UniformBox;

    fn build(&self, site: &Site<D, C>) -> Result<UniformBox, ConfigError> {
        self.validate()?;
        let n = site.elements("UniformBox")?;
        self.lower.check_length("lower", n)?;
        self.upper.check_length("upper", n)?;
        let (lower, upper) = (self.lower.clone(), self.upper.clone());
        Ok(UniformBox { lower, upper, shape: site.shape()[1..].to_vec() })
    }
}

/// Uniform prior on a box. The formulas head this module.
#[derive(Module, Debug)]
pub struct UniformBox {
    #[module(skip)]
    lower: BoxBound,
    #[module(skip)]
    upper: BoxBound,
    #[module(skip)]
    shape: Vec<usize>,
}

impl UniformBox {
    /// `f` of the bounds of each element, or once if all elements have the same bounds.
    fn each(&self, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let (lower, upper) = (self.lower.values(), self.upper.values());
        let n = lower.len().max(upper.len());
        // A list of one is repeated.
        let pairs = lower.iter().cycle().zip(upper.iter().cycle()).take(n);
        pairs.map(|(&lower, &upper)| f(lower, upper)).collect()
    }

    /// The values of [`UniformBox::each`] as a tensor of `[1, dims]` or `[1, 1]`.
    fn tensor(&self, device: &Device, dtype: DType, f: impl Fn(f64, f64) -> f64) -> Tensor<2> {
        let values = self.each(f);
        let shape = [1, values.len()];
        Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
    }

    /// `Σ ln(upper − lower)` of an example. Every width is positive, as the configuration checks.
    fn log_volume(&self) -> f64 {
        let logs = self.each(|lower, upper| (upper - lower).ln());
        let n: usize = self.shape.iter().product();
        logs.iter().sum::<f64>() * (n / logs.len()) as f64
    }
}

impl<const D: usize, C: Context> Prior<D, C> for UniformBox {
    fn log_prob(&self, z: Tensor<D>, _: &C) -> Tensor<1> {
        check_shape(Prior::<D, C>::check(self, z.dims()));
        let z = flatten(z);
        let (device, dtype) = (z.device(), z.dtype());
        let lower = self.tensor(&device, dtype, |lower, _| lower).expand(z.dims());
        let upper = self.tensor(&device, dtype, |_, upper| upper).expand(z.dims());
        let outside = z.clone().lower(lower).bool_or(z.clone().greater(upper));
        // NaN stays NaN.
        let inside = sum_event(z.mul_scalar(0.0).mask_fill(outside, f32::NEG_INFINITY));
        inside.sub_scalar(self.log_volume())
    }

    fn sample(
        &self,
        shape: [usize; D],
        temperature: f64,
        _: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<D> {
        check_shape(check_shape_size("UniformBox", &shape));
        check_shape(Prior::<D, C>::check(self, shape));
        let (drawn, dims) = (wide(dtype), [shape[0], self.shape.iter().product()]);
        let draws = Tensor::<2>::random(dims, Distribution::Uniform(0.0, 1.0), (device, drawn));
        // Half of what a temperature takes from the width, or adds to it.
        let cut = 0.5 * (1.0 - temperature);
        let low = self.tensor(device, drawn, |low, high| low + cut * (high - low)).expand(dims);
        let high = self.tensor(device, drawn, |low, high| high - cut * (high - low)).expand(dims);
        let width = self.tensor(device, drawn, |low, high| temperature * (high - low));
        let sample = low.clone() + draws * width.expand(dims);
        // Only a rounding can lead out of the scaled box.
        let sample = sample.max_pair(low.clone()).min_pair(high.max_pair(low));
        cast(sample, dtype).reshape(shape)
    }

    fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        check_event("UniformBox", &self.shape, shape).map(drop)
    }
}

impl<const D: usize, C: Context> ReparametrisedPrior<D, C> for UniformBox {}
