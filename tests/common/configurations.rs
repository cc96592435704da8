//! Every configuration of the crate, once, with an example: what the tests of JSON, of claimed
//! sizes and of damaged files go through.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowkit::calibration::ClassifierTestConfig;
use flowkit::conditioner::layer::*;
use flowkit::data::LoaderConfig;
use flowkit::data::table::CsvConfig;
use flowkit::law::*;
use flowkit::model::flow_plus_plus::*;
use flowkit::model::glow::*;
use flowkit::model::*;
use flowkit::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A configuration that was read.
pub trait Read {
    /// The same as JSON.
    fn json(&self) -> Value;
    /// The number of parameters of what it makes (0 where it makes none), or the rule it breaks.
    fn num_params(&self) -> Result<usize, String>;
    /// Builds it, if it builds anything, and counts the parameters.
    fn build(&self) -> usize;
}

/// Reads a configuration from JSON.
type Reader = Box<dyn Fn(&[u8]) -> Result<Box<dyn Read>, String>>;

/// A configuration with its defaults where it has any.
pub struct Example {
    pub name: &'static str,
    pub json: Value,
    /// The fields without a default.
    pub required: Vec<&'static str>,
    pub read: Reader,
}

struct Made<T, F, G>(T, F, G);

impl<T: Serialize, F, G> Read for Made<T, F, G>
where
    F: Fn(&T) -> Result<usize, String>,
    G: Fn(&T) -> usize,
{
    fn json(&self) -> Value {
        serde_json::to_value(&self.0).unwrap()
    }

    fn num_params(&self) -> Result<usize, String> {
        (self.1)(&self.0)
    }

    fn build(&self) -> usize {
        (self.2)(&self.0)
    }
}

/// An example, from how many parameters it states and how many what it makes has.
pub fn made<T: Serialize + DeserializeOwned + 'static, E: ToString>(
    name: &'static str,
    config: T,
    required: &[&'static str],
    count: impl Fn(&T) -> Result<usize, E> + Copy + 'static,
    build: impl Fn(&T) -> usize + Copy + 'static,
) -> Example {
    let read = move |text: &[u8]| {
        let config = serde_json::from_slice::<T>(text).map_err(|error| error.to_string())?;
        let count = move |config: &T| count(config).map_err(|error| error.to_string());
        Ok(Box::new(Made(config, count, build)) as Box<dyn Read>)
    };
    Example {
        name,
        json: serde_json::to_value(config).unwrap(),
        required: required.to_vec(),
        read: Box::new(read),
    }
}

/// A configuration that makes no parameters, with what it breaks no rule of.
pub fn plain<T: Serialize + DeserializeOwned + 'static, E: ToString + 'static>(
    name: &'static str,
    config: T,
    required: &[&'static str],
    validate: fn(&T) -> Result<(), E>,
) -> Example {
    made(name, config, required, move |config| validate(config).map(|()| 0), |_| 0)
}

/// A configuration of a layer, where examples of this shape arrive.
pub fn layer<const D: usize, T>(
    name: &'static str,
    config: T,
    shape: [usize; D],
    required: &[&'static str],
) -> Example
where
    T: LayerConfig<D> + Serialize + DeserializeOwned + 'static,
{
    let site = move || Site::new(shape, &Device::flex());
    made(
        name,
        config,
        required,
        move |config: &T| config.plan(&site()).map(|plan| plan.num_params),
        move |config: &T| config.build(&site()).unwrap().num_params(),
    )
}

/// A configuration of a network of vectors or images with halves of this shape, four parameters of
/// each element and a condition of three.
pub fn net<const D: usize, T>(
    name: &'static str,
    config: T,
    half: [usize; D],
    required: &[&'static str],
) -> Example
where
    T: NetConfig<D> + Serialize + DeserializeOwned + 'static,
{
    let site = move || {
        let site = NetSite::new(half, half, vec![0.5, 0.0, 0.0, 1.0], &Device::flex());
        site.with_context(ContextShape::vector(Some(3)))
    };
    made(
        name,
        config,
        required,
        move |config: &T| config.num_params(&site()),
        move |config: &T| Module::num_params(&config.build(&site()).unwrap()),
    )
}

/// A configuration that is built on a device alone.
macro_rules! on_device {
    ($type:ident::$new:ident($($argument:expr),*), $required:expr) => {
        made(
            stringify!($type),
            $type::$new($($argument),*),
            &$required,
            $type::num_params,
            |config: &$type| config.build(&Device::flex()).unwrap().num_params(),
        )
    };
}

/// A law owns no parameters, and says how many a network gives it.
pub fn law<T>(name: &'static str, config: T, required: &[&'static str]) -> Example
where
    T: LawConfig + Serialize + DeserializeOwned + 'static,
{
    let count = |config: &T| config.build().map(|_| 0);
    made(name, config, required, count, |config: &T| {
        let law = config.build().unwrap();
        assert_eq!(law.theta_init().len(), law.n_params());
        0
    })
}

macro_rules! layer {
    ($type:ident::$new:ident($($argument:expr),*), $shape:expr, $required:expr) => {
        layer(stringify!($type), $type::$new($($argument),*), $shape, &$required)
    };
}

macro_rules! net {
    ($type:ident::$new:ident($($argument:expr),*), $half:expr, $required:expr) => {
        net(stringify!($type), $type::$new($($argument),*), $half, &$required)
    };
}

macro_rules! plain {
    ($type:ident::$new:ident($($argument:expr),*), $required:expr) => {
        plain(stringify!($type), $type::$new($($argument),*), &$required, $type::validate)
    };
}

pub const VECTOR: [usize; 2] = [1, 3];
pub const IMAGE: [usize; 4] = [1, 2, 4, 4];

fn affine() -> AnyLawConfig {
    AffineConfig::new(AffineForm::Sigmoid).into()
}

fn mlp() -> AnyNetConfig {
    MlpConfig::new([3]).into()
}

fn noise() -> VariationalConfig {
    VariationalConfig {
        pattern: Pattern::Checkerboard,
        n_couplings: 1,
        n_filters: 4,
        n_blocks: 1,
        mixing: NoiseMixing::AsFlow,
        n_context: 2,
        n_encoder_blocks: 1,
        encoder_block: EncoderBlock::Attention { heads: 2 },
    }
}

fn stage() -> StageConfig {
    StageConfig {
        resolution: Resolution::SqueezeRepeatedly { times: 2 },
        pattern: Pattern::Channels,
        n_couplings: 1,
    }
}

fn stages() -> Vec<StageConfig> {
    let first =
        StageConfig { resolution: Resolution::Keep, pattern: Pattern::Checkerboard, ..stage() };
    vec![first, stage()]
}

/// What has no rules of its own.
fn valid<T>(_: &T) -> Result<usize, String> {
    Ok(0)
}

/// Elementwise maps, linear maps, rearrangements and compositions.
pub fn layers() -> Vec<Example> {
    let any = || {
        AnyLayerConfig::Stack(vec![AnyLayerConfig::Coupling(CouplingConfig::new(affine(), mlp()))])
    };
    let level = || {
        let squeeze = SqueezeConfig::new(ChannelOrder::ChannelMajor);
        let norm = AnyLayerConfig::ActNorm(ActNormConfig::new());
        AnyLayerConfig::Stack(vec![AnyLayerConfig::Squeeze(squeeze), norm])
    };
    vec![
        layer!(ActNormConfig::new(), IMAGE, []),
        layer(
            "BlockwiseConfig",
            BlockwiseConfig::new(vec![
                Block::new([1, 2], any()),
                Block::new([0], AnyLayerConfig::Exp),
            ]),
            VECTOR,
            &["blocks"],
        ),
        layer(
            "ChainRuleConfig",
            ChainRuleConfig::new(
                vec![(1, Reading::Number)],
                ElementwiseConfig::new(affine()),
                ElementwiseConfig::new(affine()),
            ),
            VECTOR,
            &["elements", "first", "then"],
        ),
        layer!(ChannelMatrixConfig::new(), [1, 4], []),
        layer!(
            ColumnsConfig::new(vec![
                ColumnMap::real(),
                ColumnMap::positive(0.0),
                ColumnMap::bounded(0.0, 1.0)
            ]),
            VECTOR,
            ["maps"]
        ),
        layer!(Conv1x1Config::new(), IMAGE, []),
        layer!(CouplingConfig::new(affine(), mlp()), VECTOR, ["law", "net"]),
        layer!(ElementwiseConfig::new(AnyLawConfig::from(MixLogCdfConfig::new(2))), IMAGE, ["law"]),
        layer!(HouseholderConfig::new(2), [1, 4], ["n_reflections"]),
        layer!(LeakyReluConfig::new(), IMAGE, []),
        layer!(LogitConfig::new(), IMAGE, []),
        layer!(
            MaskedAutoregressiveConfig::new(affine(), MadeConfig::new([4])),
            VECTOR,
            ["law", "net"]
        ),
        layer!(
            MaskedCouplingConfig::new(affine(), mlp(), Mask::Explicit(vec![true, false, true])),
            VECTOR,
            ["law", "net", "mask"]
        ),
        layer!(MultiScaleConfig::new(vec![level()]), IMAGE, ["levels"]),
        layer!(PartitionConfig::new(Pattern::Stripes), IMAGE, ["pattern"]),
        layer!(PermutationConfig::new(), IMAGE, []),
        layer!(PositionNormConfig::new(), IMAGE, []),
        layer!(ScalarAffineConfig::new(2.0, 0.5), IMAGE, ["scale", "shift"]),
        layer!(SqueezeConfig::new(ChannelOrder::BlockMajor), IMAGE, ["order"]),
        layer("AnyLayerConfig", any(), VECTOR, &["Stack"]),
    ]
}

/// Laws, priors and dequantizations.
pub fn parts() -> Vec<Example> {
    let site =
        || Site::given(VECTOR, &Tensor::<2>::zeros([1, 2], &Device::flex()), &Device::flex());
    let prior = ConditionalNormalConfig::new(mlp());
    type Prior = ConditionalNormalConfig<AnyNetConfig>;
    vec![
        law("AffineConfig", AffineConfig::new(AffineForm::Additive), &["form"]),
        law("BernsteinConfig", BernsteinConfig::new(4), &["degree"]),
        law("CategoricalConfig", CategoricalConfig::new(3), &["n_classes"]),
        law("CircularSplineConfig", CircularSplineConfig::new(4), &["n_bins"]),
        law("FlooredAffineConfig", FlooredAffineConfig::new(ScaleForm::Sigmoid), &["form"]),
        law("GaussianizationConfig", GaussianizationConfig::new(3), &["n_components"]),
        law("MixLogCdfConfig", MixLogCdfConfig::new(3), &["n_components"]),
        law("RationalQuadraticSplineConfig", RationalQuadraticSplineConfig::new(4), &["n_bins"]),
        law("SoftClipSplineConfig", SoftClipSplineConfig::new(4), &["n_bins"]),
        law("AnyLawConfig", affine(), &["Affine"]),
        made(
            "ConditionalNormalConfig",
            prior,
            &["net"],
            move |config: &Prior| config.build(&site()).map(|prior| prior.num_params()),
            move |config: &Prior| config.build(&site()).unwrap().num_params(),
        ),
        made(
            "DiagonalNormalConfig",
            DiagonalNormalConfig::new(),
            &[],
            |config| config.num_params(IMAGE),
            |config| config.build(&Site::new(IMAGE, &Device::flex())).unwrap().num_params(),
        ),
        made(
            "NormalMixtureConfig",
            NormalMixtureConfig::new(3),
            &["n_components"],
            |config| config.num_params(IMAGE),
            |config| config.build(&Site::new(IMAGE, &Device::flex())).unwrap().num_params(),
        ),
        made(
            "MultivariateNormalConfig",
            MultivariateNormalConfig::new(),
            &[],
            |config| config.num_params(VECTOR),
            |config| config.build(&Site::<2>::new(VECTOR, &Device::flex())).unwrap().num_params(),
        ),
        plain!(IntegerColumnsConfig::new(vec![0, 2]), ["columns"]),
        plain!(NormalOrUniformConfig::new(vec![ElementPrior::Normal; 3]), ["elements"]),
        plain!(StudentTConfig::new(3.0), ["degrees"]),
        plain!(UniformBoxConfig::between(-1.0, vec![1.0, 2.0, 3.0]), ["lower", "upper"]),
        plain!(UniformDequantizationConfig::new(), []),
        plain!(VariationalDequantizationConfig::new(), []),
    ]
}

/// Networks and their parts.
pub fn networks() -> Vec<Example> {
    let any = AnyNetConfig::from(MlpConfig::new([3]));
    let own = vec![
        net("AngleNetConfig", AngleNetConfig::new(mlp()), VECTOR, &["net"]),
        net!(ConvResNetConfig::new(), IMAGE, []),
        net!(GatedNetConfig::new(4, 1), IMAGE, ["n_filters", "n_blocks"]),
        net!(GlowNetConfig::new(), IMAGE, []),
        net!(MadeConfig::new([4]), VECTOR, ["hidden"]),
        net!(MlpConfig::new([4]), VECTOR, ["hidden"]),
        net!(ResMadeConfig::new(), VECTOR, []),
        net!(ResNetConfig::new(), VECTOR, []),
        net!(ZeroConvConfig::new(), IMAGE, []),
        net("AnyNetConfig", any, VECTOR, &["Mlp"]),
        on_device!(ChannelNormConfig::new(3), ["n_channels"]),
        on_device!(DataInitConvConfig::new(2, 3), ["n_inputs", "n_outputs"]),
        on_device!(GatedAttentionConfig::new(4), ["n_filters"]),
        on_device!(GatedBlockConfig::new(4), ["n_filters"]),
        on_device!(GatedConvConfig::new(4), ["n_filters"]),
        on_device!(ZeroLinearConfig::new(2, 3), ["n_inputs", "n_outputs"]),
        made("ConvStyle", ConvStyle::new(), &[], valid, |_| 0),
    ];
    own.into_iter().chain(encoders()).collect()
}

/// The model, given classes or not.
fn glow(config: &GlowConfig) -> usize {
    let device = Device::flex();
    match config.prior {
        GlowPrior::Classes { .. } => config.build_classes(&device).unwrap().num_params(),
        _ => config.build(&device).unwrap().num_params(),
    }
}

/// A configuration of an encoder of observations of this shape.
pub fn encoder<const D: usize, T>(
    name: &'static str,
    config: T,
    shape: [usize; D],
    required: &[&'static str],
) -> Example
where
    T: EncoderConfig<D> + Serialize + DeserializeOwned + 'static,
{
    let site = move || Site::<D>::new(shape, &Device::flex());
    made(
        name,
        config,
        required,
        move |config: &T| config.num_params(&site()),
        move |config: &T| Module::num_params(&config.build(&site()).unwrap()),
    )
}

/// Encoders of observations, and the test with a classifier.
fn encoders() -> Vec<Example> {
    let features = &["n_features"];
    let standardized = StandardizedConfig::new(VectorEncoderConfig::new(3));
    vec![
        encoder("VectorEncoderConfig", VectorEncoderConfig::new(3), VECTOR, features),
        encoder("SetEncoderConfig", SetEncoderConfig::new(3), [1, 5, 2], features),
        encoder("SeriesEncoderConfig", SeriesEncoderConfig::new(3), [1, 2, 9], features),
        encoder("ImageEncoderConfig", ImageEncoderConfig::new(3), IMAGE, features),
        encoder("StandardizedConfig", standardized, VECTOR, &["net"]),
        plain!(ClassifierTestConfig::new(), []),
    ]
}

/// Models, training and data.
pub fn models() -> Vec<Example> {
    let variational = [
        "pattern",
        "n_couplings",
        "n_filters",
        "n_blocks",
        "mixing",
        "n_context",
        "n_encoder_blocks",
        "encoder_block",
    ];
    let encoder = EncoderBlock::Attention { heads: 2 };
    let encoder = FlowPlusPlusEncoderConfig::new(Pattern::Stripes, 2, 1, encoder);
    let image = || Site::<4>::new(IMAGE, &Device::flex());
    let required = &["pattern", "n_context", "n_blocks", "block"];
    vec![
        on_device!(
            FlowPlusPlusConfig::new(
                [1, 4, 4],
                stages(),
                DequantizationConfig::Variational(noise())
            ),
            ["image", "stages", "dequantization"]
        ),
        made(
            "FlowPlusPlusEncoderConfig",
            encoder,
            required,
            move |config: &FlowPlusPlusEncoderConfig| config.num_params(&image()),
            move |config: &FlowPlusPlusEncoderConfig| config.build(&image()).unwrap().num_params(),
        ),
        made("StageConfig", stage(), &["resolution", "pattern", "n_couplings"], valid, |_| 0),
        made("VariationalConfig", noise(), &variational, valid, |_| 0),
        on_device!(GlowClassifierConfig::new(3, 2), ["n_channels", "n_classes"]),
        made(
            "GlowConfig",
            GlowConfig::new([1, 4, 4], 1, 2),
            &["image", "n_scales", "n_steps"],
            GlowConfig::num_params,
            glow,
        ),
        layer!(CircularNsfConfig::new(2), VECTOR, ["n_steps"]),
        layer!(
            MixedNsfConfig::new(vec![
                RowElement::Real,
                RowElement::Angle,
                RowElement::Class { n: 3 },
            ]),
            VECTOR,
            ["elements"]
        ),
        layer!(MafConfig::new(2), VECTOR, ["n_layers"]),
        plain("NflowsSettings", nflows::NflowsSettings::new(), &[], |_| Ok::<(), String>(())),
        layer!(NsfConfig::new(2), VECTOR, ["n_steps"]),
        layer!(RealNvpConfig::new(2), VECTOR, ["n_couplings"]),
        plain("ZukoSettings", zuko::ZukoSettings::new(), &[], |_| Ok::<(), String>(())),
        plain!(DiagnosisConfig::new(), []),
        plain!(LoaderConfig::new(2), ["batch_size"]),
        plain!(CsvConfig::new(), []),
    ]
}
