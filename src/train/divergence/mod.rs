//! Objectives that train a flow towards an unnormalised density, a [`Target`], without data.
//! ```text
//! p(x) = p̃(x)/Z,  q = the flow,  w = p̃/q
//! ReverseKl    E_q[ln q − ln p̃]     = KL(q‖p) − ln Z                    seeks modes
//! ForwardKl    −E_p[ln q]           = KL(p‖q) + entropy of p            covers mass
//! AlphaTwo     ln E_q[w²]           = ln E_p[p/q] + 2 ln Z              covers mass, makes the
//!                                                                       variance of w least
//! ```
//! Each objective samples the flow itself, so an update needs no batch. The noise is that of the
//! update, as for any other objective: a resumed run is equal to an uninterrupted one.
//!
//! A reverse divergence can lose a mode for ever, because no sample of the flow tells that the mode
//! exists. A high temperature at first ([`Annealing`](super::Annealing)), a wide prior and a
//! divergence that covers mass make this less likely; nothing excludes it.
//!
//! With weighted samples from elsewhere, the forward divergence needs no objective of its own: it
//! is [`NegativeLogLikelihood::weighted`](super::NegativeLogLikelihood::weighted) with
//! [`LogWeights::relative`](crate::importance::LogWeights::relative), and
//! [`FitConfig::fit`](super::FitConfig::fit) takes such samples as weighted data.
//!
//! # Memory
//! All of them have a replay, so every [`GradientMemory`](crate::GradientMemory) policy serves
//! them. Those whose gradient goes through the samples replay the inverse of the flow.

mod alpha_two;
mod estimate;
mod forward_kl;
mod reparametrised;
mod reverse_kl;
mod sampled;

pub use alpha_two::{AlphaTwo, AlphaTwoGradient};
pub use estimate::DivergenceEstimate;
pub use forward_kl::ForwardKl;
pub use reverse_kl::{ReverseKl, ReverseKlGradient};

#[cfg(doc)]
use crate::importance::Target;
