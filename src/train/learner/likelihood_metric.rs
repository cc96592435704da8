//! The log-likelihood of a flow as a metric of burn, in bits per dimension or in nats.

use std::f64::consts::LN_2;
use std::sync::Arc;

use burn::tensor::TensorReadError;
use burn::train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
    state::{FormatOptions, NumericMetricState},
};

use super::step_likelihood::StepLikelihood;
use crate::flow::likelihood::Provenance;

/// Unit of a log-likelihood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    BitsPerDim,
    Nats,
}

/// burn's metric for flows. Its name states the unit and how the likelihood was found:
/// ```text
/// bits per dim      −mean(ln p) / (D ln 2)          lower is better
/// nats              mean(ln p), per example         higher is better
/// ```
/// Both are means over the examples, whatever the sizes of the batches. The batches of a training
/// epoch are evaluated with the weights of their time, so their mean belongs to no single model.
///
/// The name becomes that of a file in the folder of the run, so it contains no slash.
#[derive(Clone)]
pub struct LikelihoodMetric<P> {
    name: Arc<String>,
    unit: Unit,
    provenance: P,
    state: NumericMetricState,
}

impl<P: Provenance> LikelihoodMetric<P> {
    /// Bits per dimension, named `Bits per dim (one-sample bound)` for that provenance.
    pub fn bits_per_dim(provenance: P) -> Self {
        Self::new("Bits per dim", Unit::BitsPerDim, provenance)
    }

    /// Nats per example, named `Log-likelihood in nats (exact)` for that provenance.
    pub fn nats(provenance: P) -> Self {
        Self::new("Log-likelihood in nats", Unit::Nats, provenance)
    }

    fn new(what: &str, unit: Unit, provenance: P) -> Self {
        let name = Arc::new(format!("{what} ({provenance})"));
        Self { name, unit, provenance, state: NumericMetricState::default() }
    }

    /// burn's entry with every value in four decimals: its own format treats negative values as
    /// tiny ones.
    fn entry(&self, entry: SerializedEntry) -> SerializedEntry {
        let [epoch, batch] =
            [self.state.running_value(), self.state.current_value()].map(|value| value.current());
        SerializedEntry::new(format!("epoch {epoch:.4} - batch {batch:.4}"), entry.serialized)
    }
}

impl<P: Provenance + Sync> Metric for LikelihoodMetric<P> {
    type Input = StepLikelihood<P>;

    /// Adds the likelihoods of a batch.
    ///
    /// # Panics
    /// If the likelihoods have another provenance, such as another number of importance samples.
    fn update(
        &mut self,
        item: &Self::Input,
        _: &MetricMetadata,
    ) -> Result<SerializedEntry, TensorReadError> {
        assert_eq!(
            item.provenance(),
            self.provenance,
            "expected likelihoods with the provenance of the metric"
        );
        let nats: Vec<f64> = item.nats().try_into_data_as::<f64>()?.iter::<f64>().collect();
        let mean = nats.iter().sum::<f64>() / nats.len() as f64;
        let value = match self.unit {
            Unit::BitsPerDim => -mean / (item.dims() as f64 * LN_2),
            Unit::Nats => mean,
        };
        self.state.update(value, nats.len());
        Ok(self.entry(self.state.compute_update(FormatOptions::new(self.name()))))
    }

    fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
        Ok(self.entry(self.state.compute_final(FormatOptions::new(self.name()))))
    }

    fn clear(&mut self) {
        self.state.reset();
    }

    fn name(&self) -> MetricName {
        self.name.clone()
    }

    fn description(&self) -> Option<String> {
        let what = match self.unit {
            Unit::BitsPerDim => "Minus the mean log-likelihood in bits per dimension",
            Unit::Nats => "The mean log-likelihood in nats per example",
        };
        Some(format!("{what}: {}", self.provenance))
    }

    fn attributes(&self) -> MetricAttributes {
        let (unit, higher_is_better) = match self.unit {
            Unit::BitsPerDim => ("bits/dim", false),
            Unit::Nats => ("nats", true),
        };
        NumericAttributes { unit: Some(unit.into()), higher_is_better }.into()
    }
}

impl<P: Provenance + Sync> Numeric for LikelihoodMetric<P> {
    fn value(&self) -> Option<NumericEntry> {
        Some(self.state.current_value())
    }

    fn running_value(&self) -> Option<NumericEntry> {
        Some(self.state.running_value())
    }

    fn final_value(&self) -> NumericEntry {
        self.state.final_value()
    }
}
