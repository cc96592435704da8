//! A crate as users write it, `tests/compose`, which sees nothing but what is public: a bijector of
//! its own, a stack from a file, a conditional flow of two numbers, a multi-scale flow of images.
//! Each is trained, saved, loaded and sampled. These are that crate's tests.

use std::collections::BTreeMap;
use std::sync::Mutex;

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use downstream::stack::{StackConfig, StackError};
use flowkit::law::{AffineConfig, AffineForm, AnyLawConfig, MixLogCdfConfig};
use flowkit::train::{Checkpoint, Precision, Trainer, TrainerConfig};
use flowkit::*;
use serde::{Deserialize, Serialize};

/// The seed of a device is global: tests that draw take turns.
static DRAWS: Mutex<()> = Mutex::new(());

const STACK: &str = r#"{
    "dims": 2,
    "layers": [
        { "layer": "act_norm" },
        { "layer": "arcsinh" },
        { "layer": "mix_log_cdf", "identity": "First", "hidden": [16], "n_components": 3 },
        { "layer": "conv1x1" },
        { "layer": "affine", "identity": "Second", "hidden": [16, 16] }
    ]
}"#;

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

#[test]
fn a_stack_from_a_file() {
    let _turn = DRAWS.lock().unwrap_or_else(|poison| poison.into_inner());
    let device = Device::flex().autodiff();
    device.seed(1);
    let config = StackConfig::parse(STACK).unwrap();
    let flow = config.init(&device).unwrap().initialize(crescents(512, &device).0).unwrap();
    let batch = || crescents(128, &device).0;
    let loaded = train(
        flow,
        config.init(&device).unwrap(),
        60,
        |flow| flow.log_prob(batch()).mean().neg(),
        &device,
    );
    let held_out = loaded.evaluate(crescents(512, &device.clone().inner()).0).unwrap();
    let mean = held_out.nats().iter().sum::<f64>() / 512.0;
    assert!(mean > -3.0, "{mean} nats: worse than two normal numbers");
    let samples: Tensor<2> = loaded.sample(64).unwrap();
    assert_eq!(samples.dims(), [64, 2]);
}

#[test]
fn a_file_that_describes_no_stack() {
    let device = Device::flex();
    let error = |text: &str| {
        StackConfig::parse(text).and_then(|config| config.init(&device)).map(|_| ()).unwrap_err()
    };
    assert!(matches!(error("{"), StackError::Json(_)));
    assert!(matches!(error(r#"{"dims": 2, "layers": [{"layer": "magic"}]}"#), StackError::Json(_)));
    let none = r#"{"dims": 2, "layers": [{"layer": "act_norm"}, {"layer": "mix_log_cdf", "identity": "First", "hidden": [4], "n_components": 0}]}"#;
    assert!(matches!(error(none), StackError::Layer { index: 1, .. }));
    assert!(matches!(error(r#"{"dims": 0, "layers": []}"#), StackError::Shape(_)));
}

#[test]
fn a_conditional_flow_of_two_numbers() {
    let _turn = DRAWS.lock().unwrap_or_else(|poison| poison.into_inner());
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
    let _turn = DRAWS.lock().unwrap_or_else(|poison| poison.into_inner());
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

/// A network of one's own: one hidden layer of sines.
#[derive(Module, Debug)]
struct Sines {
    hidden: Linear,
    output: Linear,
    n_params: usize,
}

impl Net<2> for Sines {
    fn forward(&self, identity: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<3> {
        let input = [Some(identity), context].into_iter().flatten().collect();
        let h = self.hidden.forward(Tensor::cat(input, 1)).sin();
        flowkit::conditioner::theta(self.output.forward(h), self.n_params)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SinesConfig {
    width: usize,
}

impl NetConfig<2> for SinesConfig {
    type Net = Sines;

    fn build(&self, site: &NetSite<2>) -> Result<Sines, ConfigError> {
        let hidden = LinearConfig::new(site.n_inputs(), self.width).init(site.device());
        let mut output = LinearConfig::new(self.width, site.n_outputs()).init(site.device());
        output.bias = Some(site.bias());
        Ok(Sines { hidden, output, n_params: site.n_params() })
    }
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
    let _turn = DRAWS.lock().unwrap_or_else(|poison| poison.into_inner());
    let device = Device::flex().autodiff();
    device.seed(4);
    let config = CouplingConfig::new(MixLogCdfConfig::new(3), SinesConfig { width: 8 });
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
