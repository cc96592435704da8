//! A crate as users write it, `tests/compose`, which sees nothing but what is public: a bijector, a
//! composition, a law and a network of its own, in flows that files describe. These are that
//! crate's tests. Each flow is trained, saved, loaded and sampled.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use downstream::arcsinh::ArcsinhConfig;
use downstream::choices::{MyLayerConfig, MyNetConfig};
use downstream::rotated::RotatedConfig;
use downstream::sines::SinesConfig;
use downstream::sinh_arcsinh::SinhArcsinhConfig;
use flowkit::data::TwoMoons;
use flowkit::law::{AffineConfig, AffineForm, AnyLawConfig, MixLogCdfConfig};
use flowkit::testing::Conformance;
use flowkit::train::fit::Progress;
use flowkit::train::{Checkpoint, FitConfig, Precision, Trainer, TrainerConfig};
use flowkit::*;

#[path = "common/draws.rs"]
mod draws;

use draws::turn;

/// The text of a file that describes a flow.
fn flow_file(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("flows");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// One layer of a configuration.
fn built<const D: usize, T: LayerConfig<D>>(
    config: &T,
    shape: [usize; D],
    device: &Device,
) -> T::Layer {
    config.build(&Site::new(shape, device)).unwrap()
}

/// Half circles: one number tells much of the other.
fn crescents(n: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
    let side = Tensor::<2>::random([n, 1], Distribution::Uniform(0.0, 1.0), device)
        .greater_elem(0.5)
        .float();
    let angle =
        Tensor::<2>::random([n, 1], Distribution::Uniform(0.0, std::f64::consts::PI), device);
    let sign = side.clone().mul_scalar(-2.0).add_scalar(1.0);
    let x = angle.clone().cos() + side.clone();
    let y = angle.sin() * sign + side.clone().mul_scalar(0.5);
    let noise = Tensor::random([n, 2], Distribution::Normal(0.0, 0.08), device);
    let class = Tensor::cat(vec![side.clone(), side.neg().add_scalar(1.0)], 1);
    (Tensor::cat(vec![x, y], 1) + noise, class)
}

/// Trains, saves, loads: the loss falls, and what comes back is what was saved.
fn train<M: Module>(
    model: M,
    fresh: Uninit<M>,
    updates: usize,
    mut loss: impl FnMut(&M) -> Tensor<1>,
    device: &Device,
) -> M {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut trainer =
        Trainer::new(model, TrainerConfig::new().with_learning_rate(5e-3).with_warm_up(5)).unwrap();
    let losses: Vec<f64> =
        (0..updates).map(|_| trainer.update(device, |model| loss(model)).unwrap().loss).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[updates - 5..]));
    assert!(last < first - 0.05, "the loss went from {first} to {last}");
    trainer.save(&path, BTreeMap::new()).unwrap();
    Trainer::load_average(&Checkpoint::load(&path).unwrap(), fresh).unwrap()
}

/// Layers, laws and networks by name, without a type of one's own.
#[test]
fn a_stack_from_a_file() {
    let _turn = turn();
    let device = Device::flex().autodiff();
    device.seed(1);
    let layers: Vec<AnyLayerConfig> = serde_json::from_str(&flow_file("stack.json")).unwrap();
    let init = || Flow::build(&layers, StandardNormal::new(), [1, 2], &device).unwrap();
    let flow = init().initialize(crescents(512, &device).0).unwrap();
    let batch = || crescents(128, &device).0;
    let loaded = train(flow, init(), 60, |flow| flow.log_prob(batch()).mean().neg(), &device);
    let held_out = loaded.evaluate(crescents(512, &device.clone().inner()).0).unwrap();
    let mean = held_out.nats().iter().sum::<f64>() / 512.0;
    assert!(mean > -3.0, "{mean} nats: worse than two normal numbers");
    assert_eq!(loaded.sample(64).unwrap().dims(), [64, 2]);
}

/// The whole life of a flow whose parts are this crate's and flowkit's: read from a file, fitted,
/// saved, loaded into a flow that is read from the file again, sampled given a condition.
#[test]
fn a_conditional_flow_from_a_file() {
    let _turn = turn();
    let device = Device::flex();
    device.seed(5);
    let build = |moons: &Tensor<2>| {
        let layers: Vec<MyLayerConfig> =
            serde_json::from_str(&flow_file("conditional.json")).unwrap();
        Flow::build_given(&layers, StandardNormal::new(), [1, 2], moons, &device).unwrap()
    };
    let data = TwoMoons::new(2000, 0.1, 0);
    let (points, moons) = (data.points(&device), data.moons(&device));
    let config = FitConfig::new().with_epochs(10).with_batch_size(100).with_learning_rate(5e-3);
    let config = config.with_warm_up(10).with_progress(Progress::None);
    let fitted = config.fit(build(&moons), &(points.clone(), moons.clone())).unwrap();

    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("flow.safetensors");
    fitted.flow.save(&file).unwrap();
    let loaded = build(&moons).load(&file).unwrap();
    let evaluated = loaded.given(&moons).evaluate(points.clone()).unwrap();
    assert_eq!(evaluated, fitted.flow.given(&moons).evaluate(points.clone()).unwrap());

    // Which moon a point is of is worth at most ln 2 nats, and a normal distribution loses more.
    let (found, best) = (fitted.report.held_out.mean(), data.mean_log_prob_given_moon());
    assert!(found > best - 0.6, "{found} nats, where the data has {best}");
    let wrong =
        loaded.given(&moons.clone().neg().add_scalar(1.0)).evaluate(points.clone()).unwrap();
    let mean = |nats: &[f64]| nats.iter().sum::<f64>() / nats.len() as f64;
    let (own, other) = (mean(evaluated.nats()), mean(wrong.nats()));
    assert!(own > other + 1.0, "{own} nats given the moon of each point, {other} given the other");

    // Samples of each moon lie about its centre.
    for moon in [0, 1] {
        let given = Tensor::<2>::from_data([[1.0 - moon as f32, moon as f32]], &device);
        let samples = loaded.given(&given).sample(500).unwrap();
        let of_moon = |x: Tensor<2>| x.mean_dim(0).into_data().iter::<f32>().collect::<Vec<_>>();
        let rows: Vec<i64> = (0..1000).map(|row| 2 * row + moon).collect();
        let rows = Tensor::<1, Int>::from_data(rows.as_slice(), &device);
        let (found, expected) = (of_moon(samples), of_moon(points.clone().select(0, rows)));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 0.2, "moon {moon}: {found}, not {expected}");
        }
    }
}

/// A file names what is wrong in it, and where, whether an enum is flowkit's or this crate's.
#[test]
fn a_file_that_describes_no_stack() {
    fn error<T>(layers: &str, n: usize) -> String
    where
        T: serde::de::DeserializeOwned + LayerConfig<2>,
    {
        let layers: Vec<T> = match serde_json::from_str(layers) {
            Ok(layers) => layers,
            Err(error) => return error.to_string(),
        };
        let flow = Flow::build(&layers, StandardNormal::new(), [1, n], &Device::flex());
        flow.map(|_| ()).unwrap_err().to_string()
    }
    let (ours, own) = (error::<AnyLayerConfig>, error::<MyLayerConfig>);
    assert_eq!(ours("{", 2), "invalid type: map, expected a sequence at line 1 column 0");
    let magic = own(r#"["Magic"]"#, 2);
    assert_eq!(
        magic,
        "unknown variant `Magic`, expected one of `Arcsinh`, `Rotated`, `Coupling`, `Ours`, \
         `Invert`, `Stack` at line 1 column 8"
    );
    let field = own(r#"[{ "Rotated": { "reflections": 2 } }]"#, 2);
    assert!(field.starts_with("unknown field `reflections`, expected `n_reflections`"), "{field}");

    let components = "MixLogCdfConfig: `n_components` must be at least 1, found 0";
    let file = flow_file("stack.json").replace("\"n_components\": 3", "\"n_components\": 0");
    assert_eq!(ours(&file, 2), format!("[1].law: {components}"));
    let file = flow_file("conditional.json").replace("\"n_components\": 4", "\"n_components\": 0");
    assert_eq!(own(&file, 2), format!("[4].law: {components}"));
    let file =
        flow_file("conditional.json").replace("\"n_reflections\": 2", "\"n_reflections\": 9");
    assert_eq!(
        own(&file, 2),
        "[1][0]: HouseholderConfig: `n_reflections` must lie in [1, channels], found 9"
    );
    assert_eq!(ours("[]", 0), "Flow: expected at least one element, found shape [1, 0]");
    assert_eq!(own("[]", 0), "Flow: expected at least one element, found shape [1, 0]");
    assert_eq!(
        own(r#"[{ "Arcsinh": {} }]"#, 0),
        "[0]: Arcsinh: expected at least one element, found shape [1, 0]"
    );

    let layers: Vec<MyLayerConfig> =
        serde_json::from_str(r#"[{ "Ours": "Swap" }, { "Arcsinh": {} }]"#).unwrap();
    let error = layers.plan(&Site::<4>::new([1, 2, 3, 3], &Device::flex())).unwrap_err();
    let inner = ShapeError::Rank { layer: "Arcsinh", expected: 2, shape: vec![1, 2, 3, 3] };
    assert_eq!(error, ConfigError::from(inner).at("[1]"));
    assert_eq!(error.to_string(), "[1]: Arcsinh: expected 2 axes, found shape [1, 2, 3, 3]");
}

/// The configurations of this crate are made by `config!`: what is wrong with a field is named.
#[test]
fn a_field_that_is_unknown_doubled_or_missing() {
    fn error<T: serde::de::DeserializeOwned>(text: &str) -> String {
        serde_json::from_str::<T>(text).map(|_| ()).expect_err(text).to_string()
    }
    fn starts(error: String, text: &str) {
        assert!(error.starts_with(text), "{error}, not {text}");
    }
    let bogus = r#"{ "bogus": 3 }"#;
    starts(error::<ArcsinhConfig>(bogus), "unknown field `bogus`, there are no fields");
    starts(error::<SinhArcsinhConfig>(bogus), "unknown field `bogus`, there are no fields");
    starts(error::<RotatedConfig>(bogus), "unknown field `bogus`, expected `n_reflections`");
    starts(error::<SinesConfig>(bogus), "unknown field `bogus`, expected `width`");
    let in_a_stack = error::<Vec<MyLayerConfig>>(r#"[{ "Arcsinh": { "bogus": 3 } }]"#);
    starts(in_a_stack, "unknown field `bogus`, there are no fields");

    starts(error::<SinesConfig>(r#"{ "width": 1, "width": 2 }"#), "duplicate field `width`");
    let doubled = r#"{ "n_reflections": 1, "n_reflections": 1 }"#;
    starts(error::<RotatedConfig>(doubled), "duplicate field `n_reflections`");
    starts(error::<SinesConfig>("{}"), "missing field `width`");

    // A field with a default may be left out, and its method changes it.
    let rotated = serde_json::from_str::<RotatedConfig>("{}").unwrap();
    let alone: Vec<MyLayerConfig> = serde_json::from_str(r#"["Rotated", "Arcsinh"]"#).unwrap();
    let MyLayerConfig::Rotated(in_a_stack) = &alone[0] else { panic!("{alone:?}") };
    assert_eq!(in_a_stack.n_reflections, rotated.n_reflections);
    assert_eq!(rotated.n_reflections, RotatedConfig::new().n_reflections);
    assert_eq!(RotatedConfig::new().with_n_reflections(3).n_reflections, 3);
    assert_eq!(serde_json::to_string(&SinesConfig::new(8)).unwrap(), r#"{"width":8}"#);
}

/// The parts of this crate keep what they promise, alone and in a coupling.
#[test]
fn parts_of_ones_own_conform() {
    let _turn = turn();
    Conformance::new("Arcsinh", [1, 3], |device| built(&ArcsinhConfig::new(), [1, 3], device))
        .check()
        .unwrap();
    let rotated = |device: &Device| built(&RotatedConfig::new(), [1, 3], device);
    Conformance::new("Rotated", [1, 3], rotated).check().unwrap();
    let coupling = |device: &Device| {
        let site = Site::given([1, 3], &Tensor::<2>::zeros([1, 2], device), device);
        CouplingConfig::new(SinhArcsinhConfig::new(), SinesConfig::new(4)).build(&site).unwrap()
    };
    Conformance::<2, Tensor<2>>::given("Coupling of SinhArcsinh", [1, 3], [1, 2], coupling)
        .check()
        .unwrap();
}

#[test]
fn a_conditional_flow_of_two_numbers() {
    let _turn = turn();
    let device = Device::flex().autodiff();
    device.seed(2);
    let init = || {
        let site = Site::given([1, 2], &Tensor::<2>::zeros([1, 2], &device), &device);
        let coupling = |identity| {
            let config = CouplingConfig::new(
                AffineConfig::new(AffineForm::Exponential),
                MlpConfig::new([24]),
            );
            config.with_identity(identity).build(&site).unwrap()
        };
        let layers = (
            built(&ActNormConfig::new(), [1, 2], &device),
            coupling(Half::First),
            coupling(Half::Second),
        );
        Flow::<_, _, 2, Tensor<2>>::new_given(layers, StandardNormal::new(), [1, 2]).unwrap()
    };
    let (x, class) = crescents(512, &device);
    let flow = init().initialize_given(x, &class).unwrap();
    let loss = |flow: &Flow<_, _, 2, Tensor<2>>| {
        let (x, class) = crescents(128, &device);
        flow.given(&class).log_prob(x).mean().neg()
    };
    let loaded = train(flow, init(), 60, loss, &device);
    let class = Tensor::<2>::from_data([[1.0, 0.0]], &device.clone().inner()).repeat_dim(0, 200);
    let samples = loaded.given(&class).sample(200).unwrap();
    // The crescent of this class is centred at x = 1.
    let x = samples.narrow(1, 0, 1).mean().into_scalar::<f32>();
    assert!((x - 1.0).abs() < 0.5, "centre of the samples: {x}");
    let unconditional = loaded.bijector.0.clone();
    assert!(
        Flow::new((unconditional, loaded.bijector.1.clone()), StandardNormal::new(), [1, 2])
            .is_err()
    );
}

#[test]
fn a_multi_scale_flow_of_images() {
    let _turn = turn();
    let device = Device::flex().autodiff();
    device.seed(3);
    let init = || {
        let step = |c: usize| {
            let net = GlowNetConfig::new().with_n_filters(8);
            let coupling = CouplingConfig::new(AffineConfig::new(AffineForm::Sigmoid), net);
            let coupling = coupling.build(&Site::new([1, c, 1, 1], &device)).unwrap();
            (
                built(&ActNormConfig::new(), [1, c, 1, 1], &device),
                built(&Conv1x1Config::new(), [1, c], &device),
                coupling,
            )
        };
        let level = |c: usize| {
            (
                built(&SqueezeConfig::new(ChannelOrder::ChannelMajor), [1, 1, 2, 2], &device),
                vec![step(c), step(c)],
            )
        };
        let layers = (
            built(&LogitConfig::new(), [1, 1, 8, 8], &device),
            MultiScale::new(vec![level(4), level(8)]),
        );
        let noise = UniformDequantizationConfig::new().build().unwrap();
        Flow::new(layers, StandardNormal::new(), [1, 1, 8, 8]).unwrap().behind(noise)
    };
    // Dark on the left, light on the right, each image with a brightness of its own.
    let images = |n: usize| {
        let light = Tensor::<4>::random([n, 1, 1, 1], Distribution::Uniform(0.0, 100.0), &device);
        let ramp: Vec<f32> = (0..64).map(|i| (i % 8) as f32 * 20.0).collect();
        let ramp = Tensor::<4>::from_data(TensorData::new(ramp, [1, 1, 8, 8]), &device);
        let x: Tensor<4, Int> = (light + ramp).int();
        x
    };
    let model = init().initialize(images(64)).unwrap();
    let loaded = train(model, init(), 30, |model| model.loss(images(16)), &device);
    let plain = images(16).inner();
    let bits = loaded.evaluate(plain.clone()).unwrap().bits_per_dim();
    assert!(bits.value() < 8.0, "{bits}: no better than no model");
    let (back, error) = loaded.round_trip(plain.clone()).unwrap();
    assert!(error < 1e-4, "{error}");
    assert_eq!(back.into_data(), plain.into_data());
    let samples = loaded.sample_at(4, 0.7).unwrap();
    assert_eq!(samples.dims(), [4, 1, 8, 8]);
}

/// Types of all parameters, by the names of the modules around them.
fn types<M: Module>(module: &M) -> Vec<(String, DType)> {
    struct Types(Vec<String>, Vec<(String, DType)>);
    impl ModuleVisitor for Types {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push((self.0.join("."), param.val().dtype()));
        }
    }
    let mut types = Types(Vec::new(), Vec::new());
    module.visit(&mut types);
    types.1
}

/// What is a network follows from its place in a layer, not from a list of names.
#[test]
fn a_network_of_ones_own_is_trained_in_a_half_type() {
    let _turn = turn();
    let device = Device::flex().autodiff();
    device.seed(4);
    let net = MyNetConfig::from(SinesConfig::new(8));
    let config = CouplingConfig::new(MixLogCdfConfig::new(3), net);
    let context = Tensor::<2>::random([16, 2], Distribution::Normal(0.0, 1.0), &device);
    let layers =
        (ActNormConfig::new(), config).build(&Site::given([1, 4], &context, &device)).unwrap();
    let half = Precision::BF16.working_copy(&layers);
    for (path, dtype) in types(&half) {
        let expected = if path.contains("conditioner.net.") { DType::BF16 } else { DType::F32 };
        assert_eq!(dtype, expected, "{path}");
    }
    let x = Tensor::<2>::random([16, 4], Distribution::Normal(0.0, 1.0), &device);
    let (z, log_det) = half.forward(x.clone(), &context);
    assert_eq!((z.dtype(), log_det.dtype()), (DType::F32, DType::F32));
    let off = (half.inverse(z.clone(), &context) - x.clone()).abs().max().into_scalar::<f32>();
    assert!(off < 1e-4, "not inverted: {off}");
    let moved = (z - layers.forward(x, &context).0).abs().max().into_scalar::<f32>();
    assert!(moved > 0.0 && moved < 0.1, "a rounding of bfloat16, not {moved}");
}

/// Laws and networks by name, without a type of one's own.
#[test]
fn a_coupling_from_json() {
    let json = r#"{
        "law": { "MixLogCdf": { "n_components": 3, "min_log_scale": -7.0, "max_log_scale": 7.0 } },
        "net": { "Mlp": { "hidden": [16] } },
        "identity": "Second"
    }"#;
    let config: CouplingConfig<AnyLawConfig, AnyNetConfig> = serde_json::from_str(json).unwrap();
    let _turn = turn();
    let device = Device::flex();
    let layer = config.build(&Site::<2>::new([1, 5], &device)).unwrap();
    let x = Tensor::<2>::ones([2, 5], &device);
    let (z, _) = Bijector::<2>::forward(&layer, x.clone(), &());
    let kept = (z.narrow(1, 3, 2) - x.narrow(1, 3, 2)).abs().max().into_scalar::<f32>();
    assert_eq!(kept, 0.0, "the second half passes unchanged");
    let error = config.build(&Site::<4>::new([1, 4, 2, 2], &device)).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), ".net: Mlp: expected 2 axes, found shape [1, 2, 2, 2]");
    assert!(
        serde_json::from_str::<CouplingConfig<AnyLawConfig, AnyNetConfig>>(
            &json.replace("hidden", "widths")
        )
        .is_err()
    );
}

/// A struct that has the name of one of flowkit's modules with a network.
#[derive(Module, Debug)]
struct Encoding {
    scale: Param<Tensor<1>>,
}

/// Half precision asks what a module is, not what its struct is called.
#[test]
fn a_name_is_no_reason_for_half_precision() {
    let device = Device::flex();
    let own = Encoding { scale: Param::from_tensor(Tensor::ones([3], &device)) };
    let copy = Precision::BF16.working_copy(&own);
    assert_eq!(copy.scale.val().dtype(), DType::F32);

    let held = flowkit::quantize::Encoding::new(own);
    let copy = Precision::BF16.working_copy(&held);
    assert_eq!(copy.net.scale.val().dtype(), DType::BF16);
}
