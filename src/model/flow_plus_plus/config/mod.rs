//! Configuration of Flow++.

mod dequantization;
mod named;
mod network;
mod stage;

use burn::tensor::{Device, Tensor};

pub use dequantization::{DequantizationConfig, NoiseMixing, VariationalConfig};
pub use network::{ChannelMixing, CouplingLaw};
pub use stage::{Resolution, StageConfig};

use self::stage::StageLayers;
use super::{FlowPlusPlus, FlowPlusPlusDequantization, FlowPlusPlusEncoderConfig, NoiseFlow};
use crate::bijector::invert::Invert;
use crate::bijector::{LayerConfig, Repeated, Site};
use crate::conditioner::{ConvStyle, GatedNetConfig, Mixing, OutputActivation};
use crate::coupling::CouplingConfig;
use crate::elementwise::{LogitConfig, Sigmoid};
use crate::encoder::EncoderConfig;
use crate::error::{ConfigError, ShapeError};
use crate::flow::Flow;
use crate::flow::uninit::Uninit;
use crate::law::{AffineConfig, AffineForm, AnyLawConfig, MixLogCdfConfig};
use crate::linear::{ChannelMatrixConfig, PositionNormConfig};
use crate::prior::StandardNormal;
use crate::quantize::{UniformDequantizationConfig, VariationalDequantizationConfig};
use crate::reshape::{ChannelOrder, PartitionConfig, Swap};
use crate::tensor::limit::sum;

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
        pub law: CouplingLaw = CouplingLaw::mix_log_cdf(32),
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

/// The name of the configuration in its errors.
const NAME: &str = "FlowPlusPlusConfig";

/// Configuration of a [`Step`](super::Step).
type StepConfig = (
    PositionNormConfig,
    Option<ChannelMatrixConfig>,
    CouplingConfig<AnyLawConfig, GatedNetConfig>,
    Swap,
);

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
        for (field, value) in
            [("image[0]", self.image[0]), ("image[1]", self.image[1]), ("image[2]", self.image[2])]
        {
            ConfigError::positive(NAME, field, value)?;
        }
        ConfigError::positive(NAME, "stages", self.stages.len())?;
        self.plan(&self.site(&Device::default())).map_err(|error| error.at(NAME))
    }

    /// Number of parameters of dequantization and layers.
    fn plan(&self, site: &Site<4>) -> Result<usize, ConfigError> {
        let noise = self.plan_dequantization(site).map_err(|error| error.at(".dequantization"))?;
        let layers = site.keeps(noise).then(&LogitConfig::new(), site, ".logit")?;
        Ok(layers.then(&self.stage_layers(), site, ".stages")?.num_params)
    }

    fn plan_dequantization(&self, site: &Site<4>) -> Result<usize, ConfigError> {
        let DequantizationConfig::Variational(noise) = self.dequantization else {
            UniformDequantizationConfig::new().with_n_levels(self.n_levels).validate()?;
            return Ok(0);
        };
        VariationalDequantizationConfig::new().with_n_levels(self.n_levels).validate()?;
        noise.validate()?;
        let encoder = self.encoder(noise);
        let flow = self.noise_flow(noise).plan(&self.noise_site(&encoder, site)?);
        let flow = flow.map_err(|error| error.at(".flow"))?.num_params;
        let encoder = encoder.num_params(site).map_err(|error| error.at(".encoder"))?;
        Ok(sum([encoder, flow]))
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
        let site = self.site(device);
        let layers = (LogitConfig::new(), self.stage_layers()).build(&site)?;
        let dequantization = self.build_dequantization(&site)?;
        Ok(Flow::new(layers, StandardNormal::new(), site.shape())?.behind(dequantization))
    }

    fn build_dequantization(
        &self,
        site: &Site<4>,
    ) -> Result<FlowPlusPlusDequantization, ConfigError> {
        let DequantizationConfig::Variational(noise) = self.dequantization else {
            let uniform = UniformDequantizationConfig::new().with_n_levels(self.n_levels);
            return Ok(FlowPlusPlusDequantization::Uniform(uniform.build()?));
        };
        let (encoder, flow) = (self.encoder(noise), self.noise_flow(noise));
        let dequantization = VariationalDequantizationConfig::new().with_n_levels(self.n_levels);
        let dequantization = dequantization.build(&encoder, &flow, site)?;
        Ok(FlowPlusPlusDequantization::Variational(dequantization))
    }

    /// The site of the layers: that of an image.
    fn site(&self, device: &Device) -> Site<4> {
        let [c, h, w] = self.image;
        Site::new([1, c, h, w], device)
    }

    /// The site of the noise flow, whose condition is the context of `encoder`.
    fn noise_site(
        &self,
        encoder: &FlowPlusPlusEncoderConfig,
        site: &Site<4>,
    ) -> Result<Site<4, Tensor<4>>, ConfigError> {
        Ok(Site::described(site.shape(), encoder.context(site)?, site.device()))
    }

    fn stage_layers(&self) -> Vec<StageLayers<StepConfig>> {
        let (squeeze_order, step) = (self.squeeze_order, self.step(&self.net(), FLAT));
        let layers =
            |stage: &StageConfig| StageLayers { stage: *stage, squeeze_order, step: step.clone() };
        self.stages.iter().map(layers).collect()
    }

    fn noise_flow(
        &self,
        noise: VariationalConfig,
    ) -> impl LayerConfig<4, Tensor<4>, Layer = NoiseFlow> {
        let (partition, step) =
            (PartitionConfig::new(noise.pattern), self.step(&self.noise_net(noise), 0.0));
        let steps = Repeated::new(noise.n_couplings, move |_| step.clone());
        (partition.clone(), steps, Invert::new(partition), Sigmoid::new())
    }

    fn law(&self) -> AnyLawConfig {
        match self.law {
            CouplingLaw::Affine => AffineConfig::new(AffineForm::Exponential).into(),
            // As published. A bound is for networks whose theta grows with the input, which the
            // norms of these networks prevent.
            CouplingLaw::MixLogCdf { n_components, min_log_scale } => {
                MixLogCdfConfig::new(n_components)
                    .with_min_log_scale(min_log_scale)
                    .with_max_log_scale(None)
                    .into()
            }
        }
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

    fn encoder(&self, noise: VariationalConfig) -> FlowPlusPlusEncoderConfig {
        let VariationalConfig { pattern, n_context, n_encoder_blocks, encoder_block, .. } = noise;
        FlowPlusPlusEncoderConfig::new(pattern, n_context, n_encoder_blocks, encoder_block)
            .with_style(self.style)
    }

    /// A coupling and the layers that precede it. A position with a deviation of `flat` or less
    /// counts as constant at initialisation.
    fn step(&self, net: &GatedNetConfig, flat: f64) -> StepConfig {
        let norm = PositionNormConfig::new()
            .with_variance_floor(self.variance_floor)
            .with_least_deviation(flat);
        let matrix = match self.channel_mixing {
            ChannelMixing::Matrix => Some(ChannelMatrixConfig::new().with_n_groups(2)),
            ChannelMixing::None => None,
        };
        (norm, matrix, CouplingConfig::new(self.law(), net.clone()), Swap::new())
    }
}
