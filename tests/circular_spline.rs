//! The circular spline in float32 and float64 against its definition: at knots, at and across the
//! seam, many turns away, and at extreme parameters; its density on the circle.

use std::f64::consts::PI;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::law::{CircularSpline, CircularSplineConfig, Law, LawConfig};
use flowkit::testing::tolerance::roughness;
use flowkit::{
    ConfigError, Density, Elementwise, ElementwiseConfig, Flow, LayerConfig, PriorConfig, Site,
    UniformBoxConfig,
};

#[path = "common/one_law.rs"]
mod one_law;

use one_law::{
    TYPES, draws, forward, gradients_are_differences, gradients_are_finite, inverse, numbers,
};

const BINS: usize = 6;

fn law() -> CircularSpline {
    CircularSplineConfig::new(BINS).build().unwrap()
}

/// The definition, one number at a time, on a circle of half circumference `bound`.
struct Scalar {
    bound: f64,
    x: Vec<f64>,
    y: Vec<f64>,
    w: Vec<f64>,
    h: Vec<f64>,
    d: Vec<f64>,
    rotation: f64,
}

impl Scalar {
    fn new(theta: &[f64], bound: f64) -> Self {
        let sizes = |logits: &[f64]| -> Vec<f64> {
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = logits.iter().map(|logit| (logit - max).exp()).collect();
            let total: f64 = weights.iter().sum();
            let rest = 1.0 - 1e-3 * BINS as f64;
            weights.iter().map(|w| 2.0 * bound * (1e-3 + rest * w / total)).collect()
        };
        let knots = |sizes: &[f64]| -> Vec<f64> {
            let mut knots = vec![-bound];
            for (k, size) in sizes.iter().enumerate() {
                knots.push(knots[k] + size);
            }
            knots
        };
        let shift = ((1.0f64 - 1e-3).exp() - 1.0).ln();
        let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
        let slopes = &theta[2 * BINS..3 * BINS];
        let mut d: Vec<f64> = slopes.iter().map(|c| 1e-3 + softplus(c + shift)).collect();
        d.push(d[0]);
        let (w, h) = (sizes(&theta[..BINS]), sizes(&theta[BINS..2 * BINS]));
        let rotation = theta[3 * BINS] * bound / PI;
        Self { bound, x: knots(&w), y: knots(&h), w, h, d, rotation }
    }

    fn wrap(&self, v: f64) -> f64 {
        (v + self.bound).rem_euclid(2.0 * self.bound) - self.bound
    }

    fn forward(&self, x: f64) -> (f64, f64) {
        let x = self.wrap(x);
        let k = self.x[1..BINS].iter().filter(|knot| **knot <= x).count();
        let (w, h) = (self.w[k], self.h[k]);
        let (s, xi) = (h / w, (x - self.x[k]) / w);
        let (left, right) = (self.d[k], self.d[k + 1]);
        let q = s + (right + left - 2.0 * s) * xi * (1.0 - xi);
        let z = self.y[k] + h * (s * xi * xi + left * xi * (1.0 - xi)) / q;
        let slope =
            s * s * (right * xi * xi + 2.0 * s * xi * (1.0 - xi) + left * (1.0 - xi).powi(2));
        (self.wrap(z + self.rotation), slope.ln() - 2.0 * q.ln())
    }

    /// Distance of two points along the circle.
    fn apart(&self, a: f64, b: f64) -> f64 {
        self.wrap(a - b).abs()
    }
}

/// Widths, heights and slopes of these sizes, and a rotation.
fn theta(bins: f64, slopes: f64, rotation: f64, seed: u64) -> Vec<f64> {
    let (bins, slopes) = (draws(2 * BINS, bins, seed), draws(BINS, slopes, seed + 100));
    [bins, slopes, vec![f64::from(rotation as f32)]].concat()
}

/// Even, uneven, narrow, steep and flat splines, turned by little and by much.
fn thetas() -> Vec<Vec<f64>> {
    let sizes = [(0.0, 0.0, 0.0), (0.3, 0.3, 0.7), (1.0, 1.0, -3.0), (3.0, 1.0, 9.0)];
    let extreme = [(1.0, 5.0, 100.0), (3.0, 30.0, 2.0), (10.0, 3.0, -1.0)];
    let all = sizes.into_iter().chain(extreme);
    all.flat_map(|(b, s, r)| (0..3).map(move |seed| theta(b, s, r, seed))).collect()
}

/// A grid, the knots and their neighbours, both sides of the seam, and the same many turns away.
fn inputs(knots: &[f64]) -> Vec<f64> {
    let mut inputs: Vec<f32> = (0..160).map(|i| -8.0 + 0.1 * i as f32).collect();
    for &knot in knots {
        let knot = knot as f32;
        inputs.extend([knot.next_down(), knot, knot.next_up()]);
    }
    let seam = PI as f32;
    for point in [seam.next_down(), seam, seam.next_up(), 0.0, 1e-30, 100.0] {
        inputs.extend([point, -point]);
    }
    inputs.into_iter().map(f64::from).collect()
}

/// Places on the circle are known to so many spacings of the type at the bound.
const SPACINGS: f64 = 16.0;

#[test]
fn both_types_agree_with_the_definition() {
    for (dtype, epsilon) in TYPES {
        // The bound of the type.
        let bound = if dtype == DType::F32 { f64::from(PI as f32) } else { PI };
        let [mut value, mut log_derivative, mut back] = [0.0f64; 3];
        for theta in thetas() {
            let scalar = Scalar::new(&theta, bound);
            let x = inputs(&scalar.x);
            let found = forward(&law(), &theta, &x, dtype);
            for (i, &x) in x.iter().enumerate() {
                assert!((-bound..bound).contains(&found.value[i]), "{x} to {}", found.value[i]);
                // What a wrap of `x`, and one of the rotation, cost.
                let turned = x.abs().max(theta[3 * BINS].abs());
                let reach = (SPACINGS * bound + turned) * epsilon;
                let [low, exact, high] = [x - reach, x, x + reach].map(|x| scalar.forward(x));
                let room = scalar.apart(low.0, exact.0).max(scalar.apart(high.0, exact.0));
                value = value.max(scalar.apart(found.value[i], exact.0) / (reach + room));
                let room = (low.1 - exact.1).abs().max((high.1 - exact.1).abs());
                let error = (found.log_derivative[i] - exact.1).abs();
                log_derivative = log_derivative.max(error / (64.0 * epsilon + room));
            }
            // The image of what comes back is where it came from.
            let z = inputs(&scalar.y);
            let found = inverse(&law(), &theta, &z, dtype);
            for (i, &z) in z.iter().enumerate() {
                assert!((-bound..bound).contains(&found.value[i]), "{z} to {}", found.value[i]);
                let turned = z.abs().max(theta[3 * BINS].abs());
                let reach = (SPACINGS * bound + turned) * epsilon;
                let at = [-reach, 0.0, reach].map(|h| scalar.forward(found.value[i] + h).0);
                let room = scalar.apart(at[0], at[1]).max(scalar.apart(at[2], at[1]));
                back = back.max(scalar.apart(at[1], z) / (reach + room));
            }
        }
        println!("{dtype:?}: {value:.2}, log-derivative {log_derivative:.2}, inverse {back:.2}");
        let most = if dtype == DType::F32 { roughness(&Device::default()) } else { 1.0 };
        assert!(value <= most && log_derivative <= most && back <= most);
    }
}

#[test]
fn zeros_are_the_identity_and_a_rotation_alone_rotates() {
    for (dtype, epsilon) in TYPES {
        let mut theta = vec![0.0; law().n_params()];
        assert_eq!(theta.len(), 3 * BINS + 1);
        let x = [-3.0, -1.5, 0.0, 0.25, 3.125];
        for rotation in [0.0, 0.5, -2.0] {
            theta[3 * BINS] = rotation;
            let found = forward(&law(), &theta, &x, dtype);
            for (i, x) in x.into_iter().enumerate() {
                let expected = (x + rotation + PI).rem_euclid(2.0 * PI) - PI;
                assert!((found.value[i] - expected).abs() <= 32.0 * epsilon, "{x}, {rotation}");
                assert!(found.log_derivative[i].abs() <= 32.0 * epsilon);
            }
        }
    }
}

/// Values, slopes and gradients from both sides of the seam meet.
#[test]
fn the_seam_is_a_point_like_any_other() {
    for theta in thetas().into_iter().skip(3).take(9) {
        let scalar = Scalar::new(&theta, PI);
        let step = 1e-9;
        let at = forward(&law(), &theta, &[PI - step, -PI, -PI + step, PI], DType::F64);
        let slope = at.log_derivative[1].exp();
        assert!(scalar.apart(at.value[0], at.value[1]) <= 2.0 * slope * step);
        assert!(scalar.apart(at.value[2], at.value[1]) <= 2.0 * slope * step);
        assert_eq!((at.value[3], at.log_derivative[3]), (at.value[1], at.log_derivative[1]));
        for side in [0, 2] {
            let error = (at.log_derivative[side] - at.log_derivative[1]).abs();
            assert!(error < 1e-3, "{error}");
        }
        // The slope there is the parameter.
        assert!((slope - scalar.d[0]).abs() <= 1e-12 * slope, "{slope} {}", scalar.d[0]);
        // The rotation moves the image of the seam.
        let image = scalar.wrap(scalar.rotation - PI);
        assert!(scalar.apart(at.value[1], image) < 1e-12, "{} {image}", at.value[1]);
    }
}

/// Whole turns change nothing but the rounding of the input.
#[test]
fn turns_change_nothing() {
    let theta = theta(1.0, 1.0, 0.4, 3);
    // Four numbers of which whole turns are exact in float64 to 1e-13.
    let x = [-3.0, -0.2, 0.1, 2.9];
    let own = forward(&law(), &theta, &x, DType::F64);
    for turns in [-1000.0, -1.0, 1.0, 7.0] {
        let moved = x.map(|x| x + turns * 2.0 * PI);
        let found = forward(&law(), &theta, &moved, DType::F64);
        for i in 0..4 {
            assert!((found.value[i] - own.value[i]).abs() < 1e-10, "{turns}");
            assert!((found.log_derivative[i] - own.log_derivative[i]).abs() < 1e-10);
        }
    }
    // Half a circumference of another size, and far away.
    let wide = CircularSplineConfig::new(BINS).with_bound(180.0).build().unwrap();
    let found = forward(&wide, &theta, &[-170.0, 190.0, 190.0 + 3600.0], DType::F32);
    assert!((found.value[0] - found.value[1]).abs() < 1e-4, "{:?}", found.value);
    assert!((found.value[0] - found.value[2]).abs() < 2e-3, "{:?}", found.value);
    let lost = forward(&law(), &theta, &[f64::INFINITY, f64::NAN, 0.5], DType::F32);
    assert!(lost.value[0].is_nan() && lost.value[1].is_nan() && lost.value[2].is_finite());
}

#[test]
fn gradients_are_right() {
    let x = [-3.1, -1.3, 0.2, 1.7, 3.0, 4.0, -7.7];
    for theta in [theta(1.0, 1.0, 0.7, 1), theta(0.5, 2.0, -2.0, 2), theta(0.0, 0.0, 0.0, 3)] {
        gradients_are_differences(&law(), &theta, &x);
    }
    for theta in thetas() {
        gradients_are_finite(&law(), &theta, &[-(PI as f32) as f64, -2.0, 0.0, 3.0, 50.0]);
    }
}

/// A layer of one element with a theta of one's own.
fn layer(theta: &[f64]) -> Elementwise<CircularSpline> {
    let site = Site::<2>::new([1, 1], &Device::flex());
    let config = ElementwiseConfig::new(CircularSplineConfig::new(BINS));
    let mut layer = config.build(&site).unwrap();
    let data = TensorData::new(theta.to_vec(), [1, theta.len(), 1]);
    layer.theta = Param::from_tensor(Tensor::from_data(data, (&Device::flex(), DType::F64)));
    layer
}

/// Gauss's rule of two points within each of many cells of each bin, where the density is smooth.
/// Cells are narrow at the knots, where a steep slope falls to that of a flat bin.
#[test]
fn densities_on_the_circle_integrate_to_1() {
    let prior = UniformBoxConfig::between(-PI, PI);
    for theta in thetas().into_iter().take(12) {
        let site = Site::<2>::new([1, 1], &Device::flex());
        let prior = prior.build(&site).unwrap();
        let flow = Flow::new(layer(&theta), prior, [1, 1]).unwrap().without_data();
        let scalar = Scalar::new(&theta, PI);
        let n = 2000;
        let offsets = [0.5 - 0.5 / 3f64.sqrt(), 0.5 + 0.5 / 3f64.sqrt()];
        let mut total = 0.0;
        for (left, width) in scalar.x.iter().zip(&scalar.w) {
            let edge = |i: i32| 0.5 * (1.0 - (PI * f64::from(i) / f64::from(n)).cos());
            let cell = |i: i32| width * (edge(i + 1) - edge(i));
            let at = |i: i32| offsets.map(|offset| left + width * edge(i) + cell(i) * offset);
            let points: Vec<f64> = (0..n).flat_map(at).collect();
            let data = TensorData::new(points, [2 * n as usize, 1]);
            let x = Tensor::<2>::from_data(data, (&Device::flex(), DType::F64));
            let densities = numbers(flow.log_prob(x));
            for (i, pair) in (0..n).zip(densities.chunks(2)) {
                total += 0.5 * cell(i) * (pair[0].exp() + pair[1].exp());
            }
        }
        assert!((total - 1.0).abs() < 1e-8, "{total} at {theta:?}");
    }
}

/// Samples are on the circle, and their density is the flow's.
#[test]
fn samples_stay_on_the_circle() {
    let site = Site::<2>::new([1, 1], &Device::flex());
    let prior = UniformBoxConfig::between(-PI, PI).build(&site).unwrap();
    let flow = Flow::new(layer(&thetas()[7]), prior, [1, 1]).unwrap().without_data();
    let drawn = flow.sample_with_log_prob(500).unwrap();
    let again = numbers(flow.log_prob(drawn.x.clone()));
    assert!(numbers(drawn.x).iter().all(|x| (-PI..PI).contains(x)));
    for (own, again) in drawn.log_likelihood.nats().iter().zip(again) {
        assert!((own - again).abs() < 1e-9, "{own} {again}");
    }
}

#[test]
fn configurations_are_checked() {
    let error = |config: CircularSplineConfig| config.build().map(|_| ()).unwrap_err();
    let config = || CircularSplineConfig::new(4);
    assert!(matches!(error(CircularSplineConfig::new(0)), ConfigError::Zero { .. }));
    let text = error(CircularSplineConfig::new(1)).to_string();
    assert!(text.starts_with("CircularSplineConfig: `n_bins` = 1 needs a second bin"), "{text}");
    for config in [
        config().with_bound(0.0),
        config().with_bound(f64::NAN),
        config().with_min_width(0.25),
        config().with_min_height(0.0),
        config().with_min_slope(1.0),
    ] {
        let error = error(config);
        let ConfigError::OutOfRange { config, .. } = error else { panic!("{error}") };
        assert_eq!(config, "CircularSplineConfig");
    }
}
