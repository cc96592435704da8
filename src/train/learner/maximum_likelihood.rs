//! Maximum likelihood as a step of burn's `Learner`, on one device.

use std::fmt::{Debug, Formatter, Result as FmtResult};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::tensor::Tensor;
use burn::train::{InferenceStep, Interrupter, TrainOutput, TrainStep};

use super::likelihood::Likelihood;
use super::step_likelihood::StepLikelihood;
use crate::bijector::replay::parameter_gradients;
use crate::error::ConfigError;
use crate::train::tied::{self, tie};
use crate::train::trained::{self, no_gradient};
use crate::train::{GradientUnit, LossScale, Precision, TrainError, clip_global_norm, headroom};

/// A flow with the steps of burn's `Learner`, fitted by maximum likelihood.
/// ```text
/// loss       minus the mean log-likelihood of the batch, nats per example
/// gradient   clipped to a global norm
/// ```
/// The caller chooses the optimizer. Use Adam with `with_epsilon(1e-8)`: burn's default of 1e-5 is
/// larger than many gradients here.
///
/// Each of the following leaves the weights unchanged and stops the training: a loss, a gradient or
/// new weights that are not finite (the optimizer's own state is not visible here), a model without
/// trained parameters, and clones of a layer that differ. The training is stopped through the
/// [`Interrupter`] of [`MaximumLikelihood::interrupter`], which must be passed to
/// `SupervisedTraining`. The [`failure`](MaximumLikelihood::failure) of the returned model gives
/// the reason and names the layer at which a loss failed. `LearningResult::interrupted` has it too,
/// but the dashboard of burn-train 0.22.1 clears it, and `LearningResult::error` with it, when the
/// training ends. With `grads_accumulation`, the gradients accumulated before the failed step may
/// still update the weights once: they are finite, and none of them is from the failed batch. In
/// that case each batch is clipped separately, not their sum.
///
/// # Panics
/// In a step, on a batch that does not fit the model: burn's steps have no errors.
///
/// # Example
/// A flow on the plane learns the scale of its data:
/// ```
/// use std::sync::Arc;
///
/// use burn::data::{
///     dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
///     dataset::InMemDataset,
/// };
/// use burn::optim::AdamConfig;
/// use burn::tensor::{Device, Tensor};
/// use burn::train::{Learner, SupervisedTraining, renderer::CliMetricsRenderer};
/// use flowkit::flow::likelihood::Exact;
/// use flowkit::train::learner::{LikelihoodMetric, MaximumLikelihood};
/// use flowkit::{ActNormConfig, Flow, StandardNormal};
///
/// #[derive(Clone)]
/// struct Points;
/// impl Batcher<[f32; 2], Tensor<2>> for Points {
///     fn batch(&self, points: Vec<[f32; 2]>, device: &Device) -> Tensor<2> {
///         Tensor::stack(
///             points.into_iter().map(|point| Tensor::<1>::from_data(point, device)).collect(),
///             0,
///         )
///     }
/// }
/// let points: Vec<[f32; 2]> =
///     (0..32).map(|i| [(i as f32).sin(), 3.0 * (i as f32).cos()]).collect();
/// let loader = || -> Arc<dyn DataLoader<Tensor<2>>> {
///     DataLoaderBuilder::new(Points).batch_size(8).build(InMemDataset::new(points.clone()))
/// };
/// let device = Device::flex().autodiff();
/// let norm = ActNormConfig::new();
/// let flow = Flow::build(&norm, StandardNormal::new(), [1, 2], &device)?.without_data();
/// let model = MaximumLikelihood::new(flow);
/// # let folder = tempfile::tempdir()?;
///
/// let training = SupervisedTraining::new(folder.path(), loader(), loader())
///     .with_interrupter(model.interrupter())
///     .metrics((LikelihoodMetric::bits_per_dim(Exact), LikelihoodMetric::nats(Exact)))
///     .with_application_logger(None)
///     .num_epochs(2);
/// let result =
///     training.launch(Learner::new(model, AdamConfig::new().with_epsilon(1e-8).init(), 1e-2));
/// assert!(result.error.is_none() && result.model.failure().is_none());
/// let flow = result.model.model; // in validation mode
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct MaximumLikelihood<M> {
    /// The flow.
    pub model: M,
    #[module(skip)]
    max_norm: f64,
    #[module(skip)]
    norm_unit: GradientUnit,
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    stop: Stop,
}

/// What stops a training, and the reason. Clones of a model share it.
#[derive(Clone)]
struct Stop {
    interrupter: Interrupter,
    failure: Arc<Mutex<Option<String>>>,
}

impl Stop {
    fn reason(&self) -> MutexGuard<'_, Option<String>> {
        // Consistent at any time: a panic elsewhere does not invalidate it.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first reason.
    fn fail(&self, reason: String) {
        let first = self.reason().get_or_insert(reason).clone();
        self.interrupter.stop(Some(&first));
    }
}

impl Debug for Stop {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.debug_tuple("Stop").field(&*self.reason()).finish()
    }
}

impl<M: Likelihood> MaximumLikelihood<M> {
    /// An initialised flow, whose gradient is clipped at a norm of 1 nat per example, as in Flow++.
    pub fn new(model: M) -> Self {
        Self {
            model,
            max_norm: 1.0,
            norm_unit: GradientUnit::Nats,
            precision: Precision::Full,
            stop: Stop { interrupter: Interrupter::new(), failure: Arc::default() },
        }
    }

    /// Clips the gradient at another norm, in nats per example or in the unit of
    /// [`MaximumLikelihood::with_norm_unit`]. With infinity, nothing is clipped.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] unless it is positive.
    pub fn with_max_norm(self, max_norm: f64) -> Result<Self, ConfigError> {
        ConfigError::within("MaximumLikelihood", "max_norm", "(0, ∞]", max_norm, max_norm > 0.0)?;
        Ok(Self { max_norm, ..self })
    }

    /// Sets the unit of the gradient's norm.
    pub fn with_norm_unit(self, norm_unit: GradientUnit) -> Self {
        Self { norm_unit, ..self }
    }

    /// Trains networks in another precision. The weights that the optimizer updates keep their
    /// type.
    ///
    /// # Errors
    /// Those of [`Precision::validate`] and [`Precision::check`]; [`ConfigError::Choice`] for a
    /// dynamic loss scale, since nothing in burn would save it.
    pub fn with_precision(self, precision: Precision) -> Result<Self, TrainError> {
        precision.validate()?;
        precision.check(&self.model)?;
        if let Some(LossScale::Dynamic { .. }) = precision.loss_scale() {
            return Err(TrainError::Config(ConfigError::Choice {
                config: "MaximumLikelihood",
                field: "precision",
                found: "F16(LossScale::Dynamic)",
                needs: "a `Trainer`, since burn's checkpoints keep no loss scale; here use \
                        `LossScale::Fixed`",
            }));
        }
        Ok(Self { precision, ..self })
    }

    /// The norm at which the gradient is clipped.
    pub fn max_norm(&self) -> f64 {
        self.max_norm
    }

    /// The norm at which the gradient is clipped, in nats per example.
    pub(super) fn max_norm_in_nats(&self) -> f64 {
        self.max_norm * self.norm_unit.in_nats(self.model.dims())
    }

    /// Stops the training with a reason.
    pub(super) fn fail(&self, reason: &str) {
        self.stop.fail(format!("a step failed and changed nothing: {reason}"));
    }

    /// The interrupter that stops the training when a step fails, for
    /// `SupervisedTraining::with_interrupter`. The call clears an earlier stop, since several
    /// trainings can use the same model in succession.
    pub fn interrupter(&self) -> Interrupter {
        self.stop.interrupter.reset();
        *self.stop.reason() = None;
        self.stop.interrupter.clone()
    }

    /// Why a step failed, if one has failed since [`MaximumLikelihood::interrupter`] was called: a
    /// step of this model or of any of its clones, which include the model that a training returns.
    pub fn failure(&self) -> Option<String> {
        self.stop.reason().clone()
    }

    /// The gradients of a finite loss, clipped.
    fn gradients(
        &self,
        working: &M,
        loss: Tensor<1>,
        data: M::Data,
    ) -> Result<GradientsParams, String> {
        let text = |error: TrainError| error.to_string();
        trained::check(&self.model).and_then(|()| tied::check(&self.model)).map_err(text)?;
        let value =
            loss.clone().inner().try_into_scalar::<f64>().map_err(|error| error.to_string())?;
        if !value.is_finite() {
            let place = working
                .fault(data)
                .map_or(String::new(), |fault| format!(", first not finite at {fault}"));
            return Err(format!("the loss is {value} nats{place}"));
        }
        let scale = self.precision.loss_scale().map_or(1.0, LossScale::start);
        if !loss.is_tracked() {
            return Err(text(no_gradient(working)));
        }
        let scaled = if scale == 1.0 { loss } else { loss.mul_scalar(scale) };
        let gradients = parameter_gradients(working, scaled.backward());
        let gradients = self.precision.master_gradients(gradients, &self.model, scale);
        let clipped = clip_global_norm(gradients, self, self.max_norm_in_nats());
        clipped.map(|(gradients, _)| gradients).map_err(text)
    }

    /// The model after an update. If its weights are not finite, the model is left unchanged and
    /// the training stops.
    fn settled(self, moved: Self) -> Self {
        // An optimizer updates a parameter only at its first place.
        let moved = tie(moved);
        match headroom::check(&moved, None) {
            Ok(()) => moved,
            Err(error) => {
                self.fail(&error.to_string());
                self
            }
        }
    }
}

impl<M: Likelihood> TrainStep for MaximumLikelihood<M> {
    type Input = M::Data;
    type Output = StepLikelihood<M::Provenance>;

    fn step(&self, data: M::Data) -> TrainOutput<Self::Output> {
        let model = &self.model;
        let working = self.precision.working_copy(model);
        let nats = working.log_prob(data.clone());
        let grads =
            self.gradients(&working, nats.clone().mean().neg(), data).unwrap_or_else(|reason| {
                self.fail(&reason);
                // A parameter without a gradient is not changed.
                GradientsParams::new()
            });
        TrainOutput { grads, item: StepLikelihood::new(nats, model.dims(), model.provenance()) }
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        gradients: GradientsParams,
    ) -> Self {
        let moved = optimizer.step(rate, self.clone(), gradients);
        self.settled(moved)
    }

    fn optimize_multi(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        gradients: MultiGradientsParams,
    ) -> Self {
        let moved = optimizer.step_multi(rate, self.clone(), gradients);
        self.settled(moved)
    }
}

impl<M: Likelihood> InferenceStep for MaximumLikelihood<M> {
    type Input = M::Data;
    type Output = StepLikelihood<M::Provenance>;

    fn step(&self, data: M::Data) -> Self::Output {
        // burn would keep the graph of an evaluation until the next backward pass.
        let model = self.model.valid();
        let nats = model.log_prob(model.plain(data));
        StepLikelihood::new(nats, model.dims(), model.provenance())
    }
}
