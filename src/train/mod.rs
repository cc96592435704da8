//! Training: what turns a flow and data into a trained flow, and what survives an interruption.
//!
//! Everything here works on any burn [`Module`](burn::module::Module) and knows nothing of flows:
//!
//! | question | answer |
//! |---|---|
//! | how fast to learn at step t | [`WarmUp`] |
//! | which noise step t draws | [`StepSeed`] |
//! | what it costs | [`peak_rss_bytes`] |

mod memory;
mod step_seed;
mod warm_up;

pub use memory::peak_rss_bytes;
pub use step_seed::{Purpose, StepSeed};
pub use warm_up::WarmUp;
