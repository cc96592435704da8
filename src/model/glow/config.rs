//! Configuration of Glow and its presets.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{ClassGlow, Glow, GlowLevel, GlowMixing, GlowStep, TopPrior};
use crate::bijector::multi_scale::MultiScale;
use crate::bijector::site::built;
use crate::bijector::{Bijector, LayerConfig, Site};
use crate::conditioner::layer::zero_linear::LOG_SCALE_FACTOR;
use crate::conditioner::{GlowNetConfig, ZeroConvConfig};
use crate::context::Features;
use crate::coupling::CouplingConfig;
use crate::elementwise::ScalarAffineConfig;
use crate::error::{ConfigError, ShapeError};
use crate::flow::Flow;
use crate::flow::uninit::Uninit;
use crate::law::{AffineConfig, AffineForm};
use crate::linear::{
    ActNormConfig, ChannelMatrixConfig, ConstantChannel, Conv1x1Config, MatrixInit,
};
use crate::prior::StandardNormal;
use crate::quantize::UniformDequantizationConfig;
use crate::reshape::order::Order;
use crate::reshape::permutation::PermutationConfig;
use crate::reshape::{ChannelOrder, SqueezeConfig};
use crate::tensor::limit::{MOST_PARAMETERS, product, sum};

/// How a coupling transforms its second half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GlowCoupling {
    /// `x + t`.
    Additive,
    /// `(x + t)·σ(s + 2)`.
    Affine,
    /// `(x + t)·(1 + σ(s + 2))/2`: like `Affine`, with an inverse that at most doubles. It is not
    /// in the paper.
    Bounded,
}

/// How a step mixes its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum GlowPermutation {
    /// A plain matrix, initialised as a random orthogonal matrix (the released code's default).
    Matrix,
    /// The same in PLU form: no device-to-host copies in training, twice the parameters.
    Plu,
    /// The reverse order of the channels (the paper's ablation).
    Reverse,
    /// A different random order for each step (the paper's ablation).
    Shuffle {
        /// Seed of the orders.
        seed: u64,
    },
}

/// Distribution of the latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum GlowPrior {
    /// Standard normal.
    Standard,
    /// Normal with learned means and deviations, given the half that remains.
    Learned,
    /// Like `Learned`, where the prior of the deepest latents also depends on the class.
    Classes {
        /// Number of classes.
        n_classes: usize,
    },
}

config! {
    /// Configuration of [`Glow`].
    #[derive(Debug, PartialEq)]
    pub struct GlowConfig {
        /// Shape `[C, H, W]` of the images.
        pub image: [usize; 3],
        /// Number of scales `L`. Half of the channels is factored out between two scales.
        pub n_scales: usize,
        /// Number of steps `K` at each scale.
        pub n_steps: usize,
        /// Number of levels of a pixel, at least 2: 256 for 8 bits.
        pub n_levels: usize = 256,
        /// How the couplings transform their second half.
        pub coupling: GlowCoupling = GlowCoupling::Affine,
        /// How the steps mix their channels.
        pub permutation: GlowPermutation = GlowPermutation::Matrix,
        /// Number of filters of the networks.
        pub n_filters: usize = 512,
        /// Distribution of the latents.
        pub prior: GlowPrior = GlowPrior::Learned,
        /// What the norms do with a channel that is constant in the batch at initialisation, up to
        /// the noise of the dequantization.
        pub constant: ConstantChannel = ConstantChannel::Bounded,
    }
}

impl GlowConfig {
    /// The paper's CIFAR-10 model: 44,603,604 parameters.
    pub fn cifar10() -> Self {
        Self::new([3, 32, 32], 3, 32)
    }

    /// The same with additive couplings: 38,395,668 parameters.
    pub fn cifar10_additive() -> Self {
        Self::cifar10().with_coupling(GlowCoupling::Additive)
    }

    /// The paper's model of ImageNet at 32x32: 66,861,588 parameters.
    pub fn imagenet32() -> Self {
        Self::new([3, 32, 32], 3, 48)
    }

    /// The paper's model of ImageNet at 64x64: 112,377,540 parameters.
    pub fn imagenet64() -> Self {
        Self::new([3, 64, 64], 4, 48)
    }

    /// The paper's model of LSUN at 64x64: 66,861,588 parameters.
    pub fn lsun64() -> Self {
        Self::new([3, 64, 64], 3, 48)
    }

    /// The paper's model of CelebA-HQ at 256x256, with 5 bits and additive couplings: 175,099,620
    /// parameters.
    pub fn celeba_hq256() -> Self {
        Self::new([3, 256, 256], 6, 32).with_coupling(GlowCoupling::Additive).with_n_levels(32)
    }

    /// Eight steps at each scale with 128 filters, for a single machine: 1,739,796 parameters.
    pub fn small() -> Self {
        Self::own(3, 8, 128)
    }

    /// A model that learns within minutes on two cores: 243,308 parameters, as many as the tiny
    /// Flow++.
    pub fn tiny() -> Self {
        Self::own(2, 8, 43)
    }

    /// A small model of our own. PLU avoids device-to-host copies during training; bounded
    /// couplings can be sampled after minutes of training.
    fn own(n_scales: usize, n_steps: usize, n_filters: usize) -> Self {
        Self::new([3, 32, 32], n_scales, n_steps)
            .with_n_filters(n_filters)
            .with_permutation(GlowPermutation::Plu)
            .with_coupling(GlowCoupling::Bounded)
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Number of parameters of the model, counted without building it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        const NAME: &str = "GlowConfig";
        let [c, h, w] = self.image;
        for (field, value) in [
            ("image[0]", c),
            ("image[1]", h),
            ("image[2]", w),
            ("n_scales", self.n_scales),
            ("n_filters", self.n_filters),
        ] {
            ConfigError::positive(NAME, field, value)?;
        }
        ConfigError::repeated(NAME, "n_steps", self.n_steps)?;
        UniformDequantizationConfig::new().with_n_levels(self.n_levels).validate()?;
        if let GlowPrior::Classes { n_classes } = self.prior {
            ConfigError::positive(NAME, "n_classes", n_classes)?;
        }
        // 2^n_scales must divide both sides; a shift that overflows divides nothing.
        let factor = u32::try_from(self.n_scales)
            .ok()
            .and_then(|scales| 1usize.checked_shl(scales))
            .unwrap_or(usize::MAX);
        for (axis, length) in [(2, h), (3, w)] {
            if !length.is_multiple_of(factor) {
                let shape = vec![1, c, h, w];
                return Err(ShapeError::NotDivisible { layer: "Glow", axis, factor, shape }.into());
            }
        }
        // Squeezes keep the product, and each level but the deepest halves it, so no later shape is
        // larger.
        ConfigError::at_most(NAME, "image", product(self.image), MOST_PARAMETERS)?;
        let mut total = 0;
        for scale in 0..self.n_scales {
            let c = self.channels(scale);
            let coupling =
                self.coupling_config().plan(&Self::site(c, &Device::default()))?.num_params;
            let step = sum([self.norm().num_params(c), self.mixing_params(c)?, coupling]);
            total = sum([total, product([self.n_steps, step]), self.prior_params(scale)?]);
        }
        ConfigError::parameters(
            NAME,
            total,
            [("n_filters", self.n_filters), ("n_steps", self.n_steps)],
        )
    }

    /// Number of parameters of the channel mixing of a step.
    fn mixing_params(&self, c: usize) -> Result<usize, ConfigError> {
        match self.permutation {
            GlowPermutation::Matrix => {
                ChannelMatrixConfig::new().with_init(MatrixInit::Orthogonal).num_params(c)
            }
            GlowPermutation::Plu => Conv1x1Config::new().num_params(c),
            GlowPermutation::Reverse | GlowPermutation::Shuffle { .. } => Ok(0),
        }
    }

    /// Number of parameters of the prior that follows the steps of a level.
    fn prior_params(&self, scale: usize) -> Result<usize, ConfigError> {
        let c = self.channels(scale);
        match self.prior {
            GlowPrior::Standard => Ok(0),
            GlowPrior::Learned | GlowPrior::Classes { .. } if scale + 1 < self.n_scales => {
                Ok(Self::factor_out_config().plan(&Self::site(c, &Device::default()))?.num_params)
            }
            GlowPrior::Learned => TopPrior::num_params(c, None),
            GlowPrior::Classes { n_classes } => TopPrior::num_params(c, Some(n_classes)),
        }
    }

    /// Checks that the model accepts images of shape `[C, H, W]`. It can be called on data before
    /// the model is built.
    ///
    /// # Errors
    /// [`ShapeError::Example`] with both shapes.
    pub fn check_images(&self, shape: [usize; 3]) -> Result<(), ShapeError> {
        if shape == self.image {
            return Ok(());
        }
        Err(ShapeError::Example {
            layer: "Glow",
            expected: self.image.to_vec(),
            found: shape.to_vec(),
        })
    }

    /// The model, not yet initialised.
    ///
    /// # Errors
    /// The first rule that is broken; a configuration with classes is an error too.
    pub fn build(&self, device: &Device) -> Result<Uninit<Glow>, ConfigError> {
        self.build_given(device)
    }

    /// The class-conditional model, not yet initialised.
    ///
    /// # Errors
    /// The first rule that is broken. The prior must be [`GlowPrior::Classes`].
    pub fn build_classes(&self, device: &Device) -> Result<Uninit<ClassGlow>, ConfigError> {
        match self.prior {
            GlowPrior::Classes { .. } => self.build_given(device),
            GlowPrior::Standard | GlowPrior::Learned => {
                let (expected, found) = ("`GlowPrior::Classes`", "a prior without classes");
                Err(ShapeError::Context { layer: "GlowConfig", expected, found }.into())
            }
        }
    }

    fn build_given<C: Features<4>>(&self, device: &Device) -> Result<Uninit<Glow<C>>, ConfigError>
    where
        TopPrior: Bijector<4, C>,
    {
        self.validate()?;
        let levels =
            (0..self.n_scales).map(|index| self.level(index, device)).collect::<Result<_, _>>()?;
        let dequantization =
            UniformDequantizationConfig::new().with_n_levels(self.n_levels).build()?;
        let [c, h, w] = self.image;
        let shape = [1, c, h, w];
        let centre = built(&ScalarAffineConfig::new(1.0, -0.5), shape, device);
        let layers = (centre, MultiScale::new(levels));
        Ok(Flow::new_given(layers, StandardNormal::new(), shape)?.behind(dequantization))
    }

    /// Deviation up to which a channel shows a single level and its noise: 1.5 times the deviation
    /// of the noise, which is uniform over a level. A norm that scaled such a channel to deviation
    /// 1 would initialise a model of black images, in which all other images are almost impossible.
    fn flat(&self) -> f64 {
        1.5 / (12f64.sqrt() * self.n_levels as f64)
    }

    /// Number of channels of the steps of a scale: each squeeze multiplies it by four, and each
    /// scale keeps half of it.
    fn channels(&self, scale: usize) -> usize {
        self.image[0] << (scale + 2)
    }

    /// Number of channels of the deepest latents.
    pub(super) fn top_channels(&self) -> usize {
        self.channels(self.n_scales - 1)
    }

    fn level(&self, index: usize, device: &Device) -> Result<GlowLevel, ConfigError> {
        let c = self.channels(index);
        let first = index * self.n_steps;
        let steps = (first..first + self.n_steps)
            .map(|step| self.step(step, c, device))
            .collect::<Result<_, _>>()?;
        let (learned, deepest) = (self.prior != GlowPrior::Standard, index + 1 == self.n_scales);
        let n_classes = match self.prior {
            GlowPrior::Classes { n_classes } => Some(n_classes),
            GlowPrior::Standard | GlowPrior::Learned => None,
        };
        let factor_out = (learned && !deepest)
            .then(|| Self::factor_out_config().build(&Self::site(c, device)))
            .transpose()?;
        let top = (learned && deepest).then(|| TopPrior::new(c, n_classes, device)).transpose()?;
        Ok((SqueezeConfig::new(ChannelOrder::ChannelMajor).layer(), steps, factor_out, top))
    }

    fn factor_out_config() -> CouplingConfig<AffineConfig, ZeroConvConfig> {
        CouplingConfig::new(AffineConfig::new(AffineForm::Normal), ZeroConvConfig::new())
    }

    /// The site of a layer on `c` channels. Convolutions accept images of any size.
    fn site(c: usize, device: &Device) -> Site<4> {
        Site::new([1, c, 1, 1], device)
    }

    fn form(&self) -> AffineForm {
        match self.coupling {
            GlowCoupling::Additive => AffineForm::Additive,
            GlowCoupling::Affine => AffineForm::Sigmoid,
            GlowCoupling::Bounded => AffineForm::Bounded,
        }
    }

    fn coupling_config(&self) -> CouplingConfig<AffineConfig, GlowNetConfig> {
        let net = GlowNetConfig::new().with_n_filters(self.n_filters);
        CouplingConfig::new(AffineConfig::new(self.form()), net)
    }

    fn norm(&self) -> ActNormConfig {
        ActNormConfig::new()
            .with_log_scale_factor(LOG_SCALE_FACTOR)
            .with_constant(self.constant)
            .with_least_deviation(self.flat())
    }

    /// Step `index` of the model, on `c` channels.
    fn step(&self, index: usize, c: usize, device: &Device) -> Result<GlowStep, ConfigError> {
        // Only the coupling of a step needs the size of the image.
        let site = Self::site(c, device);
        let fixed =
            |order| PermutationConfig::new().with_order(order).build(&site).map(GlowMixing::Fixed);
        let mixing = match self.permutation {
            GlowPermutation::Matrix => GlowMixing::Matrix(
                ChannelMatrixConfig::new().with_init(MatrixInit::Orthogonal).build(&site)?,
            ),
            GlowPermutation::Plu => GlowMixing::Plu(Conv1x1Config::new().build(&site)?),
            GlowPermutation::Reverse => fixed(Order::Reversed)?,
            GlowPermutation::Shuffle { seed } => {
                fixed(Order::Shuffled { seed: seed.wrapping_add(index as u64) })?
            }
        };
        Ok((self.norm().build(&site)?, mixing, self.coupling_config().build(&site)?))
    }
}
