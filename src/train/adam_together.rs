//! A step of [`Adam`](super::Adam) for all parameters of a model, in few kernel launches.
//!
//! burn's optimizer visits one parameter after another, and the visit returns the new value. On a
//! GPU each visit would then be a launch of its own, however small the parameter. So a step
//! consists of two rounds of visits:
//! ```text
//! collect    takes the operands of each update and leaves the parameter as it is
//!            the updates of all parameters are computed
//! hand out   replaces each parameter, in the same order
//! ```
//! The rounds belong to one thread and one step: [`Rounds`] begins and ends them. A panic between
//! them loses the moments that were collected: copies of them would double their memory, since a
//! launch changes them in place only where nobody else holds them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;

use burn::backend::DispatchTensor;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use super::moment_state::Moments;
use crate::kernel::adam::{self, Rates, SERVED};

/// An update of a parameter.
pub(super) struct Update<const D: usize> {
    pub parameter: Tensor<D>,
    pub gradient: Tensor<D>,
    pub moments: Moments<D>,
    pub rates: Rates,
}

impl<const D: usize> Update<D> {
    /// The parameter and its moments after the update.
    pub fn now(self) -> (Tensor<D>, Moments<D>) {
        let Self { parameter, gradient, moments: Moments { time, mean, square }, rates } = self;
        let [parameter, mean, square] = adam::update(parameter, gradient, mean, square, rates);
        (parameter, Moments { time, mean, square })
    }
}

/// An update whose operands are collected.
struct Waiting {
    /// `[θ, g, m, v]`
    operands: [DispatchTensor; 4],
    rates: Rates,
    time: usize,
}

/// The result of an update.
struct Done {
    /// `[θ, m, v]`
    tensors: [DispatchTensor; 3],
    time: usize,
}

enum Round {
    Collect(Vec<Waiting>),
    HandOut(VecDeque<Done>),
}

thread_local! {
    /// The round of the step that this thread makes.
    static ROUND: RefCell<Option<Round>> = const { RefCell::new(None) };
}

/// Whether an update is collected: in the first round, if a launch can contain several like it.
pub(super) fn collects<const D: usize>(gradient: &Tensor<D>) -> bool {
    let collecting = ROUND.with_borrow(|round| matches!(round, Some(Round::Collect(_))));
    collecting && SERVED.serves_on_gpu(gradient)
}

/// The result of the update of the parameter that is visited, in the second round.
pub(super) fn handed_out<const D: usize>() -> Option<(Tensor<D>, Moments<D>)> {
    ROUND.with_borrow_mut(|round| {
        let Some(Round::HandOut(results)) = round else { return None };
        let Done { tensors, time } = results.pop_front()?;
        let [parameter, mean, square] = tensors.map(Tensor::from_dispatch);
        Some((parameter, Moments { time, mean, square }))
    })
}

/// Collects an update, in the first round.
pub(super) fn collect<const D: usize>(update: Update<D>) {
    let Update { parameter, gradient, moments: Moments { time, mean, square }, rates } = update;
    let operands = [parameter, gradient, mean, square].map(Tensor::into_dispatch);
    ROUND.with_borrow_mut(|round| {
        if let Some(Round::Collect(waiting)) = round {
            waiting.push(Waiting { operands, rates, time });
        }
    });
}

/// The rounds of one step. They end when this is dropped, also after a panic.
struct Rounds(PhantomData<*const ()>);

impl Rounds {
    fn begin() -> Self {
        ROUND.set(Some(Round::Collect(Vec::new())));
        Self(PhantomData)
    }

    /// Computes the updates that were collected; the next round hands them out.
    fn compute(&self) {
        let Some(Round::Collect(mut waiting)) = ROUND.take() else { return };
        let mut results: Vec<Done> = Vec::with_capacity(waiting.len());
        // Parameters that have had equally many updates have equal rates. These are all, unless
        // some got no gradient in a step.
        while let Some(rates) = waiting.first().map(|update| update.rates) {
            let run = waiting.iter().take_while(|update| update.rates == rates).count();
            let rest = waiting.split_off(run);
            let times: Vec<usize> = waiting.iter().map(|update| update.time).collect();
            let operands = waiting.into_iter().map(|update| update.operands).collect();
            let updated = adam::update_all(operands, rates).into_iter().zip(times);
            results.extend(updated.map(|(tensors, time)| Done { tensors, time }));
            waiting = rest;
        }
        ROUND.set(Some(Round::HandOut(results.into())));
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        ROUND.set(None);
    }
}

/// [`ModuleOptimizer::step`] of an [`Adam`](super::Adam) optimizer, with few launches on a GPU.
pub(super) fn step<M: Module>(
    optimizer: &mut ModuleOptimizer,
    rate: f64,
    model: M,
    gradients: GradientsParams,
) -> M {
    let mut visited = Visited { gradients: &gradients, again: GradientsParams::new() };
    model.visit(&mut visited);
    let again = visited.again;
    if again.is_empty() {
        return optimizer.step(rate, model, gradients);
    }
    let rounds = Rounds::begin();
    let model = optimizer.step(rate, model, gradients);
    rounds.compute();
    optimizer.step(rate, model, again)
}

/// The gradients of the parameters that are visited again in the second round.
struct Visited<'a> {
    gradients: &'a GradientsParams,
    again: GradientsParams,
}

impl ModuleVisitor for Visited<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.get::<D>(param.id);
        if let Some(gradient) = gradient.filter(|gradient| SERVED.serves_on_gpu(gradient)) {
            self.again.register(param.id, gradient);
        }
    }
}
