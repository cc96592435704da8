//! Importance sampling: what samples of a model say about a density that is known up to a factor.
//! ```text
//! p(x) = p̃(x)/Z                      p̃ is known, Z is not
//! x_i ~ q,  ln w_i = ln p̃(x_i) − ln q(x_i)                                          nats
//! Z      = E_q[w]                    ln Ẑ = ln mean w
//! E_p[f] = E_q[w f]/E_q[w]           estimated by Σ w̄_i f(x_i),  w̄_i = w_i / Σ w
//! ```
//! The estimates are exact in the limit of many samples, however far `q` is from `p`, as long as
//! `q(x) > 0` wherever `p(x) > 0`. How far it is decides how many samples they need, and
//! [`ParetoK`] says whether these were enough. A mode of `p` that no sample has reached is missing
//! from all estimates, and none of them can tell.
//!
//! | task | items |
//! |---|---|
//! | the density, up to a factor | [`Target`] |
//! | samples of a flow with their weights | [`ImportanceSamples`] |
//! | effective sample size, `ln Z`, expectations | [`LogWeights`], [`Estimate`] |
//! | whether the estimates can be trusted | [`ParetoK`] |
//! | a chain with stationary distribution `p` | [`IndependenceChain`] |
//! | training a flow towards `p` | [`ReverseKl`](crate::train::ReverseKl), [`ForwardKl`](crate::train::ForwardKl), [`AlphaTwo`](crate::train::AlphaTwo) |
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::importance::ImportanceSamples;
//! use flowkit::{ActNormConfig, Flow, StandardNormal};
//!
//! let device = Device::flex();
//! device.seed(1);
//! let flow = Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 2], &device)?;
//! // A normal distribution of variance 0.64 without its constant: Z = 2π·0.64.
//! let target = |x: Tensor<2>| x.square().sum_dim(1).squeeze_dim::<1>(1).mul_scalar(-0.5 / 0.64);
//! let samples = ImportanceSamples::draw(&flow.without_data(), &target, 4000)?;
//! let log_z = samples.log_weights.log_z()?;
//! let exact = (2.0 * std::f64::consts::PI * 0.64).ln();
//! assert!((log_z.value - exact).abs() < 4.0 * log_z.standard_error);
//! assert!(samples.log_weights.pareto_k()?.is_reliable());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reference
//! Owen 2013, *Monte Carlo theory, methods and examples*, §9.

mod error;
mod estimate;
mod independence_chain;
mod log_weights;
mod pareto;
mod samples;
mod target;

pub use error::ImportanceError;
pub use estimate::Estimate;
pub use independence_chain::IndependenceChain;
pub use log_weights::LogWeights;
pub use pareto::ParetoK;
pub use samples::ImportanceSamples;
pub use target::Target;
pub(crate) use target::checked_log_density;
