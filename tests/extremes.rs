//! The MixLogCDF law in float32 where a naive implementation fails: far out, narrow, wide, and with
//! many components.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::law::LogisticMixture;
use flowkit::testing::tolerance::roughness;
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
    let means: Vec<f64> = (0..batch * k * dims)
        .map(|i| draw(-1.0, 1.0) * spread[i % dims % 3])
        .map(float32)
        .collect();
    let x = (0..batch * dims).map(|i| {
        let (example, dim) = (i / dims, i % dims);
        let component = ((draw(0.0, 1.0) * k as f64) as usize).min(k - 1);
        let at = (example * k + component) * dims + dim;
        let near = means[at] + log_scales[at].exp() * draw(-30.0, 30.0);
        let anywhere = draw(-50.0, 50.0);
        if i % 2 == 0 { anywhere } else { float32(near) }
    });
    let x = x.collect();
    let logits = (0..batch * k * dims)
        .map(|_| float32(3.0 * Distribution::<f64>::sample(&StandardNormal, &mut rng)));
    Set { x, logits: logits.collect(), means, log_scales, k }
}

fn tensor<const D: usize>(
    values: &[f64],
    shape: [usize; D],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
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
        LogisticMixture {
            logits: make(&self.logits),
            means: make(&self.means),
            log_scales: make(&self.log_scales),
        }
    }

    /// Logit, mean and log-scale of the components of number `i`.
    fn components(&self, i: usize) -> Vec<[f64; 3]> {
        let (example, dim) = (i / SHAPE[1], i % SHAPE[1]);
        let at = |k: usize| (example * self.k + k) * SHAPE[1] + dim;
        (0..self.k)
            .map(at)
            .map(|at| [self.logits[at], self.means[at], self.log_scales[at]])
            .collect()
    }
}

fn log_sum_exp<F: Float>(terms: impl Iterator<Item = F> + Clone) -> F {
    let max = terms.clone().fold(F::neg_infinity(), F::max);
    max + terms.fold(F::zero(), |sum, term| sum + (term - max).exp()).ln()
}

/// The definition, one number at a time: `ln F`, `ln(1 − F)`, `ln f` and
/// `ln ∂t/∂x = ln f − ln F − ln(1 − F)`.
fn scalar<F: Float>(x: F, components: &[[F; 3]]) -> (F, F) {
    let log_sigmoid = |z: F| z.min(F::zero()) - (-z.abs()).exp().ln_1p();
    let total = log_sum_exp(components.iter().map(|c| c[0]));
    let z = |c: &[F; 3]| (x - c[1]) * (-c[2]).exp();
    let below = log_sum_exp(components.iter().map(|c| c[0] + log_sigmoid(z(c)))) - total;
    let above = log_sum_exp(components.iter().map(|c| c[0] + log_sigmoid(-z(c)))) - total;
    let density = log_sum_exp(
        components.iter().map(|c| c[0] + log_sigmoid(z(c)) + log_sigmoid(-z(c)) - c[2]),
    ) - total;
    (below - above, density - below - above)
}

fn each(mut run: impl FnMut(usize, (f64, f64), Set)) {
    for k in COMPONENTS {
        for (index, band) in BANDS.into_iter().enumerate() {
            run(k, band, set(k, band, (1000 * k + index) as u64));
        }
    }
}

/// What float32 can know of `ln ∂t/∂x`: every `z_k` is a product of two rounded factors, so off by
/// `2ε` of itself; the result, terms near 1 and logarithms of sums between 1 and `K` are rounded
/// once more.
fn log_derivative_limit(x: f64, components: &[[f64; 3]]) -> f64 {
    let mut moved = components.to_vec();
    let step = 1e-7;
    let mut sensitivity = 0.0;
    for (k, [logit, mean, log_scale]) in components.iter().copied().enumerate() {
        // A mean that moves by a share of its distance changes z_k by that share.
        let [up, down] = [step, -step].map(|share| {
            moved[k] = [logit, mean - share * (x - mean), log_scale];
            scalar(x, &moved).1
        });
        moved[k] = components[k];
        sensitivity += ((up - down) / (2.0 * step)).abs();
    }
    let sums = 1.0 + (components.len() as f64).ln();
    f64::from(f32::EPSILON) * (sums + scalar(x, components).1.abs() + 2.0 * sensitivity)
}

/// How far `x` is from the point where the mixture reaches `t`, in units of what float32 can know
/// of that point: `t` is rounded to `ε·|t|`, after terms near 1 and logarithms of sums up to `K`
/// that are rounded to `ε·(1 + ln K)`, and `x` to `ε·|x|`.
///
/// Where the slope is constant over such a distance, it is `ε·(1 + ln K + |t|)/(∂t/∂x) + ε·|x|`.
/// Between narrow components the slope falls by orders of magnitude within it, so the definition
/// itself is asked whether `t ± r·ε·(1 + ln K + |t|)` meets `x ± r·ε·|x|`.
fn distance_in_limits(x: f64, t: f64, components: &[[f64; 3]]) -> f64 {
    let epsilon = f64::from(f32::EPSILON);
    let sums = 1.0 + (components.len() as f64).ln();
    let meet = |r: f64| {
        let (slack, margin) = (r * epsilon * (sums + t.abs()), r * epsilon * x.abs());
        scalar(x - margin, components).0 - t <= slack
            && scalar(x + margin, components).0 - t >= -slack
    };
    (0..800).map(|step| 0.125 * f64::from(step)).find(|r| meet(*r)).unwrap_or(f64::INFINITY)
}

#[test]
fn float32_agrees_with_float64() {
    println!("               log-derivative error                      round trip  ");
    println!("  K  log-scales   absolute   above 2e-4   in limits      in limits   unsolved");
    each(|k, band, set| {
        let (device, cpu) = (Device::default(), Device::flex());
        let (t, log_derivative) =
            set.mixture(DType::F32, &device).forward(set.x(DType::F32, &device));
        let (exact_t, exact_log_derivative) =
            set.mixture(DType::F64, &cpu).forward(set.x(DType::F64, &cpu));
        let solution = set.mixture(DType::F32, &device).solve(t.clone());
        let unsolved = solution.solved.bool_not().int().sum().into_scalar::<i64>();
        let [t, log_derivative, exact_t, exact_log_derivative, back] =
            [t, log_derivative, exact_t, exact_log_derivative, solution.x].map(numbers);
        let n = set.x.len();
        let [mut error, mut in_limits, mut round_trip, mut definition] = [0.0f64; 4];
        let mut above = 0;
        // NaN wins, so that it is not overlooked.
        let keep =
            |worst: &mut f64, value: f64| *worst = if value <= *worst { *worst } else { value };
        for i in 0..n {
            let components = set.components(i);
            let (true_t, true_log_derivative) = scalar(set.x[i], &components);
            let own = (log_derivative[i] - exact_log_derivative[i]).abs();
            above += usize::from(own > 2e-4);
            keep(&mut error, own);
            let own = (log_derivative[i] - true_log_derivative).abs();
            keep(&mut in_limits, own / log_derivative_limit(set.x[i], &components));
            keep(&mut round_trip, distance_in_limits(back[i], t[i], &components));
            keep(&mut definition, (exact_log_derivative[i] - true_log_derivative).abs());
            keep(&mut definition, (exact_t[i] - true_t).abs() / (1.0 + true_t.abs()));
        }
        let (low, high) = band;
        let end = format!("{in_limits:>9.2} {round_trip:>14.2} {unsolved:>10}");
        println!("{k:>3} {low:>4}..{high:<4} {error:>11.1e} {above:>12} {end}");
        assert!(definition < 1e-9, "the float64 run and the definition differ by {definition}");
        assert_eq!(unsolved, 0, "unsolved elements");
        let rough = roughness(&Device::default());
        assert!(in_limits <= 2.0 * rough, "log-derivative off by {in_limits} limits");
        assert!(round_trip <= 2.0 * rough, "x comes back {round_trip} limits away");
        // Below −5 float32 does not know z well enough between components: 2ε of |z| = e^10·50 is
        // 0.3.
        assert!(low < -5.0 || error < 2e-4 * rough, "log-derivative off by {error}");
    });
}

#[test]
fn nothing_leaves_float32() {
    each(|k, band, set| {
        let device = Device::default().autodiff();
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
            let gradients =
                [&mixture.logits, &mixture.means, &mixture.log_scales].map(|p| p.grad(&found));
            let mut all = vec![
                numbers(t),
                numbers(log_derivative),
                numbers(x.grad(&found).expect("x is a leaf")),
            ];
            all.extend(gradients.map(|gradient| numbers(gradient.expect("parameters are leaves"))));
            for (index, values) in all.iter().enumerate() {
                let bad = values.iter().filter(|value| !value.is_finite()).count();
                assert_eq!(
                    bad, 0,
                    "K {k}, log-scales {band:?}, loss ({a}, {b}), output or gradient {index}"
                );
            }
        }
    });
}

/// The implicit gradients of the inverse stay finite too.
#[test]
fn gradients_of_the_inverse_are_finite() {
    each(|k, band, set| {
        let device = Device::default().autodiff();
        let mixture = set.mixture(DType::F32, &device);
        let t = mixture.forward(set.x(DType::F32, &device)).0.detach().require_grad();
        let means = mixture.means.clone().require_grad();
        let x = LogisticMixture { means: means.clone(), ..mixture }.inverse(t.clone());
        let found = x.clone().sum().backward();
        for values in
            [numbers(x), numbers(t.grad(&found).unwrap()), numbers(means.grad(&found).unwrap())]
        {
            assert!(values.iter().all(|value| value.is_finite()), "K {k}, log-scales {band:?}");
        }
    });
}

#[test]
fn targets_without_an_inverse_are_not_guessed() {
    let device = Device::default();
    let set = set(5, (-5.0, 0.0), 1);
    let mixture = set.mixture(DType::F32, &device);
    let t = numbers(mixture.forward(set.x(DType::F32, &device)).0);
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let targets: Vec<f64> =
        t.iter().enumerate().map(|(i, t)| if i % 4 < 3 { special[i % 4] } else { *t }).collect();
    let targets: Tensor<2> = tensor(&targets, SHAPE, DType::F32, &device);
    let solution = mixture.solve(targets.clone());
    let solved: Vec<bool> = solution.solved.into_data().iter::<bool>().collect();
    let x = numbers(mixture.inverse(targets));
    let alone = numbers(mixture.inverse(tensor(&t, SHAPE, DType::F32, &device)));
    for i in 0..x.len() {
        let legal = i % 4 == 3;
        assert_eq!(solved[i], legal, "element {i}");
        assert_eq!(x[i].is_nan(), !legal, "element {i}");
        assert!(!legal || x[i] == alone[i], "element {i}");
    }
    // Finite, but the bracket overflows: still no guess.
    let far: Tensor<2> = Tensor::full(SHAPE, f32::MAX, &device);
    let wide = LogisticMixture { log_scales: mixture.log_scales.clone() + 6.0, ..mixture };
    assert!(numbers(wide.inverse(far)).iter().all(|x| x.is_nan() || x.is_finite()));
}

#[test]
fn components_wider_than_the_bracket_can_hold_are_reported_or_solved() {
    let device = Device::default();
    let one = |values: &[f64]| tensor::<3>(values, [1, values.len(), 1], DType::F32, &device);
    let solve = |log_scales: &[f64], t: f64| {
        let zeros = vec![0.0; log_scales.len()];
        let mixture = LogisticMixture {
            logits: one(&zeros),
            means: one(&zeros),
            log_scales: one(log_scales),
        };
        numbers(mixture.inverse(Tensor::<2>::full([1, 1], t, &device)))[0]
    };
    // The wide component is 1/2 wherever the narrow one decides: 1/2·σ(x) + 1/4 = σ(1) there.
    let x = solve(&[0.0, 95.0], 1.0);
    let sigma = 1.0 / (1.0 + (-1.0f64).exp());
    let p = 2.0 * (sigma - 0.25);
    assert!((x - (p / (1.0 - p)).ln()).abs() < 1e-4, "{x}");
    // A root that is a number: 5·e^85.
    let x = solve(&[85.0], 5.0);
    assert!((x / (5.0 * 85f64.exp()) - 1.0).abs() < 1e-4, "{x}");
    // Roots at 5·e^88, beyond e^87 and at e^−9·e^100: no number stands in for them.
    assert!(solve(&[88.0], 5.0).is_nan());
    assert!(solve(&[0.0, 87.0], 20.0).is_nan());
    assert!(solve(&[100.0], (-9.0f64).exp()).is_nan());
}
