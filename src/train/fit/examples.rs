//! The examples of one part of a fit, the training part or the held-out part: gathered, checked and
//! evaluated.

use burn::tensor::Device;

use super::data::{FitData, FitDataError};
use super::error::FitError;
use super::flow::{BatchOf, FitFlow};
use crate::context::Context;
use crate::error::{FlowError, InitProblem};
use crate::flow::likelihood::LogLikelihood;
use crate::train::Objective;

/// Some examples of a set. Errors number an example as the set does.
pub(super) struct Examples<'a, T> {
    data: &'a T,
    /// What errors call the set.
    name: &'static str,
    rows: Vec<usize>,
    /// The weight of each of `rows`.
    weights: Option<Vec<f64>>,
    chunk: usize,
}

impl<'a, T: FitData> Examples<'a, T> {
    /// The examples `rows`; `weights` are those of the whole set.
    pub(super) fn new(
        data: &'a T,
        name: &'static str,
        rows: Vec<usize>,
        weights: Option<&[f64]>,
        chunk: usize,
    ) -> Self {
        let weights = weights.map(|weights| rows.iter().map(|&row| weights[row]).collect());
        Self { data, name, rows, weights, chunk }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// The same examples, with weights of mean 1.
    pub(super) fn of_mean_one(mut self) -> Self {
        if let Some(weights) = &mut self.weights {
            // Relative to the largest first, so that no sum overflows.
            let largest = weights.iter().copied().fold(0.0, f64::max);
            weights.iter_mut().for_each(|weight| *weight /= largest);
            let mean = weights.iter().sum::<f64>() / weights.len() as f64;
            weights.iter_mut().for_each(|weight| *weight /= mean);
        }
        self
    }

    /// Indices in the set of the examples at some places of this part.
    fn rows(&self, places: &[usize]) -> Vec<usize> {
        places.iter().map(|&place| self.rows[place]).collect()
    }

    /// The examples at some places, on a device: as many rows as places, or an error that says how
    /// many there are. Data of a shape that the flow does not accept is not counted: its own check
    /// says more.
    pub(super) fn batch<F>(
        &self,
        places: &[usize],
        flow: &F,
        device: &Device,
    ) -> Result<BatchOf<F>, FitDataError>
    where
        F: FitFlow<Data = T::Data, Context = T::Context>,
    {
        let rows = self.rows(places);
        let (x, context) = self.data.batch(&rows, device);
        let expected = rows.len();
        let is_other = |found: &usize| *found != expected;
        let of_data = Some(F::loss(x.clone(), context.clone(), None).examples(flow))
            .filter(|found| *found > 0 && is_other(found));
        let parts = context.parts().into_iter();
        let of_condition = || {
            parts
                .map(|part| part.shape.first().copied().unwrap_or(0))
                .find(|found| *found != 1 && is_other(found))
        };
        let fault = of_data.map(|found| ("data", found));
        match fault.or_else(|| of_condition().map(|found| ("condition", found))) {
            None => Ok((x, context)),
            Some((what, found)) => {
                let (set, first) = (self.name, rows[0]);
                Err(FitDataError::Batch { set, what, expected, found, first })
            }
        }
    }

    /// An error of the batch of these places, with examples numbered as in the set.
    pub(super) fn numbered(&self, error: FlowError, places: &[usize]) -> FlowError {
        numbered(error, &self.rows(places))
    }

    /// The loss of the examples at some places.
    pub(super) fn loss<F>(
        &self,
        places: &[usize],
        flow: &F,
        device: &Device,
    ) -> Result<F::Loss, FitDataError>
    where
        F: FitFlow<Data = T::Data, Context = T::Context>,
    {
        let weights = self.weights();
        let weights =
            weights.map(|weights| places.iter().map(|&place| weights[place]).collect::<Vec<f64>>());
        let (x, context) = self.batch(places, flow, device)?;
        Ok(F::loss(x, context, weights))
    }

    /// Places in chunks, in order.
    fn chunks(&self) -> impl Iterator<Item = Vec<usize>> + '_ {
        let n = self.rows.len();
        (0..n).step_by(self.chunk).map(move |start| (start..n.min(start + self.chunk)).collect())
    }

    /// Checks that every example fits the flow and is finite.
    pub(super) fn check<F>(&self, flow: &F, device: &Device) -> Result<(), FitError<F>>
    where
        F: FitFlow<Data = T::Data, Context = T::Context>,
    {
        let mut fault: Option<(usize, usize)> = None;
        for places in self.chunks() {
            let (x, context) = self.batch(&places, flow, device)?;
            match flow.admits(&x, &context).map_err(|error| self.numbered(error, &places)) {
                // All such elements are counted, over all batches.
                Err(FlowError::NonFiniteInput { count, example, .. }) => {
                    fault =
                        Some(fault.map_or((count, example), |(sum, first)| (sum + count, first)));
                }
                checked => checked?,
            }
        }
        let total = self.rows.len() * flow.dims();
        match fault {
            None => Ok(()),
            Some((count, example)) => {
                Err(FlowError::NonFiniteInput { count, total, example }.into())
            }
        }
    }

    /// The log-likelihood of every example, in order.
    pub(super) fn evaluate<F>(
        &self,
        flow: &F,
        device: &Device,
    ) -> Result<LogLikelihood<F::Provenance>, FitError<F>>
    where
        F: FitFlow<Data = T::Data, Context = T::Context>,
    {
        let mut all: Option<LogLikelihood<F::Provenance>> = None;
        for places in self.chunks() {
            let (x, context) = self.batch(&places, flow, device)?;
            let found =
                flow.log_likelihood(x, &context).map_err(|error| self.numbered(error, &places))?;
            match &mut all {
                Some(all) => all.extend(found),
                None => all = Some(found),
            }
        }
        Ok(all.expect("a part of a fit has examples"))
    }
}

/// An error of a batch, with the numbers that its rows have in the set.
fn numbered(error: FlowError, rows: &[usize]) -> FlowError {
    // A batch that the flow does not accept may have more rows than were asked for.
    let of = |row: usize| rows.get(row).copied().unwrap_or(row);
    match error {
        FlowError::NonFiniteInput { count, total, example } => {
            FlowError::NonFiniteInput { count, total, example: of(example) }
        }
        FlowError::NonFiniteLikelihood { example, value } => {
            FlowError::NonFiniteLikelihood { example: of(example), value }
        }
        FlowError::Level { example, found, levels } => {
            FlowError::Level { example: of(example), found, levels }
        }
        FlowError::NonFiniteContext(mut condition) => {
            condition.row = condition.row.map(of);
            FlowError::NonFiniteContext(condition)
        }
        FlowError::Init { path, layer, problem } => {
            let problem = match problem {
                InitProblem::Output { example, channel, value } => {
                    InitProblem::Output { example: of(example), channel, value }
                }
                other => other,
            };
            FlowError::Init { path, layer, problem }
        }
        other => other,
    }
}
