//! Objectives of an unnormalised density: gradients against finite differences, closed forms and
//! each other, every policy, and what is refused.

use burn::module::Module;
use burn::tensor::{DType, Tensor};
use flowkit::law::{AffineConfig, AffineForm, MixLogCdfConfig};
use flowkit::testing::elements::{device_rng, dot, elements, largest, normal, tensor};
use flowkit::testing::parameters::{change, gradients, parameters};
use flowkit::train::{
    AlphaTwo, AlphaTwoGradient, Annealing, ForwardKl, Objective, ReverseKl, ReverseKlGradient,
    TrainError, Trainer, TrainerConfig,
};
use flowkit::{
    ActNormConfig, ConfigError, Conv1x1Config, CouplingConfig, Density, DiagonalNormal,
    DiagonalNormalConfig, Flow, FlowError, GradientMemory, LayerConfig, MlpConfig, Site, Swap,
};

#[path = "common/gradient.rs"]
mod gradient;

use gradient::{agree, device};

const DIMS: usize = 3;

/// A density that is not symmetric.
fn target(x: Tensor<2>) -> Tensor<1> {
    let shift = tensor::<2>(vec![0.7, -0.4, 0.2], [1, DIMS], DType::F64, &x.device());
    let y = x.clone() - shift.cast(x.dtype());
    let nats = y.clone().square().mul_scalar(-0.4) + y.mul_scalar(1.5).sin();
    nats.sum_dim(1).squeeze_dim::<1>(1)
}

/// A normal distribution of deviation 0.8 around 0.5, without its constant.
fn bell(x: Tensor<2>) -> Tensor<1> {
    let nats = x.sub_scalar(0.5).square().mul_scalar(-0.5 / 0.64);
    nats.sum_dim(1).squeeze_dim::<1>(1)
}

type Layers = (flowkit::ActNorm<2>, flowkit::Conv1x1, Coupling, Swap, Coupling);
type Coupling = flowkit::Coupling<flowkit::law::Affine, flowkit::Mlp>;
type Model = Flow<Layers, DiagonalNormal<2>, 2>;

/// Affine couplings, some way from their initial values. They are those of one seed, so that no run
/// finds others, two estimates of which are three standard errors apart by chance.
fn model(dtype: DType) -> Model {
    device().seed(1);
    let coupling =
        || CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), MlpConfig::new([4]));
    let layers = (ActNormConfig::new(), Conv1x1Config::new(), coupling(), Swap::new(), coupling());
    let flow = Flow::build(&layers, DiagonalNormalConfig::new(), [1, DIMS], &device()).unwrap();
    moved(flow.without_data(), dtype, 70, 0.2)
}

type Small = Flow<Swap, DiagonalNormal<2>, 2>;

/// A normal distribution of this mean and log-scale in every element.
fn simple(dtype: DType, mean: f64, log_scale: f64) -> Small {
    let flow = Flow::build(&Swap::new(), DiagonalNormalConfig::new(), [1, DIMS], &device());
    change(flow.unwrap().without_data(), dtype, |index, values| {
        vec![if index == 0 { mean } else { log_scale }; values.len()]
    })
}

fn moved<M: Module>(model: M, dtype: DType, seed: u64, by: f64) -> M {
    change(model, dtype, |index, values| {
        let noise = normal(seed + index as u64, values.len(), by);
        values.iter().zip(noise).map(|(value, noise)| value + noise).collect()
    })
}

/// The gradient of a loss on seeded noise, parameter after parameter.
fn gradient_of<M: Module>(model: &M, objective: &impl Objective<M>, seed: u64) -> Vec<f64> {
    device().seed(seed);
    let found = gradients(model, &objective.loss(model).backward());
    let zeros = parameters(model).into_iter().map(|p| vec![0.0; p.values.len()]);
    found.into_iter().zip(zeros).flat_map(|(found, zeros)| found.unwrap_or(zeros)).collect()
}

fn value<M: Module>(model: &M, objective: &impl Objective<M>, seed: u64) -> f64 {
    device().seed(seed);
    elements(&objective.loss(model))[0]
}

/// `model` moved by `step` along a direction, and the direction.
fn along<M: Module>(model: &M, step: f64) -> (M, Vec<f64>) {
    let direction: Vec<Vec<f64>> = parameters(model)
        .iter()
        .enumerate()
        .map(|(index, p)| normal(90 + index as u64, p.values.len(), 1.0))
        .collect();
    let moved = change(model.clone(), DType::F64, |index, values| {
        values.iter().zip(&direction[index]).map(|(value, d)| value + step * d).collect()
    });
    (moved, direction.concat())
}

/// The slope of `f` along the direction of [`along`], by a central difference.
fn quotient<M: Module>(model: &M, f: impl Fn(&M) -> f64) -> f64 {
    let h = 1e-5;
    (f(&along(model, h).0) - f(&along(model, -h).0)) / (2.0 * h)
}

fn close(name: &str, found: f64, expected: f64) {
    assert!(expected.abs() > 1e-3, "{name}: the slope is {expected}");
    assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{name}: {found} {expected}");
}

/// With fixed noise, a total gradient is the slope of the loss.
#[test]
fn total_gradients_are_slopes_of_the_estimate() {
    let _guard = device_rng();
    let model = model(DType::F64);
    let direction = along(&model, 0.0).1;
    let reverse =
        ReverseKl::new(&target, 7).with_gradient(ReverseKlGradient::Total).with_temperature(1.7);
    let slope = quotient(&model, |model| value(model, &reverse, 3));
    close("reverse", dot(&gradient_of(&model, &reverse, 3), &direction), slope);
    let alpha =
        AlphaTwo::new(&target, 7).with_gradient(AlphaTwoGradient::Total).with_temperature(1.7);
    let slope = quotient(&model, |model| value(model, &alpha, 3));
    close("alpha", dot(&gradient_of(&model, &alpha, 3), &direction), slope);
}

/// With fixed samples `x` of the model as it is, weighted gradients are slopes of
/// `ln mean exp(2 ln p̃ − ln q − ln q₀)` and of `−Σ w̄ ln q`.
#[test]
fn weighted_gradients_are_slopes_at_fixed_samples() {
    let _guard = device_rng();
    let (model, n, temperature) = (model(DType::F64), 9, 1.3);
    let direction = along(&model, 0.0).1;
    device().seed(3);
    let samples = model.sample_with_log_prob(n).unwrap();
    let log_target: Vec<f64> =
        elements(&target(samples.x.clone())).iter().map(|nats| nats / temperature).collect();
    let fixed = samples.log_likelihood.nats().to_vec();
    let x = || Tensor::<2>::from_inner(samples.x.clone());
    let log_q = |model: &Model| elements(&model.log_prob(x()));

    let second_moment = |model: &Model| {
        let terms = log_q(model);
        let sum: f64 = (0..n).map(|i| (2.0 * log_target[i] - terms[i] - fixed[i]).exp()).sum();
        (sum / n as f64).ln()
    };
    let alpha = AlphaTwo::new(&target, n).with_temperature(temperature);
    let slope = quotient(&model, second_moment);
    close("alpha", dot(&gradient_of(&model, &alpha, 3), &direction), slope);
    assert!((value(&model, &alpha, 3) - second_moment(&model)).abs() < 1e-9);

    let weights: Vec<f64> = (0..n).map(|i| (log_target[i] - fixed[i]).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let cross_entropy = |model: &Model| -dot(&weights, &log_q(model)) / sum;
    let forward = ForwardKl::new(&target, n).with_temperature(temperature);
    let slope = quotient(&model, cross_entropy);
    close("forward", dot(&gradient_of(&model, &forward, 3), &direction), slope);
    assert!((value(&model, &forward, 3) - cross_entropy(&model)).abs() < 1e-9);
}

/// Every parameter of the path gradients is 0 to rounding at an exact fit, for every batch.
#[test]
fn path_gradients_vanish_at_an_exact_fit() {
    let _guard = device_rng();
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-4)] {
        let model = model(dtype);
        let fitted = model.clone().no_grad();
        // The density of the model times e³.
        let same = |x: Tensor<2>| fitted.log_prob(x).add_scalar(3.0);
        // Of a plain normal distribution: the formula of the target is not that of the flow.
        let simple = simple(dtype, 0.5, 0.8f64.ln());
        for seed in 0..20 {
            let n = 1 + seed as usize % 5;
            let path = [
                gradient_of(&model, &ReverseKl::new(&same, n), seed),
                gradient_of(
                    &model,
                    &AlphaTwo::new(&same, n).with_gradient(AlphaTwoGradient::Path),
                    seed,
                ),
                gradient_of(&simple, &ReverseKl::new(&bell, n), seed),
                gradient_of(
                    &simple,
                    &AlphaTwo::new(&bell, n).with_gradient(AlphaTwoGradient::Path),
                    seed,
                ),
            ];
            for (kind, found) in path.iter().enumerate() {
                assert!(largest(found) < tolerance, "{dtype:?} {seed} {kind}: {}", largest(found));
            }
            let total = ReverseKl::new(&same, n).with_gradient(ReverseKlGradient::Total);
            assert!(largest(&gradient_of(&model, &total, seed)) > 0.1);
            let total = ReverseKl::new(&bell, n).with_gradient(ReverseKlGradient::Total);
            assert!(largest(&gradient_of(&simple, &total, seed)) > 0.05);
        }
        // The loss is −ln Z there.
        let loss = value(&model, &ReverseKl::new(&same, 4), 1);
        assert!((loss + 3.0).abs() < if dtype == DType::F64 { 1e-12 } else { 1e-4 }, "{loss}");
    }
}

/// Mean over seeds of the slopes along a direction, with its standard error.
fn slopes<M: Module>(model: &M, objective: &impl Objective<M>, first: u64) -> (f64, f64) {
    let direction = along(model, 0.0).1;
    let slopes: Vec<f64> = (0..400)
        .map(|seed| dot(&gradient_of(model, objective, first + seed), &direction))
        .collect();
    let n = slopes.len() as f64;
    let mean = slopes.iter().sum::<f64>() / n;
    let variance = slopes.iter().map(|slope| (slope - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Both gradients estimate the same. Near an exact fit, that of the path has less variance.
#[test]
fn path_gradients_are_unbiased() {
    let _guard = device_rng();
    let model = model(DType::F64);
    let total = ReverseKl::new(&target, 32).with_gradient(ReverseKlGradient::Total);
    let (a, error_a) = slopes(&model, &total, 0);
    let (b, error_b) = slopes(&model, &ReverseKl::new(&target, 32), 1000);
    let error = error_a.hypot(error_b);
    assert!((a - b).abs() < 3.0 * error, "{a} {b} ± {error}");
    assert!(a.abs() > 5.0 * error, "the slope {a} is not seen, ± {error}");
    // Nearly fitted.
    let fitted = model.clone().no_grad();
    let near = |x: Tensor<2>| fitted.log_prob(x);
    let model = moved(model, DType::F64, 30, 1e-3);
    let total = ReverseKl::new(&near, 32).with_gradient(ReverseKlGradient::Total);
    let (_, error_a) = slopes(&model, &total, 0);
    let (_, error_b) = slopes(&model, &ReverseKl::new(&near, 32), 0);
    assert!(error_b < 0.05 * error_a, "{error_b} {error_a}");
}

/// The three gradients of the second moment estimate the same, up to the bias of a ratio.
#[test]
fn gradients_of_the_second_moment_agree() {
    let _guard = device_rng();
    let model = simple(DType::F64, 0.3, 0.1);
    // q = N(m, s²), p̃ = exp(−(x − ½)²/(2·0.64)): with v = 0.64, for each of three elements
    // ln ∫ p̃²/q = ½ ln(2π) + ln s + ½ ln(2π/a) + b²/(2a) − c,   a = 2/v − 1/s²,
    // b = 1/v − m/s², c = ¼/v − m²/(2 s²).
    let exact = |m: f64, log_s: f64| {
        let (v, s2) = (0.64, (2.0 * log_s).exp());
        let (a, b) = (2.0 / v - 1.0 / s2, 1.0 / v - m / s2);
        let c = 0.25 / v - m * m / (2.0 * s2);
        let tau = 2.0 * std::f64::consts::PI;
        DIMS as f64 * (0.5 * tau.ln() + log_s + 0.5 * (tau / a).ln() + b * b / (2.0 * a) - c)
    };
    // Each parameter has the same derivative in every element.
    let direction = along(&model, 0.0).1;
    let h = 1e-5;
    let by_m = (exact(0.3 + h, 0.1) - exact(0.3 - h, 0.1)) / (2.0 * h) / DIMS as f64;
    let by_s = (exact(0.3, 0.1 + h) - exact(0.3, 0.1 - h)) / (2.0 * h) / DIMS as f64;
    let expected =
        by_m * direction[..DIMS].iter().sum::<f64>() + by_s * direction[DIMS..].iter().sum::<f64>();
    let n = 512;
    for gradient in [AlphaTwoGradient::Weighted, AlphaTwoGradient::Total, AlphaTwoGradient::Path] {
        let alpha = AlphaTwo::new(&bell, n).with_gradient(gradient);
        let (found, error) = slopes(&model, &alpha, 0);
        // The bias of the ratio is of the order of the variance of a batch, 400 error².
        let allowed = 3.0 * error + 400.0 * error * error;
        assert!((found - expected).abs() < allowed, "{gradient:?}: {found} {expected} ± {error}");
        assert!(expected.abs() > 10.0 * error, "{gradient:?}: {expected} ± {error}");
    }
    // So is the value.
    let alpha = AlphaTwo::new(&bell, 100_000);
    assert!((value(&model, &alpha, 3) - exact(0.3, 0.1)).abs() < 0.02);
}

/// KL(N(m, s²)‖N(½, v)) and KL(N(½, v)‖N(m, s²)) have closed forms.
#[test]
fn divergences_of_normal_distributions_are_exact() {
    let _guard = device_rng();
    let (m, log_s, v) = (0.3, 0.1f64, 0.64f64);
    let model = simple(DType::F64, m, log_s);
    let (s2, n, log_tau) = ((2.0 * log_s).exp(), 100_000, (2.0 * std::f64::consts::PI).ln());
    // E_q[ln q − ln p̃] of an element.
    let reverse = -0.5 * log_tau - log_s - 0.5 + (s2 + (m - 0.5f64).powi(2)) / (2.0 * v);
    let found = value(&model, &ReverseKl::new(&bell, n), 5) / DIMS as f64;
    assert!((found - reverse).abs() < 0.01, "{found} {reverse}");
    let cross = 0.5 * log_tau + log_s + (v + (m - 0.5f64).powi(2)) / (2.0 * s2);
    let found = value(&model, &ForwardKl::new(&bell, n), 5) / DIMS as f64;
    assert!((found - cross).abs() < 0.01, "{found} {cross}");
    // At a temperature the variance is T·v.
    let hot = -0.5 * log_tau - log_s - 0.5 + (s2 + (m - 0.5f64).powi(2)) / (2.0 * 3.0 * v);
    let found = value(&model, &ReverseKl::new(&bell, n).with_temperature(3.0), 5) / DIMS as f64;
    assert!((found - hot).abs() < 0.01, "{found} {hot}");
}

#[test]
fn policies_agree() {
    let _guard = device_rng();
    let all = |name: &str, model: &Model| {
        for gradient in [ReverseKlGradient::Total, ReverseKlGradient::Path] {
            let name = format!("{name}, reverse {gradient:?}");
            agree(&name, model, &ReverseKl::new(&target, 16).with_gradient(gradient), false);
        }
        use AlphaTwoGradient::{Path, Total, Weighted};
        for gradient in [Weighted, Total, Path] {
            let name = format!("{name}, alpha {gradient:?}");
            agree(&name, model, &AlphaTwo::new(&target, 16).with_gradient(gradient), false);
        }
        agree(&format!("{name}, forward"), model, &ForwardKl::new(&target, 16), false);
    };
    all("float64", &model(DType::F64));
    all("float32", &model(DType::F32));
    // Given a condition, with mixtures.
    let context = tensor::<2>(normal(1, 8, 1.0), [4, 2], DType::F32, &device());
    let coupling = CouplingConfig::new(MixLogCdfConfig::new(3), MlpConfig::new([6]));
    let layers = vec![(ActNormConfig::new(), coupling, Swap::new()); 2];
    let layers = layers.build(&Site::given([1, DIMS], &context, &device())).unwrap();
    let prior = DiagonalNormal::new([1, DIMS], &device());
    let flow = Flow::<_, _, 2, Tensor<2>>::new_given(layers, prior, [1, DIMS]).unwrap();
    let flow = moved(flow.without_data(), DType::F32, 20, 0.2);
    for gradient in [ReverseKlGradient::Total, ReverseKlGradient::Path] {
        let objective = ReverseKl::given(&target, 4, context.clone()).with_gradient(gradient);
        agree(&format!("given, {gradient:?}"), &flow, &objective, false);
    }
    agree("given, forward", &flow, &ForwardKl::given(&target, 4, context), false);
}

/// Each objective finds the mean and the deviation of a normal target, under every policy.
#[test]
fn trainings_reach_a_normal_target() {
    let _guard = device_rng();
    const POLICIES: [GradientMemory; 3] =
        [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE];
    fn train<O: Objective<Small>>(objective: O, memory: GradientMemory, name: &str) {
        let config = TrainerConfig::new()
            .with_learning_rate(0.03)
            .with_warm_up(1)
            .with_gradient_memory(memory);
        let mut trainer = Trainer::new(simple(DType::F32, 0.0, 0.0), config).unwrap();
        for _ in 0..150 {
            let update = trainer.update_on(&device(), &objective).unwrap();
            assert!(update.bits_per_dim.to_string().ends_with("(estimate of a divergence)"));
        }
        let prior = &trainer.model().prior;
        for mean in elements(&prior.mean.val()) {
            assert!((mean - 0.5).abs() < 0.05, "{name}: {mean}");
        }
        for log_scale in elements(&prior.log_scale.val()) {
            assert!((log_scale - 0.8f64.ln()).abs() < 0.05, "{name}: {log_scale}");
        }
    }
    for memory in POLICIES {
        train(ReverseKl::new(&bell, 256), memory, "reverse");
        train(ForwardKl::new(&bell, 256), memory, "forward");
        train(AlphaTwo::new(&bell, 256), memory, "alpha");
    }
    let path = AlphaTwo::new(&bell, 256).with_gradient(AlphaTwoGradient::Path);
    train(path, GradientMemory::Recompute, "alpha by its path");
}

#[test]
fn annealing_is_checked() {
    let good = [
        Annealing::Constant,
        Annealing::Geometric { from: 1.0, until: 1 },
        Annealing::Harmonic { from: 1e6, until: u64::MAX },
    ];
    for annealing in good {
        annealing.validate().unwrap();
        let mut last = f64::INFINITY;
        for step in [0, 1, 5, 1000, u64::MAX] {
            let temperature = annealing.temperature(step);
            assert!((1.0..=1e6 * (1.0 + 1e-12)).contains(&temperature) && temperature <= last);
            last = temperature;
        }
        assert_eq!(last, 1.0);
    }
    for from in [0.99, f64::NAN, f64::INFINITY, -3.0] {
        let error = Annealing::Geometric { from, until: 5 }.validate().unwrap_err();
        assert!(
            error.to_string().starts_with("Annealing: `from` must lie in [1, 1e6], found"),
            "{error}"
        );
        assert!(Annealing::Harmonic { from, until: 5 }.validate().is_err());
    }
    let error = Annealing::Harmonic { from: 2.0, until: 0 }.validate().unwrap_err();
    assert_eq!(error, ConfigError::Zero { config: "Annealing", field: "until" });
    let text = r#"{"Geometric":{"from":8.0,"until":10}}"#;
    let read: Annealing = serde_json::from_str(text).unwrap();
    assert_eq!(read, Annealing::Geometric { from: 8.0, until: 10 });
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

/// An update that cannot be made says why and changes nothing.
#[test]
fn faults_are_named() {
    let _guard = device_rng();
    for memory in [GradientMemory::Store, GradientMemory::Recompute] {
        let config = TrainerConfig::new().with_gradient_memory(memory);
        let mut trainer = Trainer::new(model(DType::F32), config).unwrap();
        let before: Vec<_> = parameters(trainer.model()).into_iter().map(|p| p.values).collect();
        let mut refused = |objective: &dyn Fn(&mut Trainer<Model>) -> TrainError| {
            let error = objective(&mut trainer);
            let after: Vec<_> = parameters(trainer.model()).into_iter().map(|p| p.values).collect();
            assert!(before == after && trainer.step_count() == 0);
            error
        };
        let error = refused(&|t| t.update_on(&device(), &ReverseKl::new(&target, 0)).unwrap_err());
        assert_eq!(error, TrainError::Batch(FlowError::NoSamples { what: "n" }));
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = refused(&|t| {
                let hot = AlphaTwo::new(&target, 4).with_temperature(temperature);
                t.update_on(&device(), &hot).unwrap_err()
            });
            let text = "Objective: `temperature` must lie in [1e-6, 1e6], found";
            assert!(error.to_string().starts_with(text), "{error}");
        }
        let shape = TrainError::Batch(FlowError::TargetShape { expected: 1, found: 2 });
        let two = |x: Tensor<2>| Tensor::zeros([x.dims()[0] + 1], &x.device());
        let found = [
            refused(&|t| t.update_on(&device(), &ReverseKl::new(&two, 4)).unwrap_err()),
            refused(&|t| t.update_on(&device(), &ForwardKl::new(&two, 4)).unwrap_err()),
            refused(&|t| t.update_on(&device(), &AlphaTwo::new(&two, 4)).unwrap_err()),
        ];
        assert!(found.iter().all(|found| *found == shape), "{found:?}");
        // A target that is not a number, and one that is 0 everywhere.
        let undefined = |x: Tensor<2>| target(x).mul_scalar(f64::NAN);
        let empty = |x: Tensor<2>| target(x).mul_scalar(0.0).add_scalar(f64::NEG_INFINITY);
        let found = [
            refused(&|t| t.update_on(&device(), &ReverseKl::new(&undefined, 4)).unwrap_err()),
            refused(&|t| t.update_on(&device(), &ForwardKl::new(&undefined, 4)).unwrap_err()),
            refused(&|t| t.update_on(&device(), &AlphaTwo::new(&undefined, 4)).unwrap_err()),
            refused(&|t| t.update_on(&device(), &ReverseKl::new(&empty, 4)).unwrap_err()),
            refused(&|t| t.update_on(&device(), &ForwardKl::new(&empty, 4)).unwrap_err()),
        ];
        for error in found {
            let TrainError::NonFiniteLoss { step: 1, fault: Some(fault), .. } = &error else {
                panic!("{memory:?}: {error}");
            };
            assert_eq!(fault.to_string(), "`target` (log-density)");
        }
    }
    // A layer is found before the target.
    let bad = change(model(DType::F32), DType::F32, |index, values| {
        if index == 0 { vec![f64::NAN; values.len()] } else { values.to_vec() }
    });
    let fault = ReverseKl::new(&target, 4).fault(&bad).unwrap();
    assert_eq!(fault.to_string(), "`bijector.0` (Invert<ActNorm>)");
}

/// A gradient of the target that is not finite is attributed to it.
#[test]
fn a_gradient_that_is_not_finite_is_found() {
    let _guard = device_rng();
    // √0 has an infinite slope, times a slope of 0.
    let cusp =
        |x: Tensor<2>| target(x.clone()) - (x.mul_scalar(0.0)).sqrt().sum_dim(1).squeeze_dim(1);
    let mut trainer = Trainer::new(model(DType::F32), TrainerConfig::new()).unwrap();
    let error = trainer.update_on(&device(), &ReverseKl::new(&cusp, 4)).unwrap_err();
    let TrainError::NonFiniteGradient { fault: Some(fault), .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(fault.to_string(), "`target` (log-density)");
    // Weighted samples need no gradient of it.
    trainer.update_on(&device(), &ForwardKl::new(&cusp, 4)).unwrap();
}

/// A target that is 0 in places has weights of 0 there.
#[test]
fn weights_of_zero_are_allowed() {
    let _guard = device_rng();
    let half = |x: Tensor<2>| {
        let outside = x.clone().narrow(1, 0, 1).lower_elem(0.0).squeeze_dim::<1>(1);
        target(x).mask_fill(outside, f64::NEG_INFINITY)
    };
    let model = model(DType::F64);
    for seed in 0..5 {
        let found = gradient_of(&model, &ForwardKl::new(&half, 32), seed);
        assert!(largest(&found).is_finite() && largest(&found) > 0.0);
        let found = gradient_of(&model, &AlphaTwo::new(&half, 32), seed);
        assert!(largest(&found).is_finite() && largest(&found) > 0.0);
    }
}
