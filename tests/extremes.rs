//! The MixLogCDF law in float32 where a naive implementation fails: far out, narrow, wide, and with many components.

use std::time::{Duration, Instant};

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::law::LogisticMixture;
use num_traits::Float;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal, Uniform};

/// Examples and numbers per example of every set.
const SHAPE: [usize; 2] = [16, 128];
const COMPONENTS: [usize; 4] = [1, 2, 5, 32];
const BANDS: [(f64, f64); 5] = [(-10.0, -5.0), (-5.0, 0.0), (0.0, 5.0), (5.0, 10.0), (-10.0, 10.0)];

/// Inputs and parameters, all of them float32 numbers.
struct Set {
    x: Vec<f64>,
    logits: Vec<f64>,
    means: Vec<f64>,
    log_scales: Vec<f64>,
    k: usize,
}

/// Half of the inputs uniform within ±50, half up to 30 scales from the mean of a component.
fn set(k: usize, (low, high): (f64, f64), seed: u64) -> Set {
    let mut rng = StdRng::seed_from_u64(seed);
    let [batch, dims] = SHAPE;
    let float32 = |value: f64| f64::from(value as f32);
    let mut draw = |from: f64, to: f64| float32(Uniform::new(from, to).unwrap().sample(&mut rng));
    let log_scales: Vec<f64> = (0..batch * k * dims).map(|_| draw(low, high)).collect();
    let spread = [0.1, 3.0, 30.0];
    let means: Vec<f64> = (0..batch * k * dims).map(|i| draw(-1.0, 1.0) * spread[i % dims % 3]).map(float32).collect();
    let x = (0..batch * dims).map(|i| {
        let (example, dim) = (i / dims, i % dims);
        let component = ((draw(0.0, 1.0) * k as f64) as usize).min(k - 1);
        let at = (example * k + component) * dims + dim;
        let near = means[at] + log_scales[at].exp() * draw(-30.0, 30.0);
        let anywhere = draw(-50.0, 50.0);
        if i % 2 == 0 { anywhere } else { float32(near) }
    });
    let x = x.collect();
    let logits = (0..batch * k * dims).map(|_| float32(3.0 * Distribution::<f64>::sample(&StandardNormal, &mut rng)));
    Set { x, logits: logits.collect(), means, log_scales, k }
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], dtype: DType, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape).convert_dtype(dtype), (device, dtype))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

impl Set {
    fn x(&self, dtype: DType, device: &Device) -> Tensor<2> {
        tensor(&self.x, SHAPE, dtype, device)
    }

    fn mixture(&self, dtype: DType, device: &Device) -> LogisticMixture {
        let make = |values: &[f64]| tensor(values, [SHAPE[0], self.k, SHAPE[1]], dtype, device);
        LogisticMixture { logits: make(&self.logits), means: make(&self.means), log_scales: make(&self.log_scales) }
    }

    /// `t` and `ln ∂t/∂x` of number `i`, one after the other.
    fn scalar(&self, i: usize) -> (f64, f64) {
        let (example, dim) = (i / SHAPE[1], i % SHAPE[1]);
        let components: Vec<_> = (0..self.k)
            .map(|k| (example * self.k + k) * SHAPE[1] + dim)
            .map(|at| [self.logits[at], self.means[at], self.log_scales[at]])
            .collect();
        scalar(self.x[i], &components)
    }
}

fn log_sum_exp<F: Float>(terms: impl Iterator<Item = F> + Clone) -> F {
    let max = terms.clone().fold(F::neg_infinity(), F::max);
    max + terms.fold(F::zero(), |sum, term| sum + (term - max).exp()).ln()
}

/// The definition, one number at a time: `ln F`, `ln(1 − F)`, `ln f` and `ln ∂t/∂x = ln f − ln F − ln(1 − F)`.
fn scalar<F: Float>(x: F, components: &[[F; 3]]) -> (F, F) {
    let log_sigmoid = |z: F| z.min(F::zero()) - (-z.abs()).exp().ln_1p();
    let total = log_sum_exp(components.iter().map(|c| c[0]));
    let z = |c: &[F; 3]| (x - c[1]) * (-c[2]).exp();
    let below = log_sum_exp(components.iter().map(|c| c[0] + log_sigmoid(z(c)))) - total;
    let above = log_sum_exp(components.iter().map(|c| c[0] + log_sigmoid(-z(c)))) - total;
    let density = log_sum_exp(components.iter().map(|c| c[0] + log_sigmoid(z(c)) + log_sigmoid(-z(c)) - c[2])) - total;
    (below - above, density - below - above)
}

fn each(mut run: impl FnMut(usize, (f64, f64), Set)) {
    for k in COMPONENTS {
        for (index, band) in BANDS.into_iter().enumerate() {
            run(k, band, set(k, band, (1000 * k + index) as u64));
        }
    }
}

fn worst(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |worst, value| if value.is_nan() || value > worst { value } else { worst })
}

#[test]
fn float32_agrees_with_float64() {
    println!("  K  log-scales     t / spacing   log-derivative   against scalar   round trip / limit");
    each(|k, band, set| {
        let device = Device::flex();
        let (t, log_derivative) = set.mixture(DType::F32, &device).forward(set.x(DType::F32, &device));
        let (exact_t, exact_log_derivative) = set.mixture(DType::F64, &device).forward(set.x(DType::F64, &device));
        let solution = set.mixture(DType::F32, &device).solve(t.clone());
        let unsolved = solution.solved.bool_not().int().sum().into_scalar::<i64>();
        let [t, log_derivative, exact_t, exact_log_derivative, back] =
            [t, log_derivative, exact_t, exact_log_derivative, solution.x].map(numbers);
        let n = set.x.len();
        let scalar: Vec<(f64, f64)> = (0..n).map(|i| set.scalar(i)).collect();
        let error = worst((0..n).map(|i| (log_derivative[i] - exact_log_derivative[i]).abs()));
        let against_scalar = worst((0..n).map(|i| (log_derivative[i] - scalar[i].1).abs()));
        let float64 = worst((0..n).map(|i| {
            (exact_log_derivative[i] - scalar[i].1)
                .abs()
                .max((exact_t[i] - scalar[i].0).abs() / (1.0 + exact_t[i].abs()))
        }));
        let epsilon = f64::from(f32::EPSILON);
        let spacings = worst((0..n).map(|i| (t[i] - exact_t[i]).abs() / (epsilon * (1.0 + exact_t[i].abs()))));
        // What float32 can know of x from t: t is a number that was rounded to ε·|t|, after sums of terms near 1 (logarithms of the
        // normalised weights) that were rounded to ε; a slope turns that into a distance in x, where the result is rounded once more.
        let limit = |i: usize| epsilon * (1.0 + t[i].abs()) / scalar[i].1.exp() + epsilon * set.x[i].abs();
        let round_trip = worst((0..n).map(|i| (back[i] - set.x[i]).abs() / limit(i)));
        let (low, high) = band;
        println!(
            "{k:>3}  {low:>4}..{high:<4} {spacings:>16.1} {error:>16.1e} {against_scalar:>16.1e} {round_trip:>20.2}"
        );
        assert!(error < 2e-4, "log-derivative off by {error}");
        assert!(against_scalar < 2e-4, "log-derivative off by {against_scalar} from the definition");
        assert!(float64 < 1e-9, "the definition and the float64 run differ by {float64}");
        assert_eq!(unsolved, 0, "unsolved elements");
        assert!(round_trip <= 2.0, "x comes back {round_trip} limits away");
    });
}

#[test]
fn nothing_leaves_float32() {
    each(|k, band, set| {
        let device = Device::flex().autodiff();
        for (a, b) in [(1.0, 0.0), (0.0, 1.0), (1.0, -0.5)] {
            let x = set.x(DType::F32, &device).require_grad();
            let mixture = set.mixture(DType::F32, &device);
            let mixture = LogisticMixture {
                logits: mixture.logits.require_grad(),
                means: mixture.means.require_grad(),
                log_scales: mixture.log_scales.require_grad(),
            };
            let (t, log_derivative) = mixture.forward(x.clone());
            // An output with coefficient 0 stays out of the loss: 0·∞ must not hide in it.
            let loss = match (a, b) {
                (_, 0.0) => t.clone().sum(),
                (0.0, _) => log_derivative.clone().sum(),
                _ => t.clone().sum() * a + log_derivative.clone().sum() * b,
            };
            let found = loss.backward();
            let gradients = [&mixture.logits, &mixture.means, &mixture.log_scales].map(|p| p.grad(&found));
            let mut all = vec![numbers(t), numbers(log_derivative), numbers(x.grad(&found).expect("x is a leaf"))];
            all.extend(gradients.map(|gradient| numbers(gradient.expect("parameters are leaves"))));
            for (index, values) in all.iter().enumerate() {
                let bad = values.iter().filter(|value| !value.is_finite()).count();
                assert_eq!(bad, 0, "K {k}, log-scales {band:?}, loss ({a}, {b}), output or gradient {index}");
            }
        }
    });
}

/// The implicit gradients of the inverse stay finite too.
#[test]
fn gradients_of_the_inverse_are_finite() {
    each(|k, band, set| {
        let device = Device::flex().autodiff();
        let mixture = set.mixture(DType::F32, &device);
        let t = mixture.forward(set.x(DType::F32, &device)).0.detach().require_grad();
        let means = mixture.means.clone().require_grad();
        let x = LogisticMixture { means: means.clone(), ..mixture }.inverse(t.clone());
        let found = x.clone().sum().backward();
        for values in [numbers(x), numbers(t.grad(&found).unwrap()), numbers(means.grad(&found).unwrap())] {
            assert!(values.iter().all(|value| value.is_finite()), "K {k}, log-scales {band:?}");
        }
    });
}

#[test]
fn targets_without_an_inverse_are_not_guessed() {
    let device = Device::flex();
    let set = set(5, (-5.0, 0.0), 1);
    let mixture = set.mixture(DType::F32, &device);
    let t = numbers(mixture.forward(set.x(DType::F32, &device)).0);
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let targets: Vec<f64> = t.iter().enumerate().map(|(i, t)| if i % 4 < 3 { special[i % 4] } else { *t }).collect();
    let start = Instant::now();
    let targets: Tensor<2> = tensor(&targets, SHAPE, DType::F32, &device);
    let solution = mixture.solve(targets.clone());
    let elapsed = start.elapsed();
    let solved: Vec<bool> = solution.solved.into_data().iter::<bool>().collect();
    let x = numbers(mixture.inverse(targets));
    for i in 0..x.len() {
        let legal = i % 4 == 3;
        assert_eq!(solved[i], legal, "element {i}");
        assert_eq!(x[i].is_nan(), !legal, "element {i}");
        assert!(!legal || (x[i] - set.x[i]).abs() < 1e-3 * (1.0 + set.x[i].abs()), "element {i}");
    }
    // Eight rounds would be plenty for the legal ones; all 64 of them take some ten times as long as this allows.
    println!("{elapsed:?}");
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    // Finite, but the bracket overflows: still no guess.
    let far: Tensor<2> = Tensor::full(SHAPE, f32::MAX, &device);
    let wide = LogisticMixture { log_scales: mixture.log_scales.clone() + 6.0, ..mixture };
    assert!(numbers(wide.inverse(far)).iter().all(|x| x.is_nan() || x.is_finite()));
}
