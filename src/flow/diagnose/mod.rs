//! Diagnosis: measurements of the effect of each layer of a flow on a batch. They show which layer
//! loses precision, produces a NaN, takes the time, or does nothing.
//! ```text
//! log_det        Σ_layers mean_batch log_det = mean_batch log_det of the whole         nats
//! own error      x − f⁻¹(f(x))               of the layer alone, at the x that reaches it
//! accumulated    x − (f_k⁻¹ ∘ ... ∘ f_n⁻¹)(z)      at the layer's input, from the end of its chain
//! log-scales     ln σ_min(J), ln σ_max(J)    of the layer's Jacobian J, extremes over the batch
//! condition      σ_max(J) / σ_min(J)         largest over the batch; at worst, the factor by
//!                                            which relative errors grow
//! ```
//! The layers are those of [`Bijector::visit_layers`]: compositions are resolved into single
//! layers. A chain is a sequence of layers each of which takes the output of the preceding one.
//! Where the model itself moves elements between two layers (a multi-scale flow between its
//! levels), a new chain begins.
//!
//! # Cost
//! Three forward and three inverse passes. The singular values take about `10·power_steps` more, on
//! the first examples only. The inputs of all layers are kept, so use a small batch.
//!
//! # Numerics
//! Singular values come from power iterations on `JᵀJ`, of the map and of its inverse: `J v` by
//! central differences, `Jᵀ u` by autodiff. They are lower bounds, which are sharp if the spectrum
//! has a gap. An ill-conditioned layer is therefore found in few steps, while the condition number
//! of a harmless one may be underestimated.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::{ActNormConfig, Conv1x1Config, Density, Flow, LayerConfig, Site, StandardNormal};
//!
//! let device = Device::flex();
//! let step = (ActNormConfig::new(), Conv1x1Config::new());
//! let layers = vec![step.clone(), step].build(&Site::new([1, 2], &device))?;
//! let x = Tensor::<2>::random([64, 2], Distribution::Normal(3.0, 2.0), &device);
//! let flow = Flow::new(layers, StandardNormal::new(), [1, 2])?.initialize(x.clone())?;
//! let diagnosis = flow.diagnose(x)?;
//! println!("{diagnosis}");
//! assert_eq!(diagnosis.layers[2].path, "bijector.1.0");
//! assert_eq!(diagnosis.layers[2].layer, "ActNorm");
//! assert!(diagnosis.layers.iter().all(|layer| layer.own.max < 1e-5 && layer.non_finite == 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chain;
mod measure;
#[cfg(feature = "plot")]
mod plot;
mod singular;
mod table;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::Serialize;

use crate::bijector::Bijector;
use crate::bijector::visit::Visit;
use crate::context::Context;
use crate::error::{ConfigError, FlowError};
use crate::flow::surjection::Surjection;
use crate::flow::{Admitted, Flow};
use crate::prior::{Prior, StandardNormal};

use chain::Chains;

#[cfg(feature = "plot")]
pub use plot::PlotError;

/// Largest number of steps of the power iterations. The relative error of a singular value falls as
/// `(σ₂/σ₁)^2k` with the step `k`: to about 2e-9 after 1000 steps if the two differ by 1 %. If they
/// differ by less, either is a good answer.
const MOST_POWER_STEPS: usize = 1000;

config! {
    /// Settings of a diagnosis.
    #[derive(Debug, PartialEq)]
    pub struct DiagnosisConfig {
        /// Number of segments by which the paths of layers are distinguished: consecutive layers of
        /// one chain that share the first `depth` segments are one row. `None`: every layer is a
        /// row.
        pub depth: Option<usize> = None,
        /// Number of steps of the power iterations for singular values, at most 1000. With 0, no
        /// singular values are computed.
        pub power_steps: usize = 4,
        /// Number of examples for which singular values are computed.
        pub probed_examples: usize = 8,
    }
}

impl DiagnosisConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A depth of 0, more than 1000 power steps, or no example to probe.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive("DiagnosisConfig", "depth", self.depth.unwrap_or(1))?;
        ConfigError::at_most("DiagnosisConfig", "power_steps", self.power_steps, MOST_POWER_STEPS)?;
        ConfigError::positive("DiagnosisConfig", "probed_examples", self.probed_examples)
    }
}

/// Largest and mean absolute difference. NaN if a difference is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Size {
    /// Largest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
}

/// Smallest and largest of the finite values; NaN if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// The effect of a layer on the batch. The formulas head this module.
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
    /// layer each; see [`DiagnosisConfig::depth`].
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

/// Diagnoses a bijector by itself.
///
/// # Errors
/// If the input has the wrong shape or is not finite, or the device fails.
///
/// # Panics
/// If [`DiagnosisConfig::validate`] is an error.
pub fn diagnose<const D: usize, C: Context, B: Bijector<D, C>>(
    config: &DiagnosisConfig,
    bijector: &B,
    x: Tensor<D>,
    context: &C,
) -> Result<Diagnosis, FlowError> {
    // A bijector alone is treated as a flow whose prior has no parameters and accepts every shape.
    let flow = Flow::<_, _, D, C>::new_given(bijector.valid(), StandardNormal::new(), x.dims())?
        .without_data();
    let x = x.inner();
    let Admitted { batch, context, .. } = flow.admit(&x, &context.plain())?;
    flow.check_input(&x)?;
    visit(config, batch, |visit| flow.bijector.visit_layers(x, &context, visit))
}

/// Runs the visit, then measures its observations.
fn visit<const D: usize>(
    config: &DiagnosisConfig,
    examples: usize,
    run: impl FnOnce(&mut Visit<'_, D>) -> Tensor<D>,
) -> Result<Diagnosis, FlowError> {
    if let Err(error) = config.validate() {
        panic!("{error}");
    }
    let mut chains = Chains::new(config.depth);
    run(&mut Visit::new(&mut chains));
    Ok(Diagnosis { layers: chains.measure(config)?, examples })
}

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    pub(crate) fn diagnosed(
        &self,
        config: &DiagnosisConfig,
        x: S::Data,
        context: &C,
    ) -> Result<Diagnosis, FlowError> {
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { batch, context, .. } = model.admit(&x, &context.plain())?;
        model.check_input(&x)?;
        let noise = model.surjection.noise(&x, model.dtype());
        visit(config, batch, |visit| model.visit_layers(x, noise, &context, visit))
    }
}
