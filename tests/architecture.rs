//! A checkpoint goes into the architecture that it was saved from and into no other, however equal
//! the shapes are.

#[path = "common/build.rs"]
mod build;

use std::collections::BTreeMap;

use crate::build::{fixed, fixed_image, layer};
use burn::module::{Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Tensor};
use flowkit::law::{
    Affine, AffineConfig, AffineForm, AnyLawConfig, Law, LawConfig, MixLogCdfConfig,
    RationalQuadraticSplineConfig,
};
use flowkit::train::{Checkpoint, CheckpointError, Trainer, TrainerConfig};
use flowkit::*;

fn device() -> Device {
    Device::flex().autodiff()
}

fn stored<M: Module>(module: &M) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    checkpoint.insert("model", module).unwrap();
    checkpoint
}

/// `other` takes nothing from a file of `saved`, nor the other way round, and the error names the
/// place and both values; each takes its own.
fn refused<M: Module, N: Module>(
    saved: impl Fn() -> M,
    other: impl Fn() -> N,
    place: &str,
    values: [&str; 2],
) {
    let there = stored(&saved());
    let back = stored(&other());
    there.apply("model", saved()).unwrap();
    there.resume("model", saved()).unwrap();
    let [of_saved, of_other] = values;
    let errors = [
        (there.apply("model", other()).unwrap_err(), of_other, of_saved),
        (there.resume("model", other()).unwrap_err(), of_other, of_saved),
        (back.apply("model", saved()).unwrap_err(), of_saved, of_other),
        (back.resume("model", saved()).unwrap_err(), of_saved, of_other),
    ];
    for (error, module, file) in errors {
        let text = error.to_string();
        let CheckpointError::OtherArchitecture { name, expected, found, .. } = error else {
            panic!("{text}")
        };
        assert_eq!(name, place);
        assert_eq!((expected.as_deref(), found.as_deref()), (Some(module), Some(file)), "{name}");
        assert!(text.contains(place) && text.contains(module) && text.contains(file), "{text}");
    }
}

fn spline() -> RationalQuadraticSplineConfig {
    RationalQuadraticSplineConfig::new(5)
}

/// Where a network of half of four elements is built, for a law of two parameters.
fn vectors() -> NetSite<2> {
    NetSite::new([1, 2], [1, 2], vec![0.0; 2], &device())
}

/// The same for two channels of images.
fn images() -> NetSite<4> {
    NetSite::new([1, 1, 2, 2], [1, 1, 2, 2], vec![0.0; 2], &device())
}

fn mlp(activation: Activation) -> Mlp {
    MlpConfig::new([7]).with_activation(activation).build(&vectors()).unwrap()
}

fn affine(form: AffineForm) -> Affine {
    AffineConfig::new(form).build().unwrap()
}

fn coupling(law: AffineConfig, activation: Activation, identity: Half) -> Coupling<Affine, Mlp> {
    let config = CouplingConfig::new(law, MlpConfig::new([7]).with_activation(activation))
        .with_identity(identity);
    config.build(&Site::<2>::new([1, 4], &device())).unwrap()
}

#[test]
fn laws_of_equal_width_are_told_apart() {
    let exponential = || affine(AffineForm::Exponential);
    refused(exponential, || affine(AffineForm::Sigmoid), "model.form", ["Exponential", "Sigmoid"]);
    refused(exponential, || affine(AffineForm::Bounded), "model.form", ["Exponential", "Bounded"]);
    refused(
        || spline().build().unwrap(),
        || spline().with_bound(4.5).build().unwrap(),
        "model.bound",
        ["3.0", "4.5"],
    );
    refused(
        || spline().build().unwrap(),
        || spline().with_min_slope(2e-3).build().unwrap(),
        "model.min_slope",
        ["0.001", "0.002"],
    );
    refused(
        || spline().build().unwrap(),
        || spline().with_min_width(2e-3).build().unwrap(),
        "model.min_width",
        ["0.001", "0.002"],
    );
    refused(
        || spline().build().unwrap(),
        || spline().with_min_height(2e-3).build().unwrap(),
        "model.min_height",
        ["0.001", "0.002"],
    );
    let third = || spline().with_bound(0.1 + 0.2).build().unwrap();
    refused(
        third,
        || spline().with_bound(0.3).build().unwrap(),
        "model.bound",
        ["0.30000000000000004", "0.3"],
    );
    let mixture = || MixLogCdfConfig::new(2);
    let floor = "model.min_log_scale";
    refused(
        || mixture().build().unwrap(),
        || mixture().with_min_log_scale(-6.5).build().unwrap(),
        floor,
        ["-7.0", "-6.5"],
    );

    // 3·5 − 1 = 14 = 2 + 3·4 parameters of a number each.
    let (spline, mixture) = (spline().build().unwrap(), MixLogCdfConfig::new(4).build().unwrap());
    assert_eq!(spline.n_params(), mixture.n_params());
    let elementwise = |law| layer(&ElementwiseConfig::new(law), [1, 3], &device());
    let spline = || elementwise(AnyLawConfig::RationalQuadraticSpline(self::spline()));
    let mixture = || elementwise(AnyLawConfig::MixLogCdf(MixLogCdfConfig::new(4)));
    refused(spline, mixture, "model.law", ["RationalQuadraticSpline", "MixLogCdf"]);
}

#[test]
fn networks_are_told_apart() {
    let elu = ["Silu", "Elu"];
    refused(|| mlp(Activation::Silu), || mlp(Activation::Elu), "model.activation", elu);
    fn dense<N: NetConfig<2>>(config: N) -> impl Fn() -> N::Net {
        move || config.build(&vectors()).unwrap()
    }
    fn convolutions<N: NetConfig<4>>(config: N) -> impl Fn() -> N::Net {
        move || config.build(&images()).unwrap()
    }
    let res_net = || ResNetConfig::new().with_d_hidden(5);
    let relu = dense(res_net().with_activation(Activation::Relu));
    refused(dense(res_net()), relu, "model.activation", ["Silu", "Relu"]);
    let tanh = dense(MadeConfig::new([5]).with_activation(Activation::Tanh));
    refused(dense(MadeConfig::new([5])), tanh, "model.activation", ["Silu", "Tanh"]);
    let conv = || ConvResNetConfig::new().with_n_filters(4).with_n_blocks(1);
    let elu = convolutions(conv().with_activation(Activation::Elu));
    refused(convolutions(conv()), elu, "model.activation", ["Relu", "Elu"]);
    let gated = |heads| GatedNetConfig::new(4, 1).with_mixing(Some(Mixing::Attention { heads }));
    let place = "model.blocks.0.attention.mixing.heads";
    refused(convolutions(gated(2)), convolutions(gated(4)), place, ["2", "4"]);
    // Dropout is part of it: the run would be another one.
    refused(
        dense(res_net()),
        dense(res_net().with_dropout(0.25)),
        "model.blocks.0.dropout.prob",
        ["0.0", "0.25"],
    );
}

#[test]
fn layers_without_parameters_are_told_apart() {
    let squeeze = |order| move || fixed_image(&SqueezeConfig::new(order));
    let orders = ["ChannelMajor", "BlockMajor"];
    refused(
        squeeze(ChannelOrder::ChannelMajor),
        squeeze(ChannelOrder::BlockMajor),
        "model.order",
        orders,
    );
    let partition = |pattern| move || fixed_image(&PartitionConfig::new(pattern));
    refused(
        partition(Pattern::Channels),
        partition(Pattern::Stripes),
        "model.pattern",
        ["Channels", "Stripes"],
    );
    let layers = || (Sigmoid::new(), Tanh::new());
    refused(layers, || (Tanh::new(), Tanh::new()), "model.0", ["Sigmoid", "Tanh"]);
    refused(
        || fixed(&LogitConfig::new()),
        || fixed(&LogitConfig::new().with_margin(0.01)),
        "model.margin",
        ["0.05", "0.01"],
    );
    let leaky = |slope| move || fixed(&LeakyReluConfig::new().with_negative_slope(slope));
    refused(leaky(0.01), leaky(0.2), "model.negative_slope", ["0.01", "0.2"]);
    let scalar = |shift| move || fixed(&ScalarAffineConfig::new(2.0, shift));
    refused(scalar(1.0), scalar(-1.0), "model.shift", ["1.0", "-1.0"]);
    let levels = |n| move || UniformDequantizationConfig::new().with_n_levels(n).build().unwrap();
    refused(levels(256), levels(32), "model.n_levels", ["256", "32"]);
    refused(StandardNormal::new, Uniform::new, "model", ["StandardNormal", "Uniform"]);
}

#[test]
fn layers_with_parameters_are_told_apart() {
    let free = || layer(&Conv1x1Config::new(), [1, 3], &device());
    let bounded = |max_log_scale| {
        move || {
            let conditioning = Conditioning::Bounded { max_triangle: 0.5, max_log_scale };
            layer(&Conv1x1Config::new().with_conditioning(conditioning), [1, 3], &device())
        }
    };
    refused(free, bounded(1.0), "model.conditioning", ["Free", "Bounded"]);
    refused(bounded(1.0), bounded(1.5), "model.conditioning.max_log_scale", ["1.0", "1.5"]);
    let norm = |factor| {
        move || layer(&ActNormConfig::new().with_log_scale_factor(factor), [1, 3], &device())
    };
    refused(norm(1.0), norm(3.0), "model.log_scale_factor", ["1.0", "3.0"]);
    let floor = |floor| {
        move || layer(&PositionNormConfig::new().with_variance_floor(floor), [1, 3], &device())
    };
    refused(floor(1e-8), floor(1e-2), "model.variance_floor", ["1e-8", "0.01"]);
    let half = |identity| {
        move || coupling(AffineConfig::new(AffineForm::Exponential), Activation::Silu, identity)
    };
    refused(half(Half::First), half(Half::Second), "model.identity", ["First", "Second"]);
}

/// The order of a permutation and the degrees of a mask are parameters: they come from the file.
#[test]
fn integers_come_with_the_file() {
    let order = |order: [usize; 3]| {
        layer(
            &PermutationConfig::new().with_order(Order::Explicit(order.into())),
            [1, 3],
            &device(),
        )
    };
    let loaded = stored(&order([2, 0, 1])).apply("model", order([1, 2, 0])).unwrap();
    let x = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &Device::flex());
    let z = loaded.valid().forward(x, &()).0;
    assert_eq!(z.into_data().iter::<f32>().collect::<Vec<_>>(), [3.0, 1.0, 2.0]);
}

/// A kind of layer that another crate wrote.
#[derive(Module, Debug)]
struct Foreign {
    weight: Param<Tensor<1>>,
    inner: Option<Kind>,
    list: Vec<Kind>,
    sharpness: f32,
    #[module(skip)]
    rule: Rule,
}

#[derive(Module, Debug)]
enum Kind {
    Soft(Sigmoid),
    Hard(Tanh),
}

#[derive(Debug, Clone)]
#[expect(dead_code, reason = "seen by Debug")]
struct Rule {
    steps: usize,
    choice: Result<f64, String>,
}

fn foreign(steps: usize) -> Foreign {
    Foreign {
        weight: Param::from_data([1.0], &device()),
        inner: Some(Kind::Soft(Sigmoid::new())),
        list: vec![Kind::Soft(Sigmoid::new()), Kind::Hard(Tanh::new())],
        sharpness: 0.1,
        rule: Rule { steps, choice: Ok(2.5) },
    }
}

#[test]
fn it_is_seen_through_wrappers_and_crates() {
    let right = || foreign(3);
    refused(right, || foreign(4), "model.rule.steps", ["3", "4"]);
    refused(right, || Foreign { sharpness: 0.2, ..foreign(3) }, "model.sharpness", ["0.1", "0.2"]);
    refused(
        right,
        || Foreign { inner: Some(Kind::Hard(Tanh::new())), ..foreign(3) },
        "model.inner",
        ["Soft", "Hard"],
    );
    refused(right, || Foreign { inner: None, ..foreign(3) }, "model.inner", ["Soft", "None"]);
    let list = || vec![Kind::Soft(Sigmoid::new()), Kind::Soft(Sigmoid::new())];
    refused(right, || Foreign { list: list(), ..foreign(3) }, "model.list.1", ["Hard", "Soft"]);
    let rule = || Rule { steps: 3, choice: Err("x".into()) };
    refused(right, || Foreign { rule: rule(), ..foreign(3) }, "model.rule.choice", ["Ok", "Err"]);

    let boxed = |bound: f64| {
        move || {
            let law = RationalQuadraticSplineConfig::new(4).with_bound(bound);
            let inner = layer(&ElementwiseConfig::new(law), [1, 2], &device());
            vec![Some(BoxBijector::<2>::new(Invert::new(BoxBijector::<2>::new(inner))))]
        }
    };
    refused(boxed(3.0), boxed(5.0), "model.0.inner.law.bound", ["3.0", "5.0"]);
    let turned = || vec![Some(BoxBijector::<2>::new(Sigmoid::new()))];
    let round = || vec![Some(BoxBijector::<2>::new(Invert::new(Sigmoid::new())))];
    refused(turned, round, "model.0", ["Sigmoid", "Invert"]);
}

/// Boxed or not, as a tuple or a list: a stack has one file.
#[test]
fn wrappers_that_compute_nothing_do_not_count() {
    let norm = || layer(&ActNormConfig::new(), [1, 2], &device());
    let tuple = stored(&(norm(), Sigmoid::new()));
    let list = || vec![BoxBijector::<2>::new(norm()), BoxBijector::new(Sigmoid::new())];
    tuple.apply("model", list()).unwrap();
    stored(&list()).apply("model", (Some(norm()), Some(Sigmoid::new()))).unwrap();
    // Nor do modes, devices and lives: a mode of evaluation on a plain device.
    let net = || ResNetConfig::new().with_d_hidden(5).with_dropout(0.5).build(&vectors()).unwrap();
    stored(&net()).apply("model", net().valid()).unwrap();
}

#[test]
fn the_first_difference_is_named_and_the_others_counted() {
    let spline =
        || spline().with_bound(2.0).with_min_slope(0.1).with_min_width(0.01).build().unwrap();
    let error = stored(&self::spline().build().unwrap()).apply("model", spline()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`model.bound`: the module has `2.0`, the checkpoint was saved with `3.0`; 2 more \
         differences"
    );
}

/// The layer that differs is the reason; a tensor that is missing for it is only the effect.
#[test]
fn a_stack_of_other_layers_is_named() {
    let norm = || AnyLayerConfig::ActNorm(ActNormConfig::new());
    let linear = || AnyLayerConfig::Conv1x1(Conv1x1Config::new());
    let flow = |layers: Vec<AnyLayerConfig>| {
        Flow::build(&layers, StandardNormal::new(), [1, 4], &Device::flex()).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flow.safetensors");
    flow(vec![norm(), norm(), norm()]).without_data().save(&path).unwrap();
    flow(vec![norm(), norm(), norm()]).load(&path).unwrap();
    let others = [
        (vec![norm(), linear(), norm()], "flow.bijector.1", [Some("Conv1x1"), Some("ActNorm")]),
        (vec![norm(), norm(), norm(), norm()], "flow.bijector.3", [Some("ActNorm"), None]),
        (vec![norm(), norm()], "flow.bijector.2", [None, Some("ActNorm")]),
    ];
    for (layers, place, values) in others {
        let error = flow(layers).load(&path).unwrap_err();
        let text = error.to_string();
        let CheckpointError::OtherArchitecture { name, expected, found, .. } = error else {
            panic!("{text}")
        };
        assert_eq!((name.as_str(), [expected.as_deref(), found.as_deref()]), (place, values));
    }
}

/// Where users meet it: `resume`, `load` and `load_average`, through a file, in which it can be
/// read.
#[test]
fn every_way_out_of_a_file_is_guarded() {
    let flow = |activation: Activation| {
        let layers = coupling(AffineConfig::new(AffineForm::Exponential), activation, Half::First);
        Flow::new(layers, StandardNormal::new(), [1, 4]).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut trainer =
        Trainer::new(flow(Activation::Tanh).without_data(), TrainerConfig::new()).unwrap();
    trainer.save(&path, BTreeMap::new()).unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    assert_eq!(
        checkpoint.architecture("model").unwrap()["bijector.conditioner.net.activation"],
        "Tanh"
    );
    assert_eq!(checkpoint.architecture("average").unwrap()["bijector.law.form"], "Exponential");
    let errors = [
        Trainer::resume(&checkpoint, flow(Activation::Silu)).err().unwrap(),
        Trainer::load_average(&checkpoint, flow(Activation::Silu)).err().unwrap(),
        flow(Activation::Silu).load_section(&checkpoint, "model").err().unwrap(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(matches!(error, CheckpointError::OtherArchitecture { more: 0, .. }), "{text}");
        assert!(text.contains("bijector.conditioner.net.activation"), "{text}");
    }
    Trainer::resume(&checkpoint, flow(Activation::Tanh)).unwrap();
}

/// A bijector with a module of burn's that has a running state, which shows a random identity.
#[derive(Module, Debug)]
struct Normed {
    norm: BatchNorm,
    inner: Coupling<Affine, Mlp>,
}

impl ShapeMap<2> for Normed
where
    Coupling<Affine, Mlp>: ShapeMap<2>,
{
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        self.inner.output_shape(shape)
    }
}

impl<C: Context> Bijector<2, C> for Normed
where
    Coupling<Affine, Mlp>: Bijector<2, C>,
{
    type Driver = Leaf;

    fn forward(&self, x: Tensor<2>, context: &C) -> (Tensor<2>, Tensor<1>) {
        self.inner.forward(x, context)
    }

    fn inverse(&self, z: Tensor<2>, context: &C) -> Tensor<2> {
        self.inner.inverse(z, context)
    }
}

/// Two batches, after which the running mean has moved and burn holds what each thread added.
fn run(norm: &BatchNorm) {
    for shift in [3.0, 5.0] {
        let _ =
            norm.forward(Tensor::<2>::from_data([[shift, 1.0], [2.0 * shift, -4.0]], &device()));
    }
}

#[test]
fn a_running_state_has_no_architecture_of_its_own() {
    let norm = |momentum| BatchNormConfig::new(2).with_momentum(momentum).init(&device());
    refused(|| norm(0.25), || norm(0.5), "model.momentum", ["0.25", "0.5"]);
    let moved = norm(0.25);
    run(&moved);
    let mean = |norm: &BatchNorm| norm.running_mean.value().into_data();
    assert_ne!(mean(&moved), mean(&norm(0.25)));
    let checkpoint = stored(&moved);
    assert_eq!(checkpoint.architecture("model").unwrap()["running_mean"], "RunningState");
    assert_eq!(mean(&checkpoint.apply("model", norm(0.25)).unwrap()), mean(&moved));
    // What the threads added does not make it another module.
    stored(&norm(0.25)).resume("model", moved).unwrap();

    let flow = |momentum| {
        let inner =
            coupling(AffineConfig::new(AffineForm::Exponential), Activation::Silu, Half::First);
        Flow::new(Normed { norm: norm(momentum), inner }, StandardNormal::new(), [1, 4]).unwrap()
    };
    let trainer = Trainer::new(flow(0.25).without_data(), TrainerConfig::new()).unwrap();
    run(&trainer.model().bijector.norm);
    let checkpoint = trainer.checkpoint(BTreeMap::new()).unwrap();
    let resumed = Trainer::resume(&checkpoint, flow(0.25)).unwrap();
    assert_eq!(mean(&resumed.model().bijector.norm), mean(&trainer.model().bijector.norm));
    let text = Trainer::resume(&checkpoint, flow(0.5)).err().unwrap().to_string();
    assert!(text.contains("bijector.norm.momentum"), "{text}");
}
