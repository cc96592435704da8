//! A flow behind a surjection: a model of data that no bijector takes, with a bound on its log-likelihood.
//! ```text
//! r(x, u) = ln p(y | context) + log_weight,  (y, log_weight) = lift(x, u)
//! one sample      ln p(x) ≥ E[r]
//! k samples       ln p(x) ≥ E[ln mean_i exp r(x, u_i)] ≥ E[r]
//! ```
//! # Reference
//! Ho et al. 2019 §3.1, Burda et al. 2016.

mod evaluation;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::bijector::visit::Visit;
use crate::context::{Context, check_finite};
use crate::error::{FlowError, ShapeError};
use crate::flow::init::{check_surjection, within};
use crate::flow::surjection::Surjection;
use crate::flow::uninit::Uninit;
use crate::flow::{Flow, Numbers, SampledRows, non_finite_counts, not_inverted};
use crate::prior::Prior;

/// A [`Flow`] whose data is lifted by a [`Surjection`] first.
///
/// Methods without a condition are for `B: Bijector<D>`; those that end in `_given` take one. The condition is the
/// flow's; the surjection has its own way to see the data.
#[derive(Module, Debug)]
pub struct BoundFlow<S, B, P> {
    /// Lifts data to what the flow takes.
    pub surjection: S,
    /// Density of the lifted data.
    pub flow: Flow<B, P>,
}

impl<S, B, P> BoundFlow<S, B, P> {
    /// A surjection and an unconditional flow for lifted examples of shape `shape[1..]`.
    pub fn new<const D: usize>(
        surjection: S,
        bijector: B,
        prior: P,
        shape: [usize; D],
    ) -> Result<Uninit<Self>, ShapeError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        Self::conditional::<D, ()>(surjection, bijector, prior, shape)
    }

    /// As [`BoundFlow::new`], for a flow with a condition `C`.
    pub fn conditional<const D: usize, C: Context>(
        surjection: S,
        bijector: B,
        prior: P,
        shape: [usize; D],
    ) -> Result<Uninit<Self>, ShapeError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        Ok(Flow::conditional(bijector, prior, shape)?.map(|flow| Self { surjection, flow }))
    }

    /// `r(x, noise)`: the one-sample bound of `ln p(x)` in nats, differentiable.
    ///
    /// # Shapes
    /// A batch of data and its noise to `[batch]`.
    ///
    /// # Panics
    /// If the surjection does not accept the data, such as levels outside its range; if the lifted data does not have
    /// the flow's shape, or the noise does not have its type or device.
    pub fn log_weight<const D: usize>(&self, x: S::Data, noise: Tensor<D>) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.log_weight_given(x, noise, &())
    }

    /// As [`BoundFlow::log_weight`], given a condition: a row for each example, or one row for all of them.
    ///
    /// # Panics
    /// As [`BoundFlow::log_weight`], or if a layer cannot take the condition.
    pub fn log_weight_given<const D: usize, C: Context>(&self, x: S::Data, noise: Tensor<D>, context: &C) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let fits = self.expect("noise", &noise).and_then(|()| self.check_data(&x));
        if let Err(error) = fits {
            panic!("{error}");
        }
        self.admitted_weight(x, noise, context)
    }

    /// [`BoundFlow::log_weight_given`] of data that was checked.
    fn admitted_weight<const D: usize, C: Context>(&self, x: S::Data, noise: Tensor<D>, context: &C) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let (y, log_weight) = self.surjection.lift(x, noise);
        self.flow.log_prob_given(y, context) + log_weight
    }

    /// Checks that the surjection accepts the data and the flow's type: training refuses what evaluation refuses.
    ///
    /// # Errors
    /// Those of [`Surjection::check_dtype`] and [`Surjection::check`].
    pub(crate) fn check_data<const D: usize>(&self, x: &S::Data) -> Result<(), FlowError>
    where
        S: Surjection<D>,
        B: Module,
        P: Module,
    {
        self.surjection.check_dtype(self.flow.dtype())?;
        self.surjection.check(x).map(drop)
    }

    /// Runs a batch through the layers of `surjection` and `flow` one at a time and shows each to the visitor of
    /// `walk`; the latents come back.
    ///
    /// # Panics
    /// As [`BoundFlow::log_weight`].
    pub fn visit_layers<const D: usize, C: Context>(
        &self,
        x: S::Data,
        noise: Tensor<D>,
        context: &C,
        walk: &mut Visit<'_, D>,
    ) -> Tensor<D>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
    {
        let y = walk.within("surjection", |walk| self.surjection.visit_layers(x, noise, walk));
        walk.within("flow", |walk| self.flow.visit_layers(y, context, walk))
    }

    /// Training loss: minus the mean of [`BoundFlow::log_weight`] with fresh noise, in nats per example, `[1]`.
    ///
    /// # Panics
    /// As [`BoundFlow::log_weight`].
    pub fn loss<const D: usize>(&self, x: S::Data) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.loss_given(x, &())
    }

    /// As [`BoundFlow::loss`], given a condition.
    ///
    /// # Panics
    /// As [`BoundFlow::log_weight`].
    pub fn loss_given<const D: usize, C: Context>(&self, x: S::Data, context: &C) -> Tensor<1>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        if let Err(error) = self.check_data(&x) {
            panic!("{error}");
        }
        let noise = self.surjection.noise(&x, self.flow.dtype());
        if let Err(error) = self.expect("data", &noise) {
            panic!("{error}");
        }
        self.admitted_weight(x, noise, context).mean().neg()
    }

    /// `n` samples at a temperature. See [`Flow::sample`].
    pub fn sample<const D: usize>(&self, n: usize, temperature: f64) -> Result<S::Data, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.sample_given(n, temperature, &())
    }

    /// As [`BoundFlow::sample`], given a condition: a row for each of the `n` samples, or one row for all of them.
    pub fn sample_given<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<S::Data, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        Ok(self.surjection.lower(self.flow.sample_given::<D, C>(n, temperature, context)?))
    }

    /// [`BoundFlow::sample`] row by row: leaves out samples whose latents have no inverse. See [`Flow::sample_rows`].
    pub fn sample_rows<const D: usize>(&self, n: usize, temperature: f64) -> Result<SampledRows<S::Data>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.sample_rows_given(n, temperature, &())
    }

    /// As [`BoundFlow::sample_rows`], given a condition: a row for each of the `n` samples, or one row for all of them.
    pub fn sample_rows_given<const D: usize, C: Context>(
        &self,
        n: usize,
        temperature: f64,
        context: &C,
    ) -> Result<SampledRows<S::Data>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let rows = self.flow.sample_rows_given::<D, C>(n, temperature, context)?;
        Ok(rows.map(|y| self.surjection.lower(y)))
    }

    /// Lifts a batch, maps it to latents and back: the data that comes out, and the largest difference of the lifted
    /// numbers.
    ///
    /// The difference measures the inverse's precision. Dequantized data of `M` levels is on [0, 1], where one level is
    /// `1/M`.
    pub fn round_trip<const D: usize>(&self, x: S::Data) -> Result<(S::Data, f64), FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D>,
        P: Prior<D>,
    {
        self.round_trip_given(x, &())
    }

    /// As [`BoundFlow::round_trip`], given a condition.
    pub fn round_trip_given<const D: usize, C: Context>(
        &self,
        x: S::Data,
        context: &C,
    ) -> Result<(S::Data, f64), FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let model = self.valid();
        let x = model.surjection.plain(x);
        let Admitted { noise, context, .. } = model.admit(&x, &context.plain())?;
        let (y, _) = model.surjection.lift(x, noise);
        let (z, _) = model.flow.bijector.forward(y.clone(), &context);
        let back = model.flow.bijector.inverse(z, &context);
        if let Some(error) = not_inverted(&back, &non_finite_counts(back.clone())?) {
            return Err(error);
        }
        let error = (back.clone() - y).abs().max().try_into_data();
        let error = error.map_err(|error| FlowError::Device(error.to_string()))?.iter::<f64>().sum();
        Ok((model.surjection.lower(back), error))
    }

    /// [`BoundFlow::fit`], and whether the condition is finite: one device-to-host copy.
    pub(crate) fn admit<const D: usize, C: Context>(
        &self,
        x: &S::Data,
        context: &C,
    ) -> Result<Admitted<C, D>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        let admitted = self.fit(x, context)?;
        check_finite(context)?;
        Ok(admitted)
    }

    /// Whether surjection and flow accept a batch with a condition.
    pub(crate) fn fit<const D: usize, C: Context>(&self, x: &S::Data, context: &C) -> Result<Admitted<C, D>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        self.surjection.check_dtype(self.flow.dtype())?;
        let (lifted, dims) = self.surjection.check(x)?;
        let noise = self.surjection.noise(x, self.flow.dtype());
        // Noise is on the device of the data.
        self.expect("data", &noise)?;
        let context = self.flow.fit_condition(lifted, &Numbers::of(&noise), context)?;
        Ok(Admitted { dims, noise, context })
    }

    /// Whether a tensor has the type and device of the model.
    fn expect<const D: usize>(&self, what: &'static str, found: &Tensor<D>) -> Result<(), FlowError>
    where
        S: Module,
        B: Module,
        P: Module,
    {
        let found = Numbers::of(found);
        Numbers::of_modules(&self.flow.bijector, &self.flow.prior, &found)?.expect(what, &found)?;
        match self.surjection.devices().into_iter().next() {
            Some(device) => Numbers { device, ..found.clone() }.expect(what, &found),
            None => Ok(()),
        }
    }
}

/// A batch that passed the checks of a model.
pub(crate) struct Admitted<C, const D: usize> {
    /// Elements per example of the data.
    pub dims: usize,
    /// Fresh noise.
    pub noise: Tensor<D>,
    /// The condition with one row for each example.
    pub context: C,
}

impl<S, B, P> Uninit<BoundFlow<S, B, P>> {
    /// Data-dependent start of surjection and flow, in one pass from a batch.
    ///
    /// # Errors
    /// If the batch has the wrong shape or holds a level outside the surjection's range, or if a layer cannot start
    /// from it: [`FlowError::Init`] names the layer.
    pub fn initialize<const D: usize>(self, x: S::Data) -> Result<BoundFlow<S, B, P>, FlowError>
    where
        S: Surjection<D>,
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
        x: S::Data,
        context: &C,
    ) -> Result<BoundFlow<S, B, P>, FlowError>
    where
        S: Surjection<D>,
        B: Bijector<D, C>,
        P: Prior<D, C>,
    {
        self.start(|BoundFlow { surjection, flow }| {
            let model = BoundFlow { surjection, flow };
            let Admitted { noise, context, .. } = model.admit(&x, context)?;
            let BoundFlow { surjection, flow } = model;
            let (surjection, y) = surjection.initialize(x.clone(), noise.clone());
            check_surjection(&surjection, x, noise, &y)?;
            let flow = Uninit::new(flow).initialize_given(y, &context).map_err(|error| within("flow", error))?;
            Ok(BoundFlow { surjection, flow })
        })
    }
}
