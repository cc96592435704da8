//! Training: what turns a flow and data into a trained flow, and what survives an interruption.
//!
//! Everything here works on any burn [`Module`](burn::module::Module) and knows nothing of flows:
//!
//! | question | answer |
//! |---|---|
//! | how to put it together | [`Trainer`] |
//! | how fast to learn at step t | [`WarmUp`] |
//! | which way to go | [`OptimizerConfig`], [`Adamax`] |
//! | how far one step may go | [`clip_global_norm`], [`global_norm`] |
//! | which weights to evaluate | [`Ema`] |
//! | which noise step t draws | [`StepSeed`] |
//! | how to stop and go on | [`Checkpoint`] |
//! | what it costs | [`peak_rss_bytes`] |

pub mod adamax;
pub mod checkpoint;
pub mod ema;
mod error;
pub mod gradient;
pub mod memory;
pub mod optimizer;
mod parameter_path;
pub mod step_seed;
pub mod trainer;
pub mod warm_up;

pub use adamax::Adamax;
pub use checkpoint::Checkpoint;
pub use ema::{Ema, EmaDecay};
pub use error::{CheckpointError, TrainError};
pub use gradient::{clip_global_norm, global_norm};
pub use memory::peak_rss_bytes;
pub use optimizer::OptimizerConfig;
pub use step_seed::{Purpose, StepSeed};
pub use trainer::{GradientUnit, Trainer, TrainerConfig, Update};
pub use warm_up::WarmUp;
