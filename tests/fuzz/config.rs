//! Configurations from JSON, as a program reads them from its settings or from a checkpoint.

use burn::config::{Config, config_to_json};
use burn::tensor::{Device, Tensor};
use flowkit::conditioner::layer::{
    ChannelNormConfig, DataInitConvConfig, GatedAttentionConfig, GatedBlockConfig, GatedConvConfig,
    ZeroLinearConfig,
};
use flowkit::data::LoaderConfig;
use flowkit::law::{
    AffineConfig, AffineForm, LawConfig, MixLogCdfConfig, RationalQuadraticSplineConfig,
};
use flowkit::model::flow_plus_plus::{
    DequantizationConfig, EncoderBlock, FlowPlusPlusConfig, FlowPlusPlusEncoderConfig, NoiseMixing,
    Resolution, StageConfig, VariationalConfig,
};
use flowkit::model::glow::{GlowClassifierConfig, GlowConfig};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::train::TrainerConfig;
use flowkit::{
    ActNormConfig, ChannelMatrixConfig, ChannelOrder, ConditionalNormalConfig, Conv1x1Config,
    ConvResNetConfig, CouplingConfig, DiagnosisConfig, ElementwiseConfig, GatedNetConfig,
    GlowNetConfig, HouseholderConfig, LayerConfig, LeakyReluConfig, LogitConfig, MadeConfig, Mask,
    MaskedAutoregressiveConfig, MaskedCouplingConfig, Mixing, MlpConfig, NetConfig, NetSite,
    NormalMixtureConfig, PartitionConfig, Pattern, PermutationConfig, PositionNormConfig,
    PriorConfig, ResNetConfig, ScalarAffineConfig, Site, SqueezeConfig,
    UniformDequantizationConfig, VariationalDequantizationConfig, ZeroConvConfig,
};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::document;
use super::target::{Target, corpus, fuzz, named};
use super::{bytes, bytes::Edit};

/// Largest size for which a module is made: it has layers as many as its configuration says.
const MOST: u64 = 16;

/// One type of configuration.
struct Kind {
    name: &'static str,
    json: String,
    /// Reads, validates, and makes the module if the sizes are small.
    check: fn(&[u8], bool),
}

/// A type with an example of its values, its `validate`, and what is made of it.
macro_rules! kind {
    ($type:ident, $example:expr, $validate:expr, $make:expr) => {{
        fn check(json: &[u8], is_small: bool) {
            let Some(config) = named($type::load_binary(json)) else { return };
            let validate: fn(&$type) -> _ = $validate;
            let make: fn($type, &Device) -> _ = $make;
            if named(validate(&config)).is_some() && is_small {
                std::hint::black_box(make(config, &Device::flex()));
            }
        }
        let example: $type = $example;
        let validate: fn(&$type) -> _ = $validate;
        validate(&example).expect("the example describes something");
        Kind { name: stringify!($type), json: config_to_json(&example), check }
    }};
    ($type:ident, $example:expr, $make:expr) => {
        kind!($type, $example, |config| config.validate(), $make)
    };
}

/// A network with its site.
macro_rules! net {
    ($type:ident, $example:expr, $site:expr) => {
        kind!($type, $example, |config| config.num_params(&$site), |config, _| config
            .build(&$site)
            .unwrap())
    };
}

/// Layers for vectors of 4 elements.
macro_rules! layers {
    ($type:ident, $example:expr) => {
        kind!($type, $example, |config| config.plan(&site()), |config, _| config
            .build(&site())
            .unwrap())
    };
}

/// What a type without rules of its own returns.
type Anything = Result<(), std::convert::Infallible>;

fn affine() -> AffineConfig {
    AffineConfig::new(AffineForm::Exponential)
}

/// Where networks for two elements, or two channels of 2x2 positions, are built for an affine law.
fn vectors() -> NetSite<2> {
    NetSite::new([1, 2], [1, 2], vec![0.0, 1.0], &Device::flex())
}

fn images() -> NetSite<4> {
    NetSite::new([1, 2, 2, 2], [1, 2, 2, 2], vec![0.0, 1.0], &Device::flex())
}

type AffineCoupling = CouplingConfig<AffineConfig, MlpConfig>;
type AffineMasked = MaskedCouplingConfig<AffineConfig, MlpConfig>;
type AffineAutoregressive = MaskedAutoregressiveConfig<AffineConfig, MadeConfig>;
type MlpNormal = ConditionalNormalConfig<MlpConfig>;

/// Where layers are built, and a prior given a condition of two.
fn site() -> Site<2> {
    Site::new([1, 4], &Device::flex())
}

fn given() -> Site<2, Tensor<2>> {
    Site::given([1, 4], &Tensor::zeros([1, 2], &Device::flex()), &Device::flex())
}

/// Where the encoder of a dequantization is built.
fn image() -> Site<4> {
    Site::new([1, 1, 4, 4], &Device::flex())
}

/// Elementwise mixtures: the macro takes names without parameters.
type Mixtures = ElementwiseConfig<MixLogCdfConfig>;

/// The layer, if there is one of this shape.
fn made<const D: usize, T: LayerConfig<D>>(
    config: &T,
    shape: [usize; D],
    device: &Device,
) -> Option<T::Layer> {
    named(config.build(&Site::new(shape, device)))
}

fn layers() -> Vec<Kind> {
    vec![
        kind!(ActNormConfig, ActNormConfig::new(), |config, device| made(&config, [1, 3], device)),
        kind!(
            AffineConfig,
            AffineConfig::new(AffineForm::Exponential),
            |_| Anything::Ok(()),
            |config, _| config.build().unwrap()
        ),
        kind!(ChannelMatrixConfig, ChannelMatrixConfig::new(), |config, device| made(
            &config,
            [1, 4],
            device
        )),
        kind!(Conv1x1Config, Conv1x1Config::new(), |config, device| made(&config, [1, 3], device)),
        layers!(
            AffineCoupling,
            CouplingConfig::new(affine(), MlpConfig::new([4]))
                .with_theta_init(Some(vec![0.0, 1.0]))
        ),
        layers!(
            AffineAutoregressive,
            MaskedAutoregressiveConfig::new(affine(), MadeConfig::new([4]))
        ),
        kind!(
            MlpNormal,
            ConditionalNormalConfig::new(MlpConfig::new([4])),
            |config| config.build(&given()).map(|_| ()),
            |config, _| config.build(&given()).unwrap()
        ),
        kind!(Mixtures, Mixtures::new(MixLogCdfConfig::new(2)), |config, device| made(
            &config,
            [1, 2],
            device
        )),
        kind!(HouseholderConfig, HouseholderConfig::new(2), |config, device| made(
            &config,
            [1, 3],
            device
        )),
        kind!(LeakyReluConfig, LeakyReluConfig::new(), |config, device| made(
            &config,
            [1, 3],
            device
        )),
        kind!(LogitConfig, LogitConfig::new(), |config, device| made(&config, [1, 3], device)),
        layers!(
            AffineMasked,
            MaskedCouplingConfig::new(affine(), MlpConfig::new([4]), Mask::Alternating)
        ),
        kind!(MixLogCdfConfig, MixLogCdfConfig::new(4), |config, _| config.build().unwrap()),
        kind!(NormalMixtureConfig, NormalMixtureConfig::new(3), |config, device| config
            .build(&Site::<2>::new([1, 2], device))
            .unwrap()),
        kind!(
            PartitionConfig,
            PartitionConfig::new(Pattern::Channels),
            |_| Anything::Ok(()),
            |config, device| made(&config, [1, 2, 4, 4], device)
        ),
        kind!(PermutationConfig, PermutationConfig::new(), |config, device| made(
            &config,
            [1, 3],
            device
        )),
        kind!(PositionNormConfig, PositionNormConfig::new(), |config, device| made(
            &config,
            [1, 2, 2, 2],
            device
        )),
        kind!(RationalQuadraticSplineConfig, RationalQuadraticSplineConfig::new(4), |config, _| {
            config.build().unwrap()
        }),
        kind!(ScalarAffineConfig, ScalarAffineConfig::new(2.0, 0.5), |config, device| made(
            &config,
            [1, 3],
            device
        )),
        kind!(
            SqueezeConfig,
            SqueezeConfig::new(ChannelOrder::BlockMajor),
            |_| Anything::Ok(()),
            |config, device| made(&config, [1, 2, 4, 4], device)
        ),
        kind!(UniformDequantizationConfig, UniformDequantizationConfig::new(), |config, _| config
            .build()
            .unwrap()),
        kind!(
            VariationalDequantizationConfig,
            VariationalDequantizationConfig::new(),
            |config, _| config
        ),
    ]
}

fn networks() -> Vec<Kind> {
    let attention = Mixing::Attention { heads: 2 };
    vec![
        kind!(ChannelNormConfig, ChannelNormConfig::new(3), |config, device| config
            .build(device)
            .unwrap()),
        net!(
            ConvResNetConfig,
            ConvResNetConfig::new().with_n_filters(4).with_n_blocks(1),
            images()
        ),
        kind!(
            GatedAttentionConfig,
            GatedAttentionConfig::new(4).with_mixing(attention),
            |config, device| config.build(device).unwrap()
        ),
        kind!(
            GatedBlockConfig,
            GatedBlockConfig::new(4).with_mixing(Some(attention)),
            |config, device| config.build(device).unwrap()
        ),
        kind!(GatedConvConfig, GatedConvConfig::new(4), |config, device| config
            .build(device)
            .unwrap()),
        net!(GatedNetConfig, GatedNetConfig::new(4, 1).with_mixing(Some(attention)), images()),
        net!(GlowNetConfig, GlowNetConfig::new().with_n_filters(4), images()),
        net!(MadeConfig, MadeConfig::new([4]), vectors()),
        net!(MlpConfig, MlpConfig::new([4]), vectors()),
        net!(ResNetConfig, ResNetConfig::new().with_d_hidden(4).with_n_blocks(1), vectors()),
        net!(ZeroConvConfig, ZeroConvConfig::new(), images()),
        kind!(DataInitConvConfig, DataInitConvConfig::new(2, 3), |config, device| config
            .build(device)
            .unwrap()),
        kind!(ZeroLinearConfig, ZeroLinearConfig::new(2, 3), |config, device| config
            .build(device)
            .unwrap()),
    ]
}

fn flow_plus_plus() -> FlowPlusPlusConfig {
    let noise = VariationalConfig {
        pattern: Pattern::Checkerboard,
        n_couplings: 1,
        n_filters: 4,
        n_blocks: 1,
        mixing: NoiseMixing::AsFlow,
        n_context: 2,
        n_encoder_blocks: 1,
        encoder_block: EncoderBlock::Conv,
    };
    let stage = |resolution, pattern| StageConfig { resolution, pattern, n_couplings: 1 };
    let stages = vec![
        stage(Resolution::Keep, Pattern::Checkerboard),
        stage(Resolution::Squeeze, Pattern::Channels),
    ];
    FlowPlusPlusConfig::new([1, 4, 4], stages, DequantizationConfig::Variational(noise))
        .with_n_filters(4)
        .with_n_blocks(1)
        .with_mixing(Mixing::Attention { heads: 2 })
}

/// Whole models say what is wrong when they are built, too.
fn models() -> Vec<Kind> {
    let encoder = FlowPlusPlusEncoderConfig::new(Pattern::Checkerboard, 2, 1, EncoderBlock::Conv);
    vec![
        kind!(DiagnosisConfig, DiagnosisConfig::new(), |config, _| config),
        kind!(FlowPlusPlusConfig, flow_plus_plus(), |config, device| named(config.build(device))),
        kind!(
            FlowPlusPlusEncoderConfig,
            encoder,
            |config| config.num_params(&image()),
            |config, _| config.build(&image()).unwrap()
        ),
        kind!(GlowClassifierConfig, GlowClassifierConfig::new(3, 2), |config, device| config
            .build(device)
            .unwrap()),
        kind!(GlowConfig, GlowConfig::new([1, 4, 4], 1, 1).with_n_filters(4), |config, device| {
            named(config.build(device))
        }),
        kind!(LoaderConfig, LoaderConfig::new(2), |config, _| config),
        layers!(MafConfig, MafConfig::new(5).with_hidden(vec![4])),
        layers!(RealNvpConfig, RealNvpConfig::new(8).with_hidden(vec![4])),
        kind!(TrainerConfig, TrainerConfig::new(), |config, _| config),
    ]
}

/// Whether every whole number is small; those of levels may be 256.
fn is_small(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_u64().is_none_or(|size| size <= MOST || size == 256),
        Value::Array(members) => members.len() <= 8 && members.iter().all(is_small),
        Value::Object(members) => members.values().all(is_small),
        _ => true,
    }
}

/// An input is a name of a type, then its JSON.
fn check(kinds: &[Kind], input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').expect("the line of the name");
    let (name, json) = (&input[..end], &input[end + 1..]);
    let kind = kinds.iter().find(|kind| kind.name.as_bytes() == name).expect("a type of the list");
    let is_small = serde_json::from_slice(json).is_ok_and(|value| is_small(&value));
    (kind.check)(json, is_small);
}

fn named_input(name: &str, json: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\n", json].concat()
}

#[test]
fn configurations() {
    let kinds: Vec<Kind> = [layers(), networks(), models()].into_iter().flatten().collect();
    let documents: Vec<Value> =
        kinds.iter().map(|kind| serde_json::from_str(&kind.json).unwrap()).collect();
    let texts: Vec<Vec<u8>> = kinds.iter().map(|kind| kind.json.clone().into_bytes()).collect();
    let mut seeds: Vec<Vec<u8>> =
        kinds.iter().map(|kind| named_input(kind.name, kind.json.as_bytes())).collect();
    seeds.extend(corpus("config"));
    let target = Target { name: "config", file: "config.txt", expansion: 256 };
    let strategy = (
        any::<Index>(),
        document::edits(3),
        prop_oneof![6 => bytes::edits(0), 1 => bytes::edits(3)],
    );
    let build = |(kind, edits, raw): &(Index, Vec<document::Edit>, Vec<Edit>)| {
        let at = kind.index(kinds.len());
        let json = document::edited(&documents[at], edits, &documents).to_string();
        named_input(kinds[at].name, &bytes::edited(json.as_bytes(), raw, &texts))
    };
    fuzz(&target, &seeds, strategy, build, |input| check(&kinds, input.bytes));
}
