//! Estimates from importance weights, against closed forms, an independent implementation and
//! repetitions.

use burn::tensor::{Device, Tensor};
use flowkit::importance::{ImportanceError, ImportanceSamples, LogWeights, ParetoK, Target};
use flowkit::testing::elements::{device_rng, elements, normal};
use flowkit::{ActNormConfig, Density, Flow, FlowError, StandardNormal};

/// Log-weights of `n` samples of N(0, 1) for the target `exp(−x²/(2 s²))`, with the samples.
fn gaussian(seed: u64, n: usize, s: f64) -> (Vec<f64>, LogWeights) {
    let x = normal(seed, n, 1.0);
    let own = |x: &f64| -0.5 * x * x - 0.5 * (2.0 * std::f64::consts::PI).ln();
    let nats = x.iter().map(|x| -0.5 * (x / s).powi(2) - own(x)).collect();
    (x, LogWeights::new(nats).unwrap())
}

/// `E[w]²/E[w²] = s √(2 − s²)` for the target N(0, s²) and the proposal N(0, 1).
fn share(s: f64) -> f64 {
    s * (2.0 - s * s).sqrt()
}

#[test]
fn gaussians_have_their_closed_forms() {
    let n = 200_000;
    for s in [0.5, 0.8, 1.1] {
        let (x, weights) = gaussian(3, n, s);
        let log_z = weights.log_z().unwrap();
        let exact = (2.0 * std::f64::consts::PI).sqrt() * s;
        assert!((log_z.value - exact.ln()).abs() < 4.0 * log_z.standard_error, "{s}: {log_z}");
        let error = ((1.0 / share(s) - 1.0) / n as f64).sqrt();
        assert!((log_z.standard_error / error - 1.0).abs() < 0.03, "{s}: {log_z}, {error}");
        assert!((weights.effective_share() - share(s)).abs() < 0.01, "{s}");
        let ess = weights.effective_sample_size();
        assert!((ess - weights.effective_share() * n as f64).abs() < 1e-6);
        let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
        let variance = weights.mean(&squares).unwrap();
        assert!((variance.value - s * s).abs() < 4.0 * variance.standard_error, "{s}: {variance}");
        assert!(weights.pareto_k().unwrap().is_reliable());
    }
}

/// Squares and sums of the largest and the smallest numbers of float64 are not formed.
#[test]
fn means_hold_over_the_whole_range() {
    let weights = LogWeights::new(vec![0.0; 40]).unwrap();
    let chain = weights.chain(0);
    let signs = |unit: f64| (0..40).map(|i| if i % 4 == 0 { -unit } else { unit }).collect();
    let ones: Vec<f64> = signs(1.0);
    let (mean, along) = (weights.mean(&ones).unwrap(), chain.mean(&ones).unwrap());
    assert!((mean.value - 0.5).abs() < 1e-15 && mean.standard_error > 0.1, "{mean}");
    for unit in [f64::MAX, f64::MAX / 2.0, 1e200, f64::from_bits(64)] {
        let values: Vec<f64> = signs(unit);
        for (found, expected) in
            [(weights.mean(&values).unwrap(), mean), (chain.mean(&values).unwrap(), along)]
        {
            assert!((found.value / unit - expected.value).abs() < 0.02, "{unit}: {found:?}");
            let error = found.standard_error / unit - expected.standard_error;
            assert!(error.abs() < 0.02, "{unit}: {found:?}");
        }
        let all = vec![unit; 40];
        assert!((weights.mean(&all).unwrap().value / unit - 1.0).abs() < 1e-12);
        assert_eq!(chain.mean(&all).unwrap().value, unit);
    }
    let zero = weights.mean(&[0.0; 40]).unwrap();
    assert_eq!((zero.value, zero.standard_error), (0.0, 0.0));
}

/// Over repetitions, estimates scatter as their standard errors say.
#[test]
fn errors_are_those_of_repetitions() {
    let (repeats, n, s) = (400, 500, 0.7);
    let estimates: Vec<_> = (0..repeats)
        .map(|repeat| {
            let (x, weights) = gaussian(1000 + repeat, n, s);
            [weights.log_z().unwrap(), weights.mean(&x).unwrap()]
        })
        .collect();
    for kind in 0..2 {
        let values: Vec<f64> = estimates.iter().map(|pair| pair[kind].value).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
            / (values.len() - 1) as f64)
            .sqrt();
        let stated = estimates.iter().map(|pair| pair[kind].standard_error).sum::<f64>()
            / values.len() as f64;
        // A deviation from 400 values has a relative error of 1/√800 = 0.035.
        assert!((stated / spread - 1.0).abs() < 0.12, "{kind}: {stated} {spread}");
    }
}

#[test]
fn offsets_change_ln_z_alone() {
    let (x, weights) = gaussian(5, 1000, 0.9);
    for offset in [-1e5, 1e5] {
        let shifted: Vec<f64> = weights.nats().iter().map(|nats| nats + offset).collect();
        let shifted = LogWeights::new(shifted).unwrap();
        let (a, b) = (weights.log_z().unwrap(), shifted.log_z().unwrap());
        assert!((b.value - a.value - offset).abs() < 1e-9);
        assert!((b.standard_error - a.standard_error).abs() < 1e-9);
        let (a, b) = (weights.pareto_k().unwrap().k, shifted.pareto_k().unwrap().k);
        assert!((a - b).abs() < 1e-6, "{a} {b}");
        let (a, b) = (weights.mean(&x).unwrap().value, shifted.mean(&x).unwrap().value);
        assert!((a - b).abs() < 1e-9);
        assert!((shifted.effective_share() - weights.effective_share()).abs() < 1e-9);
    }
}

/// Values of ArviZ 0.21.0, `psislw`, for weights that a formula gives.
#[test]
fn pareto_k_is_that_of_arviz() {
    let sines = |n: usize, a: f64| -> Vec<f64> {
        let value = |i: f64| a * (1.7 * i * i + 0.3 * i).sin() + 0.5 * a * (0.9 * i).cos();
        (0..n).map(|i| value(i as f64)).collect()
    };
    let pareto = |n: usize, a: f64| -> Vec<f64> {
        let golden = 0.618_033_988_749_894_9;
        (1..=n).map(|i| -a * (-(i as f64 * golden).fract()).ln_1p()).collect()
    };
    for (nats, expected) in [
        (sines(25, 1.0), 0.246_473_873_723_939_28),
        (sines(100, 2.0), 0.010_554_976_664_996_591),
        (sines(1000, 0.5), -0.713_871_228_116_991_4),
        (sines(5000, 6.0), -0.516_321_450_653_925_2),
        (pareto(25, 0.7), 0.560_213_518_821_611),
        (pareto(100, 0.3), 0.334_168_937_401_768_06),
        (pareto(1000, 0.7), 0.686_185_901_358_762_3),
        (pareto(4000, 1.5), 1.420_520_822_090_574_5),
    ] {
        let found = LogWeights::new(nats).unwrap().pareto_k().unwrap();
        assert!((found.k - expected).abs() < 1e-6, "{found:?}, expected {expected}");
    }
}

/// The tail above any threshold of a generalized Pareto distribution has the same shape.
#[test]
fn generalized_pareto_weights_have_their_shape() {
    let n = 100_000;
    for shape in [-0.4, 0.2, 0.6, 1.3] {
        let quantile = |i: usize| {
            let upper = (n - i) as f64 / n as f64 - 0.5 / n as f64;
            (upper.powf(-shape) - 1.0) / shape
        };
        let weights: Vec<f64> = (0..n).map(|i| quantile(i).ln()).collect();
        let found = LogWeights::new(weights).unwrap().pareto_k().unwrap();
        assert_eq!((found.tail, found.samples), (949, n));
        let pulled = (949.0 * shape + 5.0) / 959.0;
        assert!((found.k - pulled).abs() < 0.02, "{shape}: {found:?}");
        assert_eq!(found.is_reliable(), shape < 0.7, "{shape}: {found:?}");
    }
    let threshold = |samples| ParetoK { k: 0.0, tail: 5, samples }.threshold();
    assert!((threshold(100) - 0.5).abs() < 1e-12 && threshold(1_000_000) == 0.7);
}

#[test]
fn weights_without_a_tail_have_no_shape() {
    let equal = LogWeights::new(vec![2.0; 100]).unwrap();
    let found = equal.pareto_k().unwrap();
    assert_eq!((found.k, found.tail), (f64::NEG_INFINITY, 0));
    assert!(found.is_reliable());
    assert!(equal.log_z().unwrap().standard_error < 1e-12);
    assert!((equal.effective_share() - 1.0).abs() < 1e-12);
    // A few weights that are all that matters, and too few to fit a tail to.
    for few in 1..5 {
        let mut nats = vec![0.0; 1000];
        nats[..few].fill(1e6f64.ln());
        let found = LogWeights::new(nats).unwrap().pareto_k().unwrap();
        assert_eq!((found.k, found.tail), (f64::INFINITY, few));
        assert!(!found.is_reliable());
    }
    // One weight alone.
    let mut nats = vec![f64::NEG_INFINITY; 50];
    nats[7] = 0.5;
    let one = LogWeights::new(nats).unwrap();
    assert!((one.effective_sample_size() - 1.0).abs() < 1e-12);
    assert!((one.log_z().unwrap().value - (0.5 - 50f64.ln())).abs() < 1e-12);
    assert!(one.chain(1).states().iter().all(|&state| state == 7));
}

/// Weights of which a few outweigh all others are the worst of all, and no fit calls them reliable.
#[test]
fn weights_with_too_few_above_the_others_are_not_reliable() {
    let few = |large: &[f64], small: f64| {
        let mut nats = vec![small; 1000];
        nats[..large.len()].copy_from_slice(large);
        LogWeights::new(nats).unwrap().pareto_k().unwrap()
    };
    // The others are 0 beside the largest, by their log-weight or by rounding.
    for small in [f64::NEG_INFINITY, -800.0, -30.0] {
        for large in [&[0.0][..], &[0.0, -1.0], &[0.0, -1.0, -2.0, -3.0]] {
            let found = few(large, small);
            assert_eq!((found.k, found.tail), (f64::INFINITY, large.len()), "{small}");
            assert!(!found.is_reliable());
        }
    }
    // A tail over all numbers of float64: its quartile has no reciprocal.
    for step in [100.0, 140.0, 180.0, 185.0] {
        let tail: Vec<f64> = (0..5).map(|i| -step * f64::from(i)).collect();
        let found = few(&tail, f64::NEG_INFINITY);
        assert!(found.k > 1.0 && !found.is_reliable(), "{step}: {found:?}");
    }
    let tail: Vec<f64> = (0..95).map(|i| if i == 0 { 0.0 } else { -744.0 }).collect();
    let found = few(&tail, f64::NEG_INFINITY);
    assert!(found.k == f64::INFINITY && !found.is_reliable(), "{found:?}");
}

/// The chain of a discrete target: its occupation and its acceptance rate are sums of four terms.
#[test]
fn the_chain_has_the_target_as_its_stationary_distribution() {
    let n = 200_000;
    let kinds: Vec<usize> =
        normal(9, n, 1.0).iter().map(|x| ((x * 1e6).abs() as usize) % 4).collect();
    let weight = |kind: usize| (kind + 1) as f64;
    let nats: Vec<f64> = kinds.iter().map(|&kind| weight(kind).ln()).collect();
    let weights = LogWeights::new(nats).unwrap();
    let chain = weights.chain(4);
    assert_eq!(chain, weights.chain(4));
    assert_ne!(chain, weights.chain(5));
    assert_eq!(chain.states().len(), n);
    for kind in 0..4 {
        let hits: Vec<f64> = kinds.iter().map(|&k| f64::from(u8::from(k == kind))).collect();
        let share = chain.mean(&hits).unwrap();
        let exact = weight(kind) / 10.0;
        assert!((share.value - exact).abs() < 4.0 * share.standard_error, "{kind}: {share}");
        // Correlation makes the error larger than that of independent samples, by a small factor.
        let independent = (exact * (1.0 - exact) / n as f64).sqrt();
        let factor = share.standard_error / independent;
        assert!((1.0..2.5).contains(&factor), "{kind}: {factor}");
    }
    let exact: f64 = (0..16)
        .map(|pair| (weight(pair / 4), weight(pair % 4)))
        .map(|(now, next)| now / 10.0 * 0.25 * (next / now).min(1.0))
        .sum();
    assert!((chain.acceptance_rate() - exact).abs() < 0.005, "{}", chain.acceptance_rate());
}

#[test]
fn a_chain_starts_at_the_first_positive_weight() {
    let mut nats = vec![0.0; 40];
    nats[..3].fill(f64::NEG_INFINITY);
    nats[20] = f64::NEG_INFINITY;
    let chain = LogWeights::new(nats).unwrap().chain(0);
    assert_eq!((chain.states()[0], chain.states().len()), (3, 37));
    assert!(!chain.states().contains(&20));
    assert_eq!(chain.acceptance_rate(), 35.0 / 36.0);
    let mut values = vec![1.0; 40];
    values[20] = f64::NAN; // not visited
    assert_eq!(chain.mean(&values).unwrap().value, 1.0);
    values[30] = f64::INFINITY;
    let error = chain.mean(&values).unwrap_err();
    assert_eq!(error, ImportanceError::Value { sample: 30, found: f64::INFINITY });
    let error = chain.mean(&values[..30]).unwrap_err();
    assert_eq!(error, ImportanceError::ValueCount { expected: 40, found: 30 });
    let error = LogWeights::new(vec![0.0; 15]).unwrap().chain(0).mean(&[0.0; 15]).unwrap_err();
    assert_eq!(error.to_string(), "a mean over a chain: expected at least 16 samples, found 15");
}

#[test]
fn weights_that_admit_no_estimate_are_refused() {
    let error = |nats: Vec<f64>| LogWeights::new(nats).unwrap_err();
    assert_eq!(
        error(vec![0.0, f64::NAN, f64::INFINITY]).to_string(),
        "the log-weight of sample 1 must be a number or -∞, found NaN"
    );
    let infinite = error(vec![f64::INFINITY]);
    assert_eq!(infinite, ImportanceError::LogWeight { sample: 0, found: f64::INFINITY });
    assert_eq!(
        error(vec![f64::NEG_INFINITY; 2]).to_string(),
        "expected a positive weight among those of 2 samples, found none"
    );
    assert_eq!(error(vec![]).to_string(), "log-weights: expected at least 1 sample, found 0");
    let one = LogWeights::new(vec![0.3]).unwrap();
    assert_eq!(
        one.log_z().unwrap_err(),
        ImportanceError::TooFew { what: "ln Z", least: 2, found: 1 }
    );
    assert!(matches!(one.mean(&[1.0]).unwrap_err(), ImportanceError::TooFew { found: 1, .. }));
    assert_eq!(one.chain(0).acceptance_rate(), 1.0);
    let few = LogWeights::new(vec![0.0; 24]).unwrap();
    assert_eq!(
        few.pareto_k().unwrap_err().to_string(),
        "Pareto k: expected at least 25 samples, found 24"
    );
    assert_eq!(
        few.mean(&[1.0; 23]).unwrap_err().to_string(),
        "24 weights need as many values, found 23"
    );
    let values: Vec<f64> = (0..24).map(|i| if i == 5 { f64::NAN } else { 1.0 }).collect();
    assert!(matches!(few.mean(&values).unwrap_err(), ImportanceError::Value { sample: 5, .. }));
}

#[test]
fn samples_of_a_flow_are_weighted() {
    let _guard = device_rng();
    let device = Device::flex();
    let flow = Flow::build(&ActNormConfig::new(), StandardNormal::new(), [1, 2], &device).unwrap();
    let flow = flow.without_data();
    let target = |x: Tensor<2>| x.square().sum_dim(1).squeeze_dim::<1>(1).mul_scalar(-0.5 / 0.81);
    device.seed(2);
    let n = ImportanceSamples::<2>::BLOCK + 500;
    let samples = ImportanceSamples::draw(&flow, &target, n).unwrap();
    assert_eq!((samples.x.dims(), samples.log_weights.n_samples()), ([n, 2], n));
    // Weights belong to their samples, over the edge of a block too.
    let own = flow.evaluate(samples.x.clone()).unwrap();
    let targets = elements(&target.log_density(samples.x));
    for ((nats, own), target) in samples.log_weights.nats().iter().zip(own.nats()).zip(targets) {
        assert!((nats - (target - own)).abs() < 1e-5);
    }
    let log_z = samples.log_weights.log_z().unwrap();
    let exact = (2.0 * std::f64::consts::PI * 0.81).ln();
    assert!((log_z.value - exact).abs() < 4.0 * log_z.standard_error, "{log_z} {exact}");

    let error = ImportanceSamples::draw(&flow, &target, 0).unwrap_err();
    assert_eq!(error, ImportanceError::Flow(FlowError::NoSamples { what: "n" }));
    let one_for_all = |x: Tensor<2>| x.sum();
    let error = ImportanceSamples::draw(&flow, &one_for_all, 3).unwrap_err();
    assert_eq!(error.to_string(), "a target needs 3 log-densities for as many examples, found 1");
    let nowhere = |x: Tensor<2>| x.sum_dim(1).squeeze_dim::<1>(1).mul_scalar(f64::NAN);
    let error = ImportanceSamples::draw(&flow, &nowhere, 3).unwrap_err();
    assert!(matches!(error, ImportanceError::LogWeight { sample: 0, .. }), "{error}");
}
