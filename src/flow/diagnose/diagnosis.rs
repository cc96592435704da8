//! The result of a diagnosis: the effect of each layer on a batch.

use serde::Serialize;

use super::measure::{Range, Size};

/// The effect of a layer on the batch. [`super`] has the formulas.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerDiagnosis {
    /// Path of the layer: the name of its parameters without the last segments.
    pub path: String,
    /// Type of the layer; for a row of several layers, their number.
    pub layer: String,
    /// Number of elements of its parameters.
    pub n_params: usize,
    /// Whether its input differs from the output of the preceding layer.
    pub starts_chain: bool,
    /// Contribution to the log-determinant: mean over the batch, in nats.
    pub log_det: f64,
    /// Round trip of the layer alone.
    pub own: Size,
    /// Round trip from the end of the chain back to this layer's input.
    pub accumulated: Size,
    /// Range of the input.
    pub input: Range,
    /// Range of the output.
    pub output: Range,
    /// Logarithms of the singular values of the Jacobian.
    pub log_scale: Range,
    /// Condition number of the Jacobian.
    pub condition_number: f64,
    /// Seconds of a forward pass.
    pub forward_seconds: f64,
    /// Seconds of an inverse pass.
    pub inverse_seconds: f64,
    /// Number of elements that are not finite in the output, the log-determinant, and the inverse
    /// of the output.
    pub non_finite: usize,
    /// Whether all elements of the input are finite.
    pub input_finite: bool,
}

/// The effect of each layer on a batch. [`std::fmt::Display`] formats it as a table.
///
/// It serialises to any format of serde. JSON has no NaN; serde_json writes `null` instead.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The layers, in the order of `forward`.
    pub layers: Vec<LayerDiagnosis>,
    /// Number of examples of the batch.
    pub examples: usize,
}

impl Diagnosis {
    /// Log-determinant of all layers, mean over the batch, in nats.
    pub fn log_det(&self) -> f64 {
        self.layers.iter().map(|layer| layer.log_det).sum()
    }

    /// The layer with the largest condition number, or `None` if none is known.
    pub fn worst_conditioned(&self) -> Option<&LayerDiagnosis> {
        let known = self.layers.iter().filter(|layer| !layer.condition_number.is_nan());
        known.max_by(|a, b| a.condition_number.total_cmp(&b.condition_number))
    }

    /// The layer with the largest round-trip error of its own, among those with a finite input. An
    /// error that is not finite counts as the largest.
    pub fn least_exact(&self) -> Option<&LayerDiagnosis> {
        let size = |layer: &LayerDiagnosis| {
            if layer.own.max.is_nan() { f64::INFINITY } else { layer.own.max }
        };
        self.layers
            .iter()
            .filter(|layer| layer.input_finite)
            .max_by(|a, b| size(a).total_cmp(&size(b)))
    }

    /// Layers whose own inverse has an error above `tolerance`, relative to the largest element of
    /// their input or to 1. As far as this batch shows, these are the layers that
    /// [`GradientMemory::Reversible`](crate::GradientMemory) recomputes. It requires rows of one
    /// layer each; see [`DiagnosisConfig::depth`](super::DiagnosisConfig::depth).
    pub fn recomputed(&self, tolerance: f64) -> impl Iterator<Item = &LayerDiagnosis> {
        let scale =
            |layer: &LayerDiagnosis| layer.input.max.abs().max(layer.input.min.abs()).max(1.0);
        // An error of NaN exceeds every tolerance.
        let within = move |layer: &LayerDiagnosis| layer.own.max / scale(layer) <= tolerance;
        self.layers.iter().filter(move |layer| !within(layer))
    }

    /// The first layer that maps finite elements to elements that are not finite.
    pub fn first_non_finite(&self) -> Option<&LayerDiagnosis> {
        self.layers.iter().find(|layer| layer.input_finite && layer.non_finite > 0)
    }
}
