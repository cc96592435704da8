//! Rows with elements of several kinds: the law of classes against its definition, the chain rule
//! of densities, continuity on a torus, total mass, samples, and errors.

use std::f64::consts::PI;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Distribution, Tensor, TensorData};
use flowkit::law::{AffineConfig, AffineForm, Categorical, CategoricalConfig, LawConfig};
use flowkit::model::{CircularNsfConfig, MixedNsfConfig, NsfForm, RowElement};
use flowkit::train::fit::FitConfig;
use flowkit::{
    AnyLayerConfig, Bijector, ChainRuleConfig, Context, Density, DiagonalNormalConfig,
    ElementPrior, ElementwiseConfig, Flow, IntegerColumnsConfig, LayerConfig, MadeConfig,
    MaskedAutoregressiveConfig, NormalOrUniformConfig, Prior, PriorConfig, Reading, ShapeError,
    Site, StandardNormal, UniformBoxConfig,
};

#[path = "common/draws.rs"]
mod draws;
#[allow(dead_code)] // Differences would cross the borders of classes.
#[path = "common/one_law.rs"]
mod one_law;

use crate::draws::{seeded, turn};
use one_law::{TYPES, draws, forward, gradients_are_finite, inverse, numbers};

const CLASSES: usize = 5;

fn law() -> Categorical {
    CategoricalConfig::new(CLASSES).build().unwrap()
}

/// Logarithms of the probabilities of logits.
fn log_probabilities(theta: &[f64]) -> Vec<f64> {
    let most = theta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = theta.iter().map(|logit| (logit - most).exp()).sum();
    theta.iter().map(|logit| logit - most - total.ln()).collect()
}

fn logits() -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = vec![vec![0.0; CLASSES]];
    all.extend([1.0, 10.0, 100.0].map(|size| draws(CLASSES, size, 3)));
    all.push(vec![0.0, 300.0, 0.0, -300.0, 299.0]);
    all
}

#[test]
fn classes_have_their_probabilities() {
    for (dtype, _) in TYPES {
        let epsilon = if dtype == DType::F64 { 1e-14 } else { 2e-6 };
        for theta in logits() {
            let expected = log_probabilities(&theta);
            let places = [0.0, 0.25, 0.999];
            let inputs: Vec<f64> = (0..CLASSES)
                .flat_map(|class| places.map(|place| class as f64 + place))
                .chain([-2.5, 5.0, 7.25])
                .collect();
            let run = forward(&law(), &theta, &inputs, dtype);
            let (z, log_derivative) = (&run.value, &run.log_derivative);
            let mut below = 0.0;
            for (class, log) in expected.iter().enumerate() {
                for (place, fraction) in places.iter().enumerate() {
                    let (at, truth) = (class * places.len() + place, below + log.exp() * fraction);
                    assert!((z[at] - truth).abs() <= epsilon, "{dtype:?} {theta:?} {z:?}");
                    let error = (log_derivative[at] - log).abs();
                    assert!(error <= epsilon * log.abs().max(1.0), "{dtype:?} {theta:?} {class}");
                }
                below += log.exp();
            }
            // Outside of all classes it is a shift.
            assert_eq!(z[15..], [-2.5, 1.0, 3.25]);
            assert_eq!(log_derivative[15..], [0.0; 3]);
        }
    }
}

#[test]
fn inverses_are_in_the_class_that_covers_them() {
    for (dtype, _) in TYPES {
        let epsilon = if dtype == DType::F64 { 1e-15 } else { 1e-6 };
        for theta in logits() {
            let p: Vec<f64> = log_probabilities(&theta).iter().map(|log| log.exp()).collect();
            let mut inputs: Vec<f64> = (0..=1000).map(|i| f64::from(i) / 1000.0).collect();
            inputs.extend([-3.0, 1.5]);
            let x = inverse(&law(), &theta, &inputs, dtype).value;
            for (z, x) in inputs.iter().zip(&x).take(1001) {
                assert!((0.0..CLASSES as f64).contains(x), "{dtype:?} {z} {x}");
                let class = x.floor() as usize;
                let begin: f64 = p[..class].iter().sum();
                let back = begin + p[class] * (x - x.floor());
                assert!((back - z).abs() <= 4.0 * epsilon, "{dtype:?} {theta:?} {z} {x} {back}");
            }
            assert_eq!(x[1001..], [-3.0, 5.5]);
        }
    }
}

#[test]
fn numbers_that_are_none_stay_none() {
    let theta = draws(CLASSES, 1.0, 1);
    let found = forward(&law(), &theta, &[f64::NAN, f64::INFINITY, -1e30], DType::F32);
    assert!(found.value[0].is_nan() && found.value[1] == f64::INFINITY);
    assert!(inverse(&law(), &theta, &[f64::NAN], DType::F32).value[0].is_nan());
    for theta in logits() {
        gradients_are_finite(&law(), &theta, &[-1.0, 0.5, 2.0, 4.75, 5.0]);
    }
}

/// Sets every parameter to random numbers of this deviation.
struct Randomized(f64);

impl ModuleMapper for Randomized {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        parameter.map(|tensor| {
            let (shape, device) = (tensor.dims(), tensor.device());
            Tensor::random(shape, Distribution::Normal(0.0, self.0), (&device, tensor.dtype()))
        })
    }
}

/// The layer of a configuration, with random parameters that follow from a seed. The grids of the
/// integrals below are fine enough for the seeds that are asked for.
fn randomized<C: Context, T: LayerConfig<2, C>>(
    config: &T,
    site: &Site<2, C>,
    deviation: f64,
    seed: u64,
) -> T::Layer {
    let _turn = turn();
    let layer = config.build(site).unwrap();
    Device::flex().seed(seed);
    layer.map(&mut Randomized(deviation))
}

fn rows(values: &[f64], columns: usize) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [values.len() / columns, columns]);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

/// The density on a torus does not jump where an angle passes from π to −π, and integrates to 1.
#[test]
fn densities_on_a_torus_are_continuous_and_have_mass_1() {
    let config = CircularNsfConfig::new(3).with_d_hidden(8).with_n_bins(4);
    let site = Site::<2>::new([1, 2], &Device::flex());
    for seed in 0..3 {
        let layers = randomized(&config, &site, 0.2, seed);
        let prior = config.prior().build(&site).unwrap();
        let flow = Flow::new(layers, prior, [1, 2]).unwrap().without_data();
        let flow = flow.map(&mut in_float64());
        for at in [-2.0, 0.3, 2.9] {
            let near = 1e-7;
            let pairs = [[PI - near, at, -PI + near, at], [at, PI - near, at, -PI + near]];
            for pair in pairs {
                let nats = numbers(flow.log_prob(rows(&pair, 2)));
                assert!((nats[0] - nats[1]).abs() < 1e-4, "seed {seed}: {nats:?}");
            }
        }
        let n = 400;
        let angle = |i: usize| -PI + 2.0 * PI * (i as f64 + 0.5) / n as f64;
        let points: Vec<f64> =
            (0..n).flat_map(|i| (0..n).flat_map(move |j| [angle(i), angle(j)])).collect();
        let densities = numbers(flow.log_prob(rows(&points, 2)));
        let cell = (2.0 * PI / n as f64).powi(2);
        let mass: f64 = densities.iter().map(|nats| nats.exp() * cell).sum();
        assert!((mass - 1.0).abs() < 1e-3, "seed {seed}: {mass}");
    }
}

/// Parameters in float64.
fn in_float64() -> impl ModuleMapper {
    struct Wide;
    impl ModuleMapper for Wide {
        fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
            parameter.map(|tensor| tensor.cast(DType::F64))
        }
    }
    Wide
}

/// Of a class, an angle and a real number that depend on each other: all probability is there.
#[test]
fn rows_of_all_kinds_have_mass_1() {
    use RowElement::{Angle, Class, Real};
    let config = MixedNsfConfig::new(vec![Real, Class { n: 3 }, Angle]);
    let config = config.with_n_steps(1).with_d_hidden(8).with_n_bins(4);
    for form in [NsfForm::Coupling, NsfForm::Autoregressive] {
        let config = config.clone().with_form(form);
        let site = Site::<2>::new([1, 3], &Device::flex());
        let layers = randomized(&config, &site, 0.4, 5);
        let prior = config.prior().build(&site).unwrap();
        let flow = Flow::new(layers, prior, [1, 3]).unwrap().without_data();
        let flow = flow.map(&mut in_float64());
        let (n, m, far) = (600, 60, 9.0);
        let mut mass = 0.0;
        for class in 0..3 {
            let points: Vec<f64> = (0..n)
                .flat_map(|i| {
                    let x = far * (2.0 * (f64::from(i) + 0.5) / f64::from(n) - 1.0);
                    (0..m).flat_map(move |j| {
                        let angle = PI * (2.0 * (f64::from(j) + 0.5) / f64::from(m) - 1.0);
                        [x, f64::from(class) + 0.37, angle]
                    })
                })
                .collect();
            let cell = 2.0 * far / f64::from(n) * 2.0 * PI / f64::from(m);
            let densities = numbers(flow.log_prob(rows(&points, 3)));
            mass += densities.iter().map(|nats| nats.exp() * cell).sum::<f64>();
        }
        assert!((mass - 1.0).abs() < 5e-3, "{form:?}: {mass}");
        let samples = {
            let _turn = turn();
            flow.sample(500).unwrap()
        };
        for row in numbers(samples).chunks(3) {
            assert!((0.0..3.0).contains(&row[1]) && (-PI..PI).contains(&row[2]), "{row:?}");
        }
    }
}

/// The condition of the others is that of the flow together with what is read of the first.
#[test]
fn the_others_depend_on_the_first_and_on_the_condition() {
    let affine = || AffineConfig::new(AffineForm::Exponential);
    let net = || MadeConfig::new([16]);
    let layer = || MaskedAutoregressiveConfig::new(affine(), net());
    let config = ChainRuleConfig::new(vec![(1, Reading::Angle)], layer(), layer());
    let given = Tensor::<2>::zeros([1, 2], &Device::flex());
    let site = Site::given([1, 3], &given, &Device::flex());
    let chain = randomized(&config, &site, 0.4, 2);
    let x = |first: f64| Tensor::<2>::from_data([[0.3, first, -0.7]], &Device::flex());
    let c = |value: f64| Tensor::<2>::from_data([[value, 0.1]], &Device::flex());
    let z = |first: f64, value: f64| numbers(chain.forward(x(first), &c(value)).0);
    let base = z(0.5, 1.0);
    let turned = z(0.5 + 2.0 * PI, 1.0);
    // A whole turn changes nothing for the others, and the angle itself by its own layer.
    assert!((base[0] - turned[0]).abs() < 1e-5 && (base[2] - turned[2]).abs() < 1e-5);
    assert!((base[1] - turned[1]).abs() > 0.1);
    let (other, elsewhere) = (z(1.5, 1.0), z(0.5, -1.0));
    assert!((base[0] - other[0]).abs() > 1e-3 && (base[2] - other[2]).abs() > 1e-3);
    for place in 0..3 {
        assert!((base[place] - elsewhere[place]).abs() > 1e-3, "{place}");
    }
    // A condition of another width is an error before anything is computed.
    let wide = Tensor::<2>::zeros([1, 3], &Device::flex());
    let error = chain.output_shape_given([1, 3], &wide).unwrap_err();
    assert!(matches!(error, ShapeError::ContextShape { .. }), "{error}");
    let back = numbers(
        chain.inverse(Tensor::from_data([[base[0], base[1], base[2]]], &Device::flex()), &c(1.0)),
    );
    assert!((back[0] - 0.3).abs() < 1e-5 && (back[1] - 0.5).abs() < 1e-5);
}

/// A class decides where an angle is, and both decide a number: the flow finds what independent
/// columns cannot say.
#[test]
fn a_fit_finds_how_kinds_depend_on_each_other() {
    // Each update seeds the device.
    let _turn = turn();
    let n = 600;
    let device = Device::flex();
    let mut values = Vec::with_capacity(3 * n);
    let noise = draws(2 * n, 1.0, 8);
    for i in 0..n {
        let class = (i % 3) as f64;
        let angle = 2.0 * PI / 3.0 * class + 0.25 * noise[2 * i];
        let angle = (angle + PI).rem_euclid(2.0 * PI) - PI;
        values.extend([class, angle, angle.cos() + class + 0.1 * noise[2 * i + 1]]);
    }
    let data = TensorData::new(values, [n, 3]);
    let x = Tensor::<2>::from_data(data, (&device, DType::F32));
    use RowElement::{Angle, Class, Real};
    let config = MixedNsfConfig::new(vec![Class { n: 3 }, Angle, Real]);
    let config = config.with_n_steps(1).with_d_hidden(16);
    let flow = Flow::build(&config, config.prior(), [1, 3], &device).unwrap();
    let classes = IntegerColumnsConfig::new(config.classes()).build().unwrap();
    let fit = FitConfig::new().with_epochs(60).with_batch_size(100).with_learning_rate(5e-3);
    let fitted = fit.with_seed(1).fit(flow.behind(classes), &x).unwrap().flow;
    let mean = fitted.evaluate(x.clone()).unwrap().mean().mean();
    // Minus the entropies of three classes and of normal noise of deviation 0.25 and 0.1.
    let normal = |deviation: f64| -0.5 - (deviation * (2.0 * PI).sqrt()).ln();
    let best = (1f64 / 3.0).ln() + normal(0.25) + normal(0.1);
    assert!((mean - best).abs() < 0.2, "{mean} of {best}");
    let samples = numbers(fitted.sample(600).unwrap());
    for class in 0..3 {
        let of_class = samples.chunks(3).filter(|row| row[0] == f64::from(class)).count();
        assert!((140..=260).contains(&of_class), "{class}: {of_class}");
    }
}

#[test]
fn priors_of_elements_are_normal_or_uniform() {
    let config = NormalOrUniformConfig::new(vec![
        ElementPrior::Uniform { lower: -1.0, upper: 3.0 },
        ElementPrior::Normal,
    ]);
    let site = Site::<2>::new([1, 2], &Device::flex());
    let prior = config.build(&site).unwrap();
    let nats = numbers(prior.log_prob(rows(&[0.0, 1.0, 3.5, 0.0], 2), &()));
    assert!((nats[0] + 4f64.ln() + 0.5 + 0.5 * (2.0 * PI).ln()).abs() < 1e-14, "{nats:?}");
    assert_eq!(nats[1], f64::NEG_INFINITY);
    let _turn = seeded(&Device::flex(), 1);
    let z = numbers(prior.sample([4000, 2], 0.5, &(), &Device::flex(), DType::F64));
    let (uniform, normal): (Vec<f64>, Vec<f64>) = z.chunks(2).map(|row| (row[0], row[1])).unzip();
    assert!(uniform.iter().all(|z| (0.0..=2.0).contains(z)));
    let variance =
        |z: &[f64], mean: f64| z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / z.len() as f64;
    assert!((variance(&normal, 0.0) - 0.25).abs() < 0.03);
    assert!((variance(&uniform, 1.0) - 4.0 / 12.0).abs() < 0.03);
    for all in
        [vec![ElementPrior::Normal; 2], vec![ElementPrior::Uniform { lower: 0.0, upper: 1.0 }; 2]]
    {
        let prior = NormalOrUniformConfig::new(all.clone()).build(&site).unwrap();
        let z = rows(&[0.2, 0.7], 2);
        let found = numbers(prior.log_prob(z.clone(), &()))[0];
        let expected = if all[0] == ElementPrior::Normal {
            numbers(StandardNormal::new().log_prob(z, &()))[0]
        } else {
            let cube = UniformBoxConfig::between(0.0, 1.0);
            numbers(PriorConfig::<2>::build(&cube, &site).unwrap().log_prob(z, &()))[0]
        };
        assert_eq!(found, expected);
    }
}

/// A stack from a file, given a condition and without one.
#[test]
fn a_file_can_hold_a_chain_rule() {
    let _turn = turn();
    let text = r#"{ "ChainRule": {
        "elements": [[1, "Angle"]],
        "first": { "Elementwise": { "law": { "CircularSpline": { "n_bins": 4 } } } },
        "then": { "Stack": ["ActNorm", "Swap"] }
    } }"#;
    let config: AnyLayerConfig = serde_json::from_str(text).unwrap();
    let device = Device::flex();
    let x = Tensor::<2>::from_data([[0.3, 3.0, -0.7], [1.0, -3.0, 0.5]], &device);
    let layer = config.build(&Site::<2>::new([1, 3], &device)).unwrap();
    let (layer, z) = Bijector::<2>::initialize(layer, x.clone(), &());
    let back = Bijector::<2>::inverse(&layer, z, &());
    assert!((back - x).abs().max().into_scalar::<f32>() < 1e-5);
    let given = Tensor::<2>::zeros([1, 2], &device);
    assert!(config.build(&Site::given([1, 3], &given, &device)).is_ok());
    let image = config.build(&Site::<4>::new([1, 3, 2, 2], &device));
    assert!(image.unwrap_err().to_string().contains("ChainRule"));
}

/// The text of the error of a chain rule on three elements.
fn refused(elements: Vec<(usize, Reading)>) -> String {
    let own = || ElementwiseConfig::new(CategoricalConfig::new(2));
    let config = ChainRuleConfig::new(elements, own(), own());
    config.plan(&Site::<2>::new([1, 3], &Device::flex())).unwrap_err().to_string()
}

#[test]
fn configurations_name_what_is_wrong() {
    use Reading::{Class, Number};
    let shape = "ChainRule: ";
    assert!(refused(vec![]).contains("ChainRuleConfig: `elements`"));
    let far = refused(vec![(3, Number)]);
    assert!(far.contains("`elements` must be at most 2, found 3"), "{far}");
    let twice = refused(vec![(1, Number), (1, Number)]);
    assert!(twice.contains("ChainRuleConfig: `elements`") && twice.contains("[1, 1]"), "{twice}");
    let all = refused(vec![(0, Number), (1, Number), (2, Number)]);
    assert!(all.starts_with(shape), "{all}");
    let none = refused(vec![(0, Class { n: 0 })]);
    assert!(none.contains("elements[0]"), "{none}");
    let error = |config: CategoricalConfig| config.build().map(drop).unwrap_err().to_string();
    assert!(error(CategoricalConfig::new(0)).contains("`n_classes`"));
    assert!(error(CategoricalConfig::new(4097)).contains("4096"));
    let site = Site::<2>::new([1, 3], &Device::flex());
    let short = MixedNsfConfig::new(vec![RowElement::Real]).plan(&site).unwrap_err().to_string();
    assert!(short.contains("MixedNsfConfig") && short.contains('3'), "{short}");
    let none = MixedNsfConfig::new(vec![RowElement::Class { n: 0 }; 3]).plan(&site);
    assert!(none.unwrap_err().to_string().contains("`n_classes`"));
    let prior = NormalOrUniformConfig::new(vec![ElementPrior::Normal]).build(&site);
    assert!(prior.unwrap_err().to_string().contains("NormalOrUniformConfig"));
    let upside_down = ElementPrior::Uniform { lower: 1.0, upper: 0.0 };
    let prior = NormalOrUniformConfig::new(vec![ElementPrior::Normal, upside_down]).validate();
    assert!(prior.unwrap_err().to_string().contains("elements[1]"));
    let normal = DiagonalNormalConfig::new();
    let config = MixedNsfConfig::new(vec![RowElement::Real; 3]).with_n_steps(0);
    let built = Flow::build(&config, normal, [1, 3], &Device::flex()).map(drop);
    assert!(built.unwrap_err().to_string().contains("`n_steps`"));
}
