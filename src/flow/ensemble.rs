//! Ensemble: the uniform mixture of densities, such as flows that were trained from several seeds.
//! ```text
//! ln p(x) = ln( 1/M Σ_m p_m(x) )            M members
//! sample    x from member m,  m uniform, anew for each sample
//! ```
//! The variance of a mixture is at least the mean of its members' variances, and larger where their
//! means differ: it is less confident where few data let the members disagree. Its log-likelihood
//! is at least the mean of theirs (Jensen's inequality).
//!
//! # Numerics
//! The exponentials are those of differences from the largest log-density. Where all members have
//! the density 0, so has the mixture.
//!
//! # Cost
//! Densities and samples of all members: the members of a conditional density may have a row of the
//! condition for each sample, so each draws all samples, of which one member's is taken.
//!
//! # Reference
//! Lakshminarayanan et al. 2017; for posteriors, Hermans et al. 2022.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{ActNormConfig, Density, Ensemble, Flow, StandardNormal};
//!
//! let device = Device::flex();
//! let around = |mean: f32| {
//!     let x = Tensor::<2>::from_data([[mean - 1.0], [mean + 1.0]], &device);
//!     Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 1], &device)?.initialize(x)
//!         .map_err(flowkit::Error::from)
//! };
//! let ensemble = Ensemble::new(vec![around(-5.0)?, around(5.0)?])?;
//! let x = Tensor::<2>::from_data([[5.0]], &device);
//! let one = ensemble.members()[1].evaluate(x.clone())?;
//! let both = ensemble.evaluate(x)?;
//! assert!((both.nats()[0] - (one.nats()[0] - 2f64.ln())).abs() < 1e-6);
//! assert_eq!(ensemble.sample(100, 0)?.dims(), [100, 1]);
//! # Ok::<(), flowkit::Error>(())
//! ```

use burn::tensor::Tensor;

use super::admission::{Placement, or_panic};
use super::density::Density;
use super::likelihood::{Exact, LogLikelihood, LogMeanExp};
use crate::context::Context;
use crate::error::{ConfigError, FlowError, check_event};
use crate::random::draw::{below, generator};
use crate::tensor::graph::constant;

/// Separates the choice of members from shuffles and initial values.
const MEMBERS: u64 = 0x0065_6e73_656d;

/// The uniform mixture of densities. The formulas head this module.
#[derive(Debug, Clone)]
pub struct Ensemble<T> {
    members: Vec<T>,
}

impl<T> Ensemble<T> {
    /// The mixture of densities of the same data: flows, or flows given a condition.
    ///
    /// # Errors
    /// [`ConfigError::Zero`] without a member.
    pub fn new(members: Vec<T>) -> Result<Self, ConfigError> {
        ConfigError::repeated("Ensemble", "members", members.len())?;
        Ok(Self { members })
    }

    /// The members.
    pub fn members(&self) -> &[T] {
        &self.members
    }
}

impl<const D: usize, T: Density<Data = Tensor<D>, Provenance = Exact>> Ensemble<T> {
    /// `ln p(x)` in nats, `[batch]`; differentiable.
    ///
    /// # Errors
    /// Those of the members, as [`Density::try_log_prob`].
    pub fn try_log_prob(&self, x: Tensor<D>) -> Result<Tensor<1>, FlowError> {
        let of = |member: &T| Ok(member.try_log_prob(x.clone())?.unsqueeze_dim::<2>(0));
        let all: Vec<Tensor<2>> = self.members.iter().map(of).collect::<Result<_, FlowError>>()?;
        let all = Tensor::cat(all, 0);
        let largest = all.clone().inner().max_dim(0);
        // −∞ − −∞ is no number.
        let none = largest.clone().equal_elem(f32::NEG_INFINITY);
        let largest = largest.mask_fill(none, 0.0);
        let device = all.device();
        let largest = if all.is_autodiff() { constant(largest, &device) } else { largest };
        let mean = (all - largest.clone()).exp().mean_dim(0);
        Ok((mean.log() + largest).squeeze_dim::<1>(0))
    }

    /// [`Ensemble::try_log_prob`] for batches that fit.
    ///
    /// # Panics
    /// If it returns an error.
    pub fn log_prob(&self, x: Tensor<D>) -> Tensor<1> {
        or_panic(self.try_log_prob(x))
    }

    /// `ln p` of every example in nats, on the host.
    ///
    /// # Errors
    /// Those of the members, as [`Density::evaluate`].
    pub fn evaluate(&self, x: Tensor<D>) -> Result<LogLikelihood<Exact>, FlowError> {
        let mut means: Vec<LogMeanExp> = vec![LogMeanExp::new(); x.dims()[0]];
        for member in &self.members {
            let found = member.evaluate(x.clone())?;
            means.iter_mut().zip(found.nats()).for_each(|(mean, &nats)| mean.push(nats));
        }
        let nats = means.into_iter().map(|mean| mean.value()).collect();
        Ok(LogLikelihood::new(nats, self.members[0].dims(), Exact))
    }

    /// `n` samples, each of a member that `seed` determines. The samples of the members come from
    /// the generator of their device.
    ///
    /// # Errors
    /// Those of the members, as [`Density::sample`]; members whose samples differ from those of the
    /// first in shape, type or device.
    pub fn sample(&self, n: usize, seed: u64) -> Result<Tensor<D>, FlowError> {
        let samples = self.members.iter().map(|member| member.sample(n));
        let samples = samples.collect::<Result<Vec<Tensor<D>>, _>>()?;
        let (shape, placement) = (samples[0].dims(), Placement::of(&samples[0]));
        for other in &samples[1..] {
            check_event("Ensemble", &shape[1..], other.dims())?;
            placement.expect("member", &Placement::of(other))?;
        }
        let samples = Tensor::cat(samples, 0);
        let mut generator = generator([seed, 0, 0, MEMBERS]);
        let places: Vec<usize> =
            (0..n).map(|row| below(&mut generator, self.members.len()) * n + row).collect();
        Ok(Context::select(&samples, &places))
    }
}
