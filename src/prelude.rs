//! The names that most programs need: to build a flow, fit it, evaluate it and sample from it.
//!
//! ```
//! use flowkit::prelude::*;
//!
//! fn main() -> flowkit::Result<()> {
//!     let device = Device::flex();
//!     let step = (ActNormConfig::new(), Conv1x1Config::new());
//!     let x = TwoMoons::new(256, 0.1, 0).points(&device);
//!     let flow = Flow::build(&vec![step; 2], StandardNormal::new(), [1, 2], &device)?;
//!     let flow = flow.initialize(x.clone())?;
//!     println!("{}", flow.evaluate(x)?.bits_per_dim());
//!     let samples = flow.sample(16)?;
//!     assert_eq!(samples.dims(), [16, 2]);
//!     Ok(())
//! }
//! ```

pub use burn::module::Module;
pub use burn::tensor::{Device, Distribution, Int, Tensor};

pub use crate::bijector::boxed::BoxBijector;
pub use crate::bijector::invert::Invert;
pub use crate::bijector::{Bijector, LayerConfig, Site};
pub use crate::conditioner::{
    Activation, ConvResNetConfig, GatedNetConfig, GlowNetConfig, MlpConfig, ResNetConfig,
};
pub use crate::coupling::CouplingConfig;
pub use crate::data::TwoMoons;
pub use crate::elementwise::{ColumnMap, ColumnsConfig, LogitConfig, ScalarAffineConfig, Sigmoid};
pub use crate::encoder::{
    ImageEncoderConfig, SeriesEncoderConfig, SetEncoderConfig, StandardizedConfig,
    VectorEncoderConfig,
};
pub use crate::flow::uninit::Uninit;
pub use crate::flow::{Density, Embedded, Ensemble, Flow, Reparametrised};
pub use crate::law::{
    AffineConfig, AffineForm, BernsteinConfig, CircularSplineConfig, GaussianizationConfig,
    MixLogCdfConfig, RationalQuadraticSplineConfig,
};
pub use crate::linear::{ActNormConfig, ChannelMatrixConfig, Conv1x1Config, PositionNormConfig};
pub use crate::prior::{
    ConditionalNormalConfig, DiagonalNormalConfig, NormalMixtureConfig, StandardNormal, Uniform,
    UniformBoxConfig,
};
pub use crate::quantize::{UniformDequantizationConfig, VariationalDequantizationConfig};
pub use crate::reshape::{ChannelOrder, PartitionConfig, Pattern, SqueezeConfig, Swap};
pub use crate::tensor::half::Half;
pub use crate::train::{FitConfig, NegativeLogLikelihood, Trainer, TrainerConfig};
