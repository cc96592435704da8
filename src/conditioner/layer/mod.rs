//! Layers of which the networks of this crate consist.

pub mod activation;
pub mod channel_norm;
pub mod conv_style;
pub mod data_init_conv;
pub mod gated_attention;
pub mod gated_block;
pub mod gated_conv;
pub mod zero_linear;

pub use activation::Activation;
pub use channel_norm::{ChannelNorm, ChannelNormConfig};
pub use conv_style::ConvStyle;
pub use data_init_conv::{ConvInit, ConvWeight, DataInitConv, DataInitConvConfig};
pub use gated_attention::{GatedAttention, GatedAttentionConfig, Mixing};
pub use gated_block::{GatedBlock, GatedBlockConfig};
pub use gated_conv::{GateKernel, GatedConv, GatedConvConfig};
pub use zero_linear::{ZeroLinear, ZeroLinearConfig};

pub use crate::kernel::concat_elu::forward as concat_elu;
