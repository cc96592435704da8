//! Uninit: a flow that is not initialised yet. It has parameters, but is not a density.
//! ```text
//! constructors ──> Uninit<Flow> ──┬─ initialize(batch)   initialised from data      ──> Flow
//!                                 ├─ load(path)          parameters of a saved flow ──> Flow
//!                                 └─ without_data()      parameters as configured   ──> Flow
//! ```
//! Layers such as `ActNorm` take their initial parameters from data. A flow that skips this step
//! trains badly or not at all, without an error. A flow that is initialised again after a
//! checkpoint was loaded loses what it has learned. Initialisation is therefore a step between two
//! types: a model that is not initialised cannot be trained, evaluated or sampled, and an
//! initialised one cannot be initialised again.

use burn::module::Module;

/// A model that is not initialised yet. See this module's head.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use flowkit::{ActNormConfig, Density, Flow, StandardNormal};
///
/// let norm = ActNormConfig::new();
/// let uninit = Flow::build(&norm, StandardNormal::new(), [1, 2], &Device::flex())?;
/// assert_eq!(uninit.num_params(), 4);
/// let flow =
///     uninit.initialize(Tensor::<2>::from_data([[1.0, 5.0], [3.0, 9.0]], &Device::flex()))?;
/// assert!(
///     flow.evaluate(Tensor::<2>::from_data([[2.0, 7.0]], &Device::flex()))?.nats()[0].is_finite()
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Before that, it is not a density:
/// ```compile_fail
/// use burn::tensor::{Device, Tensor};
/// use flowkit::{ActNormConfig, Density, Flow, StandardNormal};
///
/// let norm = ActNormConfig::new();
/// let uninit = Flow::build(&norm, StandardNormal::new(), [1, 2], &Device::flex()).unwrap();
/// // Error: no method named `evaluate`.
/// uninit.evaluate(Tensor::<2>::from_data([[2.0, 7.0]], &Device::flex()));
/// ```
#[derive(Debug, Clone)]
#[must_use = "initialise the model before using it"]
pub struct Uninit<M> {
    model: M,
}

impl<M> Uninit<M> {
    /// Marks your own model as not initialised.
    pub fn new(model: M) -> Self {
        Self { model }
    }

    /// The model with its parameters as configured: for a stack in which no layer is initialised
    /// from data.
    pub fn without_data(self) -> M {
        self.model
    }

    /// Initialises the model with `initialize`.
    ///
    /// # Errors
    /// Those of `initialize`.
    pub fn initialize_with<N, E>(self, initialize: impl FnOnce(M) -> Result<N, E>) -> Result<N, E> {
        initialize(self.model)
    }

    /// Another model that is not initialised either, for example the model wrapped in your own
    /// type.
    pub fn map<N>(self, wrap: impl FnOnce(M) -> N) -> Uninit<N> {
        Uninit { model: wrap(self.model) }
    }
}

impl<M: Module> Uninit<M> {
    /// Number of parameters. Lazy parameters are not materialised.
    pub fn num_params(&self) -> usize {
        self.model.num_params()
    }
}
