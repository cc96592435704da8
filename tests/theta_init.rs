//! Where the parameters of a law start, and that its components part from there.

#[path = "common/build.rs"]
mod build;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor};
use flowkit::data::TwoMoons;
use flowkit::law::{AffineConfig, AffineForm, AnyLawConfig, Law, MixLogCdf, MixLogCdfConfig};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::testing::numbers::{device_rng, normal, numbers, tensor};
use flowkit::train::{Trainer, TrainerConfig};
use flowkit::{
    Conditioner, ConfigError, ConvInit, ConvResNetConfig, CouplingConfig, Density, ElementwiseConfig, Flow,
    GatedNetConfig, GlowNetConfig, Half, MadeConfig, Mask, MaskedAutoregressive, MaskedCouplingConfig, MlpConfig,
    ResNetConfig, StandardNormal, Swap, ThetaInit, ZeroConvConfig,
};

const START: [f64; 3] = [0.25, -1.5, 2.0];

fn draw<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    tensor(normal(1, shape.iter().product(), 1.0), shape, DType::F32, &Device::default())
}

/// Two numbers of each example change, in images at six positions each.
fn starts_there(theta: Tensor<3>) {
    let [batch, _, dims] = theta.dims();
    let expected: Vec<f64> = START.iter().flat_map(|&value| vec![value; dims]).collect();
    assert_eq!(numbers(&theta), expected.repeat(batch));
}

#[test]
fn every_network_starts_where_it_is_told() {
    let _guard = device_rng();
    let (device, start) = (Device::default(), || Some(START.to_vec()));
    let (x, image) = (draw([4, 2]), draw([4, 2, 2, 3]));
    starts_there(MlpConfig::new(2, 2, 3).with_theta_init(start()).init(&device).forward(x.clone(), &()));
    starts_there(ResNetConfig::new(2, 2, 3).with_theta_init(start()).init(&device).forward(x.clone(), &()));
    starts_there(MadeConfig::new(2, 3).with_theta_init(start()).init(&device).forward(x, &()));
    let net = ConvResNetConfig::new(2, 2, 3).with_n_filters(4).with_theta_init(start());
    starts_there(net.init(&device).forward(image.clone(), &()));
    let net = GlowNetConfig::new(2, 2, 3).with_n_filters(4).with_theta_init(start());
    starts_there(net.init(&device).forward(image.clone(), &()));
    let net = ZeroConvConfig::new(2, 2, 3).with_theta_init(start());
    starts_there(net.init(&device).forward(image, &()));
}

#[test]
fn a_start_has_one_finite_number_for_each_parameter() {
    let validated = |start: Vec<f64>| {
        [
            MlpConfig::new(2, 2, 3).with_theta_init(Some(start.clone())).validate(),
            ResNetConfig::new(2, 2, 3).with_theta_init(Some(start.clone())).validate(),
            MadeConfig::new(2, 3).with_theta_init(Some(start.clone())).validate(),
            ConvResNetConfig::new(2, 2, 3).with_theta_init(Some(start.clone())).validate(),
            GlowNetConfig::new(2, 2, 3).with_theta_init(Some(start.clone())).validate(),
            ZeroConvConfig::new(2, 2, 3).with_theta_init(Some(start)).validate(),
        ]
    };
    assert!(validated(START.to_vec()).iter().all(Result::is_ok));
    for error in validated(vec![0.0; 2]) {
        assert!(matches!(error, Err(ConfigError::Length { expected: 3, found: 2, .. })), "{error:?}");
    }
    for value in [f64::NAN, f64::INFINITY, 1e39] {
        for error in validated(vec![0.0, value, 0.0]) {
            assert!(matches!(error, Err(ConfigError::OutOfRange { field: "theta_init", .. })), "{error:?}");
        }
    }
}

#[test]
fn a_mixture_starts_near_the_identity() {
    for k in [1, 2, 4, 8, 32] {
        let law = MixLogCdfConfig::new(k).init();
        let start = law.theta_init();
        let x: Vec<f64> = (-30..=30).map(|i| 0.1 * f64::from(i)).collect();
        let theta: Vec<f64> = start.iter().flat_map(|&value| vec![value; x.len()]).collect();
        let theta = tensor(theta, [1, start.len(), x.len()], DType::F64, &Device::flex());
        let (z, _) = law.forward(tensor(x.clone(), [1, x.len()], DType::F64, &Device::flex()), theta);
        let farthest = numbers(&z).iter().zip(&x).map(|(z, x)| (z - x).abs()).fold(0.0, f64::max);
        println!("K = {k}: {farthest:.2e}");
        assert!(farthest < if k == 1 { 1e-14 } else { 0.06 }, "{k}: {farthest}");
    }
}

fn mixture() -> MixLogCdf {
    MixLogCdfConfig::new(3).init()
}

/// Parameters of the law's start for `dims` numbers of each example.
fn at_the_laws_start(theta: Tensor<3>) {
    let [batch, _, dims] = theta.dims();
    let expected: Vec<f64> =
        mixture().theta_init().iter().flat_map(|&value| vec![f64::from(value as f32); dims]).collect();
    assert_eq!(numbers(&theta), expected.repeat(batch));
}

/// Nobody has to name the start: the layer does, whatever the network.
#[test]
fn every_layer_starts_at_its_laws_start() {
    let _guard = device_rng();
    let device = Device::default();
    let (x, image) = (draw([4, 2]), draw([4, 2, 2, 3]));
    let (n, coupling) = (mixture().n_params(), CouplingConfig::new());
    let mlp = coupling.init(mixture(), MlpConfig::new(2, 2, n).init(&device));
    at_the_laws_start(mlp.conditioner.forward(x.clone(), &()));
    let given = coupling.init(mixture(), ResNetConfig::new(2, 2, n).with_d_context(Some(2)).init(&device));
    at_the_laws_start(given.conditioner.forward(x.clone(), &x));
    let masked = MaskedCouplingConfig::new(vec![2], Mask::Alternating);
    let masked = masked.init(mixture(), ResNetConfig::new(2, 2, n).init(&device), &device);
    at_the_laws_start(masked.conditioner.forward(x.clone(), &()));
    let layer = MaskedAutoregressive::new(mixture(), MadeConfig::new(2, n).init(&device));
    at_the_laws_start(layer.net.forward(x.clone(), &()));
    let conv = coupling.init(mixture(), ConvResNetConfig::new(2, 2, n).with_n_filters(4).init(&device));
    at_the_laws_start(conv.conditioner.forward(image.clone(), &()));
    let glow = coupling.init(mixture(), GlowNetConfig::new(2, 2, n).with_n_filters(4).init(&device));
    at_the_laws_start(glow.conditioner.forward(image.clone(), &()));
    let zero = coupling.init(mixture(), ZeroConvConfig::new(2, 2, n).init(&device));
    at_the_laws_start(zero.conditioner.forward(image.clone(), &()));
    let gated = GatedNetConfig::new([2, 2, 3], n, 4, 1).with_mixing(None).with_output_init(ConvInit::Zero);
    let gated = coupling.init(mixture(), gated.init(&device));
    at_the_laws_start(gated.conditioner.forward(image, &()));
    let elementwise = ElementwiseConfig::new(MixLogCdfConfig::new(3)).with_noise(0.0);
    let elementwise = build::layer(&elementwise, [1, 2], &device);
    at_the_laws_start(elementwise.theta.val());
}

/// The start waits for the first use, as the other parameters do.
#[test]
fn a_start_allocates_nothing() {
    let device = Device::default();
    let n = mixture().n_params();
    let coupling = CouplingConfig::new().init(mixture(), MlpConfig::new(1, 1, n).init(&device));
    assert!(!coupling.conditioner.output.bias.as_ref().unwrap().is_initialized());
    let own = MlpConfig::new(1, 1, 3).with_theta_init(Some(START.to_vec())).init(&device);
    assert!(!own.output.bias.as_ref().unwrap().is_initialized());
    let layer = MaskedAutoregressive::new(mixture(), MadeConfig::new(2, n).init(&device));
    assert!(!layer.net.output.linear.bias.as_ref().unwrap().is_initialized());
    let elementwise = build::layer(&ElementwiseConfig::new(MixLogCdfConfig::new(3)), [1, 2], &device);
    assert!(!elementwise.theta.is_initialized());
}

/// A start of the configuration is kept by the layer; gradients reach it.
#[test]
fn a_start_of_the_configuration_is_kept() {
    let _guard = device_rng();
    let device = Device::default().autodiff();
    let start = vec![0.0, 0.5, 0.25, 0.0, -1.0, 1.0, 0.0, 0.0];
    let law = MixLogCdfConfig::new(2).init();
    let net = MlpConfig::new(2, 1, 8).with_theta_init(Some(start.clone())).init(&device);
    let coupling = CouplingConfig::new().init(law, net);
    let theta = coupling.conditioner.forward(Tensor::zeros([1, 2], &device), &());
    assert_eq!(numbers(&theta), start);
    let bias = coupling.conditioner.output.bias.as_ref().unwrap().val();
    assert_eq!(numbers(&bias.grad(&theta.sum().backward()).unwrap()), [1.0; 8]);
    let taken = CouplingConfig::new().init(mixture(), MlpConfig::new(2, 1, 11).init(&device));
    let theta = taken.conditioner.forward(Tensor::zeros([1, 2], &device), &());
    let bias = taken.conditioner.output.bias.as_ref().unwrap().val();
    assert_eq!(numbers(&bias.grad(&theta.sum().backward()).unwrap()), [1.0; 11]);
}

/// What is not at its start any more is not set back: weights or biases that were trained, loaded or set.
#[test]
fn a_trained_network_keeps_its_parameters() {
    let _guard = device_rng();
    let device = Device::default();
    let net = || MlpConfig::new(1, 1, 11).init(&device);
    let mut trained = net();
    trained.output.bias = trained.output.bias.map(|bias| bias.map(|bias| bias.add_scalar(0.5)));
    let id = trained.output.bias.as_ref().unwrap().id;
    let bias = CouplingConfig::new().init(mixture(), trained).conditioner.output.bias.unwrap();
    assert_eq!((numbers(&bias.val()), bias.id), (vec![0.5; 11], id));
    let mut trained = net();
    trained.output.weight = Param::from_tensor(Tensor::ones([64, 11], &device));
    let bias = CouplingConfig::new().init(mixture(), trained).conditioner.output.bias.unwrap();
    assert_eq!(numbers(&bias.val()), [0.0; 11]);
    // A network that has only been run is still at its start.
    let run = net();
    let _ = run.forward(Tensor::<2>::zeros([1, 1], &device), &());
    let id = run.output.bias.as_ref().unwrap().id;
    let coupling = CouplingConfig::new().init(mixture(), run);
    assert_eq!(coupling.conditioner.output.bias.as_ref().unwrap().id, id);
    at_the_laws_start(coupling.conditioner.forward(Tensor::zeros([2, 1], &device), &()));
}

/// The network of Flow++ starts at random, as in the paper: the law has no say.
#[test]
fn a_random_last_layer_keeps_its_start() {
    let _guard = device_rng();
    let device = Device::default();
    for start in [ConvInit::DataDependent { scale: 0.1 }, ConvInit::Normal { deviation: 0.01 }, ConvInit::FanIn] {
        let net = GatedNetConfig::new([1, 2, 2], 11, 4, 1).with_mixing(None).with_output_init(start).init(&device);
        let bias = net.output.conv.bias.as_ref().unwrap().val();
        let placed = net.init_at(&mixture()).unwrap();
        assert_eq!(numbers(&placed.output.conv.bias.as_ref().unwrap().val()), numbers(&bias), "{start:?}");
    }
}

/// Two components that are told to start equal would stay one.
#[test]
fn a_start_with_equal_components_is_refused() {
    let device = Device::default();
    let coupling = CouplingConfig::new();
    // Weights, means and log-scales of three components after scale and shift.
    let all = vec![0.0; 11];
    let last_two = vec![0.1, 0.2, 0.0, 0.3, 0.3, -1.0, 1.0, 1.0, 0.0, 0.5, 0.5];
    // Equal once the smallest log-scale, -7, is taken.
    let below = vec![0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 1.0, -8.0, -9.0, 0.0];
    // Equal as float32 numbers.
    let close = vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0 + 1e-12, 0.0, 0.0, 0.0];
    for (start, pair) in [(&all, (0, 1)), (&last_two, (1, 2)), (&below, (0, 1)), (&close, (0, 2))] {
        let own = || Some(start.clone());
        let errors = [
            coupling.try_init(mixture(), MlpConfig::new(2, 1, 11).with_theta_init(own()).init(&device)).err(),
            coupling.try_init(mixture(), ResNetConfig::new(2, 1, 11).with_theta_init(own()).init(&device)).err(),
            coupling.try_init(mixture(), ConvResNetConfig::new(2, 1, 11).with_theta_init(own()).init(&device)).err(),
            coupling.try_init(mixture(), GlowNetConfig::new(2, 1, 11).with_theta_init(own()).init(&device)).err(),
            coupling.try_init(mixture(), ZeroConvConfig::new(2, 1, 11).with_theta_init(own()).init(&device)).err(),
            MaskedAutoregressive::try_new(mixture(), MadeConfig::new(3, 11).with_theta_init(own()).init(&device)).err(),
        ];
        for (error, network) in errors.into_iter().zip(["Mlp", "ResNet", "ConvResNet", "GlowNet", "ZeroConv", "Made"]) {
            let (first, second) = pair;
            assert_eq!(error, Some(ConfigError::EqualComponents { network, law: "MixLogCdf", first, second }));
        }
    }
    // Any of the three numbers tells components apart.
    let apart = vec![0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 0.0, 0.1, 0.0];
    assert!(mixture().check_init("Mlp", &apart).is_ok());
    // Laws without components take any start.
    let affine = AffineConfig::new(AffineForm::Exponential).init();
    let net = MlpConfig::new(1, 1, 2).with_theta_init(Some(vec![0.0, 0.0])).init(&device);
    assert!(coupling.try_init(affine, net).is_ok());
    let error = coupling.try_init(mixture(), MlpConfig::new(2, 1, 11).with_theta_init(Some(all)).init(&device));
    let text = error.map(|_| ()).unwrap_err().to_string();
    assert!(text.starts_with("Mlp: `theta_init` makes components 0 and 1 of MixLogCdf equal"), "{text}");
}

/// Components that start equal have equal gradients for ever: their weights would stay equal, as they are at the start.
#[test]
fn components_part_in_training() {
    let _guard = device_rng();
    let device = Device::flex().autodiff();
    let x = TwoMoons::new(400, 0.1, 1).points(&device);
    let law = || AnyLawConfig::from(MixLogCdfConfig::new(4));
    // Biases of the last layer of the first network: of the weights and of the means of the four components.
    let parts = |name: &str, bias: Tensor<1>, n_other: usize| {
        let bias = numbers(&bias);
        let of = |first: usize| (0..4).map(|k| bias[(first + k) * n_other]).collect::<Vec<f64>>();
        for (what, values) in [("weights", of(2)), ("means", of(6))] {
            for (k, value) in values.iter().enumerate() {
                let nearest =
                    values.iter().enumerate().filter(|(j, _)| *j != k).map(|(_, other)| (value - other).abs());
                let nearest = nearest.fold(f64::INFINITY, f64::min);
                assert!(nearest > 1e-6, "{name}: {what} {values:?}");
            }
        }
    };
    let training = || TrainerConfig::new(2).with_learning_rate(5e-3).with_warm_up(0);
    let flow = RealNvpConfig::new(2).with_law(law()).init(&device).initialize(x.clone()).unwrap();
    let mut trainer = Trainer::new(flow, training()).unwrap();
    for _ in 0..20 {
        trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap();
    }
    parts("RealNVP", trainer.model().bijector[0].1.conditioner.output.bias.as_ref().unwrap().val(), 1);
    let flow = MafConfig::new(2).with_law(law()).init(&device).initialize(x.clone()).unwrap();
    let mut trainer = Trainer::new(flow, training()).unwrap();
    for _ in 0..20 {
        trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap();
    }
    parts("MAF", trainer.model().bijector[0].1.net.output.linear.bias.as_ref().unwrap().val(), 2);
    // A stack that is put together by hand, as in the models: no call names the start.
    let step = || {
        let net = MlpConfig::new(1, 1, law().init().n_params()).with_hidden(vec![32]).init(&device);
        (CouplingConfig::new().with_kept(Half::First).init(law().init(), net), Swap::new())
    };
    let flow = Flow::new(vec![step(), step()], StandardNormal::new(), [1, 2]).unwrap();
    let mut trainer = Trainer::new(flow.initialize(x.clone()).unwrap(), training()).unwrap();
    for _ in 0..20 {
        trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap();
    }
    parts("by hand", trainer.model().bijector[0].0.conditioner.output.bias.as_ref().unwrap().val(), 1);
    let elementwise = ElementwiseConfig::new(law()).with_noise(0.0);
    let layer = build::layer(&elementwise, [1, 2], &device);
    let flow = Flow::new(layer, StandardNormal::new(), [1, 2]).unwrap();
    let mut trainer = Trainer::new(flow.initialize(x.clone()).unwrap(), training()).unwrap();
    for _ in 0..20 {
        trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap();
    }
    parts("elementwise", trainer.model().bijector.theta.val().reshape([28]), 2);
}
