//! Global-norm clipping: the whole gradient keeps its direction and gets a bounded length.
//!
//! ```text
//! norm      ‖g‖ = √(Σ_p Σ_i g_{p,i}²)           over all parameters p and their elements i
//! clipped   g · min(1, max_norm / ‖g‖)
//! ```
//! `GradientClippingConfig::Norm` of burn bounds **each tensor separately**. This changes the
//! direction of the gradient and lets its length grow with the square root of the number of
//! tensors. It is not what papers mean by a gradient norm of 1.
//!
//! # Reference
//! Pascanu, Mikolov & Bengio 2013, *On the difficulty of training recurrent neural networks*,
//! algorithm 1. Flow++ clips the gradient of nats per image at 1.0.

use std::collections::{HashSet, VecDeque};

use burn::backend::DispatchTensor;
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, FloatDType, Tensor};

use super::error::TrainError;
use crate::error::ConfigError;
use crate::kernel::global_norm as global_norm_kernel;
use crate::kernel::global_norm::plain::{scaled, sum_of_squares, widened};
use crate::tensor::parameter_path::ParameterPath;

/// The L2 norm of all gradients of `module`, shape `[1]`.
///
/// The sum stays on the device: nothing is copied to the host and nothing waits. It is computed in
/// f32 (in f64 if a gradient is f64), so it is infinite for a norm above 1.8e19 although every
/// gradient is finite; [`clip_global_norm`] handles that case. A parameter that occurs twice in the
/// module counts once. Without any gradient the norm is 0.
///
/// ```
/// use burn::module::Param;
/// use burn::optim::GradientsParams;
/// use burn::tensor::{Device, Tensor};
/// use flowkit::train::global_norm;
///
/// let device = Device::flex().autodiff();
/// let pair: (Param<Tensor<1>>, Param<Tensor<1>>) =
///     (Param::from_data([3.0, 0.0], &device), Param::from_data([4.0], &device));
/// // The gradients of this loss are 2·(3, 0) and 2·(4).
/// let loss = pair.0.val().square().sum() + pair.1.val().square().sum();
/// let gradients = GradientsParams::from_grads(loss.backward(), &pair);
/// assert_eq!(global_norm(&pair, &gradients).into_scalar::<f32>(), 10.0);
/// ```
pub fn global_norm<M: Module>(module: &M, gradients: &GradientsParams) -> Tensor<1> {
    let mut sum =
        SumOfSquares { gradients, seen: HashSet::new(), total: None, together: Vec::new() };
    module.visit(&mut sum);
    let SumOfSquares { total, together, .. } = sum;
    let mut norms = global_norm_kernel::norms(together);
    if total.is_none() && norms.len() <= 1 {
        return norms.pop().unwrap_or_else(|| {
            let device = module.devices().into_iter().next();
            Tensor::zeros([1], &device.map(Device::without_autodiff).unwrap_or_default())
        });
    }
    let squares = norms.into_iter().map(|norm| norm.square());
    let total = total.into_iter().chain(squares).reduce(added);
    total.expect("a sum or two norms").sqrt()
}

/// Scales all gradients of `module` by `min(1, max_norm / norm)` and returns them with the norm
/// **before** clipping.
///
/// One value is copied from the device. Gradients of parameters outside `module` are neither
/// counted nor scaled. A norm of at most `max_norm` leaves every gradient unchanged bit for bit.
/// `max_norm` may be infinite; then nothing is scaled.
///
/// # Errors
/// - [`TrainError::Config`] unless `max_norm` is positive.
/// - [`TrainError::NonFiniteGradient`] names the **last** parameter, in the order of the module,
///   with a NaN or an infinity. In a module whose fields are in the order of its forward pass, the
///   backward pass spreads such a value to everything before it: the operation that made it then
///   belongs to the layer of that parameter, or to a layer without parameters between it and the
///   next. Such a gradient is never scaled: NaN would spread to every parameter, and an infinity
///   would silently set all others to zero.
/// - [`TrainError::Device`] if the norm cannot be copied from the device.
pub fn clip_global_norm<M: Module>(
    gradients: GradientsParams,
    module: &M,
    max_norm: f64,
) -> Result<(GradientsParams, f64), TrainError> {
    ConfigError::within("clip_global_norm", "max_norm", "(0, ∞]", max_norm, max_norm > 0.0)?;
    clip(gradients, module, max_norm, |norm| norm.try_into_scalar::<f64>().map_err(device_error))
}

/// [`clip_global_norm`], in which `read` copies the norm to the host.
pub(super) fn clip<M: Module>(
    gradients: GradientsParams,
    module: &M,
    max_norm: f64,
    read: impl FnOnce(Tensor<1>) -> Result<f64, TrainError>,
) -> Result<(GradientsParams, f64), TrainError> {
    let mut norm = read(global_norm(module, &gradients))?;
    if !norm.is_finite() {
        norm = careful_norm(module, &gradients)?;
    }
    if norm <= max_norm {
        return Ok((gradients, norm));
    }
    Ok((scale(gradients, module, max_norm / norm), norm))
}

/// Multiplies every gradient of `module` by `factor`, computed at least in float32.
pub(super) fn scale<M: Module>(
    gradients: GradientsParams,
    module: &M,
    factor: f64,
) -> GradientsParams {
    let seen = HashSet::new();
    let mut scale = ScaleGradients { gradients, seen, factor, together: Vec::new() };
    module.visit(&mut scale);
    let ScaleGradients { gradients, together, .. } = scale;
    if together.is_empty() {
        return gradients;
    }
    let (ids, together) = together.into_iter().unzip();
    let scaled = global_norm_kernel::scale_all(together, factor);
    let mut scaled = Scaled { gradients, ids, scaled: scaled.into() };
    module.visit(&mut scaled);
    scaled.gradients
}

pub(super) fn device_error(error: impl std::fmt::Display) -> TrainError {
    TrainError::Device { reason: error.to_string(), gradient_memory: None }
}

/// Whether few launches compute on all gradients like this one.
fn together<const D: usize>(gradient: &Tensor<D>) -> bool {
    !gradient.is_autodiff() && global_norm_kernel::SERVED.serves_on_gpu(gradient)
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    seen: HashSet<ParamId>,
    total: Option<Tensor<1>>,
    /// Gradients that few launches sum; the total lacks them.
    together: Vec<DispatchTensor>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.seen.insert(param.id) {
            return;
        }
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        if together(&gradient) {
            self.together.push(gradient.into_dispatch());
            return;
        }
        let term = sum_of_squares(gradient);
        self.total = Some(match self.total.take() {
            None => term,
            Some(total) => added(total, term),
        });
    }
}

/// The sum of two terms on the device of the first; in f64 unless they are of one type.
fn added(total: Tensor<1>, term: Tensor<1>) -> Tensor<1> {
    let device = total.device();
    if total.dtype() == term.dtype() {
        total + term.to_device(&device)
    } else {
        total.cast(FloatDType::F64) + term.to_device(&device).cast(FloatDType::F64)
    }
}

struct ScaleGradients {
    gradients: GradientsParams,
    seen: HashSet<ParamId>,
    factor: f64,
    /// Gradients that few launches scale, removed from the others.
    together: Vec<(ParamId, DispatchTensor)>,
}

impl ModuleVisitor for ScaleGradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.seen.insert(param.id) {
            return;
        }
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            if together(&gradient) {
                self.together.push((param.id, gradient.into_dispatch()));
            } else {
                self.gradients.register(param.id, scaled(gradient, self.factor));
            }
        }
    }
}

/// Puts gradients back that were scaled together.
struct Scaled {
    gradients: GradientsParams,
    /// Their parameters, in the order of `scaled`.
    ids: VecDeque<ParamId>,
    scaled: VecDeque<DispatchTensor>,
}

impl ModuleVisitor for Scaled {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.ids.front() == Some(&param.id)
            && let Some(scaled) = self.scaled.pop_front()
        {
            self.ids.pop_front();
            self.gradients.register::<D>(param.id, Tensor::from_dispatch(scaled));
        }
    }
}

/// The norm in f64, tensor by tensor and scaled by the largest element of each, so no square can
/// overflow. It is slow (three device-to-host copies per tensor), and needed only after the fast
/// sum has overflowed or become NaN.
fn careful_norm<M: Module>(module: &M, gradients: &GradientsParams) -> Result<f64, TrainError> {
    let mut visitor = CarefulNorm {
        gradients,
        seen: HashSet::new(),
        path: ParameterPath::default(),
        outcome: Ok(0.0),
    };
    module.visit(&mut visitor);
    visitor.outcome
}

struct CarefulNorm<'a> {
    gradients: &'a GradientsParams,
    seen: HashSet<ParamId>,
    path: ParameterPath,
    outcome: Result<f64, TrainError>,
}

impl CarefulNorm<'_> {
    fn extend<const D: usize>(&self, norm: f64, gradient: Tensor<D>) -> Result<f64, TrainError> {
        let not_finite = || TrainError::NonFiniteGradient {
            step: None,
            parameter: self.path.join(),
            fault: None,
        };
        let finite =
            gradient.clone().is_finite().all().try_into_scalar::<bool>().map_err(device_error)?;
        if !finite {
            return Err(not_finite());
        }
        let gradient = widened(gradient);
        let largest =
            gradient.clone().abs().max().try_into_scalar::<f64>().map_err(device_error)?;
        if largest == 0.0 {
            return Ok(norm);
        }
        // Elements are at most 1 in magnitude here, so the sum is at most their number.
        let unit = gradient
            .div_scalar(largest)
            .square()
            .sum()
            .try_into_scalar::<f64>()
            .map_err(device_error)?;
        let norm = norm.hypot(largest * unit.sqrt());
        if norm.is_finite() { Ok(norm) } else { Err(not_finite()) }
    }
}

impl ModuleVisitor for CarefulNorm<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // After a fault the search continues, to find the last one. The norm no longer matters.
        let norm = match &self.outcome {
            Ok(norm) => *norm,
            Err(TrainError::NonFiniteGradient { .. }) => 0.0,
            Err(_) => return,
        };
        let Some(gradient) =
            self.gradients.get::<D>(param.id).filter(|_| self.seen.insert(param.id))
        else {
            return;
        };
        let extended = self.extend(norm, gradient);
        if self.outcome.is_ok() || extended.is_err() {
            self.outcome = extended;
        }
    }
}
