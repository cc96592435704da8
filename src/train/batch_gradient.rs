//! Loss and gradient of one update: under a policy, over its micro-batches.
//! ```text
//! loss       Σ_k w_k L_k      w_k = examples of micro-batch k / examples of all: the mean over all
//! gradient   Σ_k w_k ∇L_k     one micro-batch at a time: memory for two gradients, however many
//! ```

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::gradient::device_error;
use super::read_together::read_together;
use super::trained::no_gradient;
use super::{Objective, Purpose, StepSeed, TrainError};
use crate::bijector::replay::{
    DriftGuard, GradientMemory, Replay, Verdict, parameter_gradients, scaled,
};
use crate::kernel::global_norm;
use crate::random::Seeded;

/// The loss of update `step`, in nats per example.
pub(super) enum Loss {
    /// On the host, and finite.
    Known(f64),
    /// On a GPU. A copy to the host waits for all that the GPU has to do, so the loss is copied
    /// together with the gradient's norm.
    OnDevice { loss: Box<Tensor<1>>, step: u64 },
}

impl Loss {
    /// The loss on the host.
    ///
    /// # Errors
    /// [`TrainError::NonFiniteLoss`]; [`TrainError::Device`].
    pub fn read(self) -> Result<f64, TrainError> {
        match self {
            Self::Known(value) => Ok(value),
            Self::OnDevice { loss, step } => {
                finite(step, loss.try_into_data().map_err(device_error)?.iter::<f64>().sum())
            }
        }
    }

    /// Loss and norm on the host. On a GPU they and the key of `scope` are one copy.
    ///
    /// # Errors
    /// [`TrainError::NonFiniteLoss`]; [`TrainError::Device`].
    pub fn read_with(self, norm: Tensor<1>, scope: &mut Seeded) -> Result<(f64, f64), TrainError> {
        match self {
            Self::OnDevice { loss, step } if loss.device() == norm.device() => {
                let [loss, norm] = copied([*loss, norm], scope)?;
                Ok((finite(step, loss)?, norm))
            }
            loss => {
                let loss = loss.read()?;
                let [norm] = copied([norm], scope)?;
                Ok((loss, norm))
            }
        }
    }
}

/// The values of tensors `[1]` on one device. On a GPU the key of `scope`, if it is on that device
/// and was not copied before, is part of the same copy.
fn copied<const N: usize>(
    values: [Tensor<1>; N],
    scope: &mut Seeded,
) -> Result<[f64; N], TrainError> {
    let beside = |samples: &&Tensor<1>| {
        values.iter().all(|value| {
            value.device() == samples.device() && global_norm::SERVED.serves_on_gpu(value)
        })
    };
    let key = scope.unread().filter(beside).cloned();
    let copied = read_together(values.into_iter().chain(key).collect()).map_err(device_error)?;
    if let Some(samples) = copied.get(N) {
        scope.take(samples.iter().map(|&sample| sample as f32));
    }
    Ok(std::array::from_fn(|index| copied[index][0]))
}

/// The loss of update `step`, if it is finite.
fn finite(step: u64, value: f64) -> Result<f64, TrainError> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(TrainError::NonFiniteLoss { step, value, fault: None })
}

/// Loss and gradient of an update.
pub(super) struct BatchGradient {
    pub loss: Loss,
    pub gradients: GradientsParams,
    /// Largest drift of a rebuilt input; `None` if no input is rebuilt.
    pub drift: Option<f64>,
}

/// How an update computes its gradient.
pub(super) struct Pass<'a> {
    pub device: &'a Device,
    /// Seeds of the micro-batch.
    pub seeds: StepSeed,
    /// Number of updates before this one.
    pub step: u64,
    pub gradient_memory: GradientMemory,
    /// Factor of the loss in the backward pass. The resulting gradients contain it.
    pub loss_scale: f64,
    /// State of the drift guard, under [`GradientMemory::Reversible`].
    pub guard: &'a mut Option<DriftGuard>,
    /// Whether every rebuilt input is compared with the original one.
    pub in_doubt: bool,
}

impl Pass<'_> {
    /// Seeds the device for this micro-batch, within the scope of the update.
    pub fn seed(&self) {
        self.device.seed(self.seeds.seed(self.step, Purpose::Training));
    }

    /// The gradient by plain autodiff.
    pub fn store<M: Module>(
        &self,
        model: &M,
        loss: Tensor<1>,
    ) -> Result<BatchGradient, TrainError> {
        check_one(&loss)?;
        if !loss.is_tracked() {
            return Err(no_gradient(model));
        }
        let value = self.loss(loss.clone().inner())?;
        let gradients = parameter_gradients(model, scaled(loss, self.loss_scale).backward());
        if gradients.is_empty() {
            return Err(no_gradient(model));
        }
        Ok(BatchGradient { loss: value, gradients, drift: None })
    }

    /// The gradient of one micro-batch.
    pub fn run<M: Module>(
        &mut self,
        model: &M,
        objective: &impl Objective<M>,
    ) -> Result<BatchGradient, TrainError> {
        self.seed();
        let GradientMemory::Reversible { tolerance } = self.gradient_memory else {
            return match self.gradient_memory {
                GradientMemory::Store => self.store(model, objective.loss(model)),
                _ => {
                    let mut replay = Replay::recomputing(self.layers())
                        .within_scope()
                        .with_loss_scale(self.loss_scale);
                    let loss = self.loss(self.replay(model, objective, &mut replay)?)?;
                    Ok(BatchGradient { loss, gradients: replay.parameters, drift: None })
                }
            };
        };
        let mut guard = self.guard.take().unwrap_or_else(|| DriftGuard::new(tolerance));
        if self.in_doubt {
            guard.doubt_all();
        }
        let found = loop {
            let replay = Replay::guarded(self.layers(), guard.clone(), self.step);
            let mut replay = replay.within_scope().with_loss_scale(self.loss_scale);
            // The inverses are judged only if the loss is finite.
            let loss = self.on_device(self.replay(model, objective, &mut replay)?).read()?;
            let verdict = replay.examine(&mut guard).map_err(device_error)?;
            if let Verdict::Holds(drift) = verdict {
                let loss = Loss::Known(loss);
                break BatchGradient { loss, gradients: replay.parameters, drift: Some(drift) };
            }
            // Repeat with the same noise.
            drop(replay);
            self.seed();
        };
        *self.guard = Some(guard);
        Ok(found)
    }

    fn layers(&self) -> u64 {
        self.seeds.seed(self.step, Purpose::Layers)
    }

    fn replay<M: Module>(
        &self,
        model: &M,
        objective: &impl Objective<M>,
        replay: &mut Replay<()>,
    ) -> Result<Tensor<1>, TrainError> {
        if !model.devices().iter().any(Device::is_autodiff) {
            return Err(TrainError::NoGraph);
        }
        let loss = objective
            .replay(model, replay)
            .ok_or(TrainError::NoReplay { gradient_memory: self.gradient_memory })?;
        check_one(&loss)?;
        if replay.parameters.is_empty() {
            // A loss that is not finite has no gradients either.
            self.on_device(loss).read()?;
            return Err(no_gradient(model));
        }
        Ok(loss)
    }

    fn on_device(&self, loss: Tensor<1>) -> Loss {
        Loss::OnDevice { loss: Box::new(loss), step: self.step + 1 }
    }

    /// A loss, on the host unless it is on a GPU.
    fn loss(&self, loss: Tensor<1>) -> Result<Loss, TrainError> {
        let on_gpu = global_norm::SERVED.serves_on_gpu(&loss);
        let loss = self.on_device(loss);
        if on_gpu { Ok(loss) } else { loss.read().map(Loss::Known) }
    }
}

/// A loss is a single value: the sum over several values would differ from the mean of the batch.
fn check_one(loss: &Tensor<1>) -> Result<(), TrainError> {
    let [found] = loss.dims();
    if found == 1 { Ok(()) } else { Err(TrainError::LossShape { found }) }
}

/// Shares of the micro-batches in the loss. An error comes with the index of the micro-batch
/// without examples.
fn shares<M, O: Objective<M>>(model: &M, parts: &[O]) -> Result<Vec<f64>, (usize, TrainError)> {
    if let [_] = parts {
        return Ok(vec![1.0]);
    }
    let examples: Vec<usize> = parts.iter().map(|part| part.examples(model)).collect();
    if let Some(part) = examples.iter().position(|&n| n == 0) {
        return Err((part, TrainError::NoExamples { part }));
    }
    // Computed as floats, whose sum cannot overflow.
    let all: f64 = examples.iter().map(|&n| n as f64).sum();
    Ok(examples.into_iter().map(|n| n as f64 / all).collect())
}

impl BatchGradient {
    /// Loss and gradient over all micro-batches, of which there is at least one. An error comes
    /// with the index of the micro-batch that failed.
    pub fn of<M: Module, O: Objective<M>>(
        model: &M,
        parts: &[O],
        seeds: StepSeed,
        mut pass: impl FnMut(StepSeed, &O) -> Result<Self, TrainError>,
    ) -> Result<Self, (usize, TrainError)> {
        let mut total: Option<Self> = None;
        for (index, (part, share)) in parts.iter().zip(shares(model, parts)?).enumerate() {
            let found = pass(seeds.part(index as u64), part).map_err(|error| (index, error))?;
            total = Some(match total {
                // A single whole batch stays as it is, bit for bit.
                None if share == 1.0 => found,
                total => Self::sum(model, total, found, share).map_err(|error| (index, error))?,
            });
        }
        total.ok_or((0, TrainError::NoBatch))
    }

    /// `total + share·more`. An error is one of the loss of `more`.
    fn sum<M: Module>(
        model: &M,
        total: Option<Self>,
        more: Self,
        share: f64,
    ) -> Result<Self, TrainError> {
        let (loss, into, drift) = match total {
            Some(total) => (total.loss.read()?, total.gradients, total.drift),
            None => (0.0, GradientsParams::new(), None),
        };
        let loss = Loss::Known(loss + share * more.loss.read()?);
        let mut add = Add { from: more.gradients, into, share };
        model.visit(&mut add);
        let drift = drift.into_iter().chain(more.drift).reduce(f64::max);
        Ok(Self { loss, gradients: add.into, drift })
    }
}

/// Moves gradients from one set to another, multiplied by a share. A gradient is removed when it is
/// moved, so a parameter that occurs twice counts once.
struct Add {
    from: GradientsParams,
    into: GradientsParams,
    share: f64,
}

impl ModuleVisitor for Add {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            let gradient = gradient.mul_scalar(self.share);
            let sum = match self.into.remove::<D>(param.id) {
                Some(earlier) => earlier + gradient,
                None => gradient,
            };
            self.into.register(param.id, sum);
        }
    }
}
