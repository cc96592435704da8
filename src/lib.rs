#![doc = "Normalizing flows for burn."]

pub mod bijector;
mod bound_flow;
mod boxed;
mod compose;
mod conditioner;
mod context;
mod coupling;
pub mod data;
mod elementwise;
mod error;
mod event;
mod flow;
pub mod law;
mod linear;
pub mod metric;
pub mod model;
mod parameter;
mod prior;
mod quantize;
mod reshape;
mod surjection;
pub mod train;

pub use bijector::{Bijector, Cotangent, Walk};
pub use bound_flow::BoundFlow;
pub use boxed::BoxBijector;
pub use compose::Invert;
pub use conditioner::{
    ChannelNorm, ChannelNormConfig, Conditioner, ConvStart, GateKernel, GatedAttention, GatedAttentionConfig,
    GatedConv, GatedConvConfig, GatedNet, GatedNetConfig, Mixing, StartedConv, StartedConvConfig, concat_elu,
};
pub use context::Context;
pub use coupling::{Coupling, CouplingConfig, Half};
pub use elementwise::{Logit, LogitConfig, Sigmoid};
pub use error::{ConfigError, FlowError, ShapeError};
pub use flow::Flow;
pub use linear::{
    ActNorm, ActNormConfig, ChannelMatrix, ChannelMatrixConfig, Conv1x1, Conv1x1Config, PositionNorm,
    PositionNormConfig,
};
pub use metric::{BitsPerDim, LogLikelihood};
pub use prior::{Prior, StandardNormal, Uniform};
pub use quantize::{
    Encoder, UniformDequantization, UniformDequantizationConfig, VariationalDequantization,
    VariationalDequantizationConfig,
};
pub use reshape::{ChannelOrder, Partition, PartitionConfig, Pattern, Squeeze, SqueezeConfig, Swap};
pub use surjection::Surjection;
