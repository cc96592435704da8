//! Embedded: a flow whose condition a network computes from an observation.
//! ```text
//! c = encoder(y)                                            once for a batch, not for each layer
//! ln p(x | y) = ln p_flow(x | c)
//! sample      x = f⁻¹(z | c)                                one row of y is encoded once
//! ```
//! `y` is the observation: a vector, a set, a series, an image ([`crate::encoder`]). Encoder and
//! flow are one module: they are trained together, and saved and loaded together.
//! [`Embedded::given`] returns the density given an observation. This is the model of a posterior
//! that is learned from simulations: `x` are the parameters of a simulator and `y` is its output.
//!
//! # Memory
//! Under a memory-saving [`GradientMemory`](crate::GradientMemory) policy, the layers collect the
//! gradient of `c`; the encoder then runs once more, and its derivative passes this gradient on.
//!
//! # Reference
//! Papamakarios & Murray 2016 (densities of parameters given simulated data); Greenberg et al. 2019
//! §2 (flows); Radev et al. 2020 (a summary network that is trained with the flow).
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::encoder::{SetEncoderConfig, StandardizedConfig};
//! use flowkit::model::MafConfig;
//! use flowkit::{Density, Embedded, StandardNormal};
//!
//! let device = Device::flex();
//! let parameters = Tensor::<2>::random([64, 2], Distribution::Normal(0.0, 1.0), &device);
//! // Each observation is a set of ten points in the plane.
//! let noise = Tensor::<3>::random([64, 10, 2], Distribution::Normal(0.0, 0.5), &device);
//! let observed = parameters.clone().unsqueeze_dim::<3>(1) + noise;
//! let encoder = StandardizedConfig::new(SetEncoderConfig::new(8));
//! let (layers, prior) = (MafConfig::new(2), StandardNormal::new());
//! let model = Embedded::build(&layers, prior, [1, 2], &encoder, &observed, &device)?;
//! let model = model.initialize_given(parameters.clone(), &observed)?;
//! println!("{}", model.given(&observed).evaluate(parameters)?.mean());
//! let first = observed.narrow(0, 0, 1);
//! assert_eq!(model.given(&first).sample(100)?.dims(), [100, 2]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::admission::{Placement, check_rows, or_panic};
use super::density::Density;
use super::diagnose::{Diagnosis, DiagnosisConfig};
use super::given::Given;
use super::init::{check_encoder, within};
use super::likelihood::{ImportanceWeightedBound, IsBound, IsExact, LogLikelihood};
use super::reparametrised::Reparametrised;
use super::rows::{RowLikelihoods, SampledRows};
use super::sampling::Samples;
use super::surjection::{Continuous, Surjection};
use super::{Admitted, Flow};
use crate::bijector::replay::Replay;
use crate::bijector::{Bijector, LayerConfig, Site};
use crate::context::{Context, check_finite};
use crate::encoder::{Encoder, EncoderConfig};
use crate::error::{ConfigError, FlowError};
use crate::flow::uninit::Uninit;
use crate::prior::{Prior, PriorConfig, ReparametrisedPrior};
use crate::tensor::finite::all_finite;
use crate::tensor::graph::{constant, graph_device, without_graph};

/// A flow together with the network that computes its condition from observations with `K` axes.
/// The formulas head this module.
#[derive(Module, Debug)]
pub struct Embedded<E, F, const K: usize> {
    /// Computes the condition.
    pub encoder: E,
    /// The flow given the condition.
    pub flow: F,
}

impl<E, F, const K: usize> Embedded<E, F, K> {
    /// The density given observations: one row for each example, or one row for all of them.
    pub fn given<'a>(&'a self, observed: &'a Tensor<K>) -> Given<'a, Self, Tensor<K>> {
        Given::new(self, observed)
    }
}

impl<E, B, P, const D: usize, const K: usize> Embedded<E, Flow<B, P, D, E::Code>, K>
where
    E: Encoder<K>,
    B: Bijector<D, E::Code>,
    P: Prior<D, E::Code>,
{
    /// A flow for examples of shape `shape[1..]` and an encoder of observations like `observed`, of
    /// which only the shape is used. The layers are built for the condition that the encoder
    /// computes.
    ///
    /// # Errors
    /// As [`Flow::build`]. The place of an error of the encoder is `.encoder`.
    pub fn build<L, Q, G>(
        layers: &L,
        prior: Q,
        shape: [usize; D],
        encoder: &G,
        observed: &Tensor<K>,
        device: &Device,
    ) -> Result<Uninit<Self>, ConfigError>
    where
        L: LayerConfig<D, E::Code, Layer = B>,
        Q: PriorConfig<D, E::Code, Prior = P>,
        G: EncoderConfig<K, Encoder = E>,
    {
        let site = Site::new(observed.dims(), device);
        let in_encoder = |error: ConfigError| error.at(".encoder");
        let code = encoder.context(&site).map_err(in_encoder)?;
        let flow = Flow::build_at(layers, prior, &Site::described(shape, code, device))?;
        let encoder = encoder.build(&site).map_err(in_encoder)?;
        Ok(flow.map(|flow| Self { encoder, flow }))
    }
}

impl<E, B, P, const D: usize, C, const K: usize> Uninit<Embedded<E, Flow<B, P, D, C>, K>> {
    /// The same model behind a surjection that lifts the data: a density of the data type of the
    /// surjection.
    pub fn behind<S: Surjection<D>>(
        self,
        surjection: S,
    ) -> Uninit<Embedded<E, Flow<B, P, D, C, S>, K>> {
        self.map(|Embedded { encoder, flow }| Embedded { encoder, flow: flow.behind(surjection) })
    }
}

/// A flow behind an encoder.
type EmbeddedFlow<E, B, P, const D: usize, C, S, const K: usize> =
    Embedded<E, Flow<B, P, D, C, S>, K>;

impl<E, B, P, const D: usize, C, S, const K: usize> Uninit<EmbeddedFlow<E, B, P, D, C, S, K>>
where
    E: Encoder<K, Code = C>,
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    /// Data-dependent initialisation from a batch and its observations: of the encoder, then of the
    /// flow given the condition that the encoder computes.
    ///
    /// # Errors
    /// As [`Uninit::initialize`], with paths that begin with `encoder` or `flow`.
    pub fn initialize_given(
        self,
        x: S::Data,
        observed: &Tensor<K>,
    ) -> Result<EmbeddedFlow<E, B, P, D, C, S, K>, FlowError> {
        self.initialize_with(|model| {
            model.fit_observed(model.flow.fit_data(&x)?, observed)?;
            check_finite(observed)?;
            let (encoder, code) = model.encoder.initialize(observed.clone());
            check_encoder(&encoder, observed, &code)?;
            let flow = Uninit::new(model.flow).initialize_given(x, &code);
            Ok(Embedded { encoder, flow: flow.map_err(|error| within("flow", error))? })
        })
    }
}

impl<E, B, P, const D: usize, C, S, const K: usize> Embedded<E, Flow<B, P, D, C, S>, K>
where
    E: Encoder<K, Code = C>,
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    /// Checks that observations fit `batch` examples, the encoder, and type and device of the flow.
    pub(crate) fn fit_observed(&self, batch: usize, observed: &Tensor<K>) -> Result<(), FlowError> {
        let own = Placement { dtype: self.flow.dtype(), device: self.flow.device() };
        own.expect_context(observed)?;
        self.encoder.check(observed.dims())?;
        if observed.dims()[0] != 1 {
            check_rows(batch, observed)?;
        }
        Ok(())
    }

    /// [`Embedded::fit_observed`] for a batch, whose values are not read.
    pub(crate) fn fit_batch(&self, x: &S::Data, observed: &Tensor<K>) -> Result<usize, FlowError> {
        let batch = self.flow.fit_data(x)?;
        self.fit_observed(batch, observed)?;
        Ok(batch)
    }

    /// The condition of a batch, differentiable.
    fn code(&self, x: &S::Data, observed: &Tensor<K>) -> Result<C, FlowError> {
        self.fit_batch(x, observed)?;
        Ok(self.encoder.encode(observed.clone()))
    }

    /// The condition of a batch, without dropout and outside any graph.
    fn plain_code(&self, x: &S::Data, observed: &Tensor<K>) -> Result<C, FlowError> {
        self.fit_batch(x, observed)?;
        self.evaluated_code(observed)
    }

    /// The condition of `n` samples, without dropout and outside any graph.
    fn code_of_samples(&self, n: usize, observed: &Tensor<K>) -> Result<C, FlowError> {
        self.fit_samples(n, observed)?;
        self.evaluated_code(observed)
    }

    /// Checks a number of samples, and that observations fit them.
    fn fit_samples(&self, n: usize, observed: &Tensor<K>) -> Result<(), FlowError> {
        if n == 0 {
            return Err(FlowError::NoSamples { what: "n" });
        }
        self.fit_observed(n, observed)
    }

    fn evaluated_code(&self, observed: &Tensor<K>) -> Result<C, FlowError> {
        check_finite(observed)?;
        Ok(self.encoder.valid().encode(observed.plain()))
    }

    /// The loss of a batch by a replay, without the check of the data's values: see
    /// [`Flow::replay`]. The gradients of encoder and flow are added to `replay`.
    pub(crate) fn replay_unread(
        &self,
        x: S::Data,
        observed: &Tensor<K>,
        weights: Option<&[f64]>,
        replay: &mut Replay<()>,
    ) -> Tensor<1> {
        let batch = or_panic(self.fit_batch(&x, observed));
        or_panic(FlowError::check_weights(batch, weights));
        let noise = self.flow.replay_noise(&x);
        let device = graph_device(&self.encoder, observed);
        replay.scoped(&device, |replay| {
            let encode = |encoder: &E| encoder.encode(constant(observed.clone(), &device));
            replay.enter(&device);
            let code = encode(&without_graph(&self.encoder)).constant(&device);
            replay.release();
            let Admitted { context, .. } = or_panic(self.flow.fit_unread(&x, &code));
            let through = |replay: &mut Replay<C>| {
                replay.within("flow", |replay| {
                    self.flow.replay_scoped(x, noise, &context, weights, replay)
                })
            };
            let (loss, gradient) = replay.conditioned(through);
            // A loss that is not finite has no gradients, and no layer was left.
            if !all_finite(&loss) {
                return loss;
            }
            replay.leave(&device);
            let outward = encode(&self.encoder).pair(gradient);
            if let Some(outward) = outward.filter(Tensor::is_tracked) {
                replay.collect(&self.encoder, &(), &mut outward.backward());
            }
            replay.release();
            loss
        })
    }
}

impl<E, B, P, const D: usize, C, S, const K: usize> Density
    for Given<'_, Embedded<E, Flow<B, P, D, C, S>, K>, Tensor<K>>
where
    E: Encoder<K, Code = C>,
    C: Context,
    S: Surjection<D>,
    B: Bijector<D, C>,
    P: Prior<D, C>,
{
    type Data = S::Data;
    type Noise = S::Noise;
    type Provenance = S::Provenance;

    fn provenance(&self) -> S::Provenance {
        S::PROVENANCE
    }

    fn dims(&self) -> usize {
        let Flow { surjection, shape, .. } = &self.asked().0.flow;
        surjection.dims(*shape)
    }

    fn plain(&self, x: S::Data) -> S::Data {
        self.asked().0.flow.surjection.plain(x)
    }

    fn noise(&self, x: &S::Data) -> S::Noise {
        let flow = &self.asked().0.flow;
        flow.surjection.noise(x, flow.dtype())
    }

    fn check(&self, x: &S::Data) -> Result<(), FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.code(x, observed)?).check(x)
    }

    fn try_log_prob(&self, x: S::Data) -> Result<Tensor<1>, FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.code(&x, observed)?).try_log_prob(x)
    }

    fn try_log_weight(&self, x: S::Data, noise: S::Noise) -> Result<Tensor<1>, FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.code(&x, observed)?).try_log_weight(x, noise)
    }

    fn evaluate(&self, x: S::Data) -> Result<LogLikelihood<S::Provenance>, FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.plain_code(&x, observed)?).evaluate(x)
    }

    fn evaluate_rows(&self, x: S::Data) -> Result<RowLikelihoods<S::Provenance>, FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.plain_code(&x, observed)?).evaluate_rows(x)
    }

    fn evaluate_importance_weighted_rows(
        &self,
        x: S::Data,
        samples: usize,
    ) -> Result<RowLikelihoods<ImportanceWeightedBound>, FlowError>
    where
        S::Provenance: IsBound,
    {
        let (model, observed) = self.asked();
        let code = model.plain_code(&x, observed)?;
        model.flow.given(&code).evaluate_importance_weighted_rows(x, samples)
    }

    fn sample_at(&self, n: usize, temperature: f64) -> Result<S::Data, FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.code_of_samples(n, observed)?).sample_at(n, temperature)
    }

    fn sample_rows_at(
        &self,
        n: usize,
        temperature: f64,
    ) -> Result<SampledRows<S::Data>, FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.code_of_samples(n, observed)?).sample_rows_at(n, temperature)
    }

    fn sample_with_log_prob_at(
        &self,
        n: usize,
        temperature: f64,
    ) -> Result<Samples<S::Data>, FlowError>
    where
        S::Provenance: IsExact,
    {
        let (model, observed) = self.asked();
        let code = model.code_of_samples(n, observed)?;
        model.flow.given(&code).sample_with_log_prob_at(n, temperature)
    }

    fn sample_rows_with_log_prob_at(
        &self,
        n: usize,
        temperature: f64,
    ) -> Result<SampledRows<Samples<S::Data>>, FlowError>
    where
        S::Provenance: IsExact,
    {
        let (model, observed) = self.asked();
        let code = model.code_of_samples(n, observed)?;
        model.flow.given(&code).sample_rows_with_log_prob_at(n, temperature)
    }

    fn round_trip(&self, x: S::Data) -> Result<(S::Data, f64), FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.plain_code(&x, observed)?).round_trip(x)
    }

    fn diagnose_with(&self, config: &DiagnosisConfig, x: S::Data) -> Result<Diagnosis, FlowError> {
        let (model, observed) = self.asked();
        model.flow.given(&model.plain_code(&x, observed)?).diagnose_with(config, x)
    }
}

impl<E, B, P, const D: usize, C, const K: usize> Reparametrised
    for Given<'_, Embedded<E, Flow<B, P, D, C, Continuous>, K>, Tensor<K>>
where
    E: Encoder<K, Code = C>,
    C: Context,
    B: Bijector<D, C>,
    P: ReparametrisedPrior<D, C>,
{
    fn rsample(&self, n: usize) -> Result<(Tensor<D>, Tensor<1>), FlowError> {
        let (model, observed) = self.asked();
        model.fit_samples(n, observed)?;
        check_finite(observed)?;
        model.flow.given(&model.encoder.encode(observed.clone())).rsample(n)
    }
}
