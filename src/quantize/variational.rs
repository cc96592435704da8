//! Variational dequantization: noise from a flow that is conditioned on the data.
//! ```text
//! c = encoder(x/M − ½)
//! lift     u = f(ε | c),  ε ~ N(0, 1)                   y = (x + u)/M
//!          log_weight = ln|det ∂f/∂ε| − ln N(ε) − D ln M     ( = −ln q(u | x) − D ln M )
//! ```
//! `f` is any conditional bijector whose last layer maps to (0, 1), for example a
//! [`crate::Sigmoid`]. Its inverse is never needed.
//!
//! # Numerics
//! In float32 `u` may round to 1; `y` still stays below the next level. The density there is
//! finite, and so is the log-determinant.
//!
//! # Reference
//! Ho et al. 2019 §3.1.

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Int, Tensor};

use super::{cell, check_levels, nan_outside, shape};
use crate::bijector::replay::{Cotangent, Replay};
use crate::bijector::visit::Visit;
use crate::bijector::{Bijector, LayerConfig, ShapeMap, Site};
use crate::context::Context;
use crate::encoder::{Encoder, EncoderConfig, Encoding};
use crate::error::{ConfigError, FlowError, ShapeError};
use crate::flow::likelihood::OneSampleBound;
use crate::flow::surjection::Surjection;
use crate::prior::{Prior, StandardNormal};
use crate::tensor::graph::{constant, graph_device, without_graph};

const NAME: &str = "VariationalDequantizationConfig";

config! {
    /// Configuration of [`VariationalDequantization`].
    #[derive(Debug)]
    pub struct VariationalDequantizationConfig {
        /// Number of levels `M` of the data.
        pub n_levels: usize = 256,
        /// Type in which the flow computes. It limits the number of levels.
        pub dtype: DType = DType::F32,
    }
}

impl VariationalDequantizationConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        cell::check(NAME, self.n_levels, self.dtype)
    }

    /// The dequantization of data of the site's shape, with the noise of `flow`, conditioned by
    /// `encoder`. The flow is built for noise of the same shape and for the condition that the
    /// encoder computes.
    ///
    /// # Errors
    /// The first rule that is broken, also where the noise would have another shape than the data.
    /// The place of an error is `.encoder` or `.flow`.
    pub fn build<const D: usize, E, L>(
        &self,
        encoder: &E,
        flow: &L,
        site: &Site<D>,
    ) -> Result<VariationalDequantization<E::Encoder, L::Layer>, ConfigError>
    where
        E: EncoderConfig<D>,
        L: LayerConfig<D, <E::Encoder as Encoder<D>>::Code>,
    {
        self.validate()?;
        let in_encoder = |error: ConfigError| error.at(".encoder");
        let in_flow = |error: ConfigError| error.at(".flow");
        let code = encoder.context(site).map_err(in_encoder)?;
        let encoder = encoder.build(site).map_err(in_encoder)?;
        let given = Site::described(site.shape(), code, site.device());
        let flow = flow.build(&given).map_err(in_flow)?;
        let noise = flow.output_shape(site.shape());
        noise
            .and_then(|noise| same_shape(noise, site.shape()))
            .map_err(|error| in_flow(error.into()))?;
        VariationalDequantization::new(self, encoder, flow)
    }
}

/// Checks that the noise has the shape of the data.
fn same_shape<const D: usize>(noise: [usize; D], data: [usize; D]) -> Result<(), ShapeError> {
    match (0..D).find(|&axis| noise[axis] != data[axis]) {
        None => Ok(()),
        Some(axis) => {
            let (layer, expected) = ("VariationalDequantization", data[axis]);
            Err(ShapeError::Axis { layer, axis, expected, shape: noise.to_vec() })
        }
    }
}

/// Variational dequantization. The formulas head this module.
#[derive(Module, Debug)]
pub struct VariationalDequantization<N, B> {
    /// Computes the condition.
    pub encoder: Encoding<N>,
    /// From normal noise to noise on (0, 1).
    pub flow: B,
    n_levels: usize,
}

impl<N, B> VariationalDequantization<N, B> {
    /// The dequantization with an encoder and a flow that are already built.
    ///
    /// # Errors
    /// The first rule that the configuration breaks.
    pub fn new(
        config: &VariationalDequantizationConfig,
        encoder: N,
        flow: B,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { encoder: Encoding::new(encoder), flow, n_levels: config.n_levels })
    }

    /// Number of levels `M` of the data.
    pub fn n_levels(&self) -> usize {
        self.n_levels
    }

    /// The levels in the type of `noise`, and scaled for the encoder.
    fn scaled<const D: usize>(
        &self,
        x: Tensor<D, Int>,
        noise: &Tensor<D>,
    ) -> (Tensor<D>, Tensor<D>) {
        let x = cell::to_float(x, noise.dtype());
        let scaled = x.clone().mul_scalar(1.0 / self.n_levels as f64).sub_scalar(0.5);
        (x, scaled)
    }

    /// `ln N(noise; 0, 1) + D ln M`, which the log-weight subtracts from the log-determinant of the
    /// flow: NaN for an example of `x` that has a level outside the range.
    fn log_noise<const D: usize>(&self, noise: Tensor<D>, x: Tensor<D>) -> Tensor<1> {
        let n: usize = x.dims()[1..].iter().product();
        let log_noise = StandardNormal::new().log_prob(noise, &());
        let levels = self.n_levels as f64;
        nan_outside(log_noise.add_scalar(n as f64 * levels.ln()), x, self.n_levels)
    }
}

impl<const D: usize, N, B> Surjection<D> for VariationalDequantization<N, B>
where
    N: Encoder<D>,
    B: Bijector<D, N::Code>,
{
    type Data = Tensor<D, Int>;
    type Noise = Tensor<D>;
    type Provenance = OneSampleBound;
    const PROVENANCE: OneSampleBound = OneSampleBound;

    fn plain(&self, x: Self::Data) -> Self::Data {
        x.inner()
    }

    fn noise(&self, x: &Self::Data, dtype: DType) -> Tensor<D> {
        Tensor::random(x.dims(), Distribution::Normal(0.0, 1.0), (&x.device(), dtype))
    }

    fn lift(&self, x: Self::Data, noise: Tensor<D>) -> (Tensor<D>, Tensor<1>) {
        let (x, scaled) = self.scaled(x, &noise);
        let code = self.encoder.encode(scaled);
        let log_noise = self.log_noise(noise.clone(), x.clone());
        let (u, log_det) = self.flow.forward(noise, &code);
        (cell::place(x, u, self.n_levels), log_det - log_noise)
    }

    fn replay_lift(
        &self,
        x: Self::Data,
        noise: Tensor<D>,
        replay: &mut Replay<()>,
    ) -> (Tensor<D>, Tensor<1>) {
        let device = graph_device(self, &noise);
        let (x, scaled) = self.scaled(x, &noise);
        replay.enter(&device);
        let code = without_graph(&self.encoder).encode(constant(scaled, &device)).constant(&device);
        let (x, noise) = (x.inner(), noise.inner());
        let log_noise = self.log_noise(noise.clone(), x.clone());
        let through = |replay: &mut Replay<N::Code>| self.flow.replay_forward(noise, &code, replay);
        let ((u, log_det), _) = replay.conditioned(|replay| replay.within("flow", through));
        let y = cell::place(x, u.clone(), self.n_levels);
        // The inverse from `y` would know the noise only to the spacing of the levels times 1e-7,
        // so the noise is stored.
        replay.enter(&device);
        replay.stash((u, code));
        replay.release();
        (y, log_det - log_noise)
    }

    fn replay_back(
        &self,
        x: Self::Data,
        noise: Tensor<D>,
        back: Cotangent<D>,
        replay: &mut Replay<()>,
    ) {
        let device = graph_device(self, &noise);
        replay.leave(&device);
        let Some((z, code)) = replay.stashed::<(Tensor<D>, N::Code)>() else {
            unreachable!("replay_lift stashed it at this place");
        };
        let Cotangent { grad_z, grad_log_det, .. } = back;
        let back =
            Cotangent { z, grad_z: grad_z.mul_scalar(1.0 / self.n_levels as f64), grad_log_det };
        let through = |replay: &mut Replay<N::Code>| self.flow.replay_back(back, &code, replay);
        let (_, grad_code) = replay.conditioned(|replay| replay.within("flow", through));
        replay.leave(&device);
        let (_, scaled) = self.scaled(x, &noise);
        let outward = self.encoder.encode(constant(scaled, &device)).pair(grad_code);
        if let Some(outward) = outward.filter(Tensor::is_tracked) {
            replay.collect(&self.encoder, &(), &mut outward.backward());
        }
        replay.release();
    }

    fn lower(&self, y: Tensor<D>) -> Self::Data {
        cell::level(y, self.n_levels)
    }

    fn placement(&self, x: &Self::Data, dtype: DType) -> (DType, Device) {
        (dtype, x.device())
    }

    fn shape(&self, x: &Self::Data) -> Result<[usize; D], FlowError> {
        let shape = shape(x)?;
        same_shape(self.flow.output_shape(shape)?, shape)?;
        Ok(shape)
    }

    fn check(&self, x: &Self::Data) -> Result<[usize; D], FlowError> {
        let shape = self.shape(x)?;
        check_levels(x, self.n_levels)?;
        Ok(shape)
    }

    fn check_dtype(&self, dtype: DType) -> Result<(), FlowError> {
        Ok(cell::check(NAME, self.n_levels, dtype)?)
    }

    fn initialize(self, x: Self::Data, noise: Tensor<D>) -> (Self, Tensor<D>) {
        let n_levels = self.n_levels;
        let (x, scaled) = self.scaled(x, &noise);
        let (encoder, code) = self.encoder.initialize(scaled);
        let (flow, u) = self.flow.initialize(noise, &code);
        (Self { encoder, flow, n_levels }, cell::place(x, u, n_levels).detach())
    }

    fn visit_layers(&self, x: Self::Data, noise: Tensor<D>, visit: &mut Visit<'_, D>) -> Tensor<D> {
        let (x, scaled) = self.scaled(x, &noise);
        let code = self.encoder.encode(scaled);
        visit.part("encoder", || code.is_finite());
        let u = visit.member("flow", &self.flow, noise, &code);
        cell::place(x, u, self.n_levels)
    }
}
