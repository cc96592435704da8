//! Maximum likelihood as a step of burn's `Learner`, on several devices that share one update.

use burn::module::{Module, Param, ParamId};
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer, MultiGradientsParams};
use burn::tensor::{Int, Tensor};
use burn::train::{InferenceStep, TrainOutput, TrainStep};

use super::likelihood::Likelihood;
use super::maximum_likelihood::MaximumLikelihood;
use super::step_likelihood::StepLikelihood;
use crate::error::ConfigError;
use crate::train::gradient::scale;
use crate::train::tied::{self, tie};
use crate::train::{Ema, EmaDecay, TrainError, clip_global_norm, headroom, trained};

/// A flow with the steps of burn's `Learner` on several devices. Its update equals that of a single
/// device with the joined batch.
/// ```text
/// worker i     g_i = gradient of the mean loss of its part of the batch,
///              with weights copied from the first device
/// burn         g = Σ_i g_i             burn-train 0.22.1 adds the gradients, without averaging
/// here         g ← g/n, clipped to a global norm; optimizer;
///              average ← average − (1 − d)·(average − weights)
/// ```
/// All of this happens once, on the first device, in `TrainStep::optimize`, which burn calls there.
/// Workers clip nothing, so the clip applies to the joined gradient. The moving average is part of
/// the module: burn's checkpointers save and restore it, and nothing in a checkpoint depends on the
/// number of devices. Validation uses the average.
///
/// The parts must be equally large: wrap the training's loader in a
/// [`ShardedLoader`](super::ShardedLoader). The model is initialised from data before it is passed
/// in, once, and every worker's copy is made from it.
///
/// | strategy of burn | `n_parts` |
/// |---|---|
/// | `ExecutionStrategy::single` | 1 |
/// | `ExecutionStrategy::multi` on `n` devices | `n` |
/// | `grads_accumulation(k)` | times `k` |
/// | `ExecutionStrategy::ddp` with `ReduceOperation::Mean` | 1: the parts are already averaged in the backward pass |
///
/// Randomness: a generator of burn is global to a backend, and workers sample from it in an
/// arbitrary order. Random values within a step, such as dequantization noise, therefore differ
/// between runs on several devices; order and augmentation of the data do not.
///
/// A part that is not finite stops the training, and the update does not happen: see
/// [`MaximumLikelihood`].
#[derive(Module, Debug)]
pub struct DataParallel<M> {
    /// The flow in training.
    pub learned: MaximumLikelihood<M>,
    /// The flow with averaged weights, for evaluation and sampling.
    pub average: M,
    /// Number of updates of the average, `[1]`.
    pub updates: Param<Tensor<1, Int>>,
    #[module(skip)]
    decay: EmaDecay,
    #[module(skip)]
    max_norm: f64,
    #[module(skip)]
    n_parts: usize,
}

impl<M: Likelihood> DataParallel<M> {
    /// For updates whose gradient burn sums from `n_parts` parts. The norm at which `model` clips
    /// becomes that of the joined gradient.
    ///
    /// # Errors
    /// [`TrainError::Config`] if `n_parts` is 0, or if `decay` is invalid;
    /// [`TrainError::NothingTrained`], [`TrainError::Clones`] and [`TrainError::Device`] as for
    /// [`Trainer::new`](crate::train::Trainer::new).
    pub fn new(
        model: MaximumLikelihood<M>,
        n_parts: usize,
        decay: EmaDecay,
    ) -> Result<Self, TrainError> {
        if n_parts == 0 {
            return Err(TrainError::Config(ConfigError::Zero {
                config: "DataParallel",
                field: "n_parts",
            }));
        }
        decay.validate()?;
        trained::check(&model.model)?;
        tied::check(&model.model)?;
        let max_norm = model.max_norm_in_nats();
        let learned = model.with_max_norm(f64::INFINITY)?;
        let average = learned.model.valid();
        let device = learned.devices().into_iter().next().unwrap_or_default().without_autodiff();
        let updates = Param::initialized(ParamId::new(), Tensor::from_data([0], &device));
        Ok(Self { learned, average, updates, decay, max_norm, n_parts })
    }

    /// The model after an update with a joined gradient, or why there is no update.
    fn moved(
        &self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        sum: GradientsParams,
    ) -> Result<Self, TrainError> {
        let mean = if self.n_parts == 1 {
            sum
        } else {
            scale(sum, &self.learned, 1.0 / self.n_parts as f64)
        };
        let (gradients, _) = clip_global_norm(mean, &self.learned, self.max_norm)?;
        let updates = self.updates.val().into_data().iter::<i64>().sum::<i64>();
        // An optimizer updates a parameter only at its first place.
        let learned = tie(optimizer.step(rate, self.learned.clone(), gradients));
        let average = Ema::resume(self.average.clone(), self.decay, updates.unsigned_abs())?;
        let average = average.update(&learned.model)?.into_model();
        headroom::check(&learned.model, Some(&average))?;
        let updates = self.updates.clone().map(|updates| updates.add_scalar(1));
        Ok(Self { learned, average, updates, ..self.clone() })
    }
}

impl<M: Likelihood> TrainStep for DataParallel<M> {
    type Input = M::Data;
    type Output = StepLikelihood<M::Provenance>;

    fn step(&self, data: M::Data) -> TrainOutput<Self::Output> {
        TrainStep::step(&self.learned, data)
    }

    fn optimize(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        sum: GradientsParams,
    ) -> Self {
        // The sum lacks the part that failed.
        if self.learned.failure().is_some() {
            return self;
        }
        self.moved(optimizer, rate, sum).unwrap_or_else(|error| {
            self.learned.fail(&error.to_string());
            self
        })
    }

    /// burn would have each device update some of the parameters. Here the first device updates all
    /// of them, because the clip needs them all.
    fn optimize_multi(
        self,
        optimizer: &mut ModuleOptimizer,
        rate: ModuleLearningRate,
        parts: MultiGradientsParams,
    ) -> Self {
        let mut sum = GradientsAccumulator::new();
        let first = self.updates.val().device();
        for (part, _) in parts.grads {
            sum.accumulate(&self.learned, part.to_device(&first, &self.learned));
        }
        self.optimize(optimizer, rate, sum.grads())
    }
}

impl<M: Likelihood> InferenceStep for DataParallel<M> {
    type Input = M::Data;
    type Output = StepLikelihood<M::Provenance>;

    fn step(&self, data: M::Data) -> Self::Output {
        let model = &self.average;
        StepLikelihood::new(model.log_prob(data), model.dims(), model.provenance())
    }
}
