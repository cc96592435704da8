//! Flow: a bijector and the prior of its latents; a density that can be evaluated and sampled.
//! ```text
//! ln p(x | context) = ln p_prior(f(x | context)) + ln|det ∂f/∂x|            [batch], nats
//! sample            x = f⁻¹(z | context),  z ~ prior at a temperature
//! ```

pub mod bound;
pub mod diagnose;
mod door;
mod evaluation;
pub(crate) mod init;
pub mod likelihood;
mod replay;
mod rows;
mod sampling;
pub mod surjection;
pub mod uninit;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};

use door::widest;

pub(crate) use door::Numbers;
pub(crate) use evaluation::{non_finite, non_finite_counts, read};
pub(crate) use sampling::not_inverted;

pub use rows::{FailedRow, RowFault, RowLikelihoods, SampledRows};
pub use sampling::Samples;

use crate::bijector::Bijector;
use crate::bijector::visit::Visit;
use crate::context::Context;
use crate::error::{FlowError, ShapeError, check_shape, check_shape_size};
use crate::flow::init::check_flow;
use crate::flow::uninit::Uninit;
use crate::prior::Prior;

/// A bijector and the prior of its latents.
///
/// Methods without a condition are for `B: Bijector<D>`; those that end in `_given` take one.
#[derive(Module, Debug)]
pub struct Flow<B, P> {
    /// From data to latents.
    pub bijector: B,
    /// Distribution of the latents.
    pub prior: P,
    #[module(skip)]
    shape: Vec<usize>,
}

impl<B, P> Flow<B, P> {
    /// An unconditional flow for examples of shape `shape[1..]`; `shape[0]`, the batch, is not fixed.
    ///
    /// Walks the shape through the whole stack, so that a stack that does not fit is an error here and not in training.
    ///
    /// # Errors
    /// The error of the first layer that does not fit; [`ShapeError::TooLarge`] for examples of more than 2^37
    /// elements, 1 TiB in float64.
    pub fn new<const D: usize>(bijector: B, prior: P, shape: [usize; D]) -> Result<Uninit<Self>, ShapeError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        Self::conditional::<D, ()>(bijector, prior, shape)
    }

    /// As [`Flow::new`], for a flow with a condition `C`.
    pub fn conditional<const D: usize, C: Context>(
        bijector: B,
        prior: P,
        shape: [usize; D],
    ) -> Result<Uninit<Self>, ShapeError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
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
        Ok(Uninit::new(Self { bijector, prior, shape: one.to_vec() }))
    }

    /// Numbers per example.
    pub fn dims(&self) -> usize {
        self.shape.iter().product()
    }

    /// Shape of `n` examples.
    pub(crate) fn batch_shape<const D: usize>(&self, n: usize) -> [usize; D] {
        // `new` made the shape of a `[usize; D]`; another D is a programming error.
        assert_eq!(self.shape.len(), D, "this flow takes tensors with {} axes", self.shape.len());
        std::array::from_fn(|axis| if axis == 0 { n } else { self.shape[axis] })
    }

    /// Whether a batch has the flow's shape and at least one example.
    pub(crate) fn check<const D: usize>(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        if shape[0] == 0 {
            return Err(ShapeError::Empty { layer: "Flow", shape: shape.to_vec() });
        }
        let own = self.batch_shape::<D>(shape[0]);
        match (1..D).find(|&axis| shape[axis] != own[axis]) {
            None => Ok(()),
            Some(axis) => Err(ShapeError::Axis { layer: "Flow", axis, expected: own[axis], shape: shape.to_vec() }),
        }
    }

    /// As [`Flow::check`], and whether every layer and the prior take the condition.
    pub(crate) fn check_given<const D: usize, C: Context>(
        &self,
        shape: [usize; D],
        context: &C,
    ) -> Result<(), ShapeError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        self.check(shape)?;
        self.prior.check_given(self.bijector.output_shape_given(shape, context)?, context)
    }

    /// `ln p(x)` in nats, differentiable.
    ///
    /// # Shapes
    /// `[batch, ...]` to `[batch]`.
    ///
    /// # Panics
    /// If `x` does not have the flow's shape, type and device.
    pub fn log_prob<const D: usize>(&self, x: Tensor<D>) -> Tensor<1>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.log_prob_given(x, &())
    }

    /// `ln p(x | context)` in nats, differentiable. The condition has a row for each example, or one row for all of
    /// them.
    ///
    /// # Panics
    /// As [`Flow::log_prob`], or if a layer cannot take the condition.
    pub fn log_prob_given<const D: usize, C: Context>(&self, x: Tensor<D>, context: &C) -> Tensor<1>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let context = self.expect_admitted(&x, context);
        self.density(x, &context)
    }

    /// [`Flow::log_prob_given`] of a batch and condition that passed the checks.
    pub(crate) fn density<const D: usize, C: Context>(&self, x: Tensor<D>, context: &C) -> Tensor<1>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (z, log_det) = self.bijector.forward(x, context);
        self.prior.log_prob(z, context) + log_det
    }

    /// Runs a batch through the layers of `bijector` one at a time and shows each to the visitor of `walk`; the latents
    /// come back.
    ///
    /// # Panics
    /// If the shape of `x` is not the flow's.
    pub fn visit_layers<const D: usize, C: Context>(
        &self,
        x: Tensor<D>,
        context: &C,
        walk: &mut Visit<'_, D>,
    ) -> Tensor<D>
    where
        B: Bijector<D, C>,
    {
        check_shape(self.check(x.dims()));
        let batch = x.dims()[0];
        walk.member("bijector", &self.bijector, x, &context.for_batch(batch))
    }

    /// Type of data, latents and log-determinants: the widest of the parameters', and float32 at least. Networks may
    /// store theirs in a half type, which no density survives.
    pub(crate) fn dtype(&self) -> DType
    where
        B: Module,
        P: Module,
    {
        widest(&self.bijector, &self.prior).unwrap_or(DType::F32)
    }

    /// Device of the parameters; the default device where there are none.
    pub(crate) fn device(&self) -> Device
    where
        B: Module,
        P: Module,
    {
        self.bijector.devices().into_iter().chain(self.prior.devices()).next().unwrap_or_default()
    }
}

impl<B, P> Uninit<Flow<B, P>> {
    /// Data-dependent start of every layer, one after the other, and of the prior, from a batch.
    ///
    /// # Errors
    /// If the batch has the wrong shape, type or device, if it or the condition holds a value that is not finite, or if
    /// a layer cannot start from it: [`FlowError::Init`] names the layer.
    pub fn initialize<const D: usize>(self, x: Tensor<D>) -> Result<Flow<B, P>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.initialize_given(x, &())
    }

    /// As [`Uninit::initialize`], given a condition.
    ///
    /// # Errors
    /// As [`Uninit::initialize`], and if the condition is not finite.
    pub fn initialize_given<const D: usize, C: Context>(
        self,
        x: Tensor<D>,
        context: &C,
    ) -> Result<Flow<B, P>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (Flow { bijector, prior, shape }, context) = self.start(|flow| {
            let context = flow.admit(&x, context)?;
            match non_finite(x.clone())? {
                Some((count, total, example)) => Err(FlowError::NonFiniteInput { count, total, example }),
                None => Ok((flow, context)),
            }
        })?;
        let (bijector, z) = bijector.initialize(x.clone(), &context);
        let prior = prior.initialize(z.clone(), &context);
        let flow = Flow { bijector, prior, shape };
        check_flow(&flow, x, &z, &context)?;
        Ok(flow)
    }
}
