//! Flows whose condition a network computes: gradients, files, fits, errors.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use flowkit::encoder::{
    Encoder, EncoderConfig, ImageEncoderConfig, SeriesEncoderConfig, SetEncoderConfig,
    StandardizedConfig, Unchanged, VectorEncoderConfig,
};
use flowkit::law::RationalQuadraticSplineConfig;
use flowkit::model::maf::MafStep;
use flowkit::model::real_nvp::RealNvpStep;
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::testing::elements::{device_rng, elements, normal, tensor};
use flowkit::testing::parameters::{change, parameters};
use flowkit::train::fit::{FitConfig, Progress};
use flowkit::train::{NegativeLogLikelihood, Objective, Trainer, TrainerConfig};
use flowkit::{
    ConstantChannel, ContextShape, Density, Embedded, Flow, FlowError, GradientMemory, InitProblem,
    NonFiniteContext, Reparametrised, ShapeError, Site, StandardNormal, Uninit,
};

#[path = "common/gradient.rs"]
mod gradient;

use gradient::{agree, device, gradient};

const BATCH: usize = 8;

/// Random numbers of a shape.
fn random<const D: usize>(seed: u64, shape: [usize; D], dtype: DType) -> Tensor<D> {
    tensor(normal(seed, shape.iter().product(), 1.0), shape, dtype, &device())
}

type Model<E, const K: usize> =
    Embedded<E, Flow<Vec<RealNvpStep>, StandardNormal, 2, Tensor<2>>, K>;

/// Couplings of splines given the code of an encoder, none of which is at its initial value.
fn model<G, const K: usize>(config: &G, observed: &Tensor<K>) -> Model<G::Encoder, K>
where
    G: EncoderConfig<K>,
    G::Encoder: Encoder<K, Code = Tensor<2>>,
{
    device().seed(5);
    let layers = RealNvpConfig::new(2)
        .with_hidden(vec![6])
        .with_law(RationalQuadraticSplineConfig::new(4).into());
    let prior = StandardNormal::new();
    let model = Embedded::build(&layers, prior, [1, 2], config, observed, &device()).unwrap();
    let model = model.initialize_given(random(1, [BATCH, 2], DType::F32), observed).unwrap();
    change(model, DType::F32, |index, values| {
        let noise = normal(70 + index as u64, values.len(), 0.2);
        values.iter().zip(noise).map(|(value, noise)| value + noise).collect()
    })
}

/// All policies give one gradient, which reaches every parameter of the encoder's network and none
/// of the standardisation.
fn trains<G, const K: usize>(name: &str, config: &G, shape: [usize; K])
where
    G: EncoderConfig<K>,
    G::Encoder: Encoder<K, Code = Tensor<2>>,
{
    let _guard = device_rng();
    let observed = random(2, shape, DType::F32);
    let model = model(config, &observed);
    let loss = NegativeLogLikelihood::given(random(3, [BATCH, 2], DType::F32), observed.clone());
    agree(name, &model, &loss, false);
    // One observation for all examples.
    let one =
        NegativeLogLikelihood::given(random(3, [BATCH, 2], DType::F32), observed.narrow(0, 0, 1));
    agree(name, &model, &one, false);
    let weights = vec![0.5, 2.0, 1.0, 0.0, 1.0, 1.0, 2.0, 0.5];
    agree(name, &model, &loss.clone().weighted(weights), false);
    let gradients = loss.loss(&model).backward();
    let gradients = flowkit::testing::parameters::gradients(&model, &gradients);
    for (parameter, gradient) in parameters(&model).iter().zip(gradients) {
        let path = &parameter.path;
        if !path.starts_with("encoder") {
            continue;
        }
        let reached = gradient.is_some_and(|values| values.iter().any(|&value| value != 0.0));
        let fixed = path.ends_with("encoder.mean") || path.ends_with("encoder.scale");
        assert_eq!(reached, !fixed, "{name}: {path}");
    }
}

#[test]
fn gradients_reach_every_encoder() {
    let standardized = StandardizedConfig::new(VectorEncoderConfig::new(3).with_d_hidden(5));
    trains("vector", &standardized, [BATCH, 4]);
    let sets = SetEncoderConfig::new(3).with_d_hidden(5);
    trains("set", &StandardizedConfig::new(sets), [BATCH, 6, 2]);
    let series = SeriesEncoderConfig::new(3).with_n_filters(4).with_n_layers(2);
    trains("series", &StandardizedConfig::new(series), [BATCH, 2, 9]);
    let images = ImageEncoderConfig::new(3).with_n_filters(4).with_n_layers(2);
    trains("image", &StandardizedConfig::new(images), [BATCH, 2, 6, 5]);
}

/// Updates of a trainer change the encoder under each policy, and by the same amount.
#[test]
fn a_trainer_trains_both_under_every_policy() {
    let _guard = device_rng();
    let observed = random(2, [BATCH, 4], DType::F32);
    let config = StandardizedConfig::new(VectorEncoderConfig::new(3).with_d_hidden(5));
    let start = model(&config, &observed);
    let loss = NegativeLogLikelihood::given(random(3, [BATCH, 2], DType::F32), observed);
    let trained = |memory| {
        let config = TrainerConfig::new().with_gradient_memory(memory).with_learning_rate(1e-2);
        let mut trainer = Trainer::new(start.clone(), config.with_warm_up(0)).unwrap();
        let losses: Vec<f64> =
            (0..3).map(|_| trainer.update_on(&device(), &loss).unwrap().loss).collect();
        (losses, parameters(&trainer.model().encoder))
    };
    let before = parameters(&start.encoder);
    let (losses, stored) = trained(GradientMemory::Store);
    assert!(losses[2] < losses[0], "{losses:?}");
    assert!(stored.iter().zip(&before).any(|(after, before)| after.values != before.values));
    for memory in [GradientMemory::Recompute, GradientMemory::REVERSIBLE] {
        let (_, found) = trained(memory);
        for (found, stored) in found.iter().zip(&stored) {
            for (a, b) in found.values.iter().zip(&stored.values) {
                assert!((a - b).abs() < 1e-4, "{memory:?} {}: {a}, expected {b}", found.path);
            }
        }
    }
    // The standardisation stays.
    for (after, before) in stored.iter().zip(&before) {
        let fixed = after.path == "mean" || after.path == "scale";
        assert!(!fixed || after.values == before.values, "{}", after.path);
    }
}

/// The density is that of the flow given the code, in float64 to rounding.
#[test]
fn the_density_is_that_of_the_flow_given_the_code() {
    let _guard = device_rng();
    let observed = random(2, [BATCH, 4], DType::F32);
    let config = StandardizedConfig::new(VectorEncoderConfig::new(3).with_d_hidden(5));
    let model = change(model(&config, &observed), DType::F64, |_, values| values);
    let (x, observed) = (random(3, [BATCH, 2], DType::F64), random(4, [BATCH, 4], DType::F64));
    let code = model.encoder.encode(observed.clone());
    let own = model.given(&observed);
    let expected = model.flow.given(&code).evaluate(x.clone()).unwrap();
    assert_eq!(own.evaluate(x.clone()).unwrap(), expected);
    assert_eq!(own.evaluate_rows(x.clone()).unwrap().whole().unwrap(), expected);
    assert_eq!(elements(&own.log_prob(x.clone())), expected.nats());
    assert!(own.round_trip(x.clone()).unwrap().1 < 1e-10);
    assert_eq!(own.dims(), 2);
    assert!(!own.diagnose(x).unwrap().layers.is_empty());
    let one = observed.narrow(0, 3, 1);
    let samples = model.given(&one).sample_with_log_prob(50).unwrap();
    let again = model.given(&one).evaluate(samples.x.clone()).unwrap();
    for (a, b) in samples.log_likelihood.nats().iter().zip(again.nats()) {
        assert!((a - b).abs() < 1e-9, "{a}, expected {b}");
    }
    let (x, log_prob) = model.given(&one).rsample(5).unwrap();
    let slope = (x.sum() + log_prob.sum()).backward();
    assert!(model.encoder.net.net.net.input.weight.val().grad(&slope).is_some());
}

/// An encoder that counts the rows that it encodes.
#[derive(Module, Debug)]
struct Counting {
    weight: Param<Tensor<2>>,
}

static ROWS: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

impl Encoder<2> for Counting {
    type Code = Tensor<2>;

    fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        ROWS.fetch_add(x.dims()[0], Ordering::SeqCst);
        CALLS.fetch_add(1, Ordering::SeqCst);
        x.matmul(self.weight.val())
    }

    fn initialize(self, x: Tensor<2>) -> (Self, Tensor<2>) {
        let code = self.encode(x).detach();
        (self, code)
    }
}

struct CountingConfig;

impl EncoderConfig<2> for CountingConfig {
    type Encoder = Counting;

    fn context(&self, _: &Site<2>) -> Result<ContextShape, flowkit::ConfigError> {
        Ok(ContextShape::vector(Some(3)))
    }

    fn build(&self, site: &Site<2>) -> Result<Counting, flowkit::ConfigError> {
        let shape = [site.shape()[1], 3];
        Ok(Counting { weight: flowkit::tensor::parameter::uniform(shape, 0.5, site.device()) })
    }
}

#[test]
fn a_batch_is_encoded_once() {
    let _guard = device_rng();
    let observed = random(2, [BATCH, 4], DType::F32);
    let model = model(&CountingConfig, &observed);
    let counted = |run: &dyn Fn()| {
        let before = (CALLS.load(Ordering::SeqCst), ROWS.load(Ordering::SeqCst));
        run();
        (CALLS.load(Ordering::SeqCst) - before.0, ROWS.load(Ordering::SeqCst) - before.1)
    };
    let x = random(3, [BATCH, 2], DType::F32);
    let one = observed.clone().narrow(0, 0, 1);
    let given = model.given(&observed);
    assert_eq!(counted(&|| drop(given.evaluate(x.clone()).unwrap())), (1, BATCH));
    assert_eq!(counted(&|| drop(model.given(&one).evaluate(x.clone()).unwrap())), (1, 1));
    assert_eq!(counted(&|| drop(model.given(&one).sample(100).unwrap())), (1, 1));
    let loss = NegativeLogLikelihood::given(x.clone(), observed.clone());
    assert_eq!(counted(&|| drop(gradient(&model, &loss, None))), (1, BATCH));
    // A replay encodes once more, for the gradient.
    let replay = || flowkit::bijector::replay::Replay::new(5);
    assert_eq!(counted(&|| drop(gradient(&model, &loss, Some(replay())))), (2, 2 * BATCH));
}

/// A posterior that is known: the mean of a set of points, whose deviation is 1.
#[test]
fn a_fit_of_sets_learns_the_posterior() {
    let _guard = device_rng();
    let plain = Device::flex();
    let (n, members) = (2000, 5);
    let x = tensor::<2>(normal(1, n, 1.0), [n, 1], DType::F32, &plain);
    let noise = tensor::<3>(normal(2, n * members, 1.0), [n, members, 1], DType::F32, &plain);
    let observed = x.clone().unsqueeze_dim::<3>(1) + noise;
    plain.seed(1);
    let layers = MafConfig::new(1).with_hidden(vec![16]);
    let encoder = StandardizedConfig::new(SetEncoderConfig::new(4).with_d_hidden(16));
    let build = || {
        let prior = StandardNormal::new();
        Embedded::build(&layers, prior, [1, 1], &encoder, &observed, &plain).unwrap()
    };
    let config = FitConfig::new().with_epochs(30).with_batch_size(100).with_learning_rate(5e-3);
    let config = config.with_progress(Progress::None);
    let fitted = config.fit(build(), &(x, observed.clone())).unwrap();
    println!("{}", fitted.report);
    // The posterior given five points is N(5/6 of their mean, 1/6): entropy ½ ln(2πe/6).
    let entropy = 0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E / 6.0).ln();
    let found = -fitted.report.held_out.mean();
    assert!((found - entropy).abs() < 0.15, "{found}, expected {entropy}");
    let set = Tensor::<3>::full([1, members, 1], 1.2, &plain);
    let samples = elements(&fitted.flow.given(&set).sample(4000).unwrap());
    let mean = samples.iter().sum::<f64>() / 4000.0;
    assert!((mean - 1.0).abs() < 0.1, "{mean}");

    // Saved and loaded with its encoder; continued from its weights.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("posterior.safetensors");
    fitted.flow.save(&path).unwrap();
    let loaded = build().load(&path).unwrap();
    let point = Tensor::<2>::full([1, 1], 0.9, &plain);
    let nats = |model: &Embedded<_, Flow<Vec<MafStep>, StandardNormal, 2, Tensor<2>>, 3>| {
        model.given(&set).evaluate(point.clone()).unwrap()
    };
    assert_eq!(nats(&loaded), nats(&fitted.flow));
    let other = StandardizedConfig::new(SetEncoderConfig::new(4).with_d_hidden(15));
    let prior = StandardNormal::new();
    let other = Embedded::build(&layers, prior, [1, 1], &other, &observed, &plain).unwrap();
    assert!(other.load(&path).unwrap_err().to_string().contains("encoder"));
}

/// Code of a standardised encoder without a network.
fn standardized<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    let config = StandardizedConfig::new(Unchanged::new());
    let encoder = EncoderConfig::<D>::build(&config, &Site::new(x.dims(), &x.device())).unwrap();
    let encoder = change(encoder, x.dtype(), |_, values| values);
    let (encoder, code) = Encoder::<D>::initialize(encoder, x.clone());
    let again = elements(&encoder.encode(x.clone()));
    assert_eq!(again, elements(&code));
    again
}

#[test]
fn features_are_standardised_at_any_offset_and_scale() {
    let _guard = device_rng();
    let n = 200;
    for (offset, scale) in [(0.0, 1.0), (1e6, 1e3), (-1e-20, 1e-20), (3e4, 1e8)] {
        let values: Vec<f64> = normal(1, n, scale).iter().map(|x| offset + x).collect();
        // The second feature is constant.
        let rows: Vec<f64> = values.iter().flat_map(|&x| [x, offset]).collect();
        for dtype in [DType::F32, DType::F64] {
            let code = standardized(&tensor::<2>(rows.clone(), [n, 2], dtype, &Device::flex()));
            let (first, second): (Vec<f64>, Vec<f64>) =
                code.chunks(2).map(|row| (row[0], row[1])).unzip();
            let mean = first.iter().sum::<f64>() / n as f64;
            let variance = first.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
            assert!(second.iter().all(|x| x.abs() < 1e-6), "{second:?}");
        }
    }
    // The features of a set are those of its members.
    let x = tensor::<3>(normal(3, 600, 4.0), [50, 6, 2], DType::F64, &Device::flex());
    let x = x + tensor::<3>(vec![7.0, -900.0], [1, 1, 2], DType::F64, &Device::flex());
    let encoder = StandardizedConfig::new(SetEncoderConfig::new(2));
    let encoder = encoder.build(&Site::new([1, 6, 2], &Device::flex())).unwrap();
    let (encoder, _) = encoder.initialize(x.cast(DType::F32));
    assert_eq!(encoder.mean.dims(), [1, 1, 2]);
    let means = elements(&encoder.mean.val());
    assert!((means[0] - 7.0).abs() < 1.0 && (means[1] + 900.0).abs() < 1.0, "{means:?}");
}

#[test]
fn sets_have_no_order_but_a_size() {
    let _guard = device_rng();
    let encoder = SetEncoderConfig::new(4).build(&Site::new([1, 6, 2], &Device::flex())).unwrap();
    let encoder = change(encoder, DType::F64, |_, values| values);
    let x = tensor::<3>(normal(3, 36, 1.0), [3, 6, 2], DType::F64, &Device::flex());
    let code = elements(&encoder.encode(x.clone()));
    let off = |other: Tensor<3>| {
        let other = elements(&encoder.encode(other));
        code.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(off(x.clone().flip([1])) < 1e-12);
    // Every member twice: the same mean, another size.
    let twice = off(Tensor::cat(vec![x.clone(), x], 1));
    assert!(twice > 1e-3, "{twice}");
}

/// A model that is not initialised yet.
fn uninit(observed: &Tensor<2>) -> Uninit<Model<impl Encoder<2, Code = Tensor<2>>, 2>> {
    let config = StandardizedConfig::new(VectorEncoderConfig::new(3).with_d_hidden(5))
        .with_constant(ConstantChannel::Error);
    let (layers, prior) = (RealNvpConfig::new(1), StandardNormal::new());
    Embedded::build(&layers, prior, [1, 2], &config, observed, &device()).unwrap()
}

fn non_finite<M>(loss: &impl Objective<M>, _: &M) -> Option<NonFiniteContext> {
    loss.non_finite_context()
}

#[test]
fn bad_observations_are_named() {
    let _guard = device_rng();
    let x = random(3, [BATCH, 2], DType::F32);
    let observed = random(2, [BATCH, 4], DType::F32);
    let model = uninit(&observed).initialize_given(x.clone(), &observed).unwrap();
    let evaluated = |observed: &Tensor<2>| model.given(observed).evaluate(x.clone()).unwrap_err();
    let sampled = |observed: &Tensor<2>| model.given(observed).sample(BATCH).unwrap_err();
    let checked = |observed: &Tensor<2>| {
        let loss = NegativeLogLikelihood::given(x.clone(), observed.clone());
        Objective::check_unread(&loss, &model).unwrap_err()
    };
    let wide = random(4, [BATCH, 5], DType::F32);
    for error in [evaluated(&wide), sampled(&wide), checked(&wide)] {
        let expected =
            ShapeError::Axis { layer: "Standardized", axis: 1, expected: 4, shape: vec![BATCH, 5] };
        assert_eq!(error, FlowError::Shape(expected));
    }
    let short = random(4, [3, 4], DType::F32);
    for error in [evaluated(&short), sampled(&short), checked(&short)] {
        let expected =
            ShapeError::ContextShape { layer: "Flow", expected: vec![BATCH, 4], found: vec![3, 4] };
        assert_eq!(error, FlowError::Shape(expected));
    }
    let double = random(4, [BATCH, 4], DType::F64);
    for error in [evaluated(&double), sampled(&double), checked(&double)] {
        assert!(matches!(error, FlowError::Type { what: "condition", .. }), "{error}");
    }
    let mut values = normal(9, BATCH * 4, 1.0);
    values[4 * 5 + 1] = f64::NAN;
    let broken = tensor::<2>(values, [BATCH, 4], DType::F32, &device());
    for error in [evaluated(&broken), sampled(&broken)] {
        assert_eq!(error, FlowError::NonFiniteContext(NonFiniteContext::new(Some(5))));
    }
    let loss = NegativeLogLikelihood::given(x.clone(), broken.clone());
    assert_eq!(non_finite(&loss, &model), Some(NonFiniteContext::new(Some(5))));
    assert_eq!(Objective::fault(&loss, &model).unwrap().path, "context");
    assert!(matches!(model.given(&observed).sample(0).unwrap_err(), FlowError::NoSamples { .. }));

    // At initialisation: a constant feature, where that is an error; a fault of the flow.
    let mut values = normal(9, BATCH * 4, 1.0);
    (0..BATCH).for_each(|row| values[row * 4 + 2] = 1.5);
    let constant = tensor::<2>(values, [BATCH, 4], DType::F32, &device());
    let error = uninit(&observed).initialize_given(x, &constant).unwrap_err();
    let FlowError::Init { path, problem, .. } = error else { panic!("{error}") };
    assert_eq!(path, "encoder");
    assert!(
        matches!(problem, InitProblem::Constant { what: "feature", index: 2, .. }),
        "{problem}"
    );
}

/// A fault in the network of the encoder, or behind it, is named by its path.
#[test]
fn faults_are_found_in_encoder_and_flow() {
    let _guard = device_rng();
    let observed = random(2, [BATCH, 4], DType::F32);
    let config = StandardizedConfig::new(VectorEncoderConfig::new(3).with_d_hidden(5));
    let whole = model(&config, &observed);
    let loss = NegativeLogLikelihood::given(random(3, [BATCH, 2], DType::F32), observed);
    assert_eq!(Objective::fault(&loss, &whole), None);
    assert_eq!(Objective::gradient_fault(&loss, &whole), None);
    let names: Vec<String> = parameters(&whole).into_iter().map(|found| found.path).collect();
    let planted = |place: &str| {
        change(whole.clone(), DType::F32, |index, values| {
            let hit = names[index].contains(place);
            values.into_iter().map(|value| if hit { f64::NAN } else { value }).collect()
        })
    };
    assert_eq!(Objective::fault(&loss, &planted("net.net.net.output")).unwrap().path, "encoder");
    let behind = Objective::fault(&loss, &planted("bijector.1.1")).unwrap().path;
    assert!(behind.starts_with("flow.bijector.1.1"), "{behind}");
}
