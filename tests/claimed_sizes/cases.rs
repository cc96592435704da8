//! Every configuration of the crate that a file may hold, and what is made of it.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowkit::conditioner::layer::{
    ChannelNormConfig, ConvInit, ConvWeight, DataInitConvConfig, GateKernel, GatedAttentionConfig,
    GatedBlockConfig, GatedConvConfig, ZeroLinearConfig,
};
use flowkit::data::{Augmentation, LoaderConfig};
use flowkit::law::{
    AffineConfig, AffineForm, AnyLawConfig, LawConfig, MixLogCdfConfig,
    RationalQuadraticSplineConfig,
};
use flowkit::model::flow_plus_plus::{
    EncoderBlock, FlowPlusPlusConfig, FlowPlusPlusEncoderConfig, Preset as FlowPlusPlusPreset,
};
use flowkit::model::glow::{
    GlowClassifierConfig, GlowConfig, GlowPermutation, GlowPrior, Preset as GlowPreset,
};
use flowkit::model::{LinearKind, MafConfig, RealNvpConfig};
use flowkit::train::{
    EmaDecay, LossScale, NonFinite, OptimizerConfig, Precision, Schedule, TrainerConfig,
};
use flowkit::{
    ActNormConfig, ChannelMatrixConfig, Conditioning, ContextShape, Conv1x1Config,
    ConvResNetConfig, ConvStyle, CouplingConfig, DiagnosisConfig, ElementwiseConfig,
    GatedNetConfig, GlowNetConfig, GradientMemory, HouseholderConfig, LayerConfig, LeakyReluConfig,
    LogitConfig, MadeConfig, Mask, MaskedAutoregressiveConfig, MaskedCouplingConfig, MlpConfig,
    NetConfig, NetSite, NormalMixtureConfig, Order, OutputActivation, Pattern, PermutationConfig,
    PositionNormConfig, PriorConfig, ResNetConfig, ScalarAffineConfig, Site,
    UniformDequantizationConfig, VariationalDequantizationConfig, ZeroConvConfig,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Modules of at most so many parameters are made and their parameters counted.
const MADE: usize = 20_000;

/// Reads a configuration: its parameters (0 where it makes none) if it is valid, and the reason if
/// it is not.
type Read = Box<dyn Fn(Value) -> Result<usize, String>>;

pub struct Case {
    pub name: String,
    pub json: Value,
    pub read: Read,
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// A configuration that makes no parameters.
fn plain<C: Serialize + DeserializeOwned + 'static, E: ToString + 'static>(
    name: &str,
    config: C,
    validate: fn(&C) -> Result<(), E>,
) -> Case {
    let read = move |json| {
        let config: C = serde_json::from_value(json).map_err(text)?;
        validate(&config).map_err(text).map(|()| 0)
    };
    Case { name: name.into(), json: serde_json::to_value(config).unwrap(), read: Box::new(read) }
}

/// A configuration that makes a module. What it states is what is made.
fn makes<C: Serialize + DeserializeOwned + 'static, E: ToString + 'static>(
    name: impl Into<String>,
    config: C,
    count: impl Fn(&C) -> Result<usize, E> + 'static,
    made: impl Fn(&C) -> usize + 'static,
) -> Case {
    let read = move |json| {
        let config: C = serde_json::from_value(json).map_err(text)?;
        let stated = count(&config).map_err(text)?;
        if stated <= MADE {
            assert_eq!(
                stated,
                made(&config),
                "the module has another number of parameters than was stated"
            );
        }
        Ok(stated)
    };
    Case { name: name.into(), json: serde_json::to_value(config).unwrap(), read: Box::new(read) }
}

/// A configuration of a layer where examples of this shape arrive.
fn layer<const D: usize, T>(name: &str, config: T, shape: [usize; D]) -> Case
where
    T: LayerConfig<D> + Serialize + DeserializeOwned + 'static,
{
    let site = move || Site::new(shape, &Device::default());
    makes(
        name,
        config,
        move |config: &T| config.plan(&site()).map(|plan| plan.num_params),
        move |config: &T| config.build(&site()).unwrap().num_params(),
    )
}

/// A configuration of layers for vectors of 3 elements, with a condition of 2.
fn given<T>(name: &str, config: T) -> Case
where
    T: LayerConfig<2, Tensor<2>> + Serialize + DeserializeOwned + 'static,
{
    let site = || Site::described([1, 3], ContextShape::vector(Some(2)), &Device::default());
    makes(
        name,
        config,
        move |config: &T| config.plan(&site()).map(|plan| plan.num_params),
        move |config: &T| config.build(&site()).unwrap().num_params(),
    )
}

/// A case of a configuration whose module is made on a device alone.
macro_rules! case {
    ($config:expr, $kind:ty) => {
        makes(stringify!($kind), $config, <$kind>::num_params, |config: &$kind| {
            config.build(&Device::default()).unwrap().num_params()
        })
    };
}

const SHAPE: [usize; 4] = [1, 3, 4, 4];

fn laws() -> [AnyLawConfig; 3] {
    [
        AffineConfig::new(AffineForm::Exponential).into(),
        MixLogCdfConfig::new(3).into(),
        RationalQuadraticSplineConfig::new(4).into(),
    ]
}

pub fn models() -> Vec<Case> {
    let mut cases = Vec::new();
    for (law, between) in
        laws().into_iter().zip([LinearKind::None, LinearKind::Norm, LinearKind::NormAndMatrix])
    {
        let config = RealNvpConfig::new(2).with_hidden(vec![8, 8]);
        let config = config.with_law(law.clone()).with_linear(between);
        cases.push(layer("RealNvpConfig", config.clone(), [1, 3]));
        cases.push(given("RealNvpConfig", config));
        let config = MafConfig::new(2).with_hidden(vec![8, 8]);
        let config = config.with_law(law).with_linear(between);
        cases.push(layer("MafConfig", config.clone(), [1, 3]));
        cases.push(given("MafConfig", config));
    }
    cases.extend(FlowPlusPlusPreset::ALL.map(|preset| case!(preset.model(), FlowPlusPlusConfig)));
    cases.push(case!(FlowPlusPlusConfig::cifar10_uniform(), FlowPlusPlusConfig));
    cases.push(case!(FlowPlusPlusConfig::cifar10_affine(), FlowPlusPlusConfig));
    cases.push(case!(FlowPlusPlusConfig::cifar10_without_attention(), FlowPlusPlusConfig));
    cases.extend(GlowPreset::ALL.map(|preset| case!(preset.model(), GlowConfig)));
    let small = || GlowConfig::new([2, 8, 8], 2, 1).with_n_filters(4);
    let classes = small().with_prior(GlowPrior::Classes { n_classes: 5 });
    cases.push(makes("GlowConfig", classes, GlowConfig::num_params, |config| {
        config.build_classes(&Device::default()).unwrap().num_params()
    }));
    cases.push(case!(small().with_permutation(GlowPermutation::Shuffle { seed: 3 }), GlowConfig));
    cases.push(case!(
        small().with_prior(GlowPrior::Standard).with_permutation(GlowPermutation::Reverse),
        GlowConfig
    ));
    cases
}

/// A network of vectors or images with halves of this shape, four parameters and a condition of
/// three.
fn net<const D: usize, N>(name: &str, half: [usize; D], config: N) -> Case
where
    N: NetConfig<D> + Serialize + DeserializeOwned + 'static,
{
    let site = move || {
        let site = NetSite::new(half, half, vec![0.5, 0.0], &Device::default());
        site.with_context(ContextShape::vector(Some(3)))
    };
    makes(
        name,
        config,
        move |config| config.num_params(&site()),
        move |config| Module::num_params(&config.build(&site()).unwrap()),
    )
}

pub fn networks() -> Vec<Case> {
    const VECTOR: [usize; 2] = [1, 3];
    const IMAGE: [usize; 4] = [1, 2, 4, 4];
    let gated = |mixing| GatedNetConfig::new(4, 1).with_mixing(mixing);
    let attention = Some(flowkit::Mixing::Attention { heads: 2 });
    let encoder = |block| {
        let site = || Site::<4>::new([1, 2, 4, 8], &Device::default());
        makes(
            "FlowPlusPlusEncoderConfig",
            FlowPlusPlusEncoderConfig::new(Pattern::Stripes, 4, 2, block),
            move |config: &FlowPlusPlusEncoderConfig| config.num_params(&site()),
            move |config| config.build(&site()).unwrap().num_params(),
        )
    };
    vec![
        net("MlpConfig", VECTOR, MlpConfig::new([64, 64])),
        net("ResNetConfig", VECTOR, ResNetConfig::new().with_d_hidden(8).with_dropout(0.1)),
        net("ConvResNetConfig", IMAGE, ConvResNetConfig::new().with_n_filters(4).with_n_blocks(2)),
        net("GlowNetConfig", IMAGE, GlowNetConfig::new().with_n_filters(4)),
        net(
            "GatedNetConfig",
            IMAGE,
            gated(attention).with_output_activation(OutputActivation::ConcatElu),
        ),
        net(
            "GatedNetConfig",
            IMAGE,
            gated(None).with_style(ConvStyle::new().with_weight(ConvWeight::WeightNorm)),
        ),
        net("ZeroConvConfig", IMAGE, ZeroConvConfig::new()),
        case!(ZeroLinearConfig::new(2, 3), ZeroLinearConfig),
        case!(
            DataInitConvConfig::new(2, 3).with_weight(ConvWeight::WeightNorm),
            DataInitConvConfig
        ),
        case!(
            DataInitConvConfig::new(2, 3).with_init(ConvInit::Normal { deviation: 0.1 }),
            DataInitConvConfig
        ),
        case!(
            GatedConvConfig::new(4).with_n_context(Some(3)).with_gate(GateKernel::Three),
            GatedConvConfig
        ),
        case!(GatedAttentionConfig::new(4), GatedAttentionConfig),
        case!(GatedBlockConfig::new(4).with_n_context(Some(3)), GatedBlockConfig),
        case!(GatedBlockConfig::new(4).with_mixing(None), GatedBlockConfig),
        case!(ChannelNormConfig::new(4), ChannelNormConfig),
        encoder(EncoderBlock::Conv),
        encoder(EncoderBlock::NormedConv),
        encoder(EncoderBlock::Attention { heads: 2 }),
        case!(GlowClassifierConfig::new(4, 5), GlowClassifierConfig),
        net("MadeConfig", VECTOR, MadeConfig::new([64, 64])),
        net(
            "MadeConfig",
            VECTOR,
            MadeConfig::new([64, 64]).with_order(Order::Explicit(vec![2, 0, 1])),
        ),
        net(
            "MadeConfig",
            VECTOR,
            MadeConfig::new([64, 64]).with_order(Order::Shuffled { seed: 7 }),
        ),
    ]
}

pub fn blocks() -> Vec<Case> {
    let masked = |mask| {
        let law = AffineConfig::new(AffineForm::Exponential);
        layer(
            "MaskedCouplingConfig",
            MaskedCouplingConfig::new(law, ZeroConvConfig::new(), mask),
            [1, 2, 4, 3],
        )
    };
    let explicit = Mask::Explicit((0..24).map(|element| element % 3 == 0).collect());
    vec![
        layer("ActNormConfig", ActNormConfig::new(), SHAPE),
        layer("PositionNormConfig", PositionNormConfig::new(), SHAPE),
        makes(
            "NormalMixtureConfig",
            NormalMixtureConfig::new(3),
            |config| config.num_params(SHAPE),
            |config| {
                let site = Site::new(SHAPE, &Device::default());
                config.build(&site).unwrap().num_params()
            },
        ),
        layer("ElementwiseConfig", ElementwiseConfig::new(MixLogCdfConfig::new(3)), SHAPE),
        layer("ChannelMatrixConfig", ChannelMatrixConfig::new().with_n_groups(2), [1, 4]),
        layer("Conv1x1Config", Conv1x1Config::new(), SHAPE),
        layer(
            "Conv1x1Config",
            Conv1x1Config::new()
                .with_conditioning(Conditioning::Bounded { max_triangle: 0.5, max_log_scale: 1.0 }),
            SHAPE,
        ),
        masked(Mask::Alternating),
        masked(Mask::Checkerboard),
        masked(explicit),
        layer(
            "CouplingConfig",
            CouplingConfig::new(MixLogCdfConfig::new(3), MlpConfig::new([8])),
            [1, 3],
        ),
        layer(
            "MaskedAutoregressiveConfig",
            MaskedAutoregressiveConfig::new(
                AffineConfig::new(AffineForm::Exponential),
                MadeConfig::new([8]),
            ),
            [1, 3],
        ),
        layer("HouseholderConfig", HouseholderConfig::new(2), [1, 4]),
        layer("PermutationConfig", PermutationConfig::new(), SHAPE),
        layer(
            "PermutationConfig",
            PermutationConfig::new().with_order(Order::Explicit(vec![2, 0, 1])),
            SHAPE,
        ),
        layer("LogitConfig", LogitConfig::new(), SHAPE),
        layer("LeakyReluConfig", LeakyReluConfig::new(), SHAPE),
        layer("ScalarAffineConfig", ScalarAffineConfig::new(2.0, 1.0), SHAPE),
        plain(
            "UniformDequantizationConfig",
            UniformDequantizationConfig::new(),
            UniformDequantizationConfig::validate,
        ),
        plain(
            "VariationalDequantizationConfig",
            VariationalDequantizationConfig::new(),
            VariationalDequantizationConfig::validate,
        ),
    ]
}

/// Laws are made whenever they are valid: they own no parameters, but say how many a network has to
/// give.
pub fn laws_and_training() -> Vec<Case> {
    let trainer = || TrainerConfig::new();
    let reversible = GradientMemory::Reversible { tolerance: 1e-3 };
    let mut cases: Vec<Case> = laws()
        .into_iter()
        .map(|config| {
            let json = serde_json::to_value(config).unwrap();
            let read = |json| {
                let config: AnyLawConfig = serde_json::from_value(json).map_err(text)?;
                config.validate().map_err(text)?;
                let law = config.build().unwrap();
                assert_eq!(
                    flowkit::law::Law::theta_init(&law).len(),
                    flowkit::law::Law::n_params(&law)
                );
                Ok(0)
            };
            Case { name: "AnyLawConfig".into(), json, read: Box::new(read) }
        })
        .collect();
    let schedules = [
        Schedule::Cosine { start: 3, end: 9, floor: 0.1 },
        Schedule::Exponential { start: 3, decay: 0.9, floor: 0.1 },
    ];
    for schedule in schedules {
        let config = trainer().with_schedule(schedule).with_gradient_memory(reversible);
        let config =
            config.with_precision(Precision::F16(LossScale::Dynamic { exponent: 3, growth: 5 }));
        let config = config
            .with_optimizer(OptimizerConfig::Adamax { beta_2: 0.9 })
            .with_ema(EmaDecay::Constant(0.5));
        cases.push(plain("TrainerConfig", config, TrainerConfig::validate));
    }
    let config = trainer().with_non_finite(NonFinite::Skip { at_most: 2 });
    let config = config.with_precision(Precision::F16(LossScale::Fixed { exponent: 3 }));
    cases.push(plain("TrainerConfig", config, TrainerConfig::validate));
    let loader = LoaderConfig::new(2).with_augmentations(vec![Augmentation::GLOW_SHIFT]);
    cases.push(plain("LoaderConfig", loader, LoaderConfig::validate));
    cases.push(plain(
        "DiagnosisConfig",
        DiagnosisConfig::new().with_depth(Some(2)),
        DiagnosisConfig::validate,
    ));
    cases
}
