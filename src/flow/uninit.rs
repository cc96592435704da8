//! Uninit: a flow before its start. It has parameters, but no density can be asked of it.
//! ```text
//! constructors ──> Uninit<Flow> ──┬─ initialize(batch)       start from data            ──> Flow
//!                                    ├─ load(checkpoint, ...)    what was trained before    ──> Flow
//!                                    └─ without_data()           parameters as configured   ──> Flow
//! ```
//! Layers such as `ActNorm` take their first parameters from data. A flow that skips this trains badly or not at all, and nothing fails; a flow
//! that starts again after a checkpoint was loaded loses what it learned. So the start is a step between two types: what is not started
//! cannot be trained, evaluated or sampled, and what is started has no way to start again.

use burn::module::Module;

/// A model that awaits its start. See this module's head.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use flowkit::{ActNormConfig, Density, Flow, LayerConfig, Site, StandardNormal};
///
/// let norm = ActNormConfig::new().build(&Site::new([1, 2], &Device::flex()))?;
/// let unstarted = Flow::new(norm, StandardNormal::new(), [1, 2])?;
/// assert_eq!(unstarted.num_params(), 4);
/// let flow = unstarted.initialize(Tensor::<2>::from_data([[1.0, 5.0], [3.0, 9.0]], &Device::flex()))?;
/// assert!(flow.evaluate(Tensor::<2>::from_data([[2.0, 7.0]], &Device::flex()))?.nats()[0].is_finite());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// There is no density before:
/// ```compile_fail
/// use burn::tensor::{Device, Tensor};
/// use flowkit::{ActNormConfig, Density, Flow, LayerConfig, Site, StandardNormal};
///
/// let norm = ActNormConfig::new().build(&Site::new([1, 2], &Device::flex())).unwrap();
/// let unstarted = Flow::new(norm, StandardNormal::new(), [1, 2]).unwrap();
/// unstarted.evaluate(Tensor::<2>::from_data([[2.0, 7.0]], &Device::flex())); // no method named `evaluate`
/// ```
#[derive(Debug, Clone)]
#[must_use = "a model is of use after its start"]
pub struct Uninit<M> {
    model: M,
}

impl<M> Uninit<M> {
    /// Marks a model of your own as one that awaits its start.
    pub fn new(model: M) -> Self {
        Self { model }
    }

    /// The model with its parameters as they were configured: for a stack in which no layer learns from a first batch.
    pub fn without_data(self) -> M {
        self.model
    }

    /// Starts the model by `start`.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn start<N, E>(self, start: impl FnOnce(M) -> Result<N, E>) -> Result<N, E> {
        start(self.model)
    }

    /// Another model, which awaits its start too: a model wrapped into a type of your own, say.
    pub fn map<N>(self, wrap: impl FnOnce(M) -> N) -> Uninit<N> {
        Uninit { model: wrap(self.model) }
    }
}

impl<M: Module> Uninit<M> {
    /// Number of parameters. Lazy ones are not made.
    pub fn num_params(&self) -> usize {
        self.model.num_params()
    }
}
