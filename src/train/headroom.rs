//! Headroom: decides before an update whether it could make values that are not finite.
//! ```text
//! |g| ≤ G       the gradient's norm after the clip, which the host knows
//! |m| ≤ M       M ← max(M, G)                           decayed mean of gradients
//! |v| ≤ V       V ← max(V, G², 1)                       decayed mean of their squares, or decayed maximum (≤ max(1, G²))
//! |θ| ≤ W       W ← W + 10·rate·2M/10⁻⁸                  weights, and their moving average
//! ```
//! The step of [`Adam`](super::Adam) and [`Adamax`](super::Adamax) is at most
//! `rate/(1 − 0.9^t) · |m|/ε` with `ε = 10⁻⁸`, whatever the second moment is. The bounds start from
//! values that are measured once, and cost nothing after that: no usual training comes near the
//! largest float32, 3.4·10³⁸, in any number of updates. The factor 2 covers rounding: a decayed
//! mean whose coefficients sum to 1 + δ is at most 1 + δ/(1 − β) times too large, with δ of about
//! 2⁻²³ and `1 − β` of at least 10⁻³.
//!
//! If a bound exceeds an eighth of the largest value, the update is made on a copy, whose weights,
//! average and moments are then measured, with one device-to-host copy for all weights. With
//! parameters in a half-precision type this is done at every update, because their rounding is too
//! coarse for these bounds.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::ModuleOptimizer;
use burn::tensor::{DType, FloatDType, Tensor};

use super::checkpoint::moments;
use super::error::TrainError;
use super::gradient::device_error;
use crate::tensor::parameter_path::ParameterPath;

/// The smallest `ε` of an optimizer.
const EPSILON: f64 = 1e-8;

/// `1/(1 − β₁)`: largest factor by which the bias correction enlarges a step.
const CORRECTION: f64 = 10.0;

/// Bounds on the weights and moments of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Headroom {
    weights: f64,
    mean: f64,
    square: f64,
    /// Limit that the bounds must stay below; 0 where the bounds prove nothing.
    limit: f64,
}

/// Values that are not finite.
#[derive(Debug, PartialEq)]
pub(super) struct Overflow {
    pub what: &'static str,
    pub parameter: String,
}

impl Headroom {
    /// Measures a training. Values that are not finite initially are left for an update to report:
    /// the loss may not depend on their parameter.
    ///
    /// # Errors
    /// [`TrainError::Device`].
    pub fn new<M: Module>(
        model: &M,
        average: &M,
        optimizer: &ModuleOptimizer,
    ) -> Result<Self, TrainError> {
        let unbounded = Self { weights: f64::INFINITY, mean: 0.0, square: 0.0, limit: 0.0 };
        Ok(Self::measure(model, average, optimizer)?.unwrap_or(unbounded))
    }

    /// Measures the result of an update.
    ///
    /// # Errors
    /// [`TrainError::Device`].
    pub fn measure<M: Module>(
        model: &M,
        average: &M,
        optimizer: &ModuleOptimizer,
    ) -> Result<Result<Self, Overflow>, TrainError> {
        let (trained, mut limit) = (Trained::of(model), f64::MAX / 8.0);
        if trained.types.iter().any(|dtype| *dtype != DType::F64) {
            limit = f64::from(f32::MAX) / 8.0;
        }
        if trained.types.iter().any(|dtype| !matches!(dtype, DType::F64 | DType::F32)) {
            limit = 0.0;
        }
        let (weights, mut moments) = match trained.largest(model, Some(average))? {
            Ok(largest) => (largest, 0.0),
            Err(overflow) => return Ok(Err(overflow)),
        };
        for (id, size) in moments::magnitudes(optimizer).map_err(device_error)? {
            if !size.is_finite() {
                let parameter = trained.paths.get(&ParamId::from(id)).cloned().unwrap_or_default();
                return Ok(Err(Overflow { what: "moments", parameter }));
            }
            moments = size.max(moments);
        }
        Ok(Ok(Self { weights, mean: moments, square: moments, limit }))
    }

    /// The bounds after an update with a gradient of norm `norm`, or `None` if they do not prove
    /// that its values are finite.
    pub fn after(self, rate: f64, norm: f64) -> Option<Self> {
        let mean = self.mean.max(norm);
        let square = self.square.max(norm.max(1.0).powi(2));
        let factor = CORRECTION * rate;
        let weights = self.weights + factor * (2.0 * mean / EPSILON);
        let within = [2.0 * mean / EPSILON, 2.0 * square, factor, weights]
            .iter()
            .all(|&bound| bound < self.limit);
        within.then_some(Self { weights, mean, square, ..self })
    }
}

/// Checks that the weights of a model, and of its average if there is one, are finite. For updates
/// by an optimizer whose steps have no known bound. One device-to-host copy.
#[cfg(feature = "train")]
pub(super) fn check<M: Module>(model: &M, average: Option<&M>) -> Result<(), TrainError> {
    let overflow = |Overflow { what, parameter }| {
        Err(TrainError::NonFiniteUpdate { step: None, what, parameter, learning_rate: None })
    };
    Trained::of(model).largest(model, average)?.map_or_else(overflow, |_| Ok(()))
}

/// The trained parameters of a model, and their types.
#[derive(Default)]
struct Trained {
    path: ParameterPath,
    paths: HashMap<ParamId, String>,
    types: HashSet<DType>,
}

impl Trained {
    fn of<M: Module>(model: &M) -> Self {
        let mut trained = Self::default();
        model.visit(&mut trained);
        trained
    }

    /// The largest magnitude of a weight and of an average.
    fn largest<M: Module>(
        &self,
        model: &M,
        average: Option<&M>,
    ) -> Result<Result<f64, Overflow>, TrainError> {
        let mut largest = 0.0;
        let average = average.map(|average| ("average", average));
        for (what, module) in [("weights", model)].into_iter().chain(average) {
            for (parameter, size) in Sizes::of(module, &self.paths)? {
                if !size.is_finite() {
                    return Ok(Err(Overflow { what, parameter }));
                }
                largest = size.max(largest);
            }
        }
        Ok(Ok(largest))
    }
}

impl ModuleVisitor for Trained {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.base();
        if value.is_require_grad() {
            self.paths.insert(param.id, self.path.join());
            self.types.insert(value.dtype());
        }
    }
}

/// The largest magnitude in each of some parameters.
struct Sizes<'a> {
    of: &'a HashMap<ParamId, String>,
    path: ParameterPath,
    /// On the device, divided by whether they are in float64.
    found: [Vec<(String, Tensor<1>)>; 2],
}

impl<'a> Sizes<'a> {
    /// Paths and magnitudes, NaN where a parameter contains NaN or an infinity.
    fn of<M: Module>(
        module: &M,
        of: &'a HashMap<ParamId, String>,
    ) -> Result<Vec<(String, f64)>, TrainError> {
        let mut sizes = Self { of, path: ParameterPath::default(), found: Default::default() };
        module.visit(&mut sizes);
        let mut all = Vec::new();
        for found in sizes.found.into_iter().filter(|found| !found.is_empty()) {
            let device = found[0].1.device();
            let (paths, sizes): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            let sizes = sizes.into_iter().map(|size: Tensor<1>| size.to_device(&device)).collect();
            let sizes = Tensor::cat(sizes, 0).try_into_data().map_err(device_error)?;
            all.extend(paths.into_iter().zip(sizes.iter::<f64>()));
        }
        Ok(all)
    }
}

impl ModuleVisitor for Sizes<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.base().without_autodiff();
        if !self.of.contains_key(&param.id) || value.shape().num_elements() == 0 {
            return;
        }
        // A maximum may ignore NaN, a sum does not; 0·∞ is NaN.
        let poison = value.clone().mul_scalar(0.0).sum();
        let size = value.abs().max() + poison;
        let double = size.dtype() == DType::F64;
        let size = if double { size } else { size.cast(FloatDType::F32) };
        self.found[usize::from(double)].push((self.path.join(), size));
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::Device;

    use super::*;
    use crate::train::Adam;

    fn headroom(values: [f32; 2], dtype: DType) -> Result<Headroom, Overflow> {
        let values =
            Tensor::<1>::from_data(values, &Device::flex().autodiff()).cast(dtype).detach();
        let model = Param::from_tensor(values);
        Headroom::measure(&model, &model.valid(), &Adam::default().init()).unwrap()
    }

    #[test]
    fn the_start_is_measured() {
        let found = headroom([-3.0, 2.0], DType::F32).unwrap();
        assert_eq!((found.weights, found.mean, found.square), (3.0, 0.0, 0.0));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let overflow = headroom([1.0, wrong], DType::F32).unwrap_err();
            assert_eq!(overflow, Overflow { what: "weights", parameter: String::new() });
        }
    }

    /// Usual rates and norms stay within the bounds for any realistic number of updates. Unusual
    /// ones, or those in a half-precision type, are measured.
    #[test]
    fn only_what_is_not_usual_is_measured() {
        let start = headroom([1.0, 1.0], DType::F32).unwrap();
        let mut after = start;
        for _ in 0..1_000_000 {
            after = after.after(1e-2, 1e6).unwrap();
        }
        assert!(after.weights < 1e25, "{after:?}");
        for (rate, norm) in [(1e300, 1.0), (1e39, 0.0), (1e-3, 1e19), (1e-3, f64::INFINITY)] {
            assert_eq!(start.after(rate, norm), None, "{rate} {norm}");
        }
        assert!(headroom([1.0, 1.0], DType::F64).unwrap().after(1e39, 1e19).is_some());
        for dtype in [DType::F16, DType::BF16] {
            assert_eq!(headroom([1.0, 1.0], dtype).unwrap().after(1e-9, 1e-9), None);
        }
    }
}
