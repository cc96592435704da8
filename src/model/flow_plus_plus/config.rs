//! Configuration of Flow++ and its presets.

use burn::config::Config;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{FlowPlusPlus, FlowPlusPlusDequantization, FlowPlusPlusEncoder, FlowPlusPlusLaw, Stage, Step};
use crate::bound_flow::BoundFlow;
use crate::compose::Invert;
use crate::conditioner::{ConvStart, GateKernel, GatedConvConfig, GatedNetConfig, Mixing, StartedConvConfig};
use crate::coupling::CouplingConfig;
use crate::elementwise::{LogitConfig, Sigmoid};
use crate::error::{ConfigError, ShapeError};
use crate::law::{AffineConfig, AffineForm, Law, MixLogCdfConfig};
use crate::linear::{ChannelMatrixConfig, PositionNormConfig};
use crate::prior::StandardNormal;
use crate::quantize::{UniformDequantizationConfig, VariationalDequantizationConfig};
use crate::reshape::{ChannelOrder, PartitionConfig, Pattern, SqueezeConfig, Swap};
use crate::unstarted::Unstarted;

/// Whether a stage works at the resolution it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// At the resolution it is given.
    Keep,
    /// At half of it, after a squeeze.
    Squeeze,
}

/// One stage: couplings at one resolution in one pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageConfig {
    /// Resolution.
    pub scale: Scale,
    /// Pattern of the halves.
    pub pattern: Pattern,
    /// Number of couplings.
    pub n_couplings: usize,
}

/// Law of the couplings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CouplingLaw {
    /// Affine (the paper's ablation).
    Affine,
    /// Logistic mixture.
    MixLogCdf {
        /// Components of the mixture.
        n_components: usize,
    },
}

/// Whether channels are mixed before every coupling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelMixing {
    /// A matrix for each half.
    Matrix,
    /// Not at all (the ImageNet models).
    None,
}

/// Where the first weights of the networks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetStart {
    /// From data: outputs of deviation 1, of gates and parameters 0.1 (the released code).
    DataDependent,
    /// Uniform by fan-in; the last layer from N(0, 0.01²).
    FanIn,
}

impl NetStart {
    /// Starts of inner convolutions, gates and the last layer.
    fn convolutions(self) -> [ConvStart; 3] {
        match self {
            Self::DataDependent => [1.0, 0.1, 0.1].map(|scale| ConvStart::DataDependent { scale }),
            Self::FanIn => [ConvStart::FanIn, ConvStart::FanIn, ConvStart::Normal { deviation: 0.01 }],
        }
    }
}

/// The flow of the dequantization noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariationalConfig {
    /// Pattern of the halves.
    pub pattern: Pattern,
    /// Number of couplings.
    pub n_couplings: usize,
    /// Filters of their networks.
    pub n_filters: usize,
    /// Blocks of their networks.
    pub n_blocks: usize,
    /// Channels of the context.
    pub n_context: usize,
}

/// How pixels become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DequantizationConfig {
    /// Uniform noise (the paper's ablation).
    Uniform,
    /// Noise from a conditional flow.
    Variational(VariationalConfig),
}

/// Configuration of [`FlowPlusPlus`].
#[derive(Config, Debug, PartialEq)]
pub struct FlowPlusPlusConfig {
    /// Shape `[C, H, W]` of the images.
    pub image: [usize; 3],
    /// Levels of a pixel.
    #[config(default = 256)]
    pub n_levels: usize,
    /// Stages, first to last.
    pub stages: Vec<StageConfig>,
    /// Dequantization.
    pub dequantization: DequantizationConfig,
    /// Law of all couplings.
    #[config(default = "CouplingLaw::MixLogCdf { n_components: 32 }")]
    pub law: CouplingLaw,
    /// Filters of the networks.
    #[config(default = 96)]
    pub n_filters: usize,
    /// Blocks of the networks.
    #[config(default = 10)]
    pub n_blocks: usize,
    /// How the networks mix positions.
    #[config(default = "Mixing::Attention { heads: 4 }")]
    pub mixing: Mixing,
    /// Probability that an activation is dropped in training.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// Whether channels are mixed before every coupling.
    #[config(default = "ChannelMixing::Matrix")]
    pub channel_mixing: ChannelMixing,
    /// Order of the channels after a squeeze.
    #[config(default = "ChannelOrder::BlockMajor")]
    pub squeeze_order: ChannelOrder,
    /// Added to the variance at the start of the norms.
    #[config(default = 1e-8)]
    pub variance_floor: f64,
    /// Where the first weights of the networks come from.
    #[config(default = "NetStart::DataDependent")]
    pub start: NetStart,
}

fn stage(scale: Scale, pattern: Pattern, n_couplings: usize) -> StageConfig {
    StageConfig { scale, pattern, n_couplings }
}

/// Stages of the CIFAR-10 model: 4 couplings, 2 after the squeeze, 3.
fn cifar10_stages(pattern: Pattern) -> Vec<StageConfig> {
    vec![stage(Scale::Keep, pattern, 4), stage(Scale::Squeeze, Pattern::Channels, 2), stage(Scale::Keep, pattern, 3)]
}

impl FlowPlusPlusConfig {
    /// The paper's CIFAR-10 model: 31,443,440 parameters.
    pub fn cifar10() -> Self {
        let pattern = Pattern::Stripes;
        let noise = VariationalConfig { pattern, n_couplings: 4, n_filters: 96, n_blocks: 2, n_context: 32 };
        Self::new([3, 32, 32], cifar10_stages(pattern), DequantizationConfig::Variational(noise)).with_dropout(0.2)
    }

    /// The same stages with 32 filters, 2 blocks and 8 components, for one machine: 1,716,336 parameters.
    pub fn small() -> Self {
        let pattern = Pattern::Checkerboard;
        let noise = VariationalConfig { pattern, n_couplings: 4, n_filters: 32, n_blocks: 2, n_context: 32 };
        Self::new([3, 32, 32], cifar10_stages(pattern), DequantizationConfig::Variational(noise))
            .with_law(CouplingLaw::MixLogCdf { n_components: 8 })
            .with_n_filters(32)
            .with_n_blocks(2)
            .with_squeeze_order(ChannelOrder::ChannelMajor)
            .with_variance_floor(1e-2)
            .with_start(NetStart::FanIn)
    }

    /// A model that learns within minutes on two cores: four couplings at half resolution.
    pub fn tiny() -> Self {
        let noise = VariationalConfig {
            pattern: Pattern::Checkerboard,
            n_couplings: 2,
            n_filters: 16,
            n_blocks: 1,
            n_context: 16,
        };
        let stages = vec![stage(Scale::Squeeze, Pattern::Channels, 2), stage(Scale::Keep, Pattern::Checkerboard, 2)];
        Self::new([3, 32, 32], stages, DequantizationConfig::Variational(noise))
            .with_law(CouplingLaw::MixLogCdf { n_components: 4 })
            .with_n_filters(16)
            .with_n_blocks(1)
            .with_variance_floor(1e-2)
    }

    /// Whether the configuration describes a model.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "FlowPlusPlusConfig";
        for (field, value) in [("image[0]", self.image[0]), ("image[1]", self.image[1]), ("image[2]", self.image[2])] {
            ConfigError::positive(NAME, field, value)?;
        }
        ConfigError::positive(NAME, "stages", self.stages.len())?;
        UniformDequantizationConfig::new().with_n_levels(self.n_levels).validate()?;
        PositionNormConfig::new().with_variance_floor(self.variance_floor).validate()?;
        if let CouplingLaw::MixLogCdf { n_components } = self.law {
            MixLogCdfConfig::new(n_components).validate()?;
        }
        if let DequantizationConfig::Variational(noise) = self.dequantization {
            let [c, h, w] = self.half(self.image, noise.pattern)?;
            ConfigError::positive("VariationalConfig", "n_couplings", noise.n_couplings)?;
            ConfigError::positive("VariationalConfig", "n_context", noise.n_context)?;
            self.net([c, h, w], noise.n_filters, noise.n_blocks, Some(noise.n_context)).validate()?;
        }
        let mut image = self.image;
        for stage in &self.stages {
            ConfigError::positive("StageConfig", "n_couplings", stage.n_couplings)?;
            image = Self::squeezed(image, stage.scale)?;
            let half = self.half(image, stage.pattern)?;
            self.net(half, self.n_filters, self.n_blocks, None).validate()?;
        }
        Ok(())
    }

    /// Number of parameters. Parameters are lazy, so that counting allocates none of them.
    ///
    /// # Panics
    /// If [`FlowPlusPlusConfig::validate`] is an error.
    pub fn num_params(&self) -> usize {
        self.init(&Device::default()).num_params()
    }

    /// The model before its start.
    ///
    /// # Panics
    /// If [`FlowPlusPlusConfig::validate`] is an error. [`FlowPlusPlusConfig::try_init`] returns it.
    pub fn init(&self, device: &Device) -> Unstarted<FlowPlusPlus> {
        match self.try_init(device) {
            Ok(model) => model,
            Err(error) => panic!("{error}"),
        }
    }

    /// The model before its start, or why the configuration describes none.
    pub fn try_init(&self, device: &Device) -> Result<Unstarted<FlowPlusPlus>, ConfigError> {
        self.validate()?;
        let mut image = self.image;
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            image = Self::squeezed(image, stage.scale)?;
            let half = self.half(image, stage.pattern)?;
            let net = self.net(half, self.n_filters, self.n_blocks, None);
            stages.push(Stage {
                squeeze: match stage.scale {
                    Scale::Keep => None,
                    Scale::Squeeze => Some(SqueezeConfig::new(self.squeeze_order).init()),
                },
                partition: PartitionConfig::new(stage.pattern).init(),
                steps: (0..stage.n_couplings).map(|_| self.step(&net, device)).collect(),
            });
        }
        let layers = (LogitConfig::new().init(), stages);
        let [c, h, w] = self.image;
        Ok(BoundFlow::new(self.init_dequantization(device)?, layers, StandardNormal::new(), [1, c, h, w])?)
    }

    fn init_dequantization(&self, device: &Device) -> Result<FlowPlusPlusDequantization, ConfigError> {
        let DequantizationConfig::Variational(noise) = self.dequantization else {
            let uniform = UniformDequantizationConfig::new().with_n_levels(self.n_levels);
            return Ok(FlowPlusPlusDequantization::Uniform(uniform.init()));
        };
        let half = self.half(self.image, noise.pattern)?;
        let net = self.net(half, noise.n_filters, noise.n_blocks, Some(noise.n_context));
        let partition = || PartitionConfig::new(noise.pattern).init();
        let [start, gate_start, _] = self.start.convolutions();
        let block = GatedConvConfig::new(noise.n_context)
            .with_gate(GateKernel::Three)
            .with_dropout(self.dropout)
            .with_start(start)
            .with_gate_start(gate_start);
        let encoder = FlowPlusPlusEncoder {
            partition: partition(),
            input: StartedConvConfig::new(2 * half[0], noise.n_context).with_start(start).init(device),
            blocks: (0..3).map(|_| block.init(device)).collect(),
        };
        let steps = (0..noise.n_couplings).map(|_| self.step(&net, device)).collect();
        let flow = (partition(), steps, Invert::new(partition()), Sigmoid::new());
        let dequantization = VariationalDequantizationConfig::new().with_n_levels(self.n_levels);
        Ok(FlowPlusPlusDequantization::Variational(dequantization.init(encoder, flow)))
    }

    /// Image shape at a stage's resolution.
    fn squeezed([c, h, w]: [usize; 3], scale: Scale) -> Result<[usize; 3], ShapeError> {
        match scale {
            Scale::Keep => Ok([c, h, w]),
            Scale::Squeeze => {
                for (axis, length) in [(2, h), (3, w)] {
                    if length % 2 != 0 {
                        let shape = vec![1, c, h, w];
                        return Err(ShapeError::NotDivisible { layer: "Squeeze", axis, factor: 2, shape });
                    }
                }
                Ok([4 * c, h / 2, w / 2])
            }
        }
    }

    /// Shape of one half of an image.
    fn half(&self, [c, h, w]: [usize; 3], pattern: Pattern) -> Result<[usize; 3], ShapeError> {
        let partition = PartitionConfig::new(pattern).init();
        let [_, c, h, w] = crate::bijector::Bijector::<4>::output_shape(&partition, [1, c, h, w])?;
        Ok([c / 2, h, w])
    }

    fn law(&self) -> FlowPlusPlusLaw {
        match self.law {
            CouplingLaw::Affine => FlowPlusPlusLaw::Affine(AffineConfig::new(AffineForm::Exponential).init()),
            CouplingLaw::MixLogCdf { n_components } => {
                FlowPlusPlusLaw::MixLogCdf(MixLogCdfConfig::new(n_components).init())
            }
        }
    }

    fn net(&self, half: [usize; 3], n_filters: usize, n_blocks: usize, n_context: Option<usize>) -> GatedNetConfig {
        let [start, gate_start, output_start] = self.start.convolutions();
        GatedNetConfig::new(half, self.law().n_params(), n_filters, n_blocks)
            .with_n_context(n_context)
            .with_mixing(self.mixing)
            .with_dropout(self.dropout)
            .with_start(start)
            .with_gate_start(gate_start)
            .with_output_start(output_start)
    }

    fn step(&self, net: &GatedNetConfig, device: &Device) -> Step {
        let [c, h, w] = net.half;
        let matrix = match self.channel_mixing {
            ChannelMixing::Matrix => Some(ChannelMatrixConfig::new(2 * c).with_n_groups(2).init(device)),
            ChannelMixing::None => None,
        };
        (
            PositionNormConfig::new().with_variance_floor(self.variance_floor).init([1, 2 * c, h, w], device),
            matrix,
            CouplingConfig::new().init(self.law(), net.init(device)),
            Swap::new(),
        )
    }
}
