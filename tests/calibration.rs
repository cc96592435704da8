//! Diagnoses of calibration on posteriors that are known.

use burn::tensor::{DType, Device, Tensor};
use flowkit::calibration::{
    CalibrationError, ClassifierTestConfig, Coverage, PosteriorSamples, Ranks,
};
use flowkit::testing::elements::{device_rng, normal, tensor};
use flowkit::{ConfigError, FlowError};

fn matrix(values: Vec<f64>, columns: usize) -> Tensor<2> {
    let rows = values.len() / columns;
    tensor(values, [rows, columns], DType::F32, &Device::flex())
}

/// Two parameters of N(0, 1), observed with noise of N(0, 1): the posterior of each is N(y/2, ½).
/// Samples of `N(y/2 + shift, scale²/2)` in its place.
fn conjugate(n: usize, scale: f64, shift: f64) -> PosteriorSamples {
    let x = matrix(normal(1, 2 * n, 1.0), 2);
    let y = x.clone() + matrix(normal(2, 2 * n, 1.0), 2);
    let samples = |y: &Tensor<2>, rows: usize| {
        let noise = matrix(normal(3 + rows as u64, 2 * rows, scale / 2f64.sqrt()), 2);
        Ok(y.clone().mul_scalar(0.5).add_scalar(shift) + noise)
    };
    PosteriorSamples::collect(&x, &y, 99, samples).unwrap()
}

#[test]
fn an_exact_posterior_is_calibrated() {
    let samples = conjugate(400, 1.0, 0.0);
    assert_eq!((samples.len(), samples.dims(), samples.per_observation()), (400, 2, 99));
    let ranks = Ranks::new(&samples, 0);
    println!("p-values {:?}", ranks.p_values());
    assert!(ranks.p_values().iter().all(|&p| p > 0.01), "{:?}", ranks.p_values());
    let coverage = Coverage::new(&samples, 0).unwrap();
    assert!(coverage.p_value() > 0.01, "{}", coverage.p_value());
    // The deviation of 400 uniform numbers is below 1.63/√400 in 99 of 100 cases.
    assert!(coverage.largest_deviation() < 0.0815, "{}", coverage.largest_deviation());
    for credibility in [0.1, 0.5, 0.9] {
        assert!((coverage.expected(credibility) - credibility).abs() < 0.0815);
    }
    assert_eq!((coverage.expected(0.0), coverage.expected(1.0)), (0.0, 1.0));
    let histogram = ranks.histogram(1, 10);
    assert_eq!((histogram.counts.iter().sum::<usize>(), histogram.expected), (400, 40.0));
    let (low, high) = histogram.band;
    let within = histogram.counts.iter().filter(|count| (low..=high).contains(count)).count();
    assert!(within >= 9, "{histogram:?}");
    // One seed gives one result.
    assert_eq!(ranks, Ranks::new(&samples, 0));
    assert_ne!(coverage, Coverage::new(&samples, 1).unwrap());
}

#[test]
fn wrong_widths_and_places_are_detected() {
    let narrow = conjugate(400, 0.5, 0.0);
    let ranks = Ranks::new(&narrow, 0);
    assert!(ranks.p_values().iter().all(|&p| p < 1e-3), "{:?}", ranks.p_values());
    // The ranks lie at the ends.
    let counts = ranks.histogram(0, 5).counts;
    assert!(counts[0] > 100 && counts[4] > 100 && counts[2] < 60, "{counts:?}");
    let coverage = Coverage::new(&narrow, 0).unwrap();
    assert!(coverage.p_value() < 1e-3, "{}", coverage.p_value());
    assert!(coverage.expected(0.9) < 0.85, "{}", coverage.expected(0.9));

    let wide = Ranks::new(&conjugate(400, 2.0, 0.0), 0);
    assert!(wide.p_values().iter().all(|&p| p < 1e-3), "{:?}", wide.p_values());
    let counts = wide.histogram(0, 5).counts;
    assert!(counts[2] > 110 && counts[0] < 50, "{counts:?}");

    let shifted = Ranks::new(&conjugate(400, 1.0, 0.5), 0);
    assert!(shifted.p_values().iter().all(|&p| p < 1e-3), "{:?}", shifted.p_values());
}

/// Equal values have a random rank, so that a discrete parameter is calibrated too.
#[test]
fn ties_are_broken_at_random() {
    let x = matrix((0..300).map(|row| f64::from(row % 2)).collect(), 1);
    let y = Tensor::<2>::zeros([300, 1], &Device::flex());
    let coin = |_: &Tensor<2>, rows: usize| {
        let values =
            normal(rows as u64, rows, 1.0).into_iter().map(|x| f64::from(u8::from(x > 0.0)));
        Ok(matrix(values.collect(), 1))
    };
    let samples = PosteriorSamples::collect(&x, &y, 20, coin).unwrap();
    assert!(Ranks::new(&samples, 0).p_values()[0] > 0.01);
    assert!(Coverage::new(&samples, 0).unwrap().p_value() > 0.01);
}

/// Bars have one expected count, whether or not their number divides that of the ranks.
#[test]
fn bars_have_one_expected_count() {
    // Each of 30 ranks 100 times: a calibrated density. 20 bars of one or two whole ranks would
    // hold 100 or 200.
    let n = 3000;
    let x = matrix((0..n).map(|row| f64::from(row % 30) - 0.5).collect(), 1);
    let y = Tensor::<2>::zeros([n as usize, 1], &Device::flex());
    let all = |_: &Tensor<2>, rows: usize| {
        Ok(matrix((0..rows).map(|row| (row % 29) as f64).collect(), 1))
    };
    let samples = PosteriorSamples::collect(&x, &y, 29, all).unwrap();
    let ranks = Ranks::new(&samples, 0);
    let mut of_each = [0; 30];
    ranks.ranks(0).iter().for_each(|&rank| of_each[rank] += 1);
    assert_eq!(of_each, [100; 30]);
    assert_eq!(ranks.histogram(0, 10).counts, [300; 10]);
    let histogram = ranks.histogram(0, 20);
    let (low, high) = histogram.band;
    assert_eq!(histogram.counts.iter().sum::<usize>(), 3000);
    assert!(histogram.counts.iter().all(|count| (low..=high).contains(count)), "{histogram:?}");
}

#[test]
fn a_classifier_tells_apart_what_differs() {
    let _guard = device_rng();
    let (n, config) = (1500, ClassifierTestConfig::new());
    let reference = matrix(normal(1, 2 * n, 1.0), 2);
    let equal = config.test(&reference, &matrix(normal(2, 2 * n, 1.0), 2)).unwrap();
    println!("equal {equal}");
    assert!((equal.accuracy() - 0.5).abs() < 4.0 * equal.standard_error(), "{equal}");
    assert_eq!((equal.folds.len(), equal.rows), (5, 2 * n));
    let far = matrix(normal(2, 2 * n, 1.0), 2).add_scalar(8.0);
    assert!(config.test(&reference, &far).unwrap().accuracy() > 0.999);
    // Correlated samples with the same margins: (a, b) against (a, a + small).
    let pairs: Vec<f64> = normal(3, n, 1.0).into_iter().flat_map(|a| [a, a]).collect();
    let pairs = matrix(pairs, 2) + matrix(normal(4, 2 * n, 0.05), 2);
    let correlated = config.test(&reference, &pairs).unwrap();
    println!("correlated {correlated}");
    assert!(correlated.accuracy() > 0.9, "{correlated}");
    // One seed gives one result, whatever the device sampled before; units do not count.
    let short = config.clone().with_epochs(3);
    let one = short.test(&reference, &pairs).unwrap();
    let _ = Tensor::<1>::random([7], burn::tensor::Distribution::Default, &Device::flex());
    assert_eq!(one, short.test(&reference, &pairs).unwrap());
    let other = short.with_seed(1).test(&reference, &pairs).unwrap();
    assert_ne!(one.folds, other.folds);
}

#[test]
fn bad_samples_are_named() {
    let (a, b) = (matrix(normal(1, 40, 1.0), 2), matrix(normal(2, 60, 1.0), 3));
    let config = ClassifierTestConfig::new();
    let large = ClassifierTestConfig::new().with_width(Some(1 << 40));
    assert!(matches!(large.validate(), Err(ConfigError::TooLarge { field: "width", .. })));
    let error = large.with_width(Some(1 << 23)).test(&a, &a).unwrap_err();
    let CalibrationError::Config(error) = error else { panic!("{error}") };
    assert!(matches!(error, ConfigError::TooManyParameters { field: "width", .. }), "{error}");
    let error = config.test(&a, &b).unwrap_err();
    let shape = CalibrationError::Shape { what: "samples", expected: [20, 2], found: [20, 3] };
    assert_eq!(error, shape);
    let few = matrix(vec![1.0; 8], 2);
    let error = config.test(&a, &few).unwrap_err();
    assert_eq!(error, CalibrationError::TooFew { what: "samples", least: 5, found: 4 });
    let mut values = normal(1, 40, 1.0);
    values[13] = f64::NAN;
    let broken = matrix(values, 2);
    for (reference, samples, what) in [(&a, &broken, "samples"), (&broken, &a, "reference")] {
        let error = config.test(reference, samples).unwrap_err();
        let CalibrationError::NotFinite { what: found, row: 6, column: 1, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(found, what);
    }
    let flat = matrix((0..40).map(|i| f64::from(i % 2) * f64::from(i)).collect(), 2);
    let error = config.test(&flat, &a).unwrap_err();
    assert_eq!(error, CalibrationError::Constant { what: "reference", column: 0, value: 0.0 });
    for (wrong, field) in [
        (config.clone().with_folds(1), "folds"),
        (config.clone().with_epochs(0), "epochs"),
        (config.clone().with_patience(0), "patience"),
        (config.clone().with_batch_size(0), "batch_size"),
        (config.clone().with_width(Some(0)), "width"),
        (config.clone().with_tolerance(-1.0), "tolerance"),
        (config.clone().with_learning_rate(f64::NAN), "learning_rate"),
    ] {
        let error = wrong.test(&a, &a).unwrap_err();
        assert!(matches!(error, CalibrationError::Config(_)), "{error}");
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
    }
    assert!(matches!(config.clone().with_folds(0).validate(), Err(ConfigError::Zero { .. })));

    let sample = |_: &Tensor<2>, rows: usize| Ok(matrix(vec![0.0; 2 * rows], 2));
    let collect = |x: &Tensor<2>, y: &Tensor<2>, l| PosteriorSamples::collect(x, y, l, sample);
    let error = collect(&a, &matrix(vec![0.0; 19], 1), 3).unwrap_err();
    assert_eq!(error, CalibrationError::Observations { expected: 20, found: 19 });
    let error = collect(&a, &a, 0).unwrap_err();
    assert_eq!(error, CalibrationError::TooFew { what: "samples", least: 1, found: 0 });
    let error = collect(&b, &b, 3).unwrap_err();
    let shape = CalibrationError::Shape { what: "samples", expected: [60, 3], found: [60, 2] };
    assert_eq!(error, shape);
    let error = collect(&broken, &a, 3).unwrap_err();
    assert!(matches!(error, CalibrationError::NotFinite { row: 6, column: 1, .. }), "{error}");
    let fails = |_: &Tensor<2>, _: usize| Err(FlowError::NoSamples { what: "n" });
    let error = PosteriorSamples::collect(&a, &a, 3, fails).unwrap_err();
    assert_eq!(error, CalibrationError::Flow(FlowError::NoSamples { what: "n" }));
    let same = collect(&matrix(vec![1.0; 40], 2), &a, 3).unwrap();
    let error = Coverage::new(&same, 0).unwrap_err();
    assert_eq!(error, CalibrationError::Constant { what: "parameters", column: 0, value: 1.0 });
}

#[test]
fn plots_are_written() {
    let samples = conjugate(60, 1.0, 0.0);
    let folder = tempfile::tempdir().unwrap();
    let [ranks, coverage] = ["ranks.svg", "coverage.svg"].map(|name| folder.path().join(name));
    let names = ["a".to_owned(), "b".to_owned()];
    Ranks::new(&samples, 0).plot(&names, &ranks).unwrap();
    Coverage::new(&samples, 0).unwrap().plot(&coverage).unwrap();
    for (path, text) in [(ranks, "rank"), (coverage, "credibility")] {
        let svg = std::fs::read_to_string(path).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains(text));
    }
    let error = Coverage::new(&samples, 0).unwrap().plot("/nowhere/a.svg").unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/a.svg: "), "{error}");
}
