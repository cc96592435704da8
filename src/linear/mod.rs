//! Maps that are linear or affine in the data: normalisation and mixing of channels.

pub mod act_norm;
pub mod channel_matrix;
pub mod conv1x1;
pub mod householder;
mod matrix;
pub(crate) mod plu_factors;
pub mod position_norm;
pub mod standardize;

pub use act_norm::{ActNorm, ActNormConfig};
pub use channel_matrix::{ChannelMatrix, ChannelMatrixConfig, MatrixInit};
pub use conv1x1::{Conditioning, Conv1x1, Conv1x1Config, Conv1x1Init};
pub use householder::{Householder, HouseholderConfig};
pub use position_norm::{PositionNorm, PositionNormConfig};
pub use standardize::ConstantChannel;
