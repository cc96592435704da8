//! Flow: a bijector, the prior of its latents, and a surjection. Together they are a density that
//! can be evaluated and sampled. The surjection *lifts* the data `x` to the continuous values `y`
//! that the bijector accepts, with noise `u` for discrete data, and *lowers* samples to data.
//! ```text
//! exact             ln p(x | context) = ln p_prior(f(x | context)) + ln|det ∂f/∂x|   [batch], nats
//! of lifted data    r(x, u) = ln p(y | context) + log_weight,  (y, log_weight) = lift(x, u)
//!   one sample      ln p(x) ≥ E[r]
//!   k samples       ln p(x) ≥ E[ln mean_i exp r(x, u_i)] ≥ E[r]
//! sample            x = lower(f⁻¹(z | context)),  z ~ prior at a temperature
//! ```
//! The trait [`Density`] has the methods. A flow without a condition implements it. A flow with a
//! condition becomes a density when it is [given](Flow::given) the condition (`context`).
//!
//! # Reference
//! Ho et al. 2019 §3.1, Burda et al. 2016.

mod admission;
pub mod choice;
pub mod density;
pub mod diagnose;
mod embedded;
mod ensemble;
mod evaluation;
mod given;
pub(crate) mod init;
pub mod likelihood;
mod mean_likelihood;
mod read;
mod reparametrised;
mod replay;
mod rows;
mod sampling;
pub mod surjection;
pub mod uninit;

use std::marker::PhantomData;

use burn::module::{Content, Module, ModuleDisplay, ModuleDisplayDefault};
use burn::tensor::{DType, Device, Tensor};

pub(crate) use admission::{Admitted, Placement, or_panic};
pub use density::Density;
pub use embedded::Embedded;
pub use ensemble::Ensemble;
pub use given::Given;
pub use mean_likelihood::MeanLikelihood;
pub(crate) use read::{non_finite, non_finite_counts};
pub use reparametrised::Reparametrised;
pub use rows::{FailedRow, RowFault, RowLikelihoods, SampledRows};
pub use sampling::Samples;
pub(crate) use sampling::not_inverted;

use crate::bijector::visit::Visit;
use crate::bijector::{Bijector, LayerConfig, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape, check_shape_size};
use crate::flow::surjection::{Continuous, Surjection};
use crate::flow::uninit::Uninit;
use crate::prior::{Prior, PriorConfig};
use crate::tensor::dtype::widest;
use crate::tensor::type_name::full_type_name;

/// A density of tensors with `D` axes, given a condition `C`.
///
/// `C` is `()` for a flow without a condition, which is a [`Density`] by itself. A flow with a
/// condition becomes one by [`Flow::given`]. `S` is the surjection that lifts the data:
/// [`Continuous`] for tensors of floats, a dequantization for levels.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use flowkit::{ActNormConfig, Conv1x1Config, Density, Flow, StandardNormal};
///
/// let device = Device::flex();
/// let layers = (ActNormConfig::new(), Conv1x1Config::new());
/// let x = Tensor::<2>::random([64, 2], Distribution::Normal(3.0, 2.0), &device);
/// let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], &device)?.initialize(x.clone())?;
/// println!("{}", flow.evaluate(x)?.bits_per_dim());
/// let samples = flow.sample(16)?;
/// assert_eq!(samples.dims(), [16, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With a condition:
/// ```
/// use burn::tensor::{Device, Tensor};
/// use flowkit::law::{AffineConfig, AffineForm};
/// use flowkit::{CouplingConfig, Density, Flow, MlpConfig, StandardNormal};
///
/// let device = Device::flex();
/// let classes = Tensor::<2>::eye(3, &device);
/// let coupling =
///     CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), MlpConfig::new([16]));
/// let flow = Flow::build_given(&coupling, StandardNormal::new(), [1, 2], &classes, &device)?
///     .without_data();
/// assert_eq!(flow.given(&classes).sample(3)?.dims(), [3, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// There is no density without the condition:
/// ```compile_fail,E0599
/// # use burn::tensor::{Device, Tensor};
/// # use flowkit::{ActNormConfig, Density, Flow, StandardNormal};
/// # let device = Device::flex();
/// # let classes = Tensor::<2>::eye(3, &device);
/// # let norm = ActNormConfig::new();
/// let flow = Flow::build_given(&norm, StandardNormal::new(), [1, 2], &classes, &device)
///     .unwrap()
///     .without_data();
/// flow.given(&classes).sample(3); // as it should be
/// flow.sample(3); // no method `sample` without the condition
/// ```
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Flow<B, P, const D: usize, C = (), S = Continuous> {
    /// Lifts data to the input of the bijector.
    pub surjection: S,
    /// Maps lifted data to latents.
    pub bijector: B,
    /// Distribution of the latents.
    pub prior: P,
    #[module(skip)]
    shape: [usize; D],
    #[module(skip)]
    condition: PhantomData<C>,
}

impl<B, P, const D: usize, C, S> ModuleDisplay for Flow<B, P, D, C, S>
where
    Self: ModuleDisplayDefault,
    B: ModuleDisplay,
    P: ModuleDisplay,
    S: ModuleDisplay,
{
    fn custom_content(&self, content: Content) -> Option<Content> {
        let content = content
            .set_top_level_type("Flow")
            .add("surjection", &self.surjection)
            .add("bijector", &self.bijector)
            .add("prior", &self.prior)
            .add_debug_attribute("shape", &self.shape);
        // There is no field to read the condition from: it is a type.
        match full_type_name::<C>() {
            none if none == "()" => content,
            condition => content.add_debug_attribute("condition", &format_args!("{condition}")),
        }
        .optional()
    }
}

impl<B, P, const D: usize> Flow<B, P, D>
where
    B: Bijector<D>,
    P: Prior<D>,
{
    /// An unconditional flow for examples of shape `shape[1..]`; `shape[0]`, the batch, is not
    /// fixed.
    ///
    /// Passes the shape through the whole stack, so a stack that does not fit is an error here and
    /// not during training.
    ///
    /// # Errors
    /// The error of the first layer that does not fit; [`ShapeError::TooLarge`] for examples of
    /// more than 2^37 elements, 1 TiB in float64.
    pub fn new(bijector: B, prior: P, shape: [usize; D]) -> Result<Uninit<Self>, ShapeError> {
        Self::new_given(bijector, prior, shape)
    }

    /// An unconditional flow from the configurations of its layers and of its prior. Each layer is
    /// built for the output shape of the preceding one, and the prior for that of the last.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use flowkit::{ChannelOrder, DiagonalNormalConfig, Flow, SqueezeConfig};
    ///
    /// let squeeze = SqueezeConfig::new(ChannelOrder::ChannelMajor);
    /// let prior = DiagonalNormalConfig::new();
    /// let flow = Flow::build(&squeeze, prior, [1, 1, 8, 8], &Device::flex())?.without_data();
    /// assert_eq!(flow.prior.mean.dims(), [1, 4, 4, 4]);
    /// # Ok::<(), flowkit::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// The first rule that a configuration breaks, and those of [`Flow::new`]. The place of an
    /// error of the prior is `.prior`.
    pub fn build<L, Q>(
        layers: &L,
        prior: Q,
        shape: [usize; D],
        device: &Device,
    ) -> Result<Uninit<Self>, ConfigError>
    where
        L: LayerConfig<D, Layer = B>,
        Q: PriorConfig<D, Prior = P>,
    {
        Self::build_given(layers, prior, shape, &(), device)
    }
}

impl<B, P, const D: usize, C> Flow<B, P, D, C>
where
    C: Context,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    /// [`Flow::new`] for a flow with a condition `C`.
    ///
    /// # Errors
    /// As [`Flow::new`], and if a layer was built for another kind of condition.
    pub fn new_given(bijector: B, prior: P, shape: [usize; D]) -> Result<Uninit<Self>, ShapeError> {
        let mut one = shape;
        one[0] = 1;
        if one.contains(&0) {
            return Err(ShapeError::Empty { layer: "Flow", shape: one.to_vec() });
        }
        check_shape_size("Flow", &one)?;
        bijector.accepts()?;
        let latents = bijector.output_shape(one)?;
        check_shape_size("Flow", &latents)?;
        prior.check(latents)?;
        let surjection = Continuous {};
        Ok(Uninit::new(Self { surjection, bijector, prior, shape: one, condition: PhantomData }))
    }

    /// [`Flow::build`] for a flow with a condition like `example`, of which only the shapes are
    /// used.
    ///
    /// # Errors
    /// As [`Flow::build`].
    pub fn build_given<L, Q>(
        layers: &L,
        prior: Q,
        shape: [usize; D],
        example: &C,
        device: &Device,
    ) -> Result<Uninit<Self>, ConfigError>
    where
        L: LayerConfig<D, C, Layer = B>,
        Q: PriorConfig<D, C, Prior = P>,
    {
        Self::build_at(layers, prior, &Site::given(shape, example, device))
    }

    /// [`Flow::build_given`] for a site, whose condition need not exist yet.
    fn build_at<L, Q>(layers: &L, prior: Q, site: &Site<D, C>) -> Result<Uninit<Self>, ConfigError>
    where
        L: LayerConfig<D, C, Layer = B>,
        Q: PriorConfig<D, C, Prior = P>,
    {
        // The prior is checked before a layer is built.
        let latents = site.at(layers.plan(site)?.output);
        let prior = prior.build(&latents).map_err(|error| error.at(".prior"))?;
        prior.check(latents.shape()).map_err(|error| ConfigError::from(error).at(".prior"))?;
        Ok(Self::new_given(layers.build(site)?, prior, site.shape())?)
    }
}

impl<B, P, const D: usize, C> Flow<B, P, D, C> {
    /// The same bijector and prior with a surjection that lifts the data: a flow for the data type
    /// of the surjection.
    pub fn behind<S: Surjection<D>>(self, surjection: S) -> Flow<B, P, D, C, S> {
        let Self { bijector, prior, shape, condition, .. } = self;
        Flow { surjection, bijector, prior, shape, condition }
    }
}

impl<B, P, const D: usize, C> Uninit<Flow<B, P, D, C>> {
    /// The same bijector and prior with a surjection that lifts the data: a flow for the data type
    /// of the surjection.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use flowkit::{Density, Flow, LogitConfig, StandardNormal, UniformDequantizationConfig};
    ///
    /// let device = Device::flex();
    /// let flow = Flow::build(&LogitConfig::new(), StandardNormal::new(), [1, 2], &device)?;
    /// let flow = flow.behind(UniformDequantizationConfig::new().build()?).without_data();
    /// let bound = flow.evaluate(Tensor::from_data([[0, 17], [255, 3]], &device))?;
    /// assert!(bound.bits_per_dim().to_string().ends_with("bits/dim (one-sample bound)"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn behind<S: Surjection<D>>(self, surjection: S) -> Uninit<Flow<B, P, D, C, S>> {
        self.map(|flow| flow.behind(surjection))
    }
}

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S> {
    /// The density of the lifted data alone.
    pub fn continuous(&self) -> Flow<B, P, D, C>
    where
        B: Clone,
        P: Clone,
    {
        let (bijector, prior) = (self.bijector.clone(), self.prior.clone());
        Flow {
            surjection: Continuous {},
            bijector,
            prior,
            shape: self.shape,
            condition: PhantomData,
        }
    }

    /// Shape of an example at the input of the bijector, with a batch of 1.
    pub fn shape(&self) -> [usize; D] {
        self.shape
    }

    /// Shape of `n` examples.
    pub(crate) fn batch_shape(&self, n: usize) -> [usize; D] {
        let mut shape = self.shape;
        shape[0] = n;
        shape
    }

    /// Checks that a batch has the flow's shape and at least one example.
    pub(crate) fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        if shape[0] == 0 {
            return Err(ShapeError::Empty { layer: "Flow", shape: shape.to_vec() });
        }
        let own = self.batch_shape(shape[0]);
        match (1..D).find(|&axis| shape[axis] != own[axis]) {
            None => Ok(()),
            Some(axis) => Err(ShapeError::Axis {
                layer: "Flow",
                axis,
                expected: own[axis],
                shape: shape.to_vec(),
            }),
        }
    }

    /// Type of lifted data, latents and log-determinants: the widest type of the parameters, at
    /// least float32. Networks may store their parameters in a half-precision type, which is too
    /// coarse for a density.
    pub(crate) fn dtype(&self) -> DType
    where
        B: Module,
        P: Module,
    {
        widest(&self.bijector, &self.prior).unwrap_or(DType::F32)
    }

    /// Device of the parameters, or the default device if there are none.
    pub(crate) fn device(&self) -> Device
    where
        B: Module,
        P: Module,
    {
        self.bijector.devices().into_iter().chain(self.prior.devices()).next().unwrap_or_default()
    }
}

impl<B, P, const D: usize, C, S> Flow<B, P, D, C, S>
where
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
{
    /// Runs a batch through the layers of `surjection` and `bijector` one at a time and passes each
    /// layer to the visitor of `visit`. Returns the latents.
    ///
    /// # Panics
    /// If the lifted batch does not have the flow's shape.
    pub fn visit_layers(
        &self,
        x: S::Data,
        noise: S::Noise,
        context: &C,
        visit: &mut Visit<'_, D>,
    ) -> Tensor<D> {
        let y = visit.within("surjection", |visit| self.surjection.visit_layers(x, noise, visit));
        check_shape(self.check(y.dims()));
        let batch = y.dims()[0];
        visit.member("bijector", &self.bijector, y, &context.for_batch(batch))
    }
}
