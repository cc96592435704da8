//! Flow: a bijector and the prior of its latents; a density that can be evaluated and sampled.
//! ```text
//! ln p(x | context) = ln p_prior(f(x | context)) + ln|det ∂f/∂x|            [batch], nats
//! sample            x = f⁻¹(z | context),  z ~ prior at a temperature
//! ```

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};

use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::{FlowError, ShapeError, check_shape};
use crate::layer::LayerWalk;
use crate::metric::{Exact, LogLikelihood};
use crate::prior::Prior;
use crate::unstarted::Unstarted;

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
    pub fn new<const D: usize>(bijector: B, prior: P, shape: [usize; D]) -> Result<Unstarted<Self>, ShapeError>
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
    ) -> Result<Unstarted<Self>, ShapeError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let mut one = shape;
        one[0] = 1;
        if one.contains(&0) {
            return Err(ShapeError::Empty { layer: "Flow", shape: one.to_vec() });
        }
        prior.check(bijector.output_shape(one)?)?;
        Ok(Unstarted::new(Self { bijector, prior, shape: one.to_vec() }))
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
    /// If the shape of `x` is not the flow's.
    pub fn log_prob<const D: usize>(&self, x: Tensor<D>) -> Tensor<1>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.log_prob_given(x, &())
    }

    /// `ln p(x | context)` in nats, differentiable.
    ///
    /// # Panics
    /// If the shape of `x` is not the flow's, or a layer cannot take the condition.
    pub fn log_prob_given<const D: usize, C: Context>(&self, x: Tensor<D>, context: &C) -> Tensor<1>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        check_shape(self.check_given(x.dims(), context));
        let (z, log_det) = self.bijector.forward(x, context);
        self.prior.log_prob(z, context) + log_det
    }

    /// Runs a batch through the layers of `bijector` one at a time and shows each to the visitor of `walk`; the latents come back.
    ///
    /// # Panics
    /// If the shape of `x` is not the flow's.
    pub fn visit_layers<const D: usize, C: Context>(
        &self,
        x: Tensor<D>,
        context: &C,
        walk: &mut LayerWalk<'_, D>,
    ) -> Tensor<D>
    where
        B: Bijector<D, C>,
    {
        if let Err(error) = self.check(x.dims()) {
            panic!("{error}");
        }
        walk.member("bijector", &self.bijector, x, context)
    }

    /// `ln p` of every example on the host, without dropout and checked: a wrong shape, an input that is not finite and a likelihood that
    /// is not finite are errors that name the example.
    pub fn evaluate<const D: usize>(&self, x: Tensor<D>) -> Result<LogLikelihood<Exact>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.evaluate_given(x, &())
    }

    /// As [`Flow::evaluate`], given a condition.
    pub fn evaluate_given<const D: usize, C: Context>(
        &self,
        x: Tensor<D>,
        context: &C,
    ) -> Result<LogLikelihood<Exact>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        self.check_given(x.dims(), context)?;
        if let Some((count, total, example)) = non_finite(x.clone())? {
            return Err(FlowError::NonFiniteInput { count, total, example });
        }
        let nats = read_likelihood(self.valid().log_prob_given(x, context))?;
        Ok(LogLikelihood::new(nats, self.dims(), Exact))
    }

    /// `n` samples at a temperature: the latents' spread is multiplied by it. Samples of a model in training come from its current
    /// weights, without dropout and outside the graph.
    ///
    /// # Errors
    /// If `n` is 0, if the temperature is negative or not finite, or if some latents have no inverse in this precision.
    pub fn sample<const D: usize>(&self, n: usize, temperature: f64) -> Result<Tensor<D>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.sample_given(n, temperature, &())
    }

    /// As [`Flow::sample`], given a condition for each of the `n` samples. The condition's tensors must not carry a graph.
    pub fn sample_given<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<Tensor<D>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        if n == 0 {
            return Err(FlowError::NoSamples { what: "n" });
        }
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(FlowError::Temperature { found: temperature });
        }
        let flow = self.valid();
        flow.check_given(self.batch_shape(n), context)?;
        let shape = flow.bijector.output_shape(self.batch_shape(n))?;
        let z = flow.prior.sample(shape, temperature, context, &flow.device(), flow.dtype());
        let x = flow.bijector.inverse(z, context);
        match non_finite(x.clone())? {
            None => Ok(x),
            Some((count, total, example)) => Err(FlowError::NotInverted { count, total, example }),
        }
    }

    /// Type of data, latents and log-determinants: the widest of the parameters', and float32 at least. Networks may store theirs in a half
    /// type, which no density survives.
    pub(crate) fn dtype(&self) -> DType
    where
        B: Module,
        P: Module,
    {
        let mut widest = Widest(DType::F32);
        self.bijector.visit(&mut widest);
        self.prior.visit(&mut widest);
        widest.0
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

impl<B, P> Unstarted<Flow<B, P>> {
    /// Data-dependent start of every layer, one after the other, and of the prior, from a batch.
    ///
    /// # Errors
    /// If the batch has the wrong shape or holds a value that is not finite.
    pub fn initialize<const D: usize>(self, x: Tensor<D>) -> Result<Flow<B, P>, FlowError>
    where
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.initialize_given(x, &())
    }

    /// As [`Unstarted::initialize`], given a condition.
    ///
    /// # Errors
    /// As [`Unstarted::initialize`].
    pub fn initialize_given<const D: usize, C: Context>(
        self,
        x: Tensor<D>,
        context: &C,
    ) -> Result<Flow<B, P>, FlowError>
    where
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let Flow { bijector, prior, shape } = self.start(|flow| {
            flow.check_given(x.dims(), context)?;
            match non_finite(x.clone())? {
                Some((count, total, example)) => Err(FlowError::NonFiniteInput { count, total, example }),
                None => Ok(flow),
            }
        })?;
        let (bijector, z) = bijector.initialize(x, context);
        let prior = prior.initialize(z, context);
        Ok(Flow { bijector, prior, shape })
    }
}

/// Float32, or float64 if a parameter of a module is.
struct Widest(DType);

impl ModuleVisitor for Widest {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().dtype() == DType::F64 {
            self.0 = DType::F64;
        }
    }
}

/// How many elements are not finite, of how many, and the first example that holds one; `None` if all are. One read.
pub(crate) fn non_finite<const D: usize>(x: Tensor<D>) -> Result<Option<(usize, usize, usize)>, FlowError> {
    let dims = x.dims();
    let total: usize = dims.iter().product();
    let finite = x.inner().is_finite().int().reshape([dims[0], total / dims[0]]).sum_dim(1);
    let data = finite.try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    let per_example = total / dims[0];
    let missing: Vec<usize> = data.iter::<i64>().map(|n| per_example - n as usize).collect();
    Ok(missing.iter().position(|&n| n > 0).map(|example| (missing.iter().sum(), total, example)))
}

/// Log-likelihoods on the host, all finite.
pub(crate) fn read_likelihood(log_prob: Tensor<1>) -> Result<Vec<f64>, FlowError> {
    let data = log_prob.inner().try_into_data().map_err(|error| FlowError::Device(error.to_string()))?;
    let nats: Vec<f64> = data.iter::<f64>().collect();
    match nats.iter().position(|value| !value.is_finite()) {
        None => Ok(nats),
        Some(example) => Err(FlowError::NonFiniteLikelihood { example, value: nats[example] }),
    }
}
