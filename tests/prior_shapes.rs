//! Priors with a covariance, and with tails that are heavier than normal ones.

use std::cmp::Ordering;
use std::f64::consts::PI;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};
use flowkit::{
    ConfigError, MultivariateNormal, MultivariateNormalConfig, Prior, PriorConfig, Site,
    StandardLogistic, StandardNormal, StudentT, StudentTConfig,
};
use nalgebra::{DMatrix, DVector};

#[path = "common/draws.rs"]
mod draws;
#[path = "common/prior.rs"]
mod prior;

use draws::turn;
use prior::{close, device, double, moments, near, normal, numbers};

const MEANS: [f64; 3] = [0.5, -2.0, 3.0];
const LOG_SCALES: [f64; 3] = [0.3, -1.0, 0.0];
const LOWER: [f64; 9] = [9.0, 8.0, 7.0, 0.5, 6.0, 5.0, -1.5, 2.0, 4.0];

fn multivariate(lower: &[f64]) -> MultivariateNormal {
    MultivariateNormal {
        mean: Param::from_tensor(double(&MEANS, [1, 3])),
        log_diagonal: Param::from_tensor(double(&LOG_SCALES, [1, 3])),
        lower: Param::from_tensor(double(lower, [3, 3])),
    }
}

/// `A` of [`multivariate`]. What its parameter holds on and above the diagonal has no effect.
fn factor() -> DMatrix<f64> {
    DMatrix::from_fn(3, 3, |row, column| {
        let entry = match row.cmp(&column) {
            Ordering::Less => 0.0,
            Ordering::Equal => 1.0,
            Ordering::Greater => LOWER[3 * row + column],
        };
        LOG_SCALES[row].exp() * entry
    })
}

#[test]
fn a_covariance_is_the_closed_form() {
    let z = [0.1, -0.7, 2.0, 5.0, -30.0, 40.0];
    let a = factor();
    let log_det: f64 = LOG_SCALES.iter().sum();
    let expected: Vec<f64> = z
        .chunks(3)
        .map(|z| {
            let centred = DVector::from_fn(3, |i, _| z[i] - MEANS[i]);
            -0.5 * (&a * centred).norm_squared() + log_det - 1.5 * (2.0 * PI).ln()
        })
        .collect();
    let prior = multivariate(&LOWER);
    close(&numbers(prior.log_prob(double(&z, [2, 3]), &())), &expected);
    let site = Site::<2>::new([1, 3], &device());
    let initial = MultivariateNormalConfig::new().build(&site).unwrap();
    let x = || double(&z, [2, 3]).cast(DType::F32);
    let found = numbers(initial.log_prob(x(), &()));
    for (found, standard) in found.iter().zip(numbers(StandardNormal::new().log_prob(x(), &()))) {
        assert!((found - standard).abs() <= 1e-6 * standard.abs(), "{found} {standard}");
    }
    let error = Prior::<2>::check(&prior, [4, 2]).unwrap_err();
    assert!(error.to_string().contains("MultivariateNormal"), "{error}");
}

/// Samples are `μ + T·A⁻¹ε`, and their gradients those of differences with the same `ε`.
#[test]
fn samples_have_a_covariance_and_gradients() {
    let _turn = turn();
    let n = 20_000;
    let plain = device().inner();
    plain.seed(5);
    let z = numbers(multivariate(&LOWER).valid().sample([n, 3], 0.5, &(), &plain, DType::F64));
    let covariance = (factor().transpose() * factor()).try_inverse().unwrap() * 0.25;
    for (i, j) in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)] {
        let products = z.chunks(3).map(|z| (z[i] - MEANS[i]) * (z[j] - MEANS[j]));
        let (found, variances) =
            (products.sum::<f64>() / n as f64, covariance[(i, i)] * covariance[(j, j)]);
        let error = ((variances + covariance[(i, j)].powi(2)) / n as f64).sqrt();
        assert!((found - covariance[(i, j)]).abs() < 5.0 * error, "{i} {j}: {found}");
    }
    let loss = |prior: &MultivariateNormal| {
        device().seed(6);
        let z = prior.sample([4, 3], 1.0, &(), &device(), DType::F64);
        (z.clone().square() * double(&[1.0, -2.0, 0.5], [1, 3]).expand([4, 3])).sum()
    };
    let prior = multivariate(&LOWER);
    let gradients = loss(&prior).backward();
    let found = numbers(prior.lower.val().grad(&gradients).unwrap());
    for (index, found) in found.iter().enumerate() {
        let [up, down] = [1e-5, -1e-5].map(|h| {
            let mut moved = LOWER;
            moved[index] += h;
            numbers(loss(&multivariate(&moved)))[0]
        });
        let slope = (up - down) / 2e-5;
        assert!((found - slope).abs() <= 1e-6 * (1.0 + slope.abs()), "{index}: {found} {slope}");
        assert_eq!(index % 3 < index / 3, found.abs() > 1e-9, "{index}: {found}");
    }
    assert!(numbers(prior.log_diagonal.val().grad(&gradients).unwrap()).iter().all(|g| *g != 0.0));
}

fn student_t(degrees: f64) -> StudentT {
    StudentTConfig::new(degrees).build(&Site::<2>::new([1, 2], &device())).unwrap()
}

/// From tables: `Γ(1/2) = √π`, so `ln p` has closed forms at these degrees.
#[test]
fn heavy_tails_are_the_closed_forms() {
    let z = [0.0, 0.3, -1.0, 2.5, -40.0, 1e9];
    let batch = || double(&z, [6, 1]);
    let check = |found: Tensor<1>, density: &dyn Fn(f64) -> f64| {
        close(&numbers(found), &z.map(density));
    };
    let logistic = |z: f64| -z.abs() - 2.0 * (-z.abs()).exp().ln_1p();
    check(StandardLogistic::new().log_prob(batch(), &()), &logistic);
    let cauchy = |z: f64| -PI.ln() - 2.0 * 1f64.hypot(z).ln();
    check(student_t(1.0).log_prob(batch(), &()), &cauchy);
    let two = |z: f64| -1.5 * (2.0 + z * z).ln();
    check(student_t(2.0).log_prob(batch(), &()), &two);
    let three = |z: f64| (6.0 * 3f64.sqrt() / PI).ln() - 2.0 * (3.0 + z * z).ln();
    check(student_t(3.0).log_prob(batch(), &()), &three);
    // By mpmath with 40 digits: the two ln Γ have up to 7 digits before the point.
    for (degrees, expected) in [
        (999.0, [-0.919_188_783_413_131_1, -13.277_702_258_862_919]),
        (1001.0, [-0.919_188_283_412_881_1, -13.277_979_737_575_504]),
        (1e4, [-0.918_963_533_204_631_1, -13.404_612_966_239_92]),
        (1e6, [-0.918_938_783_204_672_7, -13.418_795_035_652_543]),
    ] {
        let found = numbers(student_t(degrees).log_prob(double(&[0.0, 5.0], [2, 1]), &()));
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 2e-12, "{degrees}: {found}, not {expected}");
        }
    }
    // Nearly normal.
    let z = [0.0, 0.5, -2.0, 4.0];
    let near = numbers(student_t(1e6).log_prob(double(&z, [4, 1]), &()));
    for (found, z) in near.into_iter().zip(z) {
        assert!((found - normal(z, 0.0, 0.0)).abs() < 1e-4, "{found} at {z}");
    }
}

/// Squares that overflow leave a density, and a gradient, for these have tails.
#[test]
fn heavy_tails_stay_finite() {
    let graph = Device::default().autodiff();
    for size in [1e3f32, 1e18, 1e30, 1e38] {
        let z = Tensor::<2>::from_data([[size, -size, 0.0]], &graph).require_grad();
        for (name, nats, slope) in [
            ("t", student_t(2.0).log_prob(z.clone(), &()), -3.0 / f64::from(size)),
            ("logistic", StandardLogistic::new().log_prob(z.clone(), &()), -1.0),
        ] {
            assert!(numbers(nats.clone())[0].is_finite(), "{name} at {size}");
            let found = numbers(z.grad(&nats.sum().backward()).unwrap());
            for (found, expected) in found.iter().zip([slope, -slope, 0.0]) {
                assert!(
                    (found - expected).abs() <= 1e-5 * expected.abs(),
                    "{name} at {size}: {found} {expected}"
                );
            }
        }
    }
}

/// Shares of samples below some numbers, against the distribution functions, within five standard
/// errors.
#[test]
fn samples_have_heavy_tails() {
    let _turn = turn();
    let n = 40_000;
    let plain = device().inner();
    let check = |name: &str, sample: Tensor<2>, below: &dyn Fn(f64) -> f64| {
        let z = numbers(sample);
        assert!(z.iter().all(|z| z.is_finite()), "{name}");
        for at in [-20.0, -3.0, -1.0, 0.0, 0.7, 2.0, 15.0] {
            let share = z.iter().filter(|z| **z < at).count() as f64 / z.len() as f64;
            let expected = below(at);
            let error = (expected * (1.0 - expected) / z.len() as f64).sqrt();
            assert!((share - expected).abs() <= 5.0 * error + 1e-6, "{name} at {at}: {share}");
        }
    };
    let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
    let cauchy = |z: f64| 0.5 + z.atan() / PI;
    let two = |z: f64| 0.5 + z / (2.0 * (2.0 + z * z).sqrt());
    for dtype in [DType::F32, DType::F64] {
        plain.seed(3);
        let shape = [n / 2, 2];
        let sample = StandardLogistic::new().sample(shape, 1.0, &(), &plain, dtype);
        check("logistic", sample, &logistic);
        let sample = student_t(1.0).sample(shape, 1.0, &(), &plain, dtype);
        check("Cauchy", sample, &cauchy);
        let sample = student_t(2.0).sample(shape, 0.5, &(), &plain, dtype);
        check("t of 2 degrees", sample, &|z| two(2.0 * z));
        // Where `v^(−2/ν) − 1` is small.
        let sample = student_t(1e6).sample(shape, 1.0, &(), &plain, dtype);
        for found in moments(&numbers(sample)) {
            near(found, 0.0, 1.0, 3.0, n / 2);
        }
    }
}

/// Computed in float32 and rounded once.
#[test]
fn samples_of_16_bits_are_rounded() {
    let _turn = turn();
    let plain = device().inner();
    let sample = |prior: &dyn Fn(DType) -> Tensor<2>, dtype| {
        plain.seed(4);
        numbers(prior(dtype).cast(DType::F64))
    };
    let logistic = |dtype| StandardLogistic::new().sample([50, 2], 1.0, &(), &plain, dtype);
    let t = |dtype| student_t(1.0).sample([50, 2], 1.0, &(), &plain, dtype);
    for prior in [&logistic as &dyn Fn(DType) -> Tensor<2>, &t] {
        let exact = sample(prior, DType::F32);
        for (half, exact) in sample(prior, DType::BF16).iter().zip(exact) {
            assert!((half - exact).abs() <= exact.abs() * 2f64.powi(-8), "{half} {exact}");
        }
    }
}

#[test]
fn degrees_of_freedom_are_bounded() {
    let site = Site::<2>::new([1, 2], &device());
    for degrees in [0.0, 0.49, -1.0, 2e6, f64::NAN, f64::INFINITY] {
        let error = StudentTConfig::new(degrees).build(&site).unwrap_err();
        assert!(matches!(error, ConfigError::OutOfRange { field: "degrees", .. }), "{error}");
        assert!(error.to_string().contains("[0.5, 10⁶]"), "{error}");
    }
}
