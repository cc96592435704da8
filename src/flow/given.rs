//! Flows as densities: one without a condition, and one together with its condition.

use burn::tensor::Tensor;

use super::Flow;
use super::density::Density;
use super::diagnose::{Diagnosis, DiagnosisConfig};
use super::likelihood::{ImportanceWeightedBound, IsBound, IsExact, LogLikelihood};
use super::rows::{RowLikelihoods, SampledRows};
use super::sampling::Samples;
use super::surjection::Surjection;
use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::FlowError;
use crate::prior::Prior;

/// A flow together with its condition. [`Flow::given`] makes it; it is a [`Density`].
#[derive(Debug)]
pub struct Given<'a, F, C> {
    flow: &'a F,
    context: &'a C,
}

impl<F, C> Clone for Given<'_, F, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F, C> Copy for Given<'_, F, C> {}

impl<'a, F, C> Given<'a, F, C> {
    pub(crate) fn new(flow: &'a F, context: &'a C) -> Self {
        Self { flow, context }
    }

    /// The flow and the condition.
    pub(crate) fn asked(&self) -> (&'a F, &'a C) {
        (self.flow, self.context)
    }
}

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S> {
    /// The density given a condition, which has one row for each example, or one row for all of
    /// them.
    pub fn given<'a>(&'a self, context: &'a C) -> Given<'a, Self, C> {
        Given::new(self, context)
    }
}

impl<B, P, const D: usize, S> Flow<B, P, D, (), S> {
    /// The flow and its condition, `()`.
    pub(crate) fn asked(&self) -> (&Self, &()) {
        (self, &())
    }
}

/// The methods of a density. Each passes flow and condition on.
macro_rules! density {
    () => {
        type Data = S::Data;
        type Noise = S::Noise;
        type Provenance = S::Provenance;

        fn provenance(&self) -> S::Provenance {
            S::PROVENANCE
        }

        fn dims(&self) -> usize {
            let (flow, _) = self.asked();
            flow.surjection.dims(flow.shape)
        }

        fn plain(&self, x: S::Data) -> S::Data {
            self.asked().0.surjection.plain(x)
        }

        fn noise(&self, x: &S::Data) -> S::Noise {
            let (flow, _) = self.asked();
            flow.surjection.noise(x, flow.dtype())
        }

        fn check(&self, x: &S::Data) -> Result<(), FlowError> {
            let (flow, context) = self.asked();
            flow.fit(x, context).map(drop)
        }

        fn try_log_prob(&self, x: S::Data) -> Result<Tensor<1>, FlowError> {
            let (flow, context) = self.asked();
            flow.fresh_weight(x, context)
        }

        fn try_log_weight(&self, x: S::Data, noise: S::Noise) -> Result<Tensor<1>, FlowError> {
            let (flow, context) = self.asked();
            flow.weight(x, noise, context)
        }

        fn evaluate(&self, x: S::Data) -> Result<LogLikelihood<S::Provenance>, FlowError> {
            let (flow, context) = self.asked();
            flow.evaluated(x, context)
        }

        fn evaluate_rows(&self, x: S::Data) -> Result<RowLikelihoods<S::Provenance>, FlowError> {
            let (flow, context) = self.asked();
            flow.evaluated_rows(x, context)
        }

        fn evaluate_importance_weighted_rows(
            &self,
            x: S::Data,
            samples: usize,
        ) -> Result<RowLikelihoods<ImportanceWeightedBound>, FlowError>
        where
            S::Provenance: IsBound,
        {
            let (flow, context) = self.asked();
            flow.weighted_rows(x, samples, context)
        }

        fn sample_at(&self, n: usize, temperature: f64) -> Result<S::Data, FlowError> {
            let (flow, context) = self.asked();
            Ok(flow.surjection.lower(flow.sampled(n, temperature, context)?))
        }

        fn sample_rows_at(
            &self,
            n: usize,
            temperature: f64,
        ) -> Result<SampledRows<S::Data>, FlowError> {
            let (flow, context) = self.asked();
            Ok(flow.sampled_rows(n, temperature, context)?.map(|y| flow.surjection.lower(y)))
        }

        fn sample_with_log_prob_at(
            &self,
            n: usize,
            temperature: f64,
        ) -> Result<Samples<S::Data>, FlowError>
        where
            S::Provenance: IsExact,
        {
            let (flow, context) = self.asked();
            let samples = flow.sampled_with_density(n, temperature, context)?;
            Ok(samples.map(|y| flow.surjection.lower(y)))
        }

        fn sample_rows_with_log_prob_at(
            &self,
            n: usize,
            temperature: f64,
        ) -> Result<SampledRows<Samples<S::Data>>, FlowError>
        where
            S::Provenance: IsExact,
        {
            let (flow, context) = self.asked();
            let rows = flow.sampled_rows_with_density(n, temperature, context)?;
            Ok(rows.map(|samples| samples.map(|y| flow.surjection.lower(y))))
        }

        fn round_trip(&self, x: S::Data) -> Result<(S::Data, f64), FlowError> {
            let (flow, context) = self.asked();
            flow.returned(x, context)
        }

        fn diagnose_with(
            &self,
            config: &DiagnosisConfig,
            x: S::Data,
        ) -> Result<Diagnosis, FlowError> {
            let (flow, context) = self.asked();
            flow.diagnosed(config, x, context)
        }
    };
}

impl<B, P, const D: usize, S> Density for Flow<B, P, D, (), S>
where
    S: Surjection<D>,
    B: Bijector<D>,
    P: Prior<D>,
{
    density! {}
}

impl<B, P, const D: usize, C, S> Density for Given<'_, Flow<B, P, D, C, S>, C>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    density! {}
}
