//! The rational-quadratic spline in float32 and float64 against its definition, where it is hard:
//! at knots, at the bound, far outside, and in narrow and steep bins.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::law::{Law, LawConfig, RationalQuadraticSpline, RationalQuadraticSplineConfig};
use flowkit::testing::tolerance::roughness;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

const BINS: usize = 8;
const BOUND: f64 = 3.0;

fn law() -> RationalQuadraticSpline {
    RationalQuadraticSplineConfig::new(BINS).build().unwrap()
}

/// The definition, one number at a time, as the paper writes it.
struct Scalar {
    x: Vec<f64>,
    y: Vec<f64>,
    w: Vec<f64>,
    h: Vec<f64>,
    d: Vec<f64>,
}

impl Scalar {
    fn new(theta: &[f64]) -> Self {
        let sizes = |logits: &[f64]| -> Vec<f64> {
            let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
            let share = |logit: &f64| 1e-3 + (1.0 - 1e-3 * BINS as f64) * logit.exp() / total;
            logits.iter().map(|logit| 2.0 * BOUND * share(logit)).collect()
        };
        let knots = |sizes: &[f64]| -> Vec<f64> {
            let mut at = -BOUND;
            let right = sizes.iter().map(|size| {
                at += size;
                at
            });
            std::iter::once(-BOUND).chain(right).collect()
        };
        let (w, h) = (sizes(&theta[..BINS]), sizes(&theta[BINS..2 * BINS]));
        let mut d = vec![1.0];
        let shift = ((1.0f64 - 1e-3).exp() - 1.0).ln();
        d.extend(theta[2 * BINS..].iter().map(|c| 1e-3 + (c + shift).exp().ln_1p()));
        d.push(1.0);
        Self { x: knots(&w), y: knots(&h), w, h, d }
    }

    fn forward(&self, x: f64) -> (f64, f64) {
        if x.abs() >= BOUND {
            return (x, 0.0);
        }
        let k = self.x[1..BINS].iter().filter(|knot| **knot <= x).count();
        let (w, h) = (self.w[k], self.h[k]);
        let (s, xi) = (h / w, (x - self.x[k]) / w);
        let (left, right) = (self.d[k], self.d[k + 1]);
        let denominator = s + (right + left - 2.0 * s) * xi * (1.0 - xi);
        let z = self.y[k] + h * (s * xi * xi + left * xi * (1.0 - xi)) / denominator;
        let slope =
            s * s * (right * xi * xi + 2.0 * s * xi * (1.0 - xi) + left * (1.0 - xi).powi(2));
        (z, slope.ln() - 2.0 * denominator.ln())
    }

    /// By bisection.
    fn inverse(&self, z: f64) -> f64 {
        if z.abs() >= BOUND {
            return z;
        }
        let (mut low, mut high) = (-BOUND, BOUND);
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if self.forward(middle).0 < z { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }
}

/// Parameters of one element, all float32 numbers: widths and heights, then slopes, of the given
/// sizes.
fn theta(bins: f64, slopes: f64, seed: u64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut draw = |size: f64| {
        let normal: f64 = StandardNormal.sample(&mut rng);
        f64::from((size * normal) as f32)
    };
    let mut theta: Vec<f64> = (0..2 * BINS).map(|_| draw(bins)).collect();
    theta.extend((0..BINS - 1).map(|_| draw(slopes)));
    theta
}

/// Even, uneven, narrow, and steep splines.
fn thetas() -> Vec<Vec<f64>> {
    let sizes =
        [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0), (3.0, 1.0), (1.0, 5.0), (3.0, 30.0), (10.0, 3.0)];
    sizes
        .iter()
        .flat_map(|&(bins, slopes)| (0..4).map(move |seed| theta(bins, slopes, seed)))
        .collect()
}

/// Float32 numbers: a grid, the knots of an axis and their neighbours, the bound and its
/// neighbours, and far out.
fn inputs(knots: &[f64]) -> Vec<f64> {
    let mut inputs: Vec<f32> = (0..200).map(|i| -3.3 + 0.033 * i as f32).collect();
    for &knot in knots {
        let knot = knot as f32;
        inputs.extend([knot.next_down(), knot, knot.next_up()]);
    }
    let bound = BOUND as f32;
    for point in [bound.next_down(), bound, bound.next_up(), 1e3, 1e30, 0.0, 1e-30] {
        inputs.extend([point, -point]);
    }
    inputs.into_iter().map(f64::from).collect()
}

struct Run {
    value: Vec<f64>,
    log_derivative: Vec<f64>,
}

/// Runs a map of the law on inputs that share one theta.
fn run(
    theta: &[f64],
    inputs: &[f64],
    dtype: DType,
    map: impl Fn(Tensor<2>, Tensor<3>) -> (Tensor<2>, Tensor<2>),
) -> Run {
    let device = if dtype == DType::F64 { Device::flex() } else { Device::default() };
    let x = TensorData::new(inputs.to_vec(), [inputs.len(), 1]).convert_dtype(dtype);
    let theta = TensorData::new(theta.to_vec(), [1, theta.len(), 1]).convert_dtype(dtype);
    let theta = Tensor::<3>::from_data(theta, (&device, dtype));
    let [_, params, _] = theta.dims();
    let (value, log_derivative) =
        map(Tensor::from_data(x, (&device, dtype)), theta.expand([inputs.len(), params, 1]));
    let numbers =
        |tensor: Tensor<2>| tensor.into_data().convert_dtype(DType::F64).iter::<f64>().collect();
    Run { value: numbers(value), log_derivative: numbers(log_derivative) }
}

/// Places in x and y are known to this many spacings of the type at the bound: eight running sums
/// of shares, each rounded, of softmax's exponentials of numbers up to 30.
const SPACINGS: f64 = 16.0;

/// How far apart `f` is at most, within `reach` of `x` and with `slack` of its own, in that unit.
fn distance_in_limits(found: f64, x: f64, reach: f64, slack: f64, f: impl Fn(f64) -> f64) -> f64 {
    let [low, exact, high] = [x - reach, x, x + reach].map(f);
    (found - exact).abs() / (slack + (high - exact).abs().max((low - exact).abs()))
}

#[test]
fn both_types_agree_with_the_definition() {
    for (dtype, epsilon) in [(DType::F32, f64::from(f32::EPSILON)), (DType::F64, f64::EPSILON)] {
        let reach = SPACINGS * epsilon * BOUND;
        let [mut value, mut log_derivative, mut back] = [0.0f64; 3];
        for theta in thetas() {
            let scalar = Scalar::new(&theta);
            let x = inputs(&scalar.x);
            let found = run(&theta, &x, dtype, |x, theta| law().forward(x, theta));
            for (i, &x) in x.iter().enumerate() {
                let reach = if x.abs() >= BOUND { 0.0 } else { reach };
                let own = distance_in_limits(
                    found.value[i],
                    x,
                    reach,
                    reach.max(f64::MIN_POSITIVE),
                    |x| scalar.forward(x).0,
                );
                value = value.max(own);
                // Slopes are products of shares, each off by the rounding of an exponent up to 30.
                let slack = if x.abs() >= BOUND { f64::MIN_POSITIVE } else { 64.0 * epsilon };
                let own = distance_in_limits(found.log_derivative[i], x, reach, slack, |x| {
                    scalar.forward(x).1
                });
                log_derivative = log_derivative.max(own);
                assert!(
                    found.log_derivative[i].is_finite(),
                    "{dtype:?} at {x}: {}",
                    found.log_derivative[i]
                );
            }
            let z = inputs(&scalar.y);
            let found =
                run(&theta, &z, dtype, |z, theta| law().inverse_with_log_derivative(z, theta));
            for (i, &z) in z.iter().enumerate() {
                let reach = if z.abs() >= BOUND { 0.0 } else { reach };
                let slack = reach.max(f64::MIN_POSITIVE);
                let own =
                    distance_in_limits(found.value[i], z, reach, slack, |z| scalar.inverse(z));
                back = back.max(own);
            }
        }
        println!(
            "{dtype:?}: value {value:.2}, log-derivative {log_derivative:.2}, inverse {back:.2} \
             limits"
        );
        let bound = if dtype == DType::F32 { roughness(&Device::default()) } else { 1.0 };
        assert!(
            value <= bound && log_derivative <= bound && back <= bound,
            "{value} {log_derivative} {back}"
        );
    }
}

#[test]
fn zeros_are_the_identity() {
    for bins in [2, 5, 32] {
        let law = RationalQuadraticSplineConfig::new(bins).build().unwrap();
        let theta = vec![0.0; law.n_params()];
        assert_eq!(law.n_params(), 3 * bins - 1);
        let x = inputs(&[-1.0, 0.5]);
        for (dtype, epsilon) in [(DType::F32, f64::from(f32::EPSILON)), (DType::F64, f64::EPSILON)]
        {
            let found = run(&theta, &x, dtype, |x, theta| law.forward(x, theta));
            for (i, &x) in x.iter().enumerate() {
                let slack = if x.abs() < BOUND {
                    SPACINGS * epsilon * BOUND * roughness(&Device::default())
                } else {
                    0.0
                };
                assert!(
                    (found.value[i] - x).abs() <= slack,
                    "{bins} bins, {dtype:?}: {x} to {}",
                    found.value[i]
                );
                assert!(found.log_derivative[i].abs() <= slack, "{bins} bins, {dtype:?} at {x}");
            }
        }
    }
}

#[test]
fn the_tails_are_the_identity_and_nothing_is_guessed() {
    let theta = theta(1.0, 1.0, 9);
    let x = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::from(f32::MAX), 3.0, -3.0];
    let forward = run(&theta, &x, DType::F32, |x, theta| law().forward(x, theta));
    let inverse =
        run(&theta, &x, DType::F32, |x, theta| law().inverse_with_log_derivative(x, theta));
    for found in [forward, inverse] {
        for (i, &x) in x.iter().enumerate() {
            assert!(
                found.value[i] == x || (x.is_nan() && found.value[i].is_nan()),
                "{x} to {}",
                found.value[i]
            );
            assert_eq!(found.log_derivative[i], 0.0, "{x}");
        }
    }
}

#[test]
fn gradients_are_finite_everywhere() {
    let device = Device::default().autodiff();
    for own in thetas() {
        let scalar = Scalar::new(&own);
        for (inverse, inputs) in [(false, inputs(&scalar.x)), (true, inputs(&scalar.y))] {
            // One output after the other: 0·∞ must not hide in a sum.
            for output in 0..2 {
                let n = inputs.len();
                let x = TensorData::new(inputs.clone(), [n, 1]).convert_dtype(DType::F32);
                let theta =
                    TensorData::new(own.clone(), [1, own.len(), 1]).convert_dtype(DType::F32);
                let x = Tensor::<2>::from_data(x, &device).require_grad();
                let theta = Tensor::<3>::from_data(theta, &device).require_grad();
                let all = theta.clone().expand([n, own.len(), 1]);
                let outputs = match inverse {
                    false => law().forward(x.clone(), all),
                    true => law().inverse_with_log_derivative(x.clone(), all),
                };
                let found = if output == 0 { outputs.0 } else { outputs.1 }.sum().backward();
                let gradients = [
                    x.grad(&found).map(Tensor::into_data),
                    theta.grad(&found).map(Tensor::into_data),
                ];
                for gradient in gradients.into_iter().flatten() {
                    let bad = gradient.iter::<f32>().filter(|value| !value.is_finite()).count();
                    assert_eq!(bad, 0, "inverse {inverse}, theta {own:?}");
                }
            }
        }
    }
}

/// Bins of the smallest width and knots of slope 1e6: a place that rounding puts beyond its bin
/// makes `q` or `t` negative there.
#[test]
fn no_place_lies_beyond_its_bin() {
    for seed in 0..200 {
        let mut theta = theta(3.0, 1.0, seed);
        theta[2 * BINS..].fill(1e6);
        let scalar = Scalar::new(&theta);
        let around = |knots: &[f64]| -> Vec<f64> {
            let near = |&knot: &f64| {
                let knot = knot as f32;
                let step = knot.abs().next_up() - knot.abs();
                (-16..=16).map(move |i| f64::from(knot + step * i as f32))
            };
            knots.iter().flat_map(near).collect()
        };
        let (x, z) = (around(&scalar.x), around(&scalar.y));
        let forward = run(&theta, &x, DType::F32, |x, theta| law().forward(x, theta));
        let inverse =
            run(&theta, &z, DType::F32, |z, theta| law().inverse_with_log_derivative(z, theta));
        for (inputs, found) in [(x, forward), (z, inverse)] {
            for (i, &input) in inputs.iter().enumerate() {
                let (value, log_derivative) = (found.value[i], found.log_derivative[i]);
                assert!(
                    value.is_finite() && log_derivative.is_finite(),
                    "{input}: {value}, {log_derivative}"
                );
                assert!(value.abs() <= input.abs().max(BOUND + 1e-6), "{input} to {value}");
            }
        }
    }
}
