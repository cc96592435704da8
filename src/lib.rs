//! Normalizing flows: densities built from invertible maps, on [burn](https://burn.dev).
//!
//! A [`Bijector`] maps data `x` to latents `z` and back, with an exact log-determinant. Tuples,
//! `Vec` and [`Invert`] compose bijectors. A [`Flow`] combines a bijector with a prior, the
//! distribution of the latents: `ln p(x) = ln p_prior(z) + ln |det ∂z/∂x|`. An unconditional flow
//! is a [`Density`], which can be evaluated and sampled; a flow with a condition, such as a class,
//! becomes a density by [`Flow::given`]. For discrete data, [`Flow::behind`] adds a
//! [`Surjection`], which makes the data continuous by noise, and the flow evaluates a bound on the
//! likelihood. [`model::flow_plus_plus`] is Flow++ (Ho et al. 2019) and [`model::glow`] is Glow
//! (Kingma & Dhariwal 2018), both built from these parts.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::{ActNormConfig, Conv1x1Config, Density, Flow, Invert, Sigmoid, StandardNormal};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex();
//! // Two features in (0, 1): undo a sigmoid, mix, normalise.
//! let layers = (Invert::new(Sigmoid::new()), Conv1x1Config::new(), ActNormConfig::new());
//! let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], &device)?;
//! let x = Tensor::<2>::random([256, 2], Distribution::Uniform(0.1, 0.9), &device);
//! let flow = flow.initialize(x.clone())?;
//! let log_likelihood = flow.evaluate(x)?; // nats, one per example
//! assert_eq!(log_likelihood.nats().len(), 256);
//! let samples = flow.sample(16)?;
//! assert_eq!(samples.dims(), [16, 2]);
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//! | topic | items |
//! |---|---|
//! | a first program | [`prelude`] |
//! | complete models | [`model::Nsf`], [`model::RealNvp`], [`model::Maf`], [`model::flow_plus_plus`], [`model::glow`] |
//! | composing layers | tuples, `Vec`, `Option`, [`Invert`], [`BoxBijector`], [`Boxed`], [`Blockwise`], [`chain!`], [`choice!`] |
//! | building from configurations | [`LayerConfig`], [`Site`], [`Plan`]; from a JSON file, [`AnyLayerConfig`]; of your own, [`config!`] |
//! | couplings: a network reads one half of the elements and determines how the other half is transformed | [`Coupling`] or [`MaskedCoupling`], of a [`law::Law`] ([`law::MixLogCdf`], [`law::RationalQuadraticSpline`], [`law::CircularSpline`], [`law::Bernstein`], [`law::Gaussianization`], [`law::Affine`]) and a [`Net`] |
//! | autoregressive layers: each element is transformed given the preceding ones | [`MaskedAutoregressive`], of a law and an [`AutoregressiveNet`] ([`Made`], [`ResMade`]) |
//! | networks for vectors | [`Mlp`], [`ResNet`] |
//! | networks for images | [`ConvResNet`], [`GatedNet`], [`GlowNet`], [`ZeroConv`] |
//! | a network or a law that a JSON file names | [`AnyNetConfig`], [`law::AnyLawConfig`] |
//! | normalising | [`ActNorm`], [`PositionNorm`] |
//! | mixing channels | [`Conv1x1`], [`ChannelMatrix`], [`Householder`] |
//! | moving elements | [`Permutation`], [`Swap`], [`Partition`], [`Squeeze`] |
//! | each element by itself | [`Elementwise`] with a law, [`ScalarAffine`], [`LeakyRelu`] |
//! | the columns of a table, each by a map of its own | [`Columns`], [`ColumnMap`], [`data::Table::column_maps`] |
//! | intervals and half-lines | [`Columns`], [`Logit`], [`Sigmoid`], [`Tanh`], [`Softplus`], [`Exp`] |
//! | several resolutions | [`MultiScale`], [`Latents`] |
//! | priors | [`StandardNormal`], [`DiagonalNormal`], [`MultivariateNormal`], [`NormalMixture`], [`ConditionalNormal`], [`StandardLogistic`], [`StudentT`], [`Uniform`], [`UniformBox`] |
//! | conditions | [`Context`], [`Features`], [`Flow::given`] |
//! | a network that computes the condition, trained with the flow | [`Embedded`], [`mod@encoder`] |
//! | discrete data | [`UniformDequantization`], [`VariationalDequantization`], [`BitDepth`]; integers in a table: [`IntegerColumns`] |
//! | initialisation from data, and its errors | [`Uninit`], [`ConstantChannel`], [`InitProblem`] |
//! | densities and their results | [`Density`], [`LogLikelihood`], [`BitsPerDim`], [`flow::likelihood`] |
//! | results row by row | [`RowLikelihoods`], [`SampledRows`] |
//! | sampling from an unnormalised density | [`train::ReverseKl`], [`train::ForwardKl`], [`train::AlphaTwo`], [`importance`] |
//! | samples with their log-density; samples with gradients | [`Samples`]; [`Reparametrised`] |
//! | fitting in one call, saving, loading | [`train::FitConfig`], [`Flow::save`], [`Uninit::load`] |
//! | files of NumPy, PyTorch and safetensors | [`state_dict`] |
//! | training loops | [`train::Trainer`], [`train`]; less memory: [`GradientMemory`] |
//! | data sets and loaders | [`data`] |
//! | posteriors from simulations: whether they have the right width | [`calibration`]; [`Ensemble`] |
//! | the effect of each layer on a batch | [`Density::diagnose`], [`mod@flow::diagnose`] |
//! | a layer of your own | [`Bijector`], [`ShapeMap`], [`Leaf`], [`Rearrange`], [`check_shape`] |
//! | a backward pass, a visit of the layers or a driver of your own | [`bijector::replay`], [`bijector::visit`], [`bijector::drive`] |
//! | a network of your own | [`Net`], [`NetConfig`], [`NetSite`]; its parts: [`conditioner::layer`] |
//! | random initial values, seeded scopes | [`tensor::parameter`], [`random`] |
//! | functions that stay accurate in the tails | [`tensor::smooth`] |
//! | errors | [`Error`], [`ConfigError`], [`ShapeError`], [`FlowError`], [`train::TrainError`], [`train::CheckpointError`] |
//! | fused operations | [`kernel`] |
//! | replacing a file atomically | [`whole_file`] |
//!
//! # Conventions
//! `forward` maps data to latents; `log_det` is `ln |det ∂z/∂x|` in nats (units of the natural
//! logarithm), one value per example.
//! The first axis is the batch, the second the channels. The configuration of `X` is `XConfig`.
//! [`LayerConfig::build`] makes the layer for a [`Site`], which holds the shape of its input, or
//! returns an error that names the rule and the place.
//!
//! # Devices and features
//! Modules run on every burn backend; the [`Device`](burn::tensor::Device) on which they are made
//! determines which.
//!
//! | feature | what it adds |
//! |---|---|
//! | `flex` (default) | burn's CPU backend |
//! | `progress` (default) | a progress bar for `fit` |
//! | `wgpu` | WebGPU: Vulkan, Metal, DirectX 12 |
//! | `vulkan`, `metal` | `wgpu` with burn's own compilers for Vulkan (built, not run) and Metal (type-checked) |
//! | `cuda` | NVIDIA GPUs |
//! | `image` (default) | folders of images, embedded photographs |
//! | `download` | CIFAR-10 from the internet |
//! | `plot` | plots of a [`Diagnosis`] (SVG) |
//! | `testing` | `flowkit::testing`: conformance checks for bijectors of your own |
//! | `train` | burn's `Learner` for flows: steps, metrics, checkpoints, early stopping |
//! | `tui` | the dashboard of the `Learner` in the terminal |

#[macro_use]
#[doc(hidden)]
pub mod config;
mod counted;

pub mod any_layer;
pub mod autoregressive;
pub mod bijector;
pub mod calibration;
pub mod conditioner;
pub mod context;
pub mod coupling;
pub mod data;
pub mod elementwise;
pub mod encoder;
pub mod error;
pub mod flow;
pub mod importance;
pub mod kernel;
pub mod law;
pub mod linear;
pub mod model;
pub mod prelude;
pub mod prior;
pub mod quantize;
pub mod random;
pub mod reshape;
mod result;
pub mod state_dict;
pub mod tensor;
#[cfg(feature = "testing")]
pub mod testing;
pub mod train;
pub mod whole_file;

pub use any_layer::AnyLayerConfig;
pub use autoregressive::{
    AutoregressiveNet, Made, MadeConfig, MaskedAutoregressive, MaskedAutoregressiveConfig, ResMade,
    ResMadeConfig,
};
pub use bijector::boxed::BoxBijector;
pub use bijector::invert::Invert;
pub use bijector::multi_scale::{Latents, MultiScale};
pub use bijector::replay::GradientMemory;
pub use bijector::{
    Bijector, Block, Blockwise, BlockwiseConfig, Boxed, ChainRule, ChainRuleConfig, LayerConfig,
    Leaf, MultiScaleConfig, Plan, Reading, Rearrange, ShapeMap, Site,
};
pub use conditioner::{
    Activation, AngleNet, AngleNetConfig, AnyNet, AnyNetConfig, ConvResNet, ConvResNetConfig,
    ConvStyle, GatedNet, GatedNetConfig, GlowNet, GlowNetConfig, Mixing, Mlp, MlpConfig, Net,
    NetConfig, NetSite, OutputActivation, ResNet, ResNetConfig, ZeroConv, ZeroConvConfig,
};
pub use context::{Context, ContextShape, Features};
pub use coupling::{Coupling, CouplingConfig, Mask, MaskedCoupling, MaskedCouplingConfig};
pub use elementwise::{
    ColumnMap, Columns, ColumnsConfig, Elementwise, ElementwiseConfig, Exp, LeakyRelu,
    LeakyReluConfig, Logit, LogitConfig, ScalarAffine, ScalarAffineConfig, Sigmoid, Softplus, Tanh,
};
pub use encoder::{
    Encoder, EncoderConfig, ImageEncoder, ImageEncoderConfig, SeriesEncoder, SeriesEncoderConfig,
    SetEncoder, SetEncoderConfig, Standardized, StandardizedConfig, Unchanged, VectorEncoder,
    VectorEncoderConfig,
};
pub use error::{CapacityError, ConfigError, FlowError, InitProblem, ShapeError, check_shape};
pub use flow::diagnose::{Diagnosis, DiagnosisConfig, LayerDiagnosis};
pub use flow::likelihood::{BitsPerDim, LogLikelihood};
pub use flow::surjection::{Continuous, Surjection};
pub use flow::uninit::Uninit;
pub use flow::{
    Density, Embedded, Ensemble, FailedRow, Flow, Given, Reparametrised, RowFault, RowLikelihoods,
    SampledRows, Samples,
};
pub use linear::{
    ActNorm, ActNormConfig, ChannelMatrix, ChannelMatrixConfig, Conditioning, ConstantChannel,
    Conv1x1, Conv1x1Config, Conv1x1Init, Householder, HouseholderConfig, MatrixInit, PositionNorm,
    PositionNormConfig,
};
pub use prior::{
    BoxBound, ConditionalNormal, ConditionalNormalConfig, DiagonalNormal, DiagonalNormalConfig,
    ElementPrior, MultivariateNormal, MultivariateNormalConfig, NormalMixture, NormalMixtureConfig,
    NormalOrUniform, NormalOrUniformConfig, Prior, PriorConfig, ReparametrisedPrior,
    StandardLogistic, StandardNormal, StudentT, StudentTConfig, Uniform, UniformBox,
    UniformBoxConfig,
};
pub use quantize::{
    BitDepth, IntegerColumns, IntegerColumnsConfig, UniformDequantization,
    UniformDequantizationConfig, VariationalDequantization, VariationalDequantizationConfig,
};
pub use reshape::order::Order;
pub use reshape::{
    ChannelOrder, Partition, PartitionConfig, Pattern, Permutation, PermutationConfig, Squeeze,
    SqueezeConfig, Swap,
};
pub use result::{Error, Result};
pub use tensor::finite::NonFiniteContext;
pub use tensor::half::Half;

/// The programs in the README and in the pages of `docs` are doc tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/coming-from.md")]
    struct ComingFrom;
    #[doc = include_str!("../docs/conventions.md")]
    struct Conventions;
    #[doc = include_str!("../docs/extend.md")]
    struct Extend;
    #[doc = include_str!("../docs/choose.md")]
    struct Choose;
    #[doc = include_str!("../docs/sampling.md")]
    struct Sampling;
    #[doc = include_str!("../docs/posteriors.md")]
    struct Posteriors;
}
