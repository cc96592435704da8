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
//! use flowkit::{ActNormConfig, Conv1x1Config, Density, Flow, StandardNormal};
//!
//! let device = Device::flex();
//! let step = (ActNormConfig::new(), Conv1x1Config::new());
//! let x = Tensor::<2>::random([64, 2], Distribution::Normal(3.0, 2.0), &device);
//! let flow = Flow::build(&vec![step; 2], StandardNormal::new(), [1, 2], &device)?;
//! let flow = flow.initialize(x.clone())?;
//! let diagnosis = flow.diagnose(x)?;
//! println!("{diagnosis}");
//! assert_eq!(diagnosis.layers[2].path, "bijector.1.0");
//! assert_eq!(diagnosis.layers[2].layer, "ActNorm");
//! assert!(diagnosis.layers.iter().all(|layer| layer.own.max < 1e-5 && layer.non_finite == 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chain;
mod diagnosis;
mod diagnosis_config;
mod measure;
#[cfg(feature = "plot")]
mod plot;
mod singular;
mod table;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::bijector::visit::Visit;
use crate::context::Context;
use crate::error::FlowError;
use crate::flow::surjection::Surjection;
use crate::flow::{Admitted, Flow};
use crate::prior::{Prior, StandardNormal};

pub use diagnosis::{Diagnosis, LayerDiagnosis};
pub use diagnosis_config::DiagnosisConfig;
pub use measure::{Range, Size};

use chain::Chains;

#[cfg(feature = "plot")]
pub use plot::PlotError;

/// Diagnoses a bijector by itself.
///
/// # Errors
/// [`FlowError::Config`] if [`DiagnosisConfig::validate`] is an error. If the input has the wrong
/// shape or is not finite, or the device fails.
pub fn diagnose<const D: usize, C: Context, B: Bijector<D, C>>(
    config: &DiagnosisConfig,
    bijector: &B,
    x: Tensor<D>,
    context: &C,
) -> Result<Diagnosis, FlowError> {
    config.validate()?;
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
        config.validate()?;
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { batch, context, .. } = model.admit(&x, &context.plain())?;
        model.check_input(&x)?;
        let noise = model.surjection.noise(&x, model.dtype());
        visit(config, batch, |visit| model.visit_layers(x, noise, &context, visit))
    }
}
