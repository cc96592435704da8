//! Glow: images as a multi-scale stack of norms, 1x1 convolutions and affine couplings, with
//! learned priors.
//! ```text
//! levels [B, C, H, W]
//!   dequantization    y = (x + u)/M,  u uniform                                          a bound
//!   centre            y − ½
//!   scales            squeeze -> steps (norm, channel mixing, coupling) -> half of the channels
//!                     is factored out, with a prior given the other half; the deepest scale has
//!                     its own prior, given the class if there is one
//!   prior             standard normal, of all latents
//! ```
//! | preset | image | scales, steps | filters | coupling | parameters |
//! |---|---|---|---|---|---|
//! | [`GlowConfig::tiny`] | 3x32x32 | 2, 8 | 43 | bounded affine | 243,308 |
//! | [`GlowConfig::small`] | 3x32x32 | 3, 8 | 128 | bounded affine | 1,739,796 |
//! | [`GlowConfig::cifar10`] | 3x32x32 | 3, 32 | 512 | affine | 44,603,604 |
//! | [`GlowConfig::cifar10_additive`] | 3x32x32 | 3, 32 | 512 | additive | 38,395,668 |
//! | [`GlowConfig::imagenet32`] | 3x32x32 | 3, 48 | 512 | affine | 66,861,588 |
//! | [`GlowConfig::imagenet64`] | 3x64x64 | 4, 48 | 512 | affine | 112,377,540 |
//! | [`GlowConfig::lsun64`] | 3x64x64 | 3, 48 | 512 | affine | 66,861,588 |
//! | [`GlowConfig::celeba_hq256`] | 3x256x256, 5 bits | 6, 32 | 512 | additive | 175,099,620 |
//!
//! A channel that shows a single level in the first batch, for example in black images, is
//! initialised as constant ([`ConstantChannel`](crate::ConstantChannel)). The released code would
//! enlarge the dequantization noise to variance 1.
//!
//! [`Glow`] is a [`Flow`] with a dequantization. The methods are those of
//! [`Density`](crate::Density). With classes the model is a [`ClassGlow`], a density given a
//! one-hot `Tensor<2>`. At a temperature T, the latents of every scale are sampled with T times
//! their deviation.
//!
//! Images of fewer than 8 bits are those of
//! [`BitDepth::reduce`](crate::quantize::BitDepth::reduce); bits/dim are then those of the reduced
//! image.
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::Density;
//! use flowkit::model::glow::GlowConfig;
//! use flowkit::quantize::BitDepth;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (device, depth) = (Device::flex(), BitDepth::new(5)?);
//! let x = Tensor::<4>::random([8, 3, 8, 8], Distribution::Uniform(0.0, 256.0), &device).int();
//! let x = depth.reduce(x); // 0..31
//! let glow = GlowConfig::new([3, 8, 8], 2, 1)
//!     .with_n_levels(32)
//!     .with_n_filters(8)
//!     .build(&device)?
//!     .initialize(x.clone())?;
//! println!("{}", glow.evaluate(x)?.bits_per_dim());
//! let images = depth.restore(glow.sample_at(4, 0.7)?); // 0, 8, ..., 248
//! assert_eq!(images.dims(), [4, 3, 8, 8]);
//! # Ok(())
//! # }
//! ```
//!
//! # Initialisation
//! In an initialised model every norm normalises the first batch, both between the couplings and in
//! their networks. The last layers are 0, so an affine coupling multiplies by σ(2) = 0.881 (−0.127
//! nats for each transformed element) and every prior is standard normal.
//!
//! # Numerics
//! The inverse of an affine coupling divides by σ(s + 2), which has no positive lower bound. Some
//! samples of a model that was trained only briefly overflow; `sample` then returns an error with
//! their number. A lower temperature avoids most of these cases, [`GlowCoupling::Bounded`] all of
//! them.
//!
//! # Reference
//! Kingma & Dhariwal 2018; layers, initialisation and priors of the released code, except for the
//! order of the channels within a layer's output. [`official`] reads its checkpoints.

pub mod classifier;
pub mod config;
pub mod mixing;
pub mod official;
pub mod preset;
pub mod top_prior;

pub use classifier::{GlowClassifier, GlowClassifierConfig};
pub use config::{GlowConfig, GlowCoupling, GlowPrior};
pub use mixing::{GlowMixing, GlowPermutation};
pub use preset::GlowPreset;
pub use top_prior::TopPrior;

use burn::tensor::Tensor;

use crate::bijector::multi_scale::MultiScale;
use crate::conditioner::{GlowNet, ZeroConv};
use crate::coupling::Coupling;
use crate::elementwise::ScalarAffine;
use crate::flow::Flow;
use crate::law::Affine;
use crate::linear::ActNorm;
use crate::prior::StandardNormal;
use crate::quantize::UniformDequantization;
use crate::reshape::Squeeze;

/// The model. Built by [`GlowConfig::build`].
pub type Glow<C = ()> = Flow<GlowLayers, StandardNormal, 4, C, UniformDequantization>;

/// The model given a class, one-hot. Built by [`GlowConfig::build_classes`].
///
/// There is no density without the class:
/// ```compile_fail,E0599
/// # use burn::tensor::{Device, Int, Tensor};
/// # use flowkit::Density;
/// # use flowkit::model::glow::{GlowConfig, GlowPrior};
/// # let device = Device::flex();
/// let config = GlowConfig::new([3, 8, 8], 2, 1)
///     .with_n_filters(8)
///     .with_prior(GlowPrior::Classes { n_classes: 10 });
/// let glow = config.build_classes(&device).unwrap().without_data();
/// // No method `evaluate` without the classes: `glow.given(&classes).evaluate(...)`.
/// glow.evaluate(Tensor::<4, Int>::zeros([1, 3, 8, 8], &device));
/// ```
pub type ClassGlow = Glow<Tensor<2>>;

/// Maps dequantized images to latents: centring, then the scales.
pub type GlowLayers = (ScalarAffine, MultiScale<GlowLevel>);

/// One scale: squeeze, steps, the prior of the half that is factored out, and at the deepest scale
/// the prior of the remaining latents.
pub type GlowLevel = (Squeeze, Vec<GlowStep>, Option<FactorOut>, Option<TopPrior>);

/// One coupling and the layers that precede it.
pub type GlowStep = (ActNorm<4>, GlowMixing, Coupling<Affine, GlowNet>);

/// Prior of the half of the channels that is factored out, given the half that remains.
pub type FactorOut = Coupling<Affine, ZeroConv>;
