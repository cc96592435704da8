//! Fitting a flow in one call: what it learns, when it stops, what it keeps, and what it refuses.

mod faults;
mod saved;
mod updates;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use flowkit::data::{Batches, Images, TwoMoons};
use flowkit::law::{AffineConfig, AffineForm, MixLogCdfConfig};
use flowkit::model::RealNvpConfig;
use flowkit::train::fit::{
    CurvePoint, FitData, FitDataError, FitEnd, FitReport, FitSchedule, Progress, Weighted,
};
use flowkit::train::{
    CheckpointError, FitConfig, FitError, NegativeLogLikelihood, TrainError, Trainer, TrainerConfig,
};
use flowkit::{
    ActNorm, ActNormConfig, BoxBijector, Boxed, ContextShape, Density, Exp, Features, Flow,
    FlowError, InitProblem, LayerConfig, LogitConfig, ShapeError, Site, StandardNormal,
    UniformDequantizationConfig, Uninit,
};

type Plane<C = ()> = Flow<BoxBijector<2, C>, StandardNormal, 2, C>;

fn device() -> Device {
    Device::flex()
}

fn config() -> FitConfig {
    FitConfig::new().with_progress(Progress::None)
}

/// Couplings of mixtures for points of a plane.
fn plane<C: Features<2>>(seed: u64, d_context: Option<usize>) -> Uninit<Plane<C>> {
    device().seed(seed);
    let site = Site::described([1, 2], ContextShape::vector(d_context), &device());
    let layers = RealNvpConfig::new(4).with_law(MixLogCdfConfig::new(4).into());
    let layers = Boxed::new(layers).build(&site).unwrap();
    Flow::new_given(layers, StandardNormal::new(), [1, 2]).unwrap()
}

/// One factor and one shift for each of two numbers.
fn normal() -> Flow<ActNorm<2>, StandardNormal, 2> {
    Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 2], &device())
        .unwrap()
        .without_data()
}

fn values<M: Density<Data = Tensor<2>>>(flow: &M, x: &Tensor<2>) -> Vec<u64> {
    flow.evaluate(x.clone()).unwrap().nats().iter().map(|nats| nats.to_bits()).collect()
}

/// Mean log-density of a normal distribution with full covariance, fitted to some points, at
/// others.
fn gaussian(train: &[f64], test: &[f64]) -> f64 {
    let points = |data: &[f64]| data.chunks(2).map(|p| [p[0], p[1]]).collect::<Vec<_>>();
    let (train, test) = (points(train), points(test));
    let mean = [0, 1].map(|axis| train.iter().map(|p| p[axis]).sum::<f64>() / train.len() as f64);
    let cov = |i: usize, j: usize| {
        train.iter().map(|p| (p[i] - mean[i]) * (p[j] - mean[j])).sum::<f64>() / train.len() as f64
    };
    let (a, b, c) = (cov(0, 0), cov(0, 1), cov(1, 1));
    let det = a * c - b * b;
    let log_density = |p: &[f64; 2]| {
        let (x, y) = (p[0] - mean[0], p[1] - mean[1]);
        -0.5 * ((c * x * x - 2.0 * b * x * y + a * y * y) / det + det.ln())
            - (2.0 * std::f64::consts::PI).ln()
    };
    test.iter().map(log_density).sum::<f64>() / test.len() as f64
}

fn numbers(x: Tensor<2>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

#[test]
fn two_moons_are_learned() {
    let (data, test) = (TwoMoons::new(5000, 0.1, 1), TwoMoons::new(2000, 0.1, 2));
    let config = config().with_epochs(16).with_learning_rate(5e-3).with_warm_up(20);
    let fitted = config.fit(plane::<()>(5, None), &data).unwrap();
    let report = &fitted.report;
    println!("{report}");
    let normal = gaussian(&numbers(data.points(&device())), &numbers(test.points(&device())));
    let truth = test.mean_log_prob();
    let nats = fitted.flow.evaluate(test.points(&device())).unwrap();
    let nats = nats.nats().iter().sum::<f64>() / 2000.0;
    // A normal distribution has -1.92, the truth -1.00; 2000 points scatter the mean by 0.02.
    assert!(
        nats > normal + 0.6 && nats < truth + 0.05,
        "{nats}, a normal distribution {normal}, the truth {truth}"
    );
    // 500 of them are held out, and 17 batches of 256 are in what remains.
    assert_eq!(
        (report.examples, report.held_out.examples(), report.steps, report.epochs),
        (4500, 500, 16 * 17, 16)
    );
    assert_eq!((report.end, report.curve.len()), (FitEnd::Epochs, 17));
    let best =
        report.curve.iter().map(|point| point.held_out.mean()).fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(report.held_out.mean(), best);
    assert!(
        (report.held_out.mean() - nats).abs() < 5.0 * report.held_out.standard_error().unwrap()
    );
    assert!(report.curve[0].train.is_none());
    let train = |point: &CurvePoint<_>| point.train.unwrap();
    assert!(report.curve[1..].iter().all(|point| train(point).mean().is_finite()));
    assert_eq!(
        (train(&report.curve[3]).examples(), train(&report.curve[3]).standard_error()),
        (17 * 256, None)
    );
    let line = report.curve[3].to_string();
    assert!(line.starts_with("epoch 3, update 51: training -"), "{line}");
    assert_eq!(line.matches(" nats per example (exact)").count(), 2, "{line}");
    let text = report.to_string();
    for part in [
        "nats per example (exact), on 500 examples",
        "4500 examples in 272 updates, 16 epochs",
        "all epochs",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("bits/dim"), "{text}");
    let one = FitReport { examples: 1, steps: 1, epochs: 1, ..report.clone() }.to_string();
    assert!(one.contains("Trained on 1 example in 1 update, 1 epoch, "), "{one}");
    // The flow is outside of any graph, and goes on from where it is.
    assert!(!fitted.flow.devices()[0].is_autodiff());
    let more = config.clone().with_epochs(1).fit(fitted.flow, &data).unwrap().report;
    assert!((more.curve[0].held_out.mean() - best).abs() < 1e-9, "{:?}", more.curve);
}

/// The same updates as a trainer's, in the order of `Batches`; the same for the same seed, another
/// for another.
#[test]
fn a_fit_is_a_trainer_and_its_batches() {
    let (data, held_out) = (TwoMoons::new(100, 0.1, 3), TwoMoons::new(50, 0.1, 4));
    let config = config().with_epochs(2).with_batch_size(32).with_seed(7);
    let flow = normal();
    let fitted = config.fit_held_out(flow.clone(), &data, &held_out).unwrap();
    let graph = device().autodiff();
    let mut trainer =
        Trainer::new(flow.clone().train(), TrainerConfig::new().with_seed(7)).unwrap();
    let batches = Batches::new(100, 32, 7).unwrap();
    let points = data.points(&graph);
    for step in 0..6 {
        let rows: Vec<i64> = batches.indices(step).into_iter().map(|row| row as i64).collect();
        let x = points.clone().select(0, Tensor::from_data(rows.as_slice(), &graph));
        trainer.update_on(&graph, &NegativeLogLikelihood::new(x)).unwrap();
    }
    let test = held_out.points(&device());
    assert_eq!(fitted.report.best_step, 6, "{}", fitted.report);
    assert_eq!(values(&fitted.flow, &test), values(trainer.average(), &test));
    let other = config.with_seed(8).fit_held_out(flow, &data, &held_out).unwrap();
    assert_ne!(values(&fitted.flow, &test), values(&other.flow, &test));
}

/// A flow with many parameters on few points: the held-out likelihood rises and falls.
#[test]
fn patience_ends_it_and_the_best_is_kept() {
    let (data, held_out) = (TwoMoons::new(40, 0.1, 5), TwoMoons::new(400, 0.1, 6));
    let config =
        config().with_epochs(2000).with_learning_rate(1e-2).with_warm_up(5).with_patience(25);
    let fitted = config.fit_held_out(plane::<()>(9, None), &data, &held_out).unwrap();
    let report = &fitted.report;
    println!("{report}");
    assert_eq!(report.end, FitEnd::Patience(25));
    assert_eq!(report.epochs, report.best_epoch + 25);
    assert!(report.epochs < 2000 && report.best_epoch > 0);
    let means: Vec<f64> = report.curve.iter().map(|point| point.held_out.mean()).collect();
    let best = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(
        report.curve.iter().find(|point| point.held_out.mean() == best).unwrap().epoch,
        report.best_epoch
    );
    assert!(*means.last().unwrap() < best - 0.01, "{means:?}");
    let nats = fitted.flow.evaluate(held_out.points(&device())).unwrap();
    assert!((nats.nats().iter().sum::<f64>() / 400.0 - best).abs() < 1e-9);
}

/// Rows of weight 0 are not seen at all, not even where they hold a NaN.
#[test]
fn a_weight_of_zero_leaves_a_row_out() {
    // Relative to the largest weight, the second of the two is 0 in float64.
    let kept = TwoMoons::new(300, 0.1, 1).points(&device());
    let junk = Tensor::<2>::from_data([[f32::NAN, 1.0], [1e30, 0.0]], &device());
    let all = Tensor::cat(vec![kept.clone().slice(0..100), junk, kept.clone().slice(100..300)], 0);
    let weights: Vec<f64> = (0..302)
        .map(|row| match row {
            100 => 0.0,
            101 => 1e-300,
            _ => 2.5e30,
        })
        .collect();
    let config = config().with_epochs(2).with_batch_size(64);
    let start =
        || Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 2], &device()).unwrap();
    let with = config.fit(start(), &Weighted::new(all, weights)).unwrap();
    let without = config.fit(start(), &Weighted::new(kept.clone(), vec![2.5; 300])).unwrap();
    assert_eq!(values(&with.flow, &kept), values(&without.flow, &kept));
    assert_eq!((with.report.examples, with.report.curve), (270, without.report.curve));
    // Equal weights are no weights, but for rounding.
    let plain = config.fit(start(), &kept).unwrap();
    assert!((plain.report.held_out.mean() - with.report.held_out.mean()).abs() < 1e-5);
}

/// On whole batches, where no order matters.
#[test]
fn a_weight_of_two_is_a_second_copy() {
    let held_out = TwoMoons::new(100, 0.1, 2);
    let x = TwoMoons::new(60, 0.3, 1).points(&device());
    let twice = Tensor::cat(vec![x.clone(), x.clone().slice(0..20)], 0);
    let weights: Vec<f64> = (0..60).map(|row| if row < 20 { 2.0 } else { 1.0 }).collect();
    let config = config().with_epochs(60).with_warm_up(5).with_learning_rate(1e-2);
    let means = |points: &[f64]| points.iter().sum::<f64>() / points.len() as f64;
    let of = |fitted: &Flow<ActNorm<2>, StandardNormal, 2>| {
        fitted.evaluate(held_out.points(&device())).unwrap().nats().to_vec()
    };
    let weighted =
        config.fit_held_out(normal(), &Weighted::new(x.clone(), weights), &held_out).unwrap();
    let copied = config.fit_held_out(normal(), &twice, &held_out).unwrap();
    let plain = config.fit_held_out(normal(), &x, &held_out).unwrap();
    let [weighted, copied, plain] = [&weighted.flow, &copied.flow, &plain.flow].map(of);
    let far =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(far(&weighted, &copied) < 1e-4, "{}", far(&weighted, &copied));
    assert!(far(&weighted, &plain) > 1e-2, "{} {}", means(&weighted), means(&plain));
}

#[test]
fn weights_count_in_the_held_out_mean() {
    let x = Tensor::<2>::from_data([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]], &device());
    let held_out = Weighted::new(x.clone(), vec![1.0, 3.0, 0.0]);
    let report = config().with_steps(Some(1)).fit_held_out(normal(), &x, &held_out).unwrap().report;
    // The flow starts as N(0, I): -ln 2π, and 2 less at the second row. √(2/1·(1·1.5² + 9·0.5²))/4
    let start = report.curve[0].held_out.mean();
    assert!((start - (-(2.0 * std::f64::consts::PI).ln() - 1.5)).abs() < 1e-6, "{start}");
    assert_eq!(report.held_out.examples(), 2);
    let error = report.held_out.standard_error().unwrap();
    assert!((error - 9f64.sqrt() / 4.0).abs() < 0.02, "{error}");
}

/// Only the ratios of weights count, and no sum of them overflows.
#[test]
fn the_scale_of_weights_does_not_count() {
    let x = Tensor::<2>::from_data([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]], &device());
    let fit = |scale: f64| {
        let data = Weighted::new(x.clone(), vec![scale, 2.0 * scale, scale]);
        let report = config().with_steps(Some(3)).fit_held_out(normal(), &data, &data);
        report.unwrap().report
    };
    let one = fit(1.0);
    let [train, held_out] = [one.curve[1].train.unwrap(), one.curve[1].held_out];
    // All examples are in each batch.
    assert!((train.mean() - one.curve[0].held_out.mean()).abs() < 0.1, "{train} {held_out}");
    for scale in [1e-200, 1e200, 8e307] {
        let other = fit(scale);
        let gap = (other.held_out.mean() - one.held_out.mean()).abs();
        let error = other.held_out.standard_error().unwrap();
        let expected = one.held_out.standard_error().unwrap();
        assert!(gap < 1e-6 && (error - expected).abs() < 1e-6, "{gap} {error} {expected}");
    }
}

/// A set of one's own that has too few weights.
#[test]
fn a_set_without_a_weight_for_each_example_is_refused() {
    struct Short(Tensor<2>);
    impl FitData for Short {
        type Data = Tensor<2>;
        type Context = ();
        fn len(&self) -> usize {
            FitData::len(&self.0)
        }
        fn batch(&self, rows: &[usize], device: &Device) -> (Tensor<2>, ()) {
            FitData::batch(&self.0, rows, device)
        }
        fn weights(&self) -> Option<&[f64]> {
            Some(&[1.0, 1.0])
        }
    }
    let error = config().fit(normal(), &Short(Tensor::zeros([5, 2], &device()))).unwrap_err();
    let lengths = FitDataError::Lengths { what: "weights", expected: 5, found: 2 };
    assert!(matches!(&error, FitError::Data(error) if *error == lengths), "{error}");
}

#[test]
fn a_condition_is_worth_a_bit() {
    let (data, test) = (TwoMoons::new(5000, 0.1, 1), TwoMoons::new(2000, 0.1, 2));
    let config = config().with_epochs(12).with_learning_rate(5e-3).with_warm_up(20);
    let flow = plane::<Tensor<2>>(5, Some(2));
    let fitted = config.fit(flow, &(data.points(&device()), data.moons(&device()))).unwrap();
    println!("{}", fitted.report);
    let moons = test.moons(&device());
    let nats = fitted.flow.given(&moons).evaluate(test.points(&device())).unwrap();
    let nats = nats.nats().iter().sum::<f64>() / 2000.0;
    let truth = test.mean_log_prob_given_moon();
    // Who does not know the moon has the truth less ln 2 at best.
    assert!(nats > truth - 0.4 && nats < truth + 0.05, "{nats} of {truth}");
}

/// Levels of two numbers that agree: 32 pairs of 65,536, 5 bits for both, 2.5 bits/dim.
#[test]
fn levels_have_bits_per_dim_with_their_provenance() {
    let levels: Vec<i64> = (0..2000i64).flat_map(|row| [100 + row % 32, 100 + row % 32]).collect();
    let x = Tensor::<1, Int>::from_data(levels.as_slice(), &device()).reshape([2000, 2]);
    device().seed(3);
    let layers = RealNvpConfig::new(4).with_law(MixLogCdfConfig::new(4).into());
    let layers = (LogitConfig::new(), layers);
    let flow = Flow::build(&layers, StandardNormal::new(), [1, 2], &device()).unwrap();
    let flow = flow.behind(UniformDequantizationConfig::new().build().unwrap());
    let config = config().with_epochs(12).with_learning_rate(5e-3).with_warm_up(20);
    let report = config.fit(flow, &x).unwrap().report;
    println!("{report}");
    let (first, last) = (report.curve[0].held_out.mean(), report.held_out.mean());
    let bits = report.held_out.bits_per_dim();
    assert!(last > first + 0.5, "{:?}", report.curve);
    assert!(bits.value() > 2.5 && bits.value() < 5.0, "{bits}");
    assert!((bits.value() * 2.0 * std::f64::consts::LN_2 + last).abs() < 1e-12);
    assert!(report.to_string().contains("bits/dim (one-sample bound)"), "{report}");
    let line = report.curve[1].to_string();
    assert_eq!(line.matches(" bits/dim (one-sample bound)").count(), 2, "{line}");
}

#[test]
fn images_are_data() {
    let images =
        Images::new((0..64u32 * 12).map(|i| (i * 7 % 256) as u8).collect(), [3, 2, 2]).unwrap();
    let layers = (LogitConfig::new(), ActNormConfig::new());
    let flow = Flow::build(&layers, StandardNormal::new(), [1, 3, 2, 2], &device()).unwrap();
    let flow = flow.behind(UniformDequantizationConfig::new().build().unwrap());
    let report = config().with_epochs(3).with_batch_size(16).fit(flow, &images).unwrap().report;
    assert_eq!((report.examples, report.held_out.examples(), report.steps), (58, 6, 9));
    assert!(report.held_out.bits_per_dim().value() < 9.0, "{report}");
}

/// A rate that no float32 survives: the error holds the best weights until then.
#[test]
fn a_training_that_breaks_off_loses_nothing() {
    let data = TwoMoons::new(200, 0.1, 1);
    let start = normal();
    let config = config().with_learning_rate(1e39).with_warm_up(0);
    let error = config.fit(start.clone(), &data).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(
            &error,
            FitError::Broken { error: TrainError::NonFiniteUpdate { step: Some(1), .. }, .. }
        ),
        "{text}"
    );
    assert!(text.contains("training failed") && text.contains("of update 0"), "{text}");
    let best = error.into_best().unwrap();
    assert_eq!((best.report.end, best.report.curve.len()), (FitEnd::Broken, 1));
    let x = data.points(&device());
    assert_eq!(values(&best.flow, &x), values(&start, &x));
}

#[test]
fn configurations_out_of_range_are_errors() {
    let cases = [
        (config().with_epochs(0), "`epochs` must be at least 1"),
        (config().with_steps(Some(0)), "`steps` must be at least 1"),
        (config().with_patience(0), "`patience` must be at least 1"),
        (config().with_batch_size(0), "`batch_size` must be at least 1"),
        (config().with_seconds(Some(f64::NAN)), "`seconds` must lie in (0, ∞), found NaN"),
        (config().with_held_out(0.0), "`held_out` must lie in (0, 1), found 0"),
        (config().with_held_out(1.0), "`held_out` must lie in (0, 1), found 1"),
        (config().with_learning_rate(-1.0), "`learning_rate` must lie in (0, ∞), found -1"),
    ];
    for (config, expected) in cases {
        let error = config.fit(normal(), &TwoMoons::new(10, 0.1, 0)).unwrap_err();
        assert!(
            matches!(&error, FitError::Config(_)) && error.to_string().contains(expected),
            "{error}"
        );
    }
}

#[test]
fn data_that_does_not_serve_is_named() {
    let x = || TwoMoons::new(10, 0.1, 0);
    let data = |error: FitError<_>| match error {
        FitError::Data(error) => error,
        other => panic!("{other}"),
    };
    for n in [0, 1] {
        let error = data(config().fit(normal(), &TwoMoons::new(n, 0.1, 0)).unwrap_err());
        assert_eq!(error, FitDataError::TooFew { what: "data", least: 2, found: n });
    }
    let error = data(config().fit_held_out(normal(), &x(), &TwoMoons::new(0, 0.1, 0)).unwrap_err());
    assert_eq!(error, FitDataError::TooFew { what: "held-out data", least: 1, found: 0 });
    let weights =
        |weights: Vec<f64>| data(config().fit(normal(), &Weighted::new(x(), weights)).unwrap_err());
    assert_eq!(
        weights(vec![1.0; 9]),
        FitDataError::Lengths { what: "weights", expected: 10, found: 9 }
    );
    assert_eq!(weights(vec![0.0; 10]), FitDataError::TooFew { what: "data", least: 2, found: 0 });
    for bad in [-1.0, f64::INFINITY] {
        let mut given = vec![1.0; 10];
        given[6] = bad;
        assert_eq!(weights(given), FitDataError::Weight { example: 6, found: bad });
    }
    let rows = Tensor::<2>::zeros([9, 2], &device());
    let error = config().fit(plane::<Tensor<2>>(1, Some(2)), &(x(), rows)).unwrap_err();
    assert!(
        matches!(
            error,
            FitError::Data(FitDataError::Lengths { what: "condition", expected: 10, found: 9 })
        ),
        "{error}"
    );
}

/// Rows are numbered as in the data, whichever part and batch they are in.
#[test]
fn rows_that_are_not_finite_are_named() {
    for row in [3, 150, 700] {
        let x = Tensor::<2>::random([1000, 2], Distribution::Default, &device());
        let x = x.slice_assign([row..row + 1, 1..2], Tensor::from_data([[f32::NAN]], &device()));
        for start in [false, true] {
            let flow = Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 2], &device())
                .unwrap();
            let error = match start {
                true => config().fit(flow, &x),
                false => config().fit(normal(), &x),
            };
            let error = error.unwrap_err();
            let FitError::Flow(FlowError::NonFiniteInput { count: 1, example, .. }) = error else {
                panic!("{error}");
            };
            assert_eq!(example, row);
        }
        // exp(100) overflows, at the initialisation of an uninitialised flow.
        let x = Tensor::<2>::zeros([200, 2], &device());
        let large = row % 200;
        let x = x.slice_assign([large..large + 1, 0..1], Tensor::from_data([[100.0]], &device()));
        let flow = Flow::build(&Exp::new(), StandardNormal::new(), [1, 2], &device()).unwrap();
        match config().with_held_out(0.01).fit(flow, &x).unwrap_err() {
            FitError::Flow(FlowError::Init {
                problem: InitProblem::Output { example, .. },
                ..
            }) => assert_eq!(example, large),
            error => panic!("{error}"),
        }
        let condition = Tensor::<2>::zeros([1000, 2], &device());
        let condition = condition
            .slice_assign([row..row + 1, 0..1], Tensor::from_data([[f32::INFINITY]], &device()));
        let points = TwoMoons::new(1000, 0.1, 1);
        let error = config().fit(plane::<Tensor<2>>(1, Some(2)), &(points, condition)).unwrap_err();
        let FitError::Flow(FlowError::NonFiniteContext(at)) = &error else { panic!("{error}") };
        assert_eq!(at.row, Some(row));
    }
    let error = config().fit(normal(), &Tensor::<2>::zeros([10, 3], &device())).unwrap_err();
    assert!(
        matches!(error, FitError::Flow(FlowError::Shape(ShapeError::Axis { axis: 1, .. }))),
        "{error}"
    );
    let levels = Tensor::<2, Int>::from_data([[0, 1], [2, 3], [4, 256], [5, 6]], &device());
    let flow = Flow::build(&LogitConfig::new(), StandardNormal::new(), [1, 2], &device()).unwrap();
    let flow = flow.behind(UniformDequantizationConfig::new().build().unwrap()).without_data();
    let error = config().fit(flow, &levels).unwrap_err();
    assert!(
        matches!(error, FitError::Flow(FlowError::Level { example: 2, found: 256, .. })),
        "{error}"
    );
}
