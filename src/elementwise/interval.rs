//! Bounded elements to the real numbers: a logit of each element's place between its own bounds.
//! ```text
//! p = (x − l)/w,  q = (u − x)/w           w = u − l
//! forward   z = ln p − ln q               inverse   x = l + w·σ(z)      if z < 0
//!             = ln(1 + y) − ln(1 − y)                 = u − w·σ(−z)     otherwise
//!           with y = p − q
//! log_det   −Σ ( ln w + ln p + ln q )     of the inverse  Σ ( ln w + ln σ(z) + ln σ(−z) )
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `l`, `u` | bounds of the elements of a channel | one for each channel | no |
//!
//! As the first layer of a flow, it gives the density the support `(l, u)`: no probability lies
//! outside the bounds. A uniform distribution between the bounds becomes the
//! [`StandardLogistic`](crate::StandardLogistic) distribution. [`crate::Logit`] has one pair of
//! bounds for all elements, 0 and 1, and a margin.
//!
//! # Numerics
//! A bound maps to ±∞ and data outside the bounds to NaN:
//! [`Table::check_within`](crate::data::Table::check_within) names the first such cell of a table
//! before training. Both distances are differences from the nearer bound, so an element near either
//! bound keeps its digits. The second formula of the forward map serves where `|y| ≤ ½`, where the
//! logarithms would cancel. A sample may round to a bound, never beyond it: `σ ≤ 1/2` in both
//! forms.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, IntervalConfig, LayerConfig, Site};
//!
//! let config = IntervalConfig::new(vec![-1.0, 10.0], vec![1.0, 30.0]);
//! let layer = config.build(&Site::new([1, 2], &Device::flex()))?;
//! let x = Tensor::<2>::from_data([[0.0, 25.0]], &Device::flex());
//! let (z, log_det) = layer.forward(x, &());
//! z.into_data().assert_approx_eq::<f32>(&[[0.0, 3f32.ln()]].into(), Default::default());
//! // p = q = 1/2 and p = 3/4, q = 1/4.
//! let expected = -(2.0 * 20.0 * 0.25 * 0.75 * 0.25_f32).ln();
//! assert!((log_det.into_scalar::<f32>() - expected).abs() < 1e-6);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use super::Sigmoid;
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::tensor::graph::constant;
use crate::tensor::limit::per_example;
use crate::tensor::moments::on_device;
use crate::tensor::per_example::sum_event;
use crate::tensor::smooth::{logit_of_difference, sigmoid};

config! {
    /// Configuration of [`Interval`].
    #[derive(Debug)]
    pub struct IntervalConfig {
        /// Lower bound of each channel, such as each element of a vector.
        pub lower: Vec<f64>,
        /// Upper bound of each channel.
        pub upper: Vec<f64>,
    }
}

impl IntervalConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken: as many lower bounds as upper ones; each pair finite, of
    /// magnitudes up to 1e30, and with a distance that float32 numbers between them resolve.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "IntervalConfig";
        let (expected, found) = (self.lower.len(), self.upper.len());
        if expected != found {
            return Err(ConfigError::Length { config: NAME, field: "upper", expected, found });
        }
        for (&lower, &upper) in self.lower.iter().zip(&self.upper) {
            for (field, bound) in [("lower", lower), ("upper", upper)] {
                let (range, legal) = ("[-1e30, 1e30]", (-1e30..=1e30).contains(&bound));
                ConfigError::within(NAME, field, range, bound, legal)?;
            }
            // At least 2^10 float32 numbers lie between the bounds.
            let least = lower.abs().max(upper.abs()).max(1e-30) * 2f64.powi(-13);
            let range = "a distance of 1.2e-4 of the larger magnitude above `lower`";
            ConfigError::within(NAME, "upper", range, upper, upper - lower >= least)?;
        }
        Ok(())
    }
}

impl<const D: usize, C: Context> LayerConfig<D, C> for IntervalConfig {
    type Layer = Interval;

    fn build(&self, site: &Site<D, C>) -> Result<Interval, ConfigError> {
        self.plan(site)?;
        Ok(Interval { lower: self.lower.clone(), upper: self.upper.clone() })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        self.validate()?;
        let channels = site.channels("Interval")?;
        let expected = self.lower.len();
        if channels != expected {
            let shape = site.shape().to_vec();
            let error = ShapeError::Axis { layer: "Interval", axis: 1, expected, shape };
            return Err(error.into());
        }
        Ok(site.keeps(0))
    }
}

/// Logit between bounds. The formulas head this module.
#[derive(Module, Debug)]
pub struct Interval {
    #[module(skip)]
    lower: Vec<f64>,
    #[module(skip)]
    upper: Vec<f64>,
}

/// The bounds on a device, `[1, C, 1, ...]`.
struct Bounds<const D: usize> {
    lower: Tensor<D>,
    upper: Tensor<D>,
    width: Tensor<D>,
}

impl Interval {
    /// Lower bound of each channel.
    pub fn lower(&self) -> &[f64] {
        &self.lower
    }

    /// Upper bound of each channel.
    pub fn upper(&self) -> &[f64] {
        &self.upper
    }

    /// The bounds for tensors like `x`, as constants of its graphs. The width is that of the
    /// rounded bounds.
    fn bounds<const D: usize>(&self, x: &Tensor<D>) -> Bounds<D> {
        let mut shape = [1; D];
        shape[1] = self.lower.len();
        let device = x.device();
        let place = |values: &[f64]| {
            let bound = on_device(values.to_vec(), shape, &device, x.dtype());
            if x.is_autodiff() { constant(bound, &device) } else { bound }
        };
        let (lower, upper) = (place(&self.lower), place(&self.upper));
        Bounds { width: upper.clone() - lower.clone(), lower, upper }
    }

    /// `Σ ln w` of an example of this shape, added to the log-determinants.
    fn log_width<const D: usize>(&self, bounds: &Bounds<D>, shape: [usize; D]) -> Tensor<1> {
        let positions = per_example(shape) / self.lower.len();
        sum_event(bounds.width.clone().log()).mul_scalar(positions as f64)
    }
}

impl<const D: usize> ShapeMap<D> for Interval {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let expected = self.lower.len();
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "Interval", axis: 1, expected, shape: shape.to_vec() })
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Interval {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let bounds = self.bounds(&x);
        let log_width = self.log_width(&bounds, x.dims());
        let p = (x.clone() - bounds.lower) / bounds.width.clone();
        let q = (bounds.upper - x) / bounds.width;
        let y = p.clone() - q.clone();
        let middle = y.clone().abs().lower_equal_elem(0.5);
        let near = logit_of_difference(y.mask_fill(middle.clone().bool_not(), 0.0));
        let (log_p, log_q) = (p.log(), q.log());
        let log_det = sum_event(log_p.clone() + log_q.clone()) + log_width;
        // Where the first formula is not used its gradient is finite: `p` and `q` are near 1/2.
        ((log_p - log_q).mask_where(middle, near), log_det.neg())
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        let bounds = self.bounds(&z);
        let upper_half = z.clone().greater_equal_elem(0.0);
        // σ of a number that is not positive: at most 1/2, and exact in relative terms near 0.
        let part = sigmoid(z.abs().neg()) * bounds.width;
        (part.clone() + bounds.lower).mask_where(upper_half, part.neg() + bounds.upper)
    }

    /// Computed from `z`, not from the rebuilt `x`, which may have rounded to a bound.
    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        let log_width = self.log_width(&self.bounds(&z), z.dims());
        let x = Bijector::<D, C>::inverse(self, z.clone(), context);
        let (_, log_det) = Sigmoid::new().forward(z, context);
        (x, log_det + log_width)
    }
}
