//! Training: from a flow and data to a trained flow, and how a run survives an interruption.
//!
//! [`mod@fit`], [`Flow::save`](crate::Flow::save), [`NegativeLogLikelihood`] and `learner` are for
//! flows. Everything else here works on any burn [`Module`](burn::module::Module).
//!
//! | task | items |
//! |---|---|
//! | a trained flow and a report in one call | [`FitConfig`], [`mod@fit`] |
//! | a flow in a file | [`Flow::save`](crate::Flow::save), [`Uninit::load`](crate::Uninit::load) |
//! | a training loop of your own, update by update | [`Trainer`], [`TrainerConfig`] |
//! | less memory for the backward pass | [`GradientMemory`](crate::GradientMemory), [`Trainer::update_on_parts`] |
//! | a flow that samples from an unnormalised density | [`ReverseKl`], [`ForwardKl`], [`AlphaTwo`], [`Annealing`] |
//! | the learning rate of step t | [`WarmUp`], [`Schedule`] |
//! | the optimizer | [`OptimizerConfig`], [`Adam`], [`Adamax`] |
//! | bounding the gradient of a step | [`clip_global_norm`], [`global_norm`] |
//! | the moving average of the weights, which is evaluated | [`Ema`] |
//! | the type that networks are trained in | [`Precision`], [`LossScale`] |
//! | the noise of step t | [`StepSeed`] |
//! | what to do about a NaN, and where it came from | [`NonFinite`], [`NonFinitePlace`], [`Objective`] |
//! | stopping and resuming | [`Checkpoint`], [`Checkpoints`] |
//! | training with burn's own `Learner` instead | `learner` (feature `train`) |
//! | the memory that a run needs | [`peak_rss_bytes`] |

pub mod adam;
mod adam_together;
pub mod adamax;
pub mod annealing;
mod batch_gradient;
pub mod checkpoint;
mod checkpoint_error;
pub mod checkpoints;
pub mod divergence;
pub mod ema;
mod embedded;
mod error;
pub mod fit;
pub mod gradient;
mod gradient_search;
mod headroom;
#[cfg(feature = "train")]
pub mod learner;
pub mod loss_scale;
pub mod memory;
pub mod moment_state;
pub mod non_finite;
pub mod non_finite_place;
pub mod objective;
pub mod optimizer;
pub mod precision;
mod read_together;
mod saved_flow;
pub mod schedule;
mod state_fault;
pub mod step_seed;
mod tied;
mod trained;
pub mod trainer;
pub mod trainer_config;
pub mod update;
pub mod warm_up;
mod weights;

pub use adam::Adam;
pub use adamax::Adamax;
pub use annealing::Annealing;
pub use checkpoint::Checkpoint;
pub use checkpoint_error::CheckpointError;
pub use checkpoints::{Checkpoints, Latest};
pub use divergence::{
    AlphaTwo, AlphaTwoGradient, DivergenceEstimate, ForwardKl, ReverseKl, ReverseKlGradient,
};
pub use ema::{Ema, EmaDecay};
pub use error::TrainError;
pub use fit::{FitConfig, FitData, FitError, FitReport, Fitted};
pub use gradient::{clip_global_norm, global_norm};
pub use loss_scale::LossScale;
pub use memory::peak_rss_bytes;
pub use non_finite::{NonFinite, UpdateOutcome};
pub use non_finite_place::NonFinitePlace;
pub use objective::{NegativeLogLikelihood, Objective};
pub use optimizer::OptimizerConfig;
pub use precision::Precision;
pub use schedule::Schedule;
pub use state_fault::StateFault;
pub use step_seed::{Purpose, StepSeed};
pub use trainer::Trainer;
pub use trainer_config::{GradientUnit, TrainerConfig};
pub use update::Update;
pub use warm_up::WarmUp;
