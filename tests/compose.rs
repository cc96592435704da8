//! A crate as users write it, `tests/compose`, which sees nothing but what is public: a bijector of its own, a stack from a file, a conditional
//! flow of two numbers, a multi-scale flow of images. Each is trained, saved, loaded and sampled. These are that crate's tests.

use std::collections::BTreeMap;
use std::sync::Mutex;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use downstream::stack::{StackConfig, StackError};
use flowkit::Density;
use flowkit::law::{AffineConfig, AffineForm, Law};
use flowkit::train::{Checkpoint, Trainer, TrainerConfig};
use flowkit::*;

/// The seed of a device is global: tests that draw take turns.
static DRAWS: Mutex<()> = Mutex::new(());

const STACK: &str = r#"{
    "dims": 2,
    "layers": [
        { "layer": "act_norm" },
        { "layer": "arcsinh" },
        { "layer": "mix_log_cdf", "kept": "First", "hidden": [16], "n_components": 3 },
        { "layer": "conv1x1" },
        { "layer": "affine", "kept": "Second", "hidden": [16, 16] }
    ]
}"#;

/// One layer of a configuration.
fn built<const D: usize, T: LayerConfig<D>>(config: &T, shape: [usize; D], device: &Device) -> T::Layer {
    config.build(&Site::new(shape, device)).unwrap()
}

/// Half circles: one number tells much of the other.
fn crescents(n: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
    let side = Tensor::<2>::random([n, 1], Distribution::Uniform(0.0, 1.0), device).greater_elem(0.5).float();
    let angle = Tensor::<2>::random([n, 1], Distribution::Uniform(0.0, std::f64::consts::PI), device);
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
    let mut trainer = Trainer::new(model, TrainerConfig::new(2).with_learning_rate(5e-3).with_warm_up(5)).unwrap();
    let losses: Vec<f64> = (0..updates).map(|_| trainer.update(device, |model| loss(model)).unwrap().loss).collect();
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
    let loaded = train(flow, config.init(&device).unwrap(), 60, |flow| flow.log_prob(batch()).mean().neg(), &device);
    let held_out = loaded.evaluate(crescents(512, &device.clone().inner()).0).unwrap();
    let mean = held_out.nats().iter().sum::<f64>() / 512.0;
    assert!(mean > -3.0, "{mean} nats: worse than two normal numbers");
    let samples: Tensor<2> = loaded.sample(64).unwrap();
    assert_eq!(samples.dims(), [64, 2]);
}

#[test]
fn a_file_that_describes_no_stack() {
    let device = Device::flex();
    let error = |text: &str| StackConfig::parse(text).and_then(|config| config.init(&device)).map(|_| ()).unwrap_err();
    assert!(matches!(error("{"), StackError::Json(_)));
    assert!(matches!(error(r#"{"dims": 2, "layers": [{"layer": "magic"}]}"#), StackError::Json(_)));
    let none = r#"{"dims": 2, "layers": [{"layer": "act_norm"}, {"layer": "mix_log_cdf", "kept": "First", "hidden": [4], "n_components": 0}]}"#;
    assert!(matches!(error(none), StackError::Layer { index: 1, .. }));
    assert!(matches!(error(r#"{"dims": 0, "layers": []}"#), StackError::Shape(_)));
}

#[test]
fn a_conditional_flow_of_two_numbers() {
    let _turn = DRAWS.lock().unwrap_or_else(|poison| poison.into_inner());
    let device = Device::flex().autodiff();
    device.seed(2);
    let init = || {
        let coupling = |kept| {
            let law = AffineConfig::new(AffineForm::Exponential).init();
            let net = MlpConfig::new(1, 1, law.n_params()).with_hidden(vec![24]).with_d_context(Some(2)).init(&device);
            CouplingConfig::new().with_kept(kept).init(law, net)
        };
        let layers = (built(&ActNormConfig::new(), [1, 2], &device), coupling(Half::First), coupling(Half::Second));
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
    assert!(Flow::new((unconditional, loaded.bijector.1.clone()), StandardNormal::new(), [1, 2]).is_err());
}

#[test]
fn a_multi_scale_flow_of_images() {
    let _turn = DRAWS.lock().unwrap_or_else(|poison| poison.into_inner());
    let device = Device::flex().autodiff();
    device.seed(3);
    let init = || {
        let step = |c: usize| {
            let law = AffineConfig::new(AffineForm::Sigmoid).init();
            let net = GlowNetConfig::new(c / 2, c - c / 2, law.n_params()).with_n_filters(8).init(&device);
            let coupling = CouplingConfig::new().init(law, net);
            (
                built(&ActNormConfig::new(), [1, c, 1, 1], &device),
                built(&Conv1x1Config::new(), [1, c], &device),
                coupling,
            )
        };
        let level = |c: usize| {
            (built(&SqueezeConfig::new(ChannelOrder::ChannelMajor), [1, 1, 2, 2], &device), vec![step(c), step(c)])
        };
        let layers = (built(&LogitConfig::new(), [1, 1, 8, 8], &device), MultiScale::new(vec![level(4), level(8)]));
        let noise = UniformDequantizationConfig::new().init();
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
