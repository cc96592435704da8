//! Fit: trains a flow on data in one call and reports the result.
//! ```text
//! hold out     a random share of the examples, which the seed determines; or given data
//! initialise   an `Uninit` flow, from the first examples of the order: a batch, at least 256
//! train        `Trainer`, on batches whose order is a function of seed and update
//! evaluate     the average of the weights, on the held-out examples: before the first update,
//!              after each epoch, at the end
//! keep         the average with the highest held-out mean; end after `patience` epochs without
//!              a rise
//! ```
//! A fit evaluates and keeps the moving average of the weights ([`Ema`](crate::train::Ema)), as
//! everywhere in this crate. At a constant learning rate, the noise of the batches never stops
//! moving the weights themselves. The held-out likelihood of their average is usually higher and
//! varies less, so the noise does not exhaust the patience. By default the decay of the average is
//! small early in training ([`EmaDecay::Warmed`](crate::train::EmaDecay::Warmed)), so the average
//! stays close to the weights then.
//!
//! A bound is evaluated with the same noise each time, so two evaluations differ only by their
//! weights.
//!
//! To write the loop yourself, use [`Trainer`]: a fit makes the same updates.

mod config;
mod data;
mod embedded;
mod error;
mod examples;
mod fitted;
mod flow;
mod progress;
mod report;
mod schedule;

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;

pub use config::FitConfig;
pub use data::{FitData, FitDataError, Weighted};
pub use error::FitError;
pub use fitted::Fitted;
pub use flow::{BatchOf, FitFlow, FitInit};
pub use progress::Progress;
pub use report::{CurvePoint, FitEnd, FitReport};
pub use schedule::FitSchedule;

use data::weighed;
use examples::Examples;
use flow::device;
use progress::Shown;

use crate::data::Batches;
use crate::flow::MeanLikelihood;
use crate::random::Seeded;
use crate::random::shuffle::shuffled;
use crate::train::{Objective, Purpose, StepSeed, TrainError, Trainer, UpdateOutcome};

/// Least number of examples for initialisation; all examples, if there are fewer.
const LEAST_INIT: usize = 256;

/// What errors call the two sets.
const TRAIN: &str = "data";
const HELD_OUT: &str = "held-out data";

/// The stream of the shuffle that determines which examples are held out. No epoch has this number.
const HELD_OUT_STREAM: u64 = u64::MAX;

impl FitConfig {
    /// Fits a flow to data, of which a share is held out: [`FitConfig::held_out`].
    ///
    /// An [`Uninit`](crate::Uninit) flow is initialised from data first; an initialised flow
    /// continues from its weights. The flow may be on a device with autodiff or without. Batches
    /// are moved to its device.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use flowkit::data::TwoMoons;
    /// use flowkit::law::{AffineConfig, AffineForm};
    /// use flowkit::model::RealNvpConfig;
    /// use flowkit::train::fit::{FitConfig, Progress};
    /// use flowkit::{Density, Flow, StandardNormal};
    ///
    /// let device = Device::flex();
    /// let flow = Flow::build(&RealNvpConfig::new(2), StandardNormal::new(), [1, 2], &device)?;
    /// let config = FitConfig::new().with_epochs(1).with_batch_size(50);
    /// let config = config.with_progress(Progress::None);
    /// let fitted = config.fit(flow, &TwoMoons::new(500, 0.1, 0))?;
    /// println!("{}", fitted.report);
    /// assert_eq!((fitted.report.steps, fitted.report.held_out.examples()), (9, 50));
    /// assert_eq!(fitted.flow.sample(3)?.dims(), [3, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FitError::Config`] for a rule of [`FitConfig::validate`]; [`FitError::Data`] for data or
    /// weights that no flow can be fitted to; [`FitError::Flow`] for examples that the flow does
    /// not accept, or that are not finite; [`FitError::Train`] for a model that [`Trainer::new`]
    /// refuses; [`FitError::Broken`] for an update or an evaluation that fails, with the best
    /// weights so far. A set whose batch has another number of rows than it was asked for is
    /// [`FitError::Data`] whenever it is found.
    pub fn fit<S, T>(&self, flow: S, data: &T) -> Result<Fitted<S::Flow>, FitError<S::Flow>>
    where
        S: FitInit,
        T: FitData<Data = <S::Flow as FitFlow>::Data, Context = <S::Flow as FitFlow>::Context>,
    {
        self.validate()?;
        let (rows, weights) = weighed(data, TRAIN, 2)?;
        let order = shuffled(rows.len(), self.seed, HELD_OUT_STREAM);
        let n_held = self.n_held_out(rows.len());
        let part = |places: &[usize]| {
            let mut part: Vec<usize> = places.iter().map(|&place| rows[place]).collect();
            part.sort_unstable();
            Examples::new(data, TRAIN, part, weights.as_deref(), self.batch_size)
        };
        let (held_out, train) = order.split_at(n_held);
        self.run(flow, part(train), part(held_out))
    }

    /// [`FitConfig::fit`] with separate held-out data: all of `data` is trained on.
    ///
    /// # Errors
    /// As [`FitConfig::fit`].
    pub fn fit_held_out<S, T, H>(
        &self,
        flow: S,
        data: &T,
        held_out: &H,
    ) -> Result<Fitted<S::Flow>, FitError<S::Flow>>
    where
        S: FitInit,
        T: FitData<Data = <S::Flow as FitFlow>::Data, Context = <S::Flow as FitFlow>::Context>,
        H: FitData<Data = T::Data, Context = T::Context>,
    {
        self.validate()?;
        let (rows, weights) = weighed(data, TRAIN, 1)?;
        let train = Examples::new(data, TRAIN, rows, weights.as_deref(), self.batch_size);
        let (rows, weights) = weighed(held_out, HELD_OUT, 1)?;
        let held_out = Examples::new(held_out, HELD_OUT, rows, weights.as_deref(), self.batch_size);
        self.run(flow, train, held_out)
    }

    fn run<S, T, H>(
        &self,
        flow: S,
        train: Examples<'_, T>,
        held_out: Examples<'_, H>,
    ) -> Result<Fitted<S::Flow>, FitError<S::Flow>>
    where
        S: FitInit,
        T: FitData<Data = <S::Flow as FitFlow>::Data, Context = <S::Flow as FitFlow>::Context>,
        H: FitData<Data = T::Data, Context = T::Context>,
    {
        let began = Instant::now();
        let (train, held_out) = (train.of_mean_one(), held_out.of_mean_one());
        let batch_size = self.batch_size.min(train.len());
        let order = Batches::new(train.len(), batch_size, self.seed)
            .expect("from 1 to all of the examples");
        let flow = self.initialized(flow, &train)?;
        let plain = device(&flow).without_autodiff();
        train.check(&flow, &plain)?;
        held_out.check(&flow, &plain)?;
        let trainer = Trainer::new(flow.train(), self.trainer(self.updates_of(train.len())))?;
        let device = device(trainer.model());
        Course { config: self, train, held_out, order, trainer, device, began }.run()
    }

    /// The first places of the first epoch, for initialisation.
    fn first(&self, n: usize) -> Vec<usize> {
        let mut places = shuffled(n, self.seed, 0);
        places.truncate(self.batch_size.max(LEAST_INIT));
        places
    }

    /// The flow, initialised from the first examples of the order if it was not.
    fn initialized<S, T>(
        &self,
        flow: S,
        train: &Examples<'_, T>,
    ) -> Result<S::Flow, FitError<S::Flow>>
    where
        S: FitInit,
        T: FitData<Data = <S::Flow as FitFlow>::Data, Context = <S::Flow as FitFlow>::Context>,
    {
        let seed = StepSeed::new(self.seed).seed(0, Purpose::Initialization);
        let places = self.first(train.len());
        let mut scope = None;
        let flow = flow.init(|flow| {
            let device = device(flow);
            scope = Some(Seeded::new(&device, seed));
            Ok(train.batch(&places, flow, &device)?)
        });
        drop(scope);
        flow.map_err(|error| match error {
            FitError::Flow(error) => train.numbered(error, &places).into(),
            error => error,
        })
    }
}

/// The losses of some updates.
#[derive(Default)]
struct Losses {
    batches: usize,
    sum: f64,
    /// Sum of the mean weights of the batches.
    weight: f64,
}

impl Losses {
    fn add(&mut self, loss: f64, weight: f64) {
        self.batches += 1;
        self.sum += loss;
        self.weight += weight;
    }

    /// The weighted mean of all examples' losses.
    fn mean(&self) -> Option<f64> {
        (self.batches > 0).then(|| self.sum / self.weight)
    }
}

/// A fit in progress.
struct Course<'a, F: FitFlow, T, H> {
    config: &'a FitConfig,
    train: Examples<'a, T>,
    held_out: Examples<'a, H>,
    order: Batches,
    trainer: Trainer<F>,
    device: Device,
    began: Instant,
}

impl<F, T, H> Course<'_, F, T, H>
where
    F: FitFlow,
    T: FitData<Data = F::Data, Context = F::Context>,
    H: FitData<Data = F::Data, Context = F::Context>,
{
    fn run(mut self) -> Result<Fitted<F>, FitError<F>> {
        let per_epoch = self.per_epoch();
        let all_epochs = self.config.epochs.saturating_mul(per_epoch);
        let most = self.config.steps.map_or(all_epochs, |steps| steps.min(all_epochs));
        let shown = Shown::new(self.config.progress, most);
        // The initial flow is the first best one, so there is always one to return.
        let mut best = self.evaluated(&Losses::default())?;
        shown.held_out(&best.report.held_out);
        let mut losses = Losses::default();
        loop {
            let loss = self.next_loss()?;
            let update = match self.update(&loss) {
                Ok(loss) => loss,
                Err(error) => return Err(self.broken(error, best)),
            };
            if let Some((loss, weight)) = update {
                losses.add(loss, weight);
            }
            shown.step();
            let step = self.trainer.step_count();
            let limit = self.limit(step, most, all_epochs);
            if limit.is_none() && !step.is_multiple_of(per_epoch) {
                continue;
            }
            let evaluated = self.evaluated(&losses);
            losses = Losses::default();
            let mut found = match evaluated {
                Ok(found) => found,
                Err(FitError::Flow(error)) => {
                    return Err(self.broken(TrainError::Batch(error), best));
                }
                Err(error) => return Err(error),
            };
            let risen = found.report.held_out.mean() > best.report.held_out.mean();
            let mut curve = std::mem::take(&mut best.report.curve);
            curve.append(&mut found.report.curve);
            if risen {
                best = found;
            }
            best.report.curve = curve;
            shown.held_out(&best.report.held_out);
            let waited = self.epoch(step) - best.report.best_epoch;
            let end =
                limit.or((waited >= self.config.patience).then_some(FitEnd::Patience(waited)));
            if let Some(end) = end {
                self.finish(&mut best, end);
                return Ok(best);
            }
        }
    }

    /// The loss of the batch of the next update.
    fn next_loss(&self) -> Result<F::Loss, FitDataError> {
        let places = self.order.indices(self.trainer.step_count() as usize);
        self.train.loss(&places, self.trainer.model(), &self.device)
    }

    /// One update. Returns its loss and the mean weight of its examples, or `None` if it was
    /// skipped.
    fn update(&mut self, loss: &F::Loss) -> Result<Option<(f64, f64)>, TrainError> {
        let update = self.trainer.update_on(&self.device, loss)?;
        let done = update.outcome == UpdateOutcome::Done;
        Ok(done.then(|| (update.loss, loss.mean_weight())))
    }

    /// The limit that was reached, if any.
    fn limit(&self, step: u64, most: u64, all_epochs: u64) -> Option<FitEnd> {
        if step >= all_epochs {
            return Some(FitEnd::Epochs);
        }
        if step >= most {
            return Some(FitEnd::Steps);
        }
        let late = self
            .config
            .seconds
            .is_some_and(|seconds| self.began.elapsed().as_secs_f64() >= seconds);
        late.then_some(FitEnd::Seconds)
    }

    /// The current average, with its held-out likelihood. `losses` are those of the updates since
    /// the last one.
    fn evaluated(&self, losses: &Losses) -> Result<Fitted<F>, FitError<F>> {
        let flow = self.trainer.average();
        let plain = self.device.clone().without_autodiff();
        let likelihood = {
            let _scope =
                Seeded::new(&plain, StepSeed::new(self.config.seed).seed(0, Purpose::Evaluation));
            self.held_out.evaluate(flow, &plain)?
        };
        let held_out = MeanLikelihood::weighted(&likelihood, self.held_out.weights());
        let train = losses.mean().map(|mean| {
            let examples = losses.batches * self.order.batch_size();
            MeanLikelihood::of_mean(-mean, examples, likelihood.dims(), likelihood.provenance())
        });
        let step = self.trainer.step_count();
        let epoch = self.epoch(step);
        let point = CurvePoint { epoch, step, train, held_out };
        let report = FitReport {
            held_out,
            curve: vec![point],
            best_step: step,
            best_epoch: epoch,
            steps: step,
            epochs: epoch,
            examples: self.train.len(),
            seconds: 0.0,
            end: FitEnd::Broken,
        };
        Ok(Fitted { flow: flow.clone(), report })
    }

    fn per_epoch(&self) -> u64 {
        self.order.steps_per_epoch() as u64
    }

    /// The epoch that an update belongs to, from 1; 0 before the first update.
    fn epoch(&self, step: u64) -> u64 {
        step.div_ceil(self.per_epoch())
    }

    fn finish(&self, best: &mut Fitted<F>, end: FitEnd) {
        let report = &mut best.report;
        report.steps = self.trainer.step_count();
        report.epochs = self.epoch(report.steps);
        report.seconds = self.began.elapsed().as_secs_f64();
        report.end = end;
    }

    fn broken(&self, error: TrainError, mut best: Fitted<F>) -> FitError<F> {
        self.finish(&mut best, FitEnd::Broken);
        FitError::Broken { error, best: Box::new(best) }
    }
}
