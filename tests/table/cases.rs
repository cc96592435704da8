//! The entries: one for each bijector and for each way in which it can be built.

use burn::tensor::{Device, Tensor};
use flowkit::law::{AffineConfig, AffineForm, LawConfig, MixLogCdf, MixLogCdfConfig};
use flowkit::model::linear_kind::LinearLayers;
use flowkit::model::nsf::NsfTransform;
use flowkit::model::{LinearKind, NsfConfig, NsfForm};
use flowkit::testing::Inputs::{self, Closed, Open, Real};
use flowkit::testing::{Conformance, SampleContext};
use flowkit::*;

use super::Case;
use super::autoregressive::autoregressive;
use super::blocks::blocks;
use super::flow_plus_plus::flow_plus_plus;
use super::laws::laws;
use super::mixed::of_kinds;
use super::networks::networks;
use super::scales::{glow, multi_scale};
use crate::build::{fixed, fixed_image, layer};

/// Without condition.
pub fn case<const D: usize, B: Bijector<D> + Sync + 'static>(
    name: &'static str,
    shape: [usize; D],
    inputs: Inputs,
    make: impl Fn(&Device) -> B + Clone + 'static,
) -> Case {
    Case::new(Conformance::new(name, shape, make.clone()).inputs(inputs), make)
}

/// With a condition `C`, of the given shape for one example.
pub fn given<const D: usize, C: SampleContext, B: Bijector<D, C> + Sync + 'static>(
    name: &'static str,
    shape: [usize; D],
    inputs: Inputs,
    context: C::Shape,
    make: impl Fn(&Device) -> B + Clone + 'static,
) -> Case {
    Case::new(Conformance::<D, C>::given(name, shape, context, make.clone()).inputs(inputs), make)
}

/// Of a single element, with or without a condition of `d_context` elements; the parameter at
/// `frozen` is not trained.
pub fn of_one<B: Bijector<2, Tensor<2>> + Bijector<2> + Sync + 'static>(
    name: &'static str,
    d_context: usize,
    frozen: &str,
    make: impl Fn(&Device) -> B + Clone + 'static,
) -> Case {
    let size = Real(10.0);
    if d_context > 0 {
        let given = Conformance::<2, Tensor<2>>::given(name, [1, 1], [1, d_context], make.clone());
        return Case::new(given.inputs(size).frozen(frozen), make);
    }
    Case::new(Conformance::<2>::new(name, [1, 1], make.clone()).inputs(size).frozen(frozen), make)
}

pub fn affine(form: AffineForm) -> AffineConfig {
    AffineConfig::new(form)
}

pub fn mixture() -> MixLogCdfConfig {
    MixLogCdfConfig::new(3)
}

/// A coupling of vectors with `c` elements; a condition of width 0 is none.
pub fn coupling<L: LawConfig>(
    law: L,
    identity: Half,
    c: usize,
    d_context: usize,
    device: &Device,
) -> Coupling<L::Law, Mlp> {
    let context = ContextShape::vector((d_context > 0).then_some(d_context));
    let net = MlpConfig::new([6]).with_activation(Activation::Tanh);
    let config = CouplingConfig::new(law, net).with_identity(identity);
    config.build(&Site::<2>::described([1, c], context, device)).unwrap()
}

/// A network of Flow++.
pub fn net(mixing: Mixing) -> GatedNetConfig {
    GatedNetConfig::new(4, 1).with_mixing(Some(mixing))
}

/// Where a coupling of images is built whose halves have the given shape.
pub fn image_site([c, h, w]: [usize; 3], n_context: Option<usize>, device: &Device) -> Site<4> {
    Site::described([1, 2 * c, h, w], ContextShape::vector(n_context), device)
}

pub const ATTENTION: Mixing = Mixing::Attention { heads: 2 };

/// A coupling of images whose halves have the given shape.
pub fn image_coupling(
    identity: Half,
    half: [usize; 3],
    context: Option<usize>,
    device: &Device,
) -> Coupling<MixLogCdf, GatedNet> {
    let config = CouplingConfig::new(mixture(), net(ATTENTION)).with_identity(identity);
    config.build(&image_site(half, context, device)).unwrap()
}

pub fn partition(pattern: Pattern) -> Partition {
    fixed_image(&PartitionConfig::new(pattern))
}

pub fn squeeze(order: ChannelOrder) -> Squeeze {
    fixed_image(&SqueezeConfig::new(order))
}

pub fn act_norm<const D: usize>(c: usize, device: &Device) -> ActNorm<D> {
    let shape = std::array::from_fn(|axis| if axis == 1 { c } else { 1 });
    layer(&ActNormConfig::new(), shape, device)
}

pub fn conv(c: usize, device: &Device) -> Conv1x1 {
    layer(&Conv1x1Config::new(), [1, c], device)
}

fn matrix(c: usize, groups: usize, device: &Device) -> ChannelMatrix {
    layer(&ChannelMatrixConfig::new().with_n_groups(groups), [1, c], device)
}

/// The whole table.
pub fn cases() -> Vec<Case> {
    [
        elementwise(),
        linear(),
        reshape(),
        couplings(),
        laws(),
        networks(),
        blocks(),
        autoregressive(),
        inverted(),
        composed(),
        of_kinds(),
        multi_scale(),
        glow(),
        flow_plus_plus(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// One map of each kind, mixed, for elements in (0, 1).
fn columns() -> ColumnsConfig {
    ColumnsConfig::new(vec![
        ColumnMap::Bounded { lower: 0.0, upper: 1.0, center: 0.5, scale: 2.0 },
        ColumnMap::Circular { lower: -0.5, upper: 2.0 },
        ColumnMap::Positive { lower: 0.0, center: -1.0, scale: 0.5 },
        ColumnMap::Real { center: 0.25, scale: 0.125 },
    ])
}

fn elementwise() -> Vec<Case> {
    vec![
        case("Logit", [1, 5], Closed, |_| fixed(&LogitConfig::new())),
        case("Logit without margin", [1, 1, 2, 3], Open, |_| {
            fixed(&LogitConfig::new().with_margin(0.0))
        }),
        case("Columns", [1, 4], Open, |d| layer(&columns(), [1, 4], d)),
        case("Columns of real numbers", [1, 2], Real(1e4), |d| {
            let far = ColumnMap::Real { center: 7.0, scale: 100.0 };
            layer(&ColumnsConfig::new(vec![ColumnMap::real(), far]), [1, 2], d)
        }),
        case("Columns, a class and a logarithm", [1, 2], Open, |d| {
            let maps = vec![ColumnMap::class(3), ColumnMap::positive(0.0)];
            layer(&ColumnsConfig::new(maps), [1, 2], d)
        }),
        case("Columns, two of a kind apart", [1, 3], Open, |d| {
            let maps = vec![
                ColumnMap::bounded(-1.0, 3.0),
                ColumnMap::real(),
                ColumnMap::bounded(0.0, 1.0),
            ];
            layer(&ColumnsConfig::new(maps), [1, 3], d)
        }),
        case("Invert<Columns>", [1, 4], Real(3.0), |d| Invert::new(layer(&columns(), [1, 4], d))),
        case("Sigmoid", [1, 5], Real(14.0), |_| Sigmoid::new()),
        case("Sigmoid of images", [1, 2, 1, 3], Real(14.0), |_| Sigmoid::new()),
    ]
}

fn linear() -> Vec<Case> {
    vec![
        case("ActNorm of vectors", [1, 4], Real(1e4), |d| act_norm::<2>(4, d)),
        case("ActNorm of sequences", [1, 2, 3], Real(1e4), |d| act_norm::<3>(2, d)),
        case("ActNorm of images", [1, 2, 2, 3], Real(1e4), |d| act_norm::<4>(2, d)),
        case("ActNorm with a factor", [1, 2, 2, 2], Real(1e4), |d| -> ActNorm<4> {
            layer(&ActNormConfig::new().with_log_scale_factor(3.0), [1, 2, 1, 1], d)
        }),
        case("PositionNorm of vectors", [1, 4], Real(1e4), |d| {
            layer(&PositionNormConfig::new(), [1, 4], d)
        }),
        case("PositionNorm of images", [1, 2, 2, 2], Real(1e4), |d| {
            layer(&PositionNormConfig::new(), [1, 2, 2, 2], d)
        }),
        case("ChannelMatrix of vectors", [1, 3], Real(1e4), |d| matrix(3, 1, d)),
        case("ChannelMatrix, one group", [1, 3, 2, 2], Real(1e4), |d| matrix(3, 1, d)),
        case("ChannelMatrix, two groups", [1, 6, 1, 2], Real(1e4), |d| matrix(6, 2, d)),
        case("ChannelMatrix, orthogonal", [1, 4, 1, 2], Real(1e4), |d| {
            layer(&ChannelMatrixConfig::new().with_init(MatrixInit::Orthogonal), [1, 4], d)
        }),
        case("Conv1x1 of vectors", [1, 5], Real(1e4), |d| conv(5, d)),
        case("Conv1x1 of sequences", [1, 3, 2], Real(1e4), |d| conv(3, d)),
        case("Conv1x1 of images", [1, 4, 1, 3], Real(1e4), |d| conv(4, d)),
    ]
}

fn reshape() -> Vec<Case> {
    vec![
        case("Squeeze, channel-major", [1, 3, 2, 2], Real(1e30), |_| {
            squeeze(ChannelOrder::ChannelMajor)
        }),
        case("Squeeze, block-major", [1, 1, 2, 6], Real(1e30), |_| {
            squeeze(ChannelOrder::BlockMajor)
        }),
        case("Partition by channels", [1, 4, 1, 3], Real(1e30), |_| partition(Pattern::Channels)),
        case("Partition in stripes", [1, 2, 1, 6], Real(1e30), |_| partition(Pattern::Stripes)),
        case("Partition in a checkerboard", [1, 3, 2, 2], Real(1e30), |_| {
            partition(Pattern::Checkerboard)
        }),
        case("Swap, even", [1, 4], Real(1e30), |_| Swap::new()),
        case("Swap, odd", [1, 5, 1, 2], Real(1e30), |_| Swap::new()),
    ]
}

fn couplings() -> Vec<Case> {
    use AffineForm::{Additive, Exponential, Sigmoid};
    use Half::{First, Second};
    let size = Real(50.0);
    vec![
        case("Coupling, exponential", [1, 4], size, |d| {
            coupling(affine(Exponential), First, 4, 0, d)
        }),
        case("Coupling, exponential, second half unchanged", [1, 5], size, |d| {
            coupling(affine(Exponential), Second, 5, 0, d)
        }),
        case("Coupling, sigmoid", [1, 4], size, |d| coupling(affine(Sigmoid), First, 4, 0, d)),
        case("Coupling, additive", [1, 3], size, |d| coupling(affine(Additive), First, 3, 0, d)),
        case("Coupling, MixLogCdf", [1, 4], size, |d| coupling(mixture(), First, 4, 0, d)),
        case("Coupling, MixLogCdf, second half unchanged", [1, 5], size, |d| {
            coupling(mixture(), Second, 5, 0, d)
        }),
        case("Coupling of images", [1, 2, 2, 3], size, |d| {
            image_coupling(First, [1, 2, 3], None, d)
        }),
        case("Coupling of images, second half unchanged", [1, 4, 1, 3], size, |d| {
            image_coupling(Second, [2, 1, 3], None, d)
        }),
        given::<2, Tensor<2>, _>("Coupling given a vector", [1, 4], size, [1, 2], |d| {
            coupling(mixture(), First, 4, 2, d)
        }),
        given::<2, (Tensor<2>, Tensor<2>), _>(
            "Coupling given two",
            [1, 4],
            size,
            ([1, 2], [1, 1]),
            |d| coupling(affine(Exponential), First, 4, 3, d),
        ),
        given::<4, Tensor<4>, _>(
            "Coupling given an image",
            [1, 2, 2, 2],
            size,
            [1, 3, 2, 2],
            |d| image_coupling(First, [1, 2, 2], Some(3), d),
        ),
    ]
}

fn inverted() -> Vec<Case> {
    let size = Real(10.0);
    vec![
        case("Invert<Logit>", [1, 4], size, |_| Invert::new(fixed(&LogitConfig::new()))),
        case("Invert<Sigmoid>", [1, 4], Open, |_| Invert::new(Sigmoid::new())),
        case("Invert<ActNorm>", [1, 2, 2, 2], size, |d| Invert::new(act_norm::<4>(2, d))),
        case("Invert<PositionNorm>", [1, 4], size, |d| {
            Invert::new(layer(&PositionNormConfig::new(), [1, 4], d))
        }),
        case("Invert<ChannelMatrix>", [1, 4, 1, 2], size, |d| Invert::new(matrix(4, 2, d))),
        case("Invert<Conv1x1>", [1, 3, 1, 2], size, |d| Invert::new(conv(3, d))),
        case("Invert<Squeeze>", [1, 8, 1, 1], size, |_| {
            Invert::new(squeeze(ChannelOrder::BlockMajor))
        }),
        case("Invert<Partition>", [1, 4, 2, 1], size, |_| {
            Invert::new(partition(Pattern::Checkerboard))
        }),
        case("Invert<Swap>", [1, 5], size, |_| Invert::new(Swap::new())),
        case("Invert<Coupling>, exponential", [1, 4], size, |d| {
            Invert::new(coupling(affine(AffineForm::Exponential), Half::First, 4, 0, d))
        }),
        case("Invert<Coupling>, MixLogCdf", [1, 4], size, |d| {
            Invert::new(coupling(mixture(), Half::First, 4, 0, d))
        }),
        case("Invert<Coupling> of images", [1, 2, 2, 2], size, |d| {
            Invert::new(image_coupling(Half::Second, [1, 2, 2], None, d))
        }),
        given::<2, Tensor<2>, _>("Invert<Coupling> given a vector", [1, 4], size, [1, 2], |d| {
            Invert::new(coupling(mixture(), Half::First, 4, 2, d))
        }),
        case("Invert of Invert", [1, 4], size, |d| {
            Invert::new(Invert::new(coupling(mixture(), Half::Second, 4, 0, d)))
        }),
        case("Invert of a tuple", [1, 4], size, |d| {
            Invert::new((
                act_norm::<2>(4, d),
                coupling(mixture(), Half::First, 4, 0, d),
                Swap::new(),
            ))
        }),
    ]
}

fn nsf(
    form: NsfForm,
    shape: [usize; 2],
    device: &Device,
) -> (Vec<(LinearLayers, NsfTransform)>, LinearLayers) {
    let steps = if shape[1] == 1 { 1 } else { 2 };
    let config = NsfConfig::new(steps).with_form(form).with_d_hidden(6).with_n_bins(4);
    // One element has no matrix to train.
    let matrix = LinearKind::NormAndMatrix(Conv1x1Init::Orthogonal);
    let linear = if shape[1] == 1 { LinearKind::Norm } else { matrix };
    layer(&config.with_activation(Activation::Tanh).with_linear(linear), shape, device)
}

fn composed() -> Vec<Case> {
    let size = Real(10.0);
    let alternate = |d: &Device| {
        [Half::First, Half::Second, Half::First]
            .map(|half| coupling(mixture(), half, 3, 0, d))
            .into_iter()
            .collect()
    };
    vec![
        case("tuple of 2", [1, 4], size, |d| {
            (act_norm::<2>(4, d), coupling(mixture(), Half::First, 4, 0, d))
        }),
        case("tuple of 4", [1, 1, 2, 4], size, |d| {
            (squeeze(ChannelOrder::ChannelMajor), act_norm::<4>(4, d), conv(4, d), Swap::new())
        }),
        // The sigmoid at the end rounds to 1 from 17 on.
        case("tuple of 8", [1, 4], Real(3.0), |d| {
            let half = |identity| coupling(affine(AffineForm::Sigmoid), identity, 4, 0, d);
            let (a, b, c) = (half(Half::First), half(Half::Second), half(Half::First));
            (
                act_norm::<2>(4, d),
                a,
                Swap::new(),
                b,
                conv(4, d),
                c,
                act_norm::<2>(4, d),
                Sigmoid::new(),
            )
        }),
        case("nested tuples", [1, 4], size, |d| {
            ((conv(4, d), Swap::new()), (act_norm::<2>(4, d), matrix(4, 2, d)))
        }),
        case("Vec", [1, 3], size, move |d| -> Vec<_> { alternate(d) }),
        case("Vec, empty", [1, 3], size, |_| Vec::<Swap>::new()),
        case("Option, Some", [1, 3], size, |d| Some(conv(3, d))),
        case("Blockwise", [1, 5], size, |d| {
            let blocks = BlockwiseConfig::new(vec![
                Block::new([3, 1], Some(Conv1x1Config::new())),
                Block::new([0], None),
                Block::new([4, 2], Some(Conv1x1Config::new())),
            ]);
            layer(&blocks, [1, 5], d)
        }),
        given::<2, Tensor<2>, _>("Blockwise given a vector", [1, 3], size, [1, 2], |d| {
            let net = MlpConfig::new([6]).with_activation(Activation::Tanh);
            let coupling = CouplingConfig::new(mixture(), net);
            let blocks = BlockwiseConfig::new(vec![
                Block::new([2, 0], Some(coupling)),
                Block::new([1], None),
            ]);
            let site = Site::<2, Tensor<2>>::described([1, 3], ContextShape::vector(Some(2)), d);
            blocks.build(&site).unwrap()
        }),
        case("Nsf", [1, 3], size, |d| nsf(NsfForm::Coupling, [1, 3], d)),
        case("Nsf, autoregressive", [1, 3], size, |d| nsf(NsfForm::Autoregressive, [1, 3], d)),
        of_one(
            "Nsf of one number",
            0,
            "0.0.1.Autoregressive.conditioner.net.input.linear.weight",
            |d| nsf(NsfForm::Coupling, [1, 1], d),
        ),
        case("Option, None", [1, 3], size, |_| None::<Conv1x1>),
        case("BoxBijector in a BoxBijector", [1, 4], size, |d| {
            BoxBijector::<2>::new(coupling(mixture(), Half::First, 4, 0, d))
        }),
        case("Vec<BoxBijector>", [1, 1, 2, 4], size, |d| {
            vec![
                BoxBijector::<4>::new(squeeze(ChannelOrder::BlockMajor)),
                BoxBijector::new(act_norm::<4>(4, d)),
                BoxBijector::new(image_coupling(Half::First, [2, 1, 2], None, d)),
                BoxBijector::new((Swap::new(), conv(4, d))),
            ]
        }),
        given::<2, Tensor<2>, _>("tuple given a vector", [1, 4], size, [1, 2], |d| {
            let half = |identity| coupling(mixture(), identity, 4, 2, d);
            (half(Half::First), act_norm::<2>(4, d), half(Half::Second))
        }),
        given::<2, (Tensor<2>, Tensor<2>), _>(
            "Vec<BoxBijector> given two",
            [1, 4],
            size,
            ([1, 2], [1, 1]),
            |d| {
                vec![
                    BoxBijector::<2, (Tensor<2>, Tensor<2>)>::new(coupling(
                        mixture(),
                        Half::First,
                        4,
                        3,
                        d,
                    )),
                    BoxBijector::new(conv(4, d)),
                ]
            },
        ),
    ]
}
