//! Configuration of Glow and its presets.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::mixing::GlowPermutation;
use super::top_prior::TopPriorConfig;
use super::{ClassGlow, Glow, GlowLevel, TopPrior};
use crate::bijector::{Bijector, LayerConfig, MultiScaleConfig, Repeated, Site};
use crate::conditioner::layer::zero_linear::LOG_SCALE_FACTOR;
use crate::conditioner::{GlowNetConfig, ZeroConvConfig};
use crate::context::{ContextShape, Features};
use crate::coupling::CouplingConfig;
use crate::elementwise::ScalarAffineConfig;
use crate::error::{ConfigError, ShapeError};
use crate::flow::Flow;
use crate::flow::uninit::Uninit;
use crate::law::{AffineConfig, AffineForm};
use crate::linear::{ActNormConfig, ConstantChannel};
use crate::prior::StandardNormal;
use crate::quantize::UniformDequantizationConfig;
use crate::reshape::{ChannelOrder, SqueezeConfig};

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

/// The name of the configuration in its errors.
const NAME: &str = "GlowConfig";

/// Configuration of a [`GlowStep`](super::GlowStep).
type StepConfig = (ActNormConfig, GlowPermutation, CouplingConfig<AffineConfig, GlowNetConfig>);

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
        let device = Device::default();
        let total = match self.prior {
            GlowPrior::Classes { n_classes } => self.plan(&self.classes_site(n_classes, &device)),
            GlowPrior::Standard | GlowPrior::Learned => self.plan(&self.site(&device)),
        };
        total.map_err(|error| error.at(NAME))
    }

    /// Number of parameters of the layers.
    fn plan<C: Features<4>>(&self, site: &Site<4, C>) -> Result<usize, ConfigError>
    where
        TopPrior: Bijector<4, C>,
    {
        let layers = site.keeps(0).then(&Self::centre(), site, ".centre")?;
        Ok(layers.then(&self.scales(), site, "")?.num_params)
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
    /// The first rule that is broken. A model with classes is built by
    /// [`GlowConfig::build_classes`].
    pub fn build(&self, device: &Device) -> Result<Uninit<Glow>, ConfigError> {
        if let GlowPrior::Classes { .. } = self.prior {
            let expected = "a prior without classes, or `build_classes`";
            let found = "`GlowPrior::Classes`";
            return Err(ShapeError::Context { layer: NAME, expected, found }.into());
        }
        self.build_at(&self.site(device))
    }

    /// The class-conditional model, not yet initialised.
    ///
    /// # Errors
    /// The first rule that is broken. The prior must be [`GlowPrior::Classes`].
    pub fn build_classes(&self, device: &Device) -> Result<Uninit<ClassGlow>, ConfigError> {
        let GlowPrior::Classes { n_classes } = self.prior else {
            let (expected, found) = ("`GlowPrior::Classes`", "a prior without classes");
            return Err(ShapeError::Context { layer: NAME, expected, found }.into());
        };
        self.build_at(&self.classes_site(n_classes, device))
    }

    fn build_at<C: Features<4>>(&self, site: &Site<4, C>) -> Result<Uninit<Glow<C>>, ConfigError>
    where
        TopPrior: Bijector<4, C>,
    {
        self.validate()?;
        let layers = (Self::centre(), self.scales()).build(site)?;
        let dequantization =
            UniformDequantizationConfig::new().with_n_levels(self.n_levels).build()?;
        let flow = Flow::new_given(layers, StandardNormal::new(), site.shape())?;
        Ok(flow.behind(dequantization))
    }

    /// The site of the layers: that of an image.
    fn site(&self, device: &Device) -> Site<4> {
        let [c, h, w] = self.image;
        Site::new([1, c, h, w], device)
    }

    /// The same with a class as condition.
    fn classes_site(&self, n_classes: usize, device: &Device) -> Site<4, Tensor<2>> {
        let class = ContextShape::vector(Some(n_classes));
        Site::described(self.site(device).shape(), class, device)
    }

    /// Deviation up to which a channel shows a single level and its noise: 1.5 times the deviation
    /// of the noise, which is uniform over a level. A norm that scaled such a channel to deviation
    /// 1 would initialise a model of black images, in which all other images are almost impossible.
    fn flat(&self) -> f64 {
        1.5 / (12f64.sqrt() * self.n_levels as f64)
    }

    /// Number of channels of the deepest latents: each squeeze multiplies it by four, and each
    /// scale but the deepest keeps half of it.
    pub(super) fn top_channels(&self) -> usize {
        self.image[0] << (self.n_scales + 1)
    }

    fn centre() -> ScalarAffineConfig {
        ScalarAffineConfig::new(1.0, -0.5)
    }

    fn scales<C: Features<4>>(
        &self,
    ) -> MultiScaleConfig<impl LayerConfig<4, C, Layer = GlowLevel> + use<'_, C>>
    where
        TopPrior: Bijector<4, C>,
    {
        MultiScaleConfig::new((0..self.n_scales).map(|index| self.level(index)).collect())
    }

    fn level<C: Features<4>>(
        &self,
        index: usize,
    ) -> impl LayerConfig<4, C, Layer = GlowLevel> + use<'_, C>
    where
        TopPrior: Bijector<4, C>,
    {
        let squeeze = SqueezeConfig::new(ChannelOrder::ChannelMajor);
        let steps = Repeated::new(self.n_steps, move |step| self.step(index * self.n_steps + step));
        let (learned, deepest) = (self.prior != GlowPrior::Standard, index + 1 == self.n_scales);
        let factor_out =
            CouplingConfig::new(AffineConfig::new(AffineForm::Normal), ZeroConvConfig::new());
        let factor_out = (learned && !deepest).then_some(factor_out);
        (squeeze, steps, factor_out, (learned && deepest).then_some(TopPriorConfig))
    }

    fn form(&self) -> AffineForm {
        match self.coupling {
            GlowCoupling::Additive => AffineForm::Additive,
            GlowCoupling::Affine => AffineForm::Sigmoid,
            GlowCoupling::Bounded => AffineForm::Bounded,
        }
    }

    /// Step `index` of the model.
    fn step(&self, index: usize) -> StepConfig {
        let norm = ActNormConfig::new()
            .with_log_scale_factor(LOG_SCALE_FACTOR)
            .with_constant(self.constant)
            .with_least_deviation(self.flat());
        let mixing = match self.permutation {
            GlowPermutation::Shuffle { seed } => {
                GlowPermutation::Shuffle { seed: seed.wrapping_add(index as u64) }
            }
            other => other,
        };
        let net = GlowNetConfig::new().with_n_filters(self.n_filters);
        (norm, mixing, CouplingConfig::new(AffineConfig::new(self.form()), net))
    }
}
