//! Configuration of Flow++.

mod dequantization;
mod named;
mod network;
mod stage;

use burn::tensor::Device;

pub use dequantization::{DequantizationConfig, NoiseMixing, VariationalConfig};
pub use network::{ChannelMixing, CouplingLaw};
pub use stage::{Resolution, StageConfig};

use super::{FlowPlusPlus, FlowPlusPlusDequantization, FlowPlusPlusEncoderConfig, Stage, Step};
use crate::bijector::invert::Invert;
use crate::bijector::site::built;
use crate::bijector::{LayerConfig, ShapeMap, Site};
use crate::conditioner::{ConvStyle, GatedNetConfig, Mixing, OutputActivation};
use crate::context::ContextShape;
use crate::coupling::CouplingConfig;
use crate::elementwise::{LogitConfig, Sigmoid};
use crate::error::{ConfigError, ShapeError};
use crate::flow::Flow;
use crate::flow::uninit::Uninit;
use crate::law::{AffineConfig, AffineForm, AnyLawConfig, MixLogCdfConfig};
use crate::linear::{ChannelMatrixConfig, PositionNormConfig};
use crate::prior::StandardNormal;
use crate::quantize::{UniformDequantizationConfig, VariationalDequantizationConfig};
use crate::reshape::{ChannelOrder, PartitionConfig, Pattern, SqueezeConfig, Swap};
use crate::tensor::limit::{MOST_PARAMETERS, per_example, product, sum};

/// Deviation up to which a position counts as constant at initialisation: a tenth of the deviation
/// that a norm gives to the others. After the logit, one black level of 256 with its noise has a
/// deviation of 0.02, and seven grey levels have a deviation of 0.1.
const FLAT: f64 = 0.1;

config! {
    /// Configuration of [`FlowPlusPlus`].
    #[derive(Debug, PartialEq)]
    pub struct FlowPlusPlusConfig {
        /// Shape `[C, H, W]` of the images.
        pub image: [usize; 3],
        /// Number of levels of a pixel.
        pub n_levels: usize = 256,
        /// Stages, first to last.
        pub stages: Vec<StageConfig>,
        /// Dequantization.
        pub dequantization: DequantizationConfig,
        /// Law of all couplings.
        pub law: CouplingLaw = CouplingLaw::MixLogCdf { n_components: 32 },
        /// Number of filters of the networks.
        pub n_filters: usize = 96,
        /// Number of blocks of the networks.
        pub n_blocks: usize = 10,
        /// How the networks mix positions.
        pub mixing: Mixing = Mixing::Attention { heads: 4 },
        /// Dropout, initialisation and weights of the convolutions of all networks.
        pub style: ConvStyle = ConvStyle::default(),
        /// Whether channels are mixed before every coupling.
        pub channel_mixing: ChannelMixing = ChannelMixing::Matrix,
        /// Order of the channels after a squeeze.
        pub squeeze_order: ChannelOrder = ChannelOrder::BlockMajor,
        /// Constant that the norms add to the variance at initialisation.
        pub variance_floor: f64 = 1e-8,
        /// The activation that precedes the last convolution of the couplings' networks.
        pub output_activation: OutputActivation = OutputActivation::None,
    }
}

impl FlowPlusPlusConfig {
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
        const NAME: &str = "FlowPlusPlusConfig";
        for (field, value) in
            [("image[0]", self.image[0]), ("image[1]", self.image[1]), ("image[2]", self.image[2])]
        {
            ConfigError::positive(NAME, field, value)?;
        }
        ConfigError::positive(NAME, "stages", self.stages.len())?;
        UniformDequantizationConfig::new().with_n_levels(self.n_levels).validate()?;
        PositionNormConfig::new().with_variance_floor(self.variance_floor).validate()?;
        if let CouplingLaw::MixLogCdf { n_components } = self.law {
            MixLogCdfConfig::new(n_components).validate()?;
        }
        // Squeezes and partitions keep the product, so no later shape is larger.
        ConfigError::at_most(NAME, "image", product(self.image), MOST_PARAMETERS)?;
        let mut total = 0;
        if let DequantizationConfig::Variational(noise) = self.dequantization {
            noise.validate()?;
            let half = self.half(self.image, noise.pattern)?;
            let site = Self::site(half, Some(noise.n_context), &Device::default());
            let step = self.step_params(&self.noise_net(noise), &site)?;
            total =
                sum([self.encoder(half, noise).num_params()?, product([noise.n_couplings, step])]);
        }
        let mut image = self.image;
        for stage in &self.stages {
            stage.validate()?;
            image = stage.resolution.squeezed(image)?;
            let site = Self::site(self.half(image, stage.pattern)?, None, &Device::default());
            let step = self.step_params(&self.net(), &site)?;
            total = sum([total, product([stage.n_couplings, step])]);
        }
        let couplings = self.stages.iter().map(|stage| stage.n_couplings).max().unwrap_or(0);
        let sizes = [
            ("n_filters", self.n_filters),
            ("n_blocks", self.n_blocks),
            ("stages.n_couplings", couplings),
        ];
        ConfigError::parameters(NAME, total, sizes)
    }

    /// Number of parameters of [`FlowPlusPlusConfig::step`].
    fn step_params(&self, net: &GatedNetConfig, site: &Site<4>) -> Result<usize, ConfigError> {
        let coupling = self.coupling(net).plan(site)?.num_params;
        let norm = PositionNormConfig::new().num_params(per_example(site.shape()))?;
        let matrix = match self.channel_mixing {
            ChannelMixing::Matrix => {
                ChannelMatrixConfig::new().with_n_groups(2).num_params(site.shape()[1])?
            }
            ChannelMixing::None => 0,
        };
        Ok(sum([norm, matrix, coupling]))
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
            layer: "FlowPlusPlus",
            expected: self.image.to_vec(),
            found: shape.to_vec(),
        })
    }

    /// The model, not yet initialised.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self, device: &Device) -> Result<Uninit<FlowPlusPlus>, ConfigError> {
        self.validate()?;
        let mut image = self.image;
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            image = stage.resolution.squeezed(image)?;
            let site = Self::site(self.half(image, stage.pattern)?, None, device);
            let net = self.net();
            let squeeze = || SqueezeConfig::new(self.squeeze_order).layer();
            stages.push(Stage {
                squeezes: (0..stage.resolution.n_squeezes()).map(|_| squeeze()).collect(),
                partition: PartitionConfig::new(stage.pattern).layer(),
                steps: (0..stage.n_couplings)
                    .map(|_| self.step(&net, FLAT, &site))
                    .collect::<Result<_, _>>()?,
            });
        }
        let [c, h, w] = self.image;
        let layers = (built(&LogitConfig::new(), [1, c, h, w], device), stages);
        let dequantization = self.build_dequantization(device)?;
        Ok(Flow::new(layers, StandardNormal::new(), [1, c, h, w])?.behind(dequantization))
    }

    fn build_dequantization(
        &self,
        device: &Device,
    ) -> Result<FlowPlusPlusDequantization, ConfigError> {
        let DequantizationConfig::Variational(noise) = self.dequantization else {
            let uniform = UniformDequantizationConfig::new().with_n_levels(self.n_levels);
            return Ok(FlowPlusPlusDequantization::Uniform(uniform.build()?));
        };
        let half = self.half(self.image, noise.pattern)?;
        let (net, site) = (self.noise_net(noise), Self::site(half, Some(noise.n_context), device));
        let partition = || PartitionConfig::new(noise.pattern).layer();
        let encoder = self.encoder(half, noise).build(device)?;
        let steps = (0..noise.n_couplings)
            .map(|_| self.step(&net, 0.0, &site))
            .collect::<Result<_, _>>()?;
        let flow = (partition(), steps, Invert::new(partition()), Sigmoid::new());
        let dequantization = VariationalDequantizationConfig::new().with_n_levels(self.n_levels);
        Ok(FlowPlusPlusDequantization::Variational(dequantization.build(encoder, flow)?))
    }

    /// Shape of one half of an image.
    fn half(&self, [c, h, w]: [usize; 3], pattern: Pattern) -> Result<[usize; 3], ShapeError> {
        let partition = PartitionConfig::new(pattern).layer();
        let [_, c, h, w] = partition.output_shape([1, c, h, w])?;
        Ok([c / 2, h, w])
    }

    /// The site of a step whose halves have the shape `[C, H, W]`.
    fn site([c, h, w]: [usize; 3], n_context: Option<usize>, device: &Device) -> Site<4> {
        let context = n_context.map(|channels| vec![1, channels, h, w]).into_iter().collect();
        Site::described([1, product([2, c]), h, w], ContextShape::new(context), device)
    }

    fn law(&self) -> AnyLawConfig {
        match self.law {
            CouplingLaw::Affine => AffineConfig::new(AffineForm::Exponential).into(),
            // As published. A bound is for networks whose theta grows with the input, which the
            // norms of these networks prevent.
            CouplingLaw::MixLogCdf { n_components } => {
                MixLogCdfConfig::new(n_components).with_max_log_scale(None).into()
            }
        }
    }

    fn coupling(&self, net: &GatedNetConfig) -> CouplingConfig<AnyLawConfig, GatedNetConfig> {
        CouplingConfig::new(self.law(), net.clone())
    }

    /// Network of a coupling of the flow.
    fn net(&self) -> GatedNetConfig {
        GatedNetConfig::new(self.n_filters, self.n_blocks)
            .with_mixing(Some(self.mixing))
            .with_style(self.style)
            .with_output_activation(self.output_activation)
    }

    /// Network of a coupling of the noise flow.
    fn noise_net(&self, noise: VariationalConfig) -> GatedNetConfig {
        let net = self.net();
        let mixing = match noise.mixing {
            NoiseMixing::AsFlow => net.mixing,
            NoiseMixing::None => None,
        };
        GatedNetConfig { n_filters: noise.n_filters, n_blocks: noise.n_blocks, ..net }
            .with_mixing(mixing)
    }

    fn encoder(&self, half: [usize; 3], noise: VariationalConfig) -> FlowPlusPlusEncoderConfig {
        let VariationalConfig { pattern, n_context, n_encoder_blocks, encoder_block, .. } = noise;
        FlowPlusPlusEncoderConfig::new(pattern, half, n_context, n_encoder_blocks, encoder_block)
            .with_style(self.style)
    }

    /// A coupling and the layers that precede it. A position with a deviation of `flat` or less
    /// counts as constant at initialisation.
    fn step(&self, net: &GatedNetConfig, flat: f64, site: &Site<4>) -> Result<Step, ConfigError> {
        let matrix = match self.channel_mixing {
            ChannelMixing::Matrix => Some(ChannelMatrixConfig::new().with_n_groups(2).build(site)?),
            ChannelMixing::None => None,
        };
        let norm = PositionNormConfig::new()
            .with_variance_floor(self.variance_floor)
            .with_least_deviation(flat);
        Ok((norm.build(site)?, matrix, self.coupling(net).build(site)?, Swap::new()))
    }
}
