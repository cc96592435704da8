//! Configurations that a file may hold, and what is made of them: every example, and some variants
//! of them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowkit::conditioner::layer::{
    ConvInit, ConvWeight, DataInitConvConfig, GateKernel, GatedBlockConfig, GatedConvConfig,
};
use flowkit::data::{Augmentation, LoaderConfig};
use flowkit::law::{
    AffineConfig, AffineForm, AnyLawConfig, BernsteinConfig, CircularSplineConfig,
    FlooredAffineConfig, GaussianizationConfig, MixLogCdfConfig, RationalQuadraticSplineConfig,
    ScaleForm, SoftClipSplineConfig,
};
use flowkit::model::flow_plus_plus::{
    EncoderBlock, FlowPlusPlusConfig, FlowPlusPlusEncoderConfig, FlowPlusPlusPreset,
};
use flowkit::model::glow::{GlowConfig, GlowPermutation, GlowPreset, GlowPrior};
use flowkit::model::{LinearKind, MafConfig, NsfConfig, NsfForm, RealNvpConfig};
use flowkit::train::{
    EmaDecay, LossScale, NonFinite, OptimizerConfig, Precision, Schedule, TrainerConfig,
};
use flowkit::{
    ChannelMatrixConfig, Conditioning, ContextShape, Conv1x1Config, Conv1x1Init, ConvResNetConfig,
    ConvStyle, DiagnosisConfig, EncoderConfig, GatedNetConfig, GlowNetConfig, GradientMemory,
    LayerConfig, MadeConfig, Mask, MaskedCouplingConfig, MlpConfig, Order, OutputActivation,
    Pattern, PermutationConfig, ResNetConfig, Site, ZeroConvConfig,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::configurations::{self, Example, IMAGE, VECTOR, law, layer, made, net, plain};

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

/// What a configuration states is what is made.
fn case(example: Example) -> Case {
    let read = move |json: Value| {
        let config = (example.read)(json.to_string().as_bytes())?;
        let stated = config.num_params()?;
        if stated <= MADE {
            let made = config.build();
            assert_eq!(stated, made, "the module has another number of parameters than stated");
        }
        Ok(stated)
    };
    Case { name: example.name.into(), json: example.json, read: Box::new(read) }
}

fn cases(lists: impl IntoIterator<Item = Vec<Example>>) -> Vec<Case> {
    lists.into_iter().flatten().map(case).collect()
}

/// A configuration of layers for vectors of 3 elements, with a condition of 2.
fn given<T>(name: &'static str, config: T) -> Example
where
    T: LayerConfig<2, Tensor<2>> + Serialize + DeserializeOwned + 'static,
{
    let site = || Site::described([1, 3], ContextShape::vector(Some(2)), &Device::flex());
    made(
        name,
        config,
        &[],
        move |config: &T| config.plan(&site()).map(|plan| plan.num_params),
        move |config: &T| config.build(&site()).unwrap().num_params(),
    )
}

/// A model or part that is built on a device alone.
macro_rules! on_device {
    ($config:expr, $kind:ident) => {
        made(stringify!($kind), $config, &[], $kind::num_params, |config: &$kind| {
            config.build(&Device::flex()).unwrap().num_params()
        })
    };
}

fn laws() -> [AnyLawConfig; 8] {
    [
        AffineConfig::new(AffineForm::Exponential).into(),
        MixLogCdfConfig::new(3).into(),
        RationalQuadraticSplineConfig::new(4).into(),
        BernsteinConfig::new(4).into(),
        CircularSplineConfig::new(4).into(),
        GaussianizationConfig::new(3).into(),
        FlooredAffineConfig::new(ScaleForm::Sigmoid).into(),
        SoftClipSplineConfig::new(4).into(),
    ]
}

pub fn models() -> Vec<Case> {
    let mut variants = Vec::new();
    let matrix = LinearKind::NormAndMatrix(Conv1x1Init::Orthogonal);
    let kinds = [LinearKind::None, LinearKind::Norm, matrix];
    for (law, between) in laws().into_iter().zip(kinds.into_iter().cycle()) {
        let config = RealNvpConfig::new(2).with_hidden(vec![8, 8]);
        let config = config.with_law(law.clone()).with_linear(between);
        variants.push(layer("RealNvpConfig", config.clone(), VECTOR, &[]));
        variants.push(given("RealNvpConfig", config));
        let config = MafConfig::new(2).with_hidden(vec![8, 8]);
        let config = config.with_law(law).with_linear(between);
        variants.push(layer("MafConfig", config.clone(), VECTOR, &[]));
        variants.push(given("MafConfig", config));
    }
    for form in [NsfForm::Coupling, NsfForm::Autoregressive] {
        let config = NsfConfig::new(3).with_form(form).with_d_hidden(8);
        variants.push(layer("NsfConfig", config.clone(), VECTOR, &[]));
        variants.push(layer("NsfConfig", config.clone(), [1, 1], &[]));
        variants.push(given("NsfConfig", config));
    }
    variants.extend(
        FlowPlusPlusPreset::ALL.map(|preset| on_device!(preset.model(), FlowPlusPlusConfig)),
    );
    variants.push(on_device!(FlowPlusPlusConfig::cifar10_uniform(), FlowPlusPlusConfig));
    variants.push(on_device!(FlowPlusPlusConfig::cifar10_affine(), FlowPlusPlusConfig));
    variants.push(on_device!(FlowPlusPlusConfig::cifar10_without_attention(), FlowPlusPlusConfig));
    variants.extend(GlowPreset::ALL.map(|preset| on_device!(preset.model(), GlowConfig)));
    let small = || GlowConfig::new([2, 8, 8], 2, 1).with_n_filters(4);
    let classes = small().with_prior(GlowPrior::Classes { n_classes: 5 });
    variants.push(made("GlowConfig", classes, &[], GlowConfig::num_params, |config| {
        config.build_classes(&Device::flex()).unwrap().num_params()
    }));
    variants.push(on_device!(
        small().with_permutation(GlowPermutation::Shuffle { seed: 3 }),
        GlowConfig
    ));
    variants.push(on_device!(
        small().with_prior(GlowPrior::Standard).with_permutation(GlowPermutation::Reverse),
        GlowConfig
    ));
    cases([configurations::models(), variants])
}

pub fn networks() -> Vec<Case> {
    let gated = |mixing| GatedNetConfig::new(4, 1).with_mixing(mixing);
    let attention = Some(flowkit::Mixing::Attention { heads: 2 });
    let encoder = |block| {
        let site = || Site::<4>::new([1, 2, 4, 8], &Device::flex());
        made(
            "FlowPlusPlusEncoderConfig",
            FlowPlusPlusEncoderConfig::new(Pattern::Stripes, 4, 2, block),
            &[],
            move |config: &FlowPlusPlusEncoderConfig| config.num_params(&site()),
            move |config| config.build(&site()).unwrap().num_params(),
        )
    };
    let concat_elu = gated(attention).with_output_activation(OutputActivation::ConcatElu);
    let weight_norm = gated(None).with_style(ConvStyle::new().with_weight(ConvWeight::WeightNorm));
    let masked = || MadeConfig::new([64, 64]);
    let explicit = masked().with_order(Order::Explicit(vec![2, 0, 1]));
    let shuffled = masked().with_order(Order::Shuffled { seed: 7 });
    let conv = || DataInitConvConfig::new(2, 3);
    let normal = conv().with_init(ConvInit::Normal { deviation: 0.1 });
    let gate = GatedConvConfig::new(4).with_n_context(Some(3)).with_gate(GateKernel::Three);
    let res_net = ResNetConfig::new().with_d_hidden(8).with_dropout(0.1);
    let conv_res_net = ConvResNetConfig::new().with_n_filters(4).with_n_blocks(2);
    let variants = vec![
        net("MlpConfig", MlpConfig::new([64, 64]), VECTOR, &[]),
        net("ResNetConfig", res_net, VECTOR, &[]),
        net("ConvResNetConfig", conv_res_net, IMAGE, &[]),
        net("GlowNetConfig", GlowNetConfig::new().with_n_filters(4), IMAGE, &[]),
        net("GatedNetConfig", concat_elu, IMAGE, &[]),
        net("GatedNetConfig", weight_norm, IMAGE, &[]),
        net("MadeConfig", masked(), VECTOR, &[]),
        net("MadeConfig", explicit, VECTOR, &[]),
        net("MadeConfig", shuffled, VECTOR, &[]),
        on_device!(conv().with_weight(ConvWeight::WeightNorm), DataInitConvConfig),
        on_device!(normal, DataInitConvConfig),
        on_device!(gate, GatedConvConfig),
        on_device!(GatedBlockConfig::new(4).with_n_context(Some(3)), GatedBlockConfig),
        on_device!(GatedBlockConfig::new(4).with_mixing(None), GatedBlockConfig),
        encoder(EncoderBlock::Conv),
        encoder(EncoderBlock::NormedConv),
        encoder(EncoderBlock::Attention { heads: 2 }),
    ];
    cases([configurations::networks(), variants])
}

pub fn blocks() -> Vec<Case> {
    let masked = |mask| {
        let law = AffineConfig::new(AffineForm::Exponential);
        let config = MaskedCouplingConfig::new(law, ZeroConvConfig::new(), mask);
        layer("MaskedCouplingConfig", config, [1, 2, 4, 3], &[])
    };
    let explicit = Mask::Explicit((0..24).map(|element| element % 3 == 0).collect());
    let bounded = Conditioning::Bounded { max_triangle: 0.5, max_log_scale: 1.0 };
    let order = Order::Explicit(vec![1, 0]);
    let variants = vec![
        layer("ChannelMatrixConfig", ChannelMatrixConfig::new().with_n_groups(2), [1, 4], &[]),
        layer("Conv1x1Config", Conv1x1Config::new().with_conditioning(bounded), IMAGE, &[]),
        masked(Mask::Alternating),
        masked(Mask::Checkerboard),
        masked(explicit),
        layer("PermutationConfig", PermutationConfig::new().with_order(order), IMAGE, &[]),
    ];
    cases([configurations::layers(), configurations::parts(), variants])
}

/// Laws say how many parameters a network has to give.
pub fn laws_and_training() -> Vec<Case> {
    let reversible = GradientMemory::Reversible { tolerance: 1e-3 };
    let mut variants: Vec<Example> = laws().map(|config| law("AnyLawConfig", config, &[])).into();
    let schedules = [
        Schedule::Cosine { start: 3, end: 9, floor: 0.1 },
        Schedule::Exponential { start: 3, decay: 0.9, floor: 0.1 },
    ];
    for schedule in schedules {
        let config = TrainerConfig::new().with_schedule(schedule).with_gradient_memory(reversible);
        let config =
            config.with_precision(Precision::F16(LossScale::Dynamic { exponent: 3, growth: 5 }));
        let config = config
            .with_optimizer(OptimizerConfig::Adamax { beta_2: 0.9 })
            .with_ema(EmaDecay::Constant(0.5));
        variants.push(plain("TrainerConfig", config, &[], TrainerConfig::validate));
    }
    let config = TrainerConfig::new().with_non_finite(NonFinite::Skip { at_most: 2 });
    let config = config.with_precision(Precision::F16(LossScale::Fixed { exponent: 3 }));
    variants.push(plain("TrainerConfig", config, &[], TrainerConfig::validate));
    let loader = LoaderConfig::new(2).with_augmentations(vec![Augmentation::GLOW_SHIFT]);
    variants.push(plain("LoaderConfig", loader, &[], LoaderConfig::validate));
    let diagnosis = DiagnosisConfig::new().with_depth(Some(2));
    variants.push(plain("DiagnosisConfig", diagnosis, &[], DiagnosisConfig::validate));
    cases([variants])
}
