//! The Bernstein law in float32 and float64 against its definition by de Casteljau's algorithm, at
//! all degrees and extreme parameters; its lines, its inverse and its gradients.

use burn::tensor::{DType, Device};
use flowkit::ConfigError;
use flowkit::law::{Bernstein, BernsteinConfig, Law, LawConfig};
use flowkit::testing::tolerance::roughness;

#[path = "common/one_law.rs"]
mod one_law;

use one_law::{
    TYPES, draws, forward, gradients_are_differences, gradients_are_finite,
    half_types_are_rounded_once, inverse,
};

const BOUND: f64 = 3.0;
const DEGREES: [usize; 6] = [1, 2, 3, 8, 20, 64];

fn law(degree: usize) -> Bernstein {
    BernsteinConfig::new(degree).build().unwrap()
}

/// The definition, one number at a time.
struct Scalar {
    /// `α_j − α°_j`: the identity is a Bernstein polynomial, so what is left is one, too.
    deviations: Vec<f64>,
    slopes: Vec<f64>,
}

/// A Bernstein polynomial by de Casteljau's algorithm.
fn polynomial(coefficients: &[f64], tau: f64) -> f64 {
    let mut level = coefficients.to_vec();
    while level.len() > 1 {
        level = level.windows(2).map(|pair| (1.0 - tau) * pair[0] + tau * pair[1]).collect();
    }
    level[0]
}

impl Scalar {
    fn new(theta: &[f64]) -> Self {
        let n = (theta.len() - 1) as f64;
        let shift = ((1.0f64 - 1e-3).exp() - 1.0).ln();
        let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
        let slopes: Vec<f64> = theta[1..].iter().map(|v| 1e-3 + softplus(v + shift)).collect();
        let excess: f64 = slopes.iter().map(|slope| slope - 1.0).sum();
        let mut deviations = vec![theta[0] - BOUND / n * excess];
        for slope in &slopes {
            deviations.push(deviations[deviations.len() - 1] + 2.0 * BOUND / n * (slope - 1.0));
        }
        Self { deviations, slopes }
    }

    /// `z` and the slope.
    fn forward(&self, x: f64) -> (f64, f64) {
        let inner = x.clamp(-BOUND, BOUND);
        let tau = (inner + BOUND) / (2.0 * BOUND);
        let slope = polynomial(&self.slopes, tau);
        (inner + polynomial(&self.deviations, tau) + (x - inner) * slope, slope)
    }

    /// Largest magnitude that a rounding refers to.
    fn size(&self, x: f64) -> f64 {
        x.abs() + self.deviations.iter().copied().map(f64::abs).fold(0.0, f64::max)
    }
}

/// Parameters of a degree: near the identity, ordinary, steep and flat.
fn thetas(degree: usize) -> Vec<Vec<f64>> {
    let sizes = [(0.0, 0.0), (0.1, 0.3), (1.0, 1.0), (3.0, 5.0), (10.0, 30.0)];
    let one = |(shift, slopes): (f64, f64), seed| {
        [draws(1, shift, seed), draws(degree, slopes, seed + 50)].concat()
    };
    sizes.iter().flat_map(|&sizes| (0..3).map(move |seed| one(sizes, seed))).collect()
}

/// A grid, both sides of the bounds, and far out, as float32 numbers.
fn inputs() -> Vec<f64> {
    let mut inputs: Vec<f32> = (0..=100).map(|i| -4.0 + 0.08 * i as f32).collect();
    let bound = BOUND as f32;
    for point in [bound.next_down(), bound, bound.next_up(), 1e3, 1e20, 0.0, 1e-20] {
        inputs.extend([point, -point]);
    }
    inputs.into_iter().map(f64::from).collect()
}

#[test]
fn both_types_agree_with_the_definition() {
    for (dtype, epsilon) in TYPES {
        let [mut value, mut log_derivative, mut back] = [0.0f64; 3];
        for degree in DEGREES {
            let law = law(degree);
            assert_eq!((law.n_params(), law.is_affine()), (degree + 1, degree == 1));
            for theta in thetas(degree) {
                let scalar = Scalar::new(&theta);
                let found = forward(&law, &theta, &inputs(), dtype);
                for (i, x) in inputs().into_iter().enumerate() {
                    // A product of up to `n` factors is off by as many roundings, and `τ` by one
                    // of the bound.
                    let roundings = (4.0 + degree as f64) * epsilon;
                    let [low, exact, high] =
                        [-1.0, 0.0, 1.0].map(|by| scalar.forward(x + by * epsilon * BOUND));
                    let outer = (x.abs() - BOUND).max(0.0) * exact.1;
                    let room = (high.0 - low.0).abs() + roundings * (scalar.size(x) + outer);
                    value = value.max((found.value[i] - exact.0).abs() / room);
                    let room = (high.1.ln() - low.1.ln()).abs() + 4.0 * roundings;
                    let error = (found.log_derivative[i] - exact.1.ln()).abs();
                    log_derivative = log_derivative.max(error / room);
                    assert!(found.log_derivative[i] >= (1e-3f64).ln() - 1e-5);
                }
                // What comes back has the image that it came from.
                let targets: Vec<f64> =
                    found.value.iter().map(|value| f64::from(*value as f32)).collect();
                let found = inverse(&law, &theta, &targets, dtype);
                for (i, z) in targets.into_iter().enumerate() {
                    let x = found.value[i];
                    assert!(x.is_finite(), "degree {degree}, {dtype:?}: {z} to {x}");
                    let (reached, slope) = scalar.forward(x);
                    let ends = [-BOUND, BOUND].map(|x| scalar.forward(x).0.abs());
                    let size = scalar.size(x) + ends[0].max(ends[1]) + z.abs();
                    let room = (4.0 + degree as f64) * epsilon * size;
                    let room = room + 2.0 * epsilon * (x.abs() + BOUND) * slope;
                    back = back.max((reached - z).abs() / room);
                }
            }
        }
        println!("{dtype:?}: {value:.2}, log-derivative {log_derivative:.2}, inverse {back:.2}");
        let most = if dtype == DType::F32 { roughness(&Device::default()) } else { 1.0 };
        assert!(value <= most && log_derivative <= most && back <= most);
    }
}

#[test]
fn zeros_are_the_identity() {
    for degree in DEGREES {
        for (dtype, epsilon) in TYPES {
            let found = forward(&law(degree), &vec![0.0; degree + 1], &inputs(), dtype);
            for (i, x) in inputs().into_iter().enumerate() {
                let error = (found.value[i] - x).abs();
                assert!(error <= 8.0 * epsilon * (BOUND + x.abs()), "{degree}, {dtype:?}, {x}");
                let bound = (8.0 + degree as f64) * epsilon;
                assert!(found.log_derivative[i].abs() <= bound, "{degree}, {dtype:?}, {x}");
            }
        }
    }
}

/// Value and slope are continuous at the bounds, and the map reaches every number.
#[test]
fn lines_continue_the_polynomial() {
    for degree in DEGREES {
        for theta in thetas(degree) {
            let law = law(degree);
            for bound in [-BOUND, BOUND] {
                let at = [bound * (1.0 - 1e-9), bound, bound * (1.0 + 1e-9), 2.0 * bound];
                let found = forward(&law, &theta, &at, DType::F64);
                let slope = found.log_derivative[1].exp();
                for side in [0, 2] {
                    // The slope changes within the step, by less than its largest part.
                    let bend = (found.log_derivative[side] - found.log_derivative[1]).abs();
                    assert!(bend < 1e-2, "{bend}");
                    let step = (found.value[side] - found.value[1]).abs();
                    assert!((step - slope * 3e-9).abs() <= bend * slope * 3e-9 + 1e-12, "{step}");
                }
                let line = found.value[1] + slope * bound;
                assert!((found.value[3] - line).abs() <= 1e-12 * (1.0 + line.abs()));
                assert_eq!(found.log_derivative[3], found.log_derivative[1]);
            }
            let z = [1e30, -1e30, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
            let back = inverse(&law, &theta, &z, DType::F32);
            let again = forward(&law, &theta, &back.value, DType::F32);
            for (i, z) in z.into_iter().enumerate().take(2) {
                assert!((again.value[i] / z - 1.0).abs() < 1e-5, "{z} to {}", again.value[i]);
            }
            assert_eq!(back.value[2..4], [f64::INFINITY, f64::NEG_INFINITY]);
            assert!(back.value[4].is_nan());
        }
    }
}

#[test]
fn gradients_are_right() {
    let x = [-5.0, -2.9, -1.0, 0.1, 1.3, 2.8, 7.0];
    for degree in DEGREES {
        // Differences take two evaluations for each parameter.
        let some = if degree <= 8 { &x[..] } else { &x[2..4] };
        for theta in thetas(degree).into_iter().skip(3).step_by(3).take(2) {
            gradients_are_differences(&law(degree), &theta, some);
        }
        for theta in thetas(degree).into_iter().step_by(4) {
            gradients_are_finite(&law(degree), &theta, &[-3.0, -1.0, 3.0, 1e10]);
        }
    }
}

/// A NaN among the parameters of one element shows there, and the search ends.
#[test]
fn parameters_that_are_nan_show() {
    for index in 0..4 {
        let mut theta = vec![0.1; 4];
        theta[index] = f64::NAN;
        let found = inverse(&law(3), &theta, &[0.5, 9.0], DType::F32);
        assert!(found.value.iter().all(|x| x.is_nan()), "{index}: {:?}", found.value);
    }
}

#[test]
fn bounds_of_other_sizes_scale() {
    let theta = draws(9, 1.0, 5);
    for bound in [1e-3, 1e6] {
        let wide = BernsteinConfig::new(8).with_bound(bound).build().unwrap();
        // The shift is in the unit of the data.
        let scaled = [vec![theta[0] * bound / BOUND], theta[1..].to_vec()].concat();
        for share in [-1.5, -0.7, 0.0, 0.3, 1.0, 2.0] {
            let own = forward(&wide, &scaled, &[share * bound], DType::F32);
            let exact = forward(&law(8), &theta, &[share * BOUND], DType::F64);
            let error = (own.value[0] / bound - exact.value[0] / BOUND).abs();
            assert!(error < 1e-5, "{bound}: {error}");
            assert!((own.log_derivative[0] - exact.log_derivative[0]).abs() < 1e-5);
            let back = inverse(&wide, &scaled, &own.value, DType::F32);
            assert!((back.value[0] / bound - share).abs() < 1e-4, "{bound}, {share}");
        }
    }
}

#[test]
fn half_types_compute_in_float32() {
    let x: Vec<f64> = (-20..=20).map(|i| 0.25 * f64::from(i)).collect();
    half_types_are_rounded_once(&law(8), &draws(9, 1.0, 6), &x);
}

#[test]
fn configurations_are_checked() {
    let error = |config: BernsteinConfig| config.build().map(|_| ()).unwrap_err();
    assert!(matches!(error(BernsteinConfig::new(0)), ConfigError::Zero { field: "degree", .. }));
    let text = error(BernsteinConfig::new(65)).to_string();
    assert_eq!(text, "BernsteinConfig: `degree` must be at most 64, found 65");
    for (config, field) in [
        (BernsteinConfig::new(4).with_bound(1e7), "bound"),
        (BernsteinConfig::new(4).with_bound(f64::NAN), "bound"),
        (BernsteinConfig::new(4).with_min_slope(0.0), "min_slope"),
        (BernsteinConfig::new(4).with_min_slope(1.0), "min_slope"),
    ] {
        let error = error(config);
        assert!(error.to_string().contains(field), "{error}");
    }
}
