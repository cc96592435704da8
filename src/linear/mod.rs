//! Maps that are linear, or affine, in the data: normalisation and mixing of channels.

mod act_norm;
mod channel_matrix;
mod conv1x1;
mod matrix;
mod position_norm;

pub use act_norm::{ActNorm, ActNormConfig};
pub use channel_matrix::{ChannelMatrix, ChannelMatrixConfig};
pub use conv1x1::{Conv1x1, Conv1x1Config};
pub use position_norm::{PositionNorm, PositionNormConfig};
