//! Where the parameters of a law start, and that its components part from there.

use burn::tensor::{DType, Device, Tensor};
use flowkit::data::TwoMoons;
use flowkit::law::{AnyLawConfig, Law, MixLogCdfConfig};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::testing::numbers::{device_rng, normal, numbers, tensor};
use flowkit::train::{Trainer, TrainerConfig};
use flowkit::{
    Conditioner, ConfigError, ConvResNetConfig, GlowNetConfig, MadeConfig, MlpConfig, ResNetConfig, ZeroConvConfig,
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
    starts_there(MlpConfig::new(2, 2, 3).with_theta_start(start()).init(&device).forward(x.clone(), &()));
    starts_there(ResNetConfig::new(2, 2, 3).with_theta_start(start()).init(&device).forward(x.clone(), &()));
    starts_there(MadeConfig::new(2, 3).with_theta_start(start()).init(&device).forward(x, &()));
    let net = ConvResNetConfig::new(2, 2, 3).with_n_filters(4).with_theta_start(start());
    starts_there(net.init(&device).forward(image.clone(), &()));
    let net = GlowNetConfig::new(2, 2, 3).with_n_filters(4).with_theta_start(start());
    starts_there(net.init(&device).forward(image.clone(), &()));
    let net = ZeroConvConfig::new(2, 2, 3).with_theta_start(start());
    starts_there(net.init(&device).forward(image, &()));
}

#[test]
fn a_start_has_one_finite_number_for_each_parameter() {
    let validated = |start: Vec<f64>| {
        [
            MlpConfig::new(2, 2, 3).with_theta_start(Some(start.clone())).validate(),
            ResNetConfig::new(2, 2, 3).with_theta_start(Some(start.clone())).validate(),
            MadeConfig::new(2, 3).with_theta_start(Some(start.clone())).validate(),
            ConvResNetConfig::new(2, 2, 3).with_theta_start(Some(start.clone())).validate(),
            GlowNetConfig::new(2, 2, 3).with_theta_start(Some(start.clone())).validate(),
            ZeroConvConfig::new(2, 2, 3).with_theta_start(Some(start)).validate(),
        ]
    };
    assert!(validated(START.to_vec()).iter().all(Result::is_ok));
    for error in validated(vec![0.0; 2]) {
        assert!(matches!(error, Err(ConfigError::Length { expected: 3, found: 2, .. })), "{error:?}");
    }
    for value in [f64::NAN, f64::INFINITY, 1e39] {
        for error in validated(vec![0.0, value, 0.0]) {
            assert!(matches!(error, Err(ConfigError::OutOfRange { field: "theta_start", .. })), "{error:?}");
        }
    }
}

#[test]
fn a_mixture_starts_near_the_identity() {
    for k in [1, 2, 4, 8, 32] {
        let law = MixLogCdfConfig::new(k).init();
        let start = law.theta_start();
        let x: Vec<f64> = (-30..=30).map(|i| 0.1 * f64::from(i)).collect();
        let theta: Vec<f64> = start.iter().flat_map(|&value| vec![value; x.len()]).collect();
        let theta = tensor(theta, [1, start.len(), x.len()], DType::F64, &Device::flex());
        let (z, _) = law.forward(tensor(x.clone(), [1, x.len()], DType::F64, &Device::flex()), theta);
        let farthest = numbers(&z).iter().zip(&x).map(|(z, x)| (z - x).abs()).fold(0.0, f64::max);
        println!("K = {k}: {farthest:.2e}");
        assert!(farthest < if k == 1 { 1e-14 } else { 0.06 }, "{k}: {farthest}");
    }
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
}
