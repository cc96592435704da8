//! Where the parameters of a law start, and that its components part from there.

#[path = "common/build.rs"]
mod build;

use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor};
use flowkit::conditioner::layer::ConvInit;
use flowkit::data::TwoMoons;
use flowkit::law::{
    AffineConfig, AffineForm, AnyLawConfig, Law, LawConfig, MixLogCdf, MixLogCdfConfig,
};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::testing::elements::{device_rng, elements, normal, tensor};
use flowkit::train::{Trainer, TrainerConfig};
use flowkit::{
    ConfigError, ConvResNetConfig, ConvStyle, Coupling, CouplingConfig, Density, ElementwiseConfig,
    Flow, GatedNetConfig, GlowNetConfig, LayerConfig, Made, MadeConfig, Mask, MaskedAutoregressive,
    MaskedAutoregressiveConfig, MaskedCouplingConfig, MlpConfig, Net, NetConfig, NetSite,
    ResNetConfig, Site, StandardNormal, Swap, ZeroConvConfig,
};

const START: [f64; 3] = [0.25, -1.5, 2.0];

fn draw<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    tensor(normal(1, shape.iter().product(), 1.0), shape, DType::F32, &Device::default())
}

/// Two numbers of each example change, in images at six positions each.
fn starts_there(theta: Tensor<3>) {
    let [batch, _, dims] = theta.dims();
    let expected: Vec<f64> = START.iter().flat_map(|&value| vec![value; dims]).collect();
    assert_eq!(elements(&theta), expected.repeat(batch));
}

/// A network of `config` for two elements, or two channels at six positions, whose three parameters
/// start at [`START`].
fn vectors<N: NetConfig<2>>(config: N) -> N::Net {
    config.build(&NetSite::new([1, 2], [1, 2], START.to_vec(), &Device::default())).unwrap()
}

fn images<N: NetConfig<4>>(config: N) -> N::Net {
    let shape = [1, 2, 2, 3];
    config.build(&NetSite::new(shape, shape, START.to_vec(), &Device::default())).unwrap()
}

#[test]
fn every_network_starts_where_it_is_told() {
    let _guard = device_rng();
    let (x, image) = (draw([4, 2]), draw([4, 2, 2, 3]));
    starts_there(vectors(MlpConfig::new([64, 64])).forward(x.clone(), None));
    starts_there(vectors(ResNetConfig::new()).forward(x.clone(), None));
    starts_there(vectors(MadeConfig::new([64, 64])).forward(x, None));
    starts_there(images(ConvResNetConfig::new().with_n_filters(4)).forward(image.clone(), None));
    starts_there(images(GlowNetConfig::new().with_n_filters(4)).forward(image.clone(), None));
    starts_there(images(ZeroConvConfig::new()).forward(image.clone(), None));
    let gated = GatedNetConfig::new(4, 1)
        .with_mixing(None)
        .with_style(ConvStyle::new().with_output(ConvInit::Zero));
    starts_there(images(gated).forward(image, None));
}

/// The start that a configuration of a layer names.
#[test]
fn a_start_has_one_finite_number_for_each_parameter() {
    let device = Device::default();
    let planned = |start: Vec<f64>| {
        let (law, start) = (AffineConfig::new(AffineForm::Exponential), Some(start));
        let coupling =
            CouplingConfig::new(law.clone(), MlpConfig::new([4])).with_theta_init(start.clone());
        let masked = MaskedCouplingConfig::new(law.clone(), MlpConfig::new([4]), Mask::Alternating);
        let masked = masked.with_theta_init(start.clone());
        let layer =
            MaskedAutoregressiveConfig::new(law, MadeConfig::new([4])).with_theta_init(start);
        let site = Site::<2>::new([1, 3], &device);
        [coupling.plan(&site), masked.plan(&site), layer.plan(&site)]
    };
    assert!(planned(START[..2].to_vec()).iter().all(Result::is_ok));
    for error in planned(vec![0.0; 3]) {
        assert!(
            matches!(error, Err(ConfigError::Length { expected: 2, found: 3, .. })),
            "{error:?}"
        );
    }
    for value in [f64::NAN, f64::INFINITY, 1e39] {
        for error in planned(vec![0.0, value]) {
            assert!(
                matches!(error, Err(ConfigError::OutOfRange { field: "theta_init", .. })),
                "{error:?}"
            );
        }
        // Told to the network itself.
        let site = NetSite::new([1, 2], [1, 2], vec![0.0, value], &device);
        let error = MlpConfig::new([4]).num_params(&site);
        assert!(
            matches!(error, Err(ConfigError::OutOfRange { field: "theta_init", .. })),
            "{error:?}"
        );
    }
}

#[test]
fn a_mixture_starts_near_the_identity() {
    for k in [1, 2, 4, 8, 32] {
        let law = MixLogCdfConfig::new(k).build().unwrap();
        let start = law.theta_init();
        let x: Vec<f64> = (-30..=30).map(|i| 0.1 * f64::from(i)).collect();
        let theta: Vec<f64> = start.iter().flat_map(|&value| vec![value; x.len()]).collect();
        let theta = tensor(theta, [1, start.len(), x.len()], DType::F64, &Device::flex());
        let (z, _) =
            law.forward(tensor(x.clone(), [1, x.len()], DType::F64, &Device::flex()), theta);
        let farthest = elements(&z).iter().zip(&x).map(|(z, x)| (z - x).abs()).fold(0.0, f64::max);
        println!("K = {k}: {farthest:.2e}");
        assert!(farthest < if k == 1 { 1e-14 } else { 0.06 }, "{k}: {farthest}");
    }
}

fn mixture() -> MixLogCdfConfig {
    MixLogCdfConfig::new(3)
}

/// A coupling of four elements.
fn coupling<N: NetConfig<2>>(net: N) -> Coupling<MixLogCdf, N::Net> {
    CouplingConfig::new(mixture(), net).build(&Site::<2>::new([1, 4], &Device::default())).unwrap()
}

/// A coupling of images with four channels.
fn image_coupling<N: NetConfig<4>>(net: N) -> Coupling<MixLogCdf, N::Net> {
    CouplingConfig::new(mixture(), net)
        .build(&Site::<4>::new([1, 4, 2, 3], &Device::default()))
        .unwrap()
}

/// An autoregressive layer of two elements.
fn masked_layer() -> MaskedAutoregressive<MixLogCdf, Made> {
    let config = MaskedAutoregressiveConfig::new(mixture(), MadeConfig::new([64, 64]));
    config.build(&Site::<2>::new([1, 2], &Device::default())).unwrap()
}

/// Parameters of the law's start for `dims` numbers of each example.
fn at_the_laws_start(theta: Tensor<3>) {
    let [batch, _, dims] = theta.dims();
    let expected: Vec<f64> = mixture()
        .build()
        .unwrap()
        .theta_init()
        .iter()
        .flat_map(|&value| vec![f64::from(value as f32); dims])
        .collect();
    assert_eq!(elements(&theta), expected.repeat(batch));
}

/// Nobody has to name the start: the layer does, whatever the network.
#[test]
fn every_layer_starts_at_its_laws_start() {
    let _guard = device_rng();
    let device = Device::default();
    let (x, image) = (draw([4, 2]), draw([4, 2, 2, 3]));
    at_the_laws_start(coupling(MlpConfig::new([64, 64])).conditioner.forward(x.clone(), &()));
    let given = CouplingConfig::new(mixture(), ResNetConfig::new());
    let given = given.build(&Site::given([1, 4], &x, &device)).unwrap();
    at_the_laws_start(given.conditioner.forward(x.clone(), &x));
    let masked = MaskedCouplingConfig::new(mixture(), ResNetConfig::new(), Mask::Alternating);
    let masked = masked.build(&Site::<2>::new([1, 2], &device)).unwrap();
    at_the_laws_start(masked.conditioner.forward(x.clone(), &()));
    at_the_laws_start(masked_layer().conditioner.forward(x.clone(), &()));
    let conv = image_coupling(ConvResNetConfig::new().with_n_filters(4));
    at_the_laws_start(conv.conditioner.forward(image.clone(), &()));
    let glow = image_coupling(GlowNetConfig::new().with_n_filters(4));
    at_the_laws_start(glow.conditioner.forward(image.clone(), &()));
    at_the_laws_start(
        image_coupling(ZeroConvConfig::new()).conditioner.forward(image.clone(), &()),
    );
    let gated = GatedNetConfig::new(4, 1)
        .with_mixing(None)
        .with_style(ConvStyle::new().with_output(ConvInit::Zero));
    at_the_laws_start(image_coupling(gated).conditioner.forward(image, &()));
    let elementwise =
        build::layer(&ElementwiseConfig::new(mixture()).with_noise(0.0), [1, 2], &device);
    at_the_laws_start(elementwise.theta.val());
}

/// The start waits for the first use, as the other parameters do.
#[test]
fn a_start_allocates_nothing() {
    let _guard = device_rng();
    let device = Device::default();
    let coupling = coupling(MlpConfig::new([64, 64]));
    assert!(!coupling.conditioner.net.output.bias.as_ref().unwrap().is_initialized());
    assert!(!masked_layer().conditioner.net.output.linear.bias.as_ref().unwrap().is_initialized());
    let elementwise = build::layer(&ElementwiseConfig::new(mixture()), [1, 2], &device);
    assert!(!elementwise.theta.is_initialized());
}

/// A start of the configuration is kept by the layer; gradients reach it.
#[test]
fn a_start_of_the_configuration_is_kept() {
    let _guard = device_rng();
    let device = Device::default().autodiff();
    let start = vec![0.0, 0.5, 0.25, 0.0, -1.0, 1.0, 0.0, 0.0];
    let site = Site::<2>::new([1, 3], &device);
    let config = CouplingConfig::new(MixLogCdfConfig::new(2), MlpConfig::new([64, 64]));
    let coupling = config.clone().with_theta_init(Some(start.clone())).build(&site).unwrap();
    let theta = coupling.conditioner.forward(Tensor::zeros([1, 2], &device), &());
    assert_eq!(elements(&theta), start);
    for coupling in [coupling, config.build(&site).unwrap()] {
        let theta = coupling.conditioner.forward(Tensor::zeros([1, 2], &device), &());
        let bias = coupling.conditioner.net.output.bias.as_ref().unwrap().val();
        assert_eq!(elements(&bias.grad(&theta.sum().backward()).unwrap()), [1.0; 8]);
    }
}

/// The network of Flow++ starts at random, as in the paper: the law has no say.
#[test]
fn a_random_last_layer_keeps_its_start() {
    let _guard = device_rng();
    let device = Device::default();
    for start in [
        ConvInit::DataDependent { scale: 0.1 },
        ConvInit::Normal { deviation: 0.01 },
        ConvInit::FanIn,
    ] {
        let config = GatedNetConfig::new(4, 1)
            .with_mixing(None)
            .with_style(ConvStyle::new().with_output(start));
        let biases = [vec![0.0; 11], mixture().build().unwrap().theta_init()].map(|told| {
            device.seed(3);
            let net =
                config.build(&NetSite::new([1, 1, 2, 2], [1, 1, 2, 2], told, &device)).unwrap();
            elements(&net.output.conv.bias.as_ref().unwrap().val())
        });
        assert_eq!(biases[0], biases[1], "{start:?}");
    }
}

/// A network that a user wrote, whose last layer starts where its configuration says.
#[derive(Module, Debug)]
struct Own {
    last: Linear,
    n_params: usize,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Last {
    /// At 0, whatever the law.
    Zero,
    /// At the site's start.
    Told,
    /// At random, without a bias.
    Random,
    /// Of another width.
    Wide,
}

impl Net<2> for Own {
    fn forward(&self, identity: Tensor<2>, _: Option<Tensor<2>>) -> Tensor<3> {
        flowkit::conditioner::theta(self.last.forward(identity), self.n_params)
    }
}

impl NetConfig<2> for Last {
    type Net = Own;

    fn build(&self, site: &NetSite<2>) -> Result<Own, ConfigError> {
        let more = usize::from(*self == Self::Wide);
        let n_params = site.n_params() + more;
        let last = LinearConfig::new(site.identity()[1], n_params * site.transformed()[1]);
        let last = match self {
            Self::Zero | Self::Told => {
                last.with_initializer(Initializer::Zeros).init(site.device())
            }
            Self::Random | Self::Wide => last.with_bias(false).init(site.device()),
        };
        let bias = (*self == Self::Told).then(|| site.bias());
        Ok(Own { last: Linear { bias: bias.or(last.bias), weight: last.weight }, n_params })
    }
}

/// A network of a user's own that forgets the start makes no mixture.
#[test]
fn a_network_that_forgets_the_start_is_refused() {
    let _guard = device_rng();
    let site = Site::<2>::new([1, 3], &Device::default());
    let equal =
        ConfigError::EqualComponents { network: "Own", law: "MixLogCdf", first: 0, second: 1 };
    let coupling = |last| CouplingConfig::new(mixture(), last).build(&site).map(|_| ());
    let masked = |last| {
        MaskedCouplingConfig::new(mixture(), last, Mask::Alternating).build(&site).map(|_| ())
    };
    assert_eq!(coupling(Last::Zero), Err(equal.clone().at(".net")));
    assert_eq!(masked(Last::Zero), Err(equal.at(".net")));
    let text = coupling(Last::Zero).unwrap_err().to_string();
    assert!(
        text.contains("components 0 and 1 of MixLogCdf have equal initial parameters"),
        "{text}"
    );
    for last in [Last::Told, Last::Random] {
        assert_eq!((coupling(last), masked(last)), (Ok(()), Ok(())), "{last:?}");
    }
    // Any law takes it that has no components.
    let affine = CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), Last::Zero);
    assert!(affine.build(&site).is_ok());
    let wide = ConfigError::Parameters { network: "Own", expected: 11, found: 12 };
    assert_eq!(coupling(Last::Wide), Err(wide.at(".net")));
}

/// Two components that are told to start equal would stay one.
#[test]
fn a_start_with_equal_components_is_refused() {
    let _guard = device_rng();
    let site = Site::<2>::new([1, 3], &Device::default());
    // Weights, means and log-scales of three components after scale and shift.
    let all = vec![0.0; 11];
    let last_two = vec![0.1, 0.2, 0.0, 0.3, 0.3, -1.0, 1.0, 1.0, 0.0, 0.5, 0.5];
    // Equal once the smallest log-scale, -7, is taken.
    let below = vec![0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0, 1.0, -8.0, -9.0, 0.0];
    // Equal as float32 numbers.
    let close = vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0 + 1e-12, 0.0, 0.0, 0.0];
    for (start, pair) in [(&all, (0, 1)), (&last_two, (1, 2)), (&below, (0, 1)), (&close, (0, 2))] {
        let own = || Some(start.clone());
        let coupling = CouplingConfig::new(mixture(), MlpConfig::new([4])).with_theta_init(own());
        let masked = MaskedCouplingConfig::new(mixture(), ResNetConfig::new(), Mask::Alternating);
        let masked = masked.with_theta_init(own());
        let layer =
            MaskedAutoregressiveConfig::new(mixture(), MadeConfig::new([4])).with_theta_init(own());
        let image = CouplingConfig::new(mixture(), ZeroConvConfig::new()).with_theta_init(own());
        let image_site = Site::<4>::new([1, 3, 1, 1], &Device::default());
        let errors = [
            coupling.build(&site).err(),
            masked.build(&site).err(),
            layer.build(&site).err(),
            image.build(&image_site).err(),
        ];
        let names = [
            "CouplingConfig",
            "MaskedCouplingConfig",
            "MaskedAutoregressiveConfig",
            "CouplingConfig",
        ];
        for (error, network) in errors.into_iter().zip(names) {
            let (first, second) = pair;
            assert_eq!(
                error,
                Some(ConfigError::EqualComponents { network, law: "MixLogCdf", first, second })
            );
        }
    }
    // Any of the three numbers tells components apart.
    let apart = vec![0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 0.0, 0.1, 0.0];
    assert!(mixture().build().unwrap().check_init("Mlp", &apart).is_ok());
    // Laws without components take any start.
    let affine =
        CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), MlpConfig::new([4]));
    assert!(affine.with_theta_init(Some(vec![0.0, 0.0])).build(&site).is_ok());
    let error =
        CouplingConfig::new(mixture(), MlpConfig::new([4])).with_theta_init(Some(all)).build(&site);
    let text = error.map(|_| ()).unwrap_err().to_string();
    assert!(
        text.starts_with(
            "CouplingConfig: components 0 and 1 of MixLogCdf have equal initial parameters"
        ),
        "{text}"
    );
}

/// Components that start equal have equal gradients for ever: their weights would stay equal, as
/// they are at the start.
#[test]
fn components_part_in_training() {
    let _guard = device_rng();
    let device = Device::flex().autodiff();
    let x = TwoMoons::new(400, 0.1, 1).points(&device);
    let law = || AnyLawConfig::from(MixLogCdfConfig::new(4));
    // Biases of the last layer of the first network: of the weights and of the means of the four
    // components.
    let parts = |name: &str, bias: Tensor<1>, n_other: usize| {
        let bias = elements(&bias);
        let of = |first: usize| (0..4).map(|k| bias[(first + k) * n_other]).collect::<Vec<f64>>();
        for (what, values) in [("weights", of(2)), ("means", of(6))] {
            for (k, value) in values.iter().enumerate() {
                let nearest = values
                    .iter()
                    .enumerate()
                    .filter(|(j, _)| *j != k)
                    .map(|(_, other)| (value - other).abs());
                let nearest = nearest.fold(f64::INFINITY, f64::min);
                assert!(nearest > 1e-6, "{name}: {what} {values:?}");
            }
        }
    };
    let training = || TrainerConfig::new().with_learning_rate(5e-3).with_warm_up(0);
    let flow =
        Flow::build(&RealNvpConfig::new(8).with_law(law()), StandardNormal::new(), [1, 2], &device)
            .unwrap()
            .initialize(x.clone())
            .unwrap();
    let mut trainer = Trainer::new(flow, training()).unwrap();
    for _ in 0..20 {
        trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap();
    }
    parts(
        "RealNVP",
        trainer.model().bijector[0].1.conditioner.net.output.bias.as_ref().unwrap().val(),
        1,
    );
    let flow =
        Flow::build(&MafConfig::new(5).with_law(law()), StandardNormal::new(), [1, 2], &device)
            .unwrap()
            .initialize(x.clone())
            .unwrap();
    let mut trainer = Trainer::new(flow, training()).unwrap();
    for _ in 0..20 {
        trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap();
    }
    parts(
        "MAF",
        trainer.model().bijector[0].1.conditioner.net.output.linear.bias.as_ref().unwrap().val(),
        2,
    );
    // A stack that is put together by hand, as in the models: no call names the start.
    let step = || {
        let config = CouplingConfig::new(law(), MlpConfig::new([32]));
        (config.build(&Site::new([1, 2], &device)).unwrap(), Swap::new())
    };
    let flow = Flow::new(vec![step(), step()], StandardNormal::new(), [1, 2]).unwrap();
    let mut trainer = Trainer::new(flow.initialize(x.clone()).unwrap(), training()).unwrap();
    for _ in 0..20 {
        trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap();
    }
    parts(
        "by hand",
        trainer.model().bijector[0].0.conditioner.net.output.bias.as_ref().unwrap().val(),
        1,
    );
    let layer = build::layer(&ElementwiseConfig::new(law()).with_noise(0.0), [1, 2], &device);
    let flow = Flow::new(layer, StandardNormal::new(), [1, 2]).unwrap();
    let mut trainer = Trainer::new(flow.initialize(x.clone()).unwrap(), training()).unwrap();
    for _ in 0..20 {
        trainer.update(&device, |flow| flow.log_prob(x.clone()).mean().neg()).unwrap();
    }
    parts("elementwise", trainer.model().bijector.theta.val().reshape([28]), 2);
}
