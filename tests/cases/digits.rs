//! The MixLogCDF law where digits are easily lost: valleys, tails, narrow components hidden in
//! them, scales that are no float32 numbers.
//!
//! `mixture_digits.py` makes the cases in 60 digits. It also defines the *natural size* of a
//! gradient, the sum of its absolute terms: what an error is relative to. The kernel of the device
//! and the plain form are held to the same limits.

use burn::tensor::{Device, Tensor};
use flowkit::kernel::mixture_logistic::plain;
use flowkit::law::{Law, LawConfig, LogisticMixture, MixLogCdfConfig};
use flowkit::testing::tolerance::roughness;
use serde_json::Value;

use super::common::{Precision, values};
use super::{number, numbers};

/// Smallest log-scale that a [`MixLogCdfConfig`] takes: the plain form takes any.
const LOWEST: f64 = -80.0;

/// Roundings that a standardised point `z_k`, a logit and an exponent have gone through.
const ROUNDINGS: f64 = 2.0;

/// Cases of a kind that a precision can hold.
fn cases(kind: &str, precision: Precision) -> Vec<Value> {
    let own = || concat!(env!("CARGO_MANIFEST_DIR"), "/cases/mixture_digits.json").into();
    let path = std::env::var_os("FLOWKIT_DIGITS").unwrap_or_else(own);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let all: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = if precision == Precision::Single { "single" } else { "double" };
    let holds = |case: &Value| {
        case["precisions"].as_array().unwrap().iter().any(|precision| precision == name)
    };
    let found: Vec<Value> =
        all.into_iter().filter(|case| case["kind"] == kind && holds(case)).collect();
    assert!(found.len() > 50, "{} cases of {kind}", found.len());
    found
}

fn epsilon(precision: Precision) -> f64 {
    match precision {
        Precision::Double => f64::EPSILON,
        Precision::Single => f64::from(f32::EPSILON) * roughness(&Device::default()),
    }
}

/// Largest error of a value beside 1 and its size, and of a gradient beside its natural size.
fn limit(precision: Precision) -> f64 {
    match precision {
        Precision::Double => 1e-10,
        Precision::Single => 5e-6 * roughness(&Device::default()),
    }
}

fn theta(case: &Value, precision: Precision) -> Tensor<3> {
    let keys = ["a", "b", "logits", "means", "log_scales"];
    let theta: Vec<f64> = keys.iter().flat_map(|key| numbers(&case["theta"][*key])).collect();
    let n = theta.len();
    precision.leaf(theta, [1, n, 1])
}

fn bound(case: &Value) -> f64 {
    number(&case["theta"]["min_log_scale"])
}

/// An operation with the signature of [`plain::forward`].
type Forward = fn(Tensor<2>, Tensor<3>, f64) -> (Tensor<2>, Tensor<2>);

fn kernel(x: Tensor<2>, theta: Tensor<3>, bound: f64) -> (Tensor<2>, Tensor<2>) {
    let k = (theta.dims()[1] - 2) / 3;
    MixLogCdfConfig::new(k)
        .with_min_log_scale(bound)
        .with_max_log_scale(None)
        .build()
        .unwrap()
        .forward(x, theta)
}

/// What a value or a gradient may be off by.
struct Allowed {
    precision: Precision,
    /// Shares below the cut of linear space, relative to all components: a tenth of a rounding
    /// unit.
    cut: f64,
}

impl Allowed {
    /// Of a gradient with that natural size, among parameters with the sizes `all`, whose shares
    /// are known to `slack` roundings.
    fn gradient(&self, size: f64, all: &[f64], slack: f64) -> f64 {
        let epsilon = epsilon(self.precision);
        // What underflows is 0.
        let smallest = if self.precision == Precision::Single { 1e-36 } else { 1e-300 };
        (limit(self.precision) + ROUNDINGS * epsilon * slack) * size
            + self.cut * all.iter().sum::<f64>()
            + smallest
    }
}

fn forward(
    form: &str,
    operation: Forward,
    precision: Precision,
    case: &Value,
    failures: &mut Vec<String>,
) {
    let name = format!("{form}, {precision:?}, {}", case["name"].as_str().unwrap());
    let cut = if form == "plain" { 0.0 } else { 0.1 * epsilon(precision) };
    let allowed = Allowed { precision, cut };
    let slack = numbers(&case["slack"]);
    let k = slack.len();
    for output in ["z", "log_derivative"] {
        let truth = &case[output];
        let x = precision.leaf(numbers(&case["x"]), [1, 1]);
        let theta = theta(case, precision);
        let (z, log_derivative) = operation(x.clone(), theta.clone(), bound(case));
        let found = if output == "z" { z } else { log_derivative };
        let mut check = |what: String, found: f64, truth: f64, allowed: f64| {
            let close = (found - truth).abs() <= allowed;
            if !close {
                failures.push(format!(
                    "{name}: {what}: {found:e} for {truth:e}, allowed {allowed:.1e}"
                ));
            }
        };
        let value = number(&truth["value"]);
        let of_value = limit(precision) * (1.0 + value.abs())
            + ROUNDINGS * epsilon(precision) * number(&truth["shift"]);
        check(output.to_owned(), values(found.clone())[0], value, of_value);
        let gradients = found.sum().backward();
        let of_x = x.grad(&gradients).map_or(vec![0.0], values);
        let of_theta = values(theta.grad(&gradients).unwrap());
        let groups = [
            ("a", 0..1),
            ("b", 1..2),
            ("logits", 2..2 + k),
            ("means", 2 + k..2 + 2 * k),
            ("log_scales", 2 + 2 * k..2 + 3 * k),
        ];
        let most = slack.iter().copied().fold(0.0, f64::max);
        for (key, range) in groups {
            let (expected, sizes) =
                (numbers(&truth["gradient"][key]), numbers(&truth["size"][key]));
            for (i, found) in of_theta[range].iter().enumerate() {
                let slack = if expected.len() == k && k > 1 { slack[i] } else { most };
                check(
                    format!("∂{output}/∂{key}[{i}]"),
                    *found,
                    expected[i],
                    allowed.gradient(sizes[i], &sizes, slack),
                );
            }
        }
        let (expected, sizes) = (numbers(&truth["gradient"]["x"]), numbers(&truth["size"]["x"]));
        let means = numbers(&truth["size"]["means"]);
        let of_slack = means.iter().zip(&slack).map(|(size, slack)| size * slack).sum::<f64>()
            / sizes[0].max(1e-300);
        check(
            format!("∂{output}/∂x"),
            of_x[0],
            expected[0],
            allowed.gradient(sizes[0], &sizes, of_slack.min(most)),
        );
    }
}

#[test]
fn values_and_gradients_keep_their_digits() {
    let mut failures = Vec::new();
    for precision in Precision::BOTH {
        for case in cases("forward", precision) {
            // GPUs take numbers below the smallest normal one for 0: there the plain form, which
            // keeps each share as a number, has none of a component lighter than e^-87.
            let flushed = precision == Precision::Single && roughness(&Device::default()) > 1.0;
            if !(flushed && numbers(&case["theta"]["logits"]).iter().any(|&logit| logit < -87.0)) {
                forward("plain", plain::forward, precision, &case, &mut failures);
            }
            if bound(&case) >= LOWEST {
                forward("kernel", kernel, precision, &case, &mut failures);
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// The root, or NaN, from the kernel and from the plain form: each within what its precision can
/// tell apart, and found wherever it is a number that the precision holds.
#[test]
fn roots_are_right_or_unsolved() {
    let mut failures = Vec::new();
    for precision in Precision::BOTH {
        for case in cases("inverse", precision) {
            let (name, theta) = (case["name"].as_str().unwrap(), theta(&case, precision).inner());
            let z = precision.tensor(numbers(&case["z"]), [1, 1]).inner();
            let k = (theta.dims()[1] - 2) / 3;
            let (log_scale, shift, mixture) = plain::parts(theta.clone(), bound(&case));
            let t = (z.clone() - shift) * log_scale.neg().exp();
            let mut found = vec![("plain", LogisticMixture::inverse(&mixture, t))];
            if bound(&case) >= LOWEST {
                let law = MixLogCdfConfig::new(k)
                    .with_min_log_scale(bound(&case))
                    .with_max_log_scale(None)
                    .build()
                    .unwrap();
                found.push(("kernel", law.inverse(z, theta)));
            }
            let interval =
                &case["interval"][if precision == Precision::Single { "single" } else { "double" }];
            for (form, x) in found {
                let x = values(x)[0];
                let right = match interval {
                    // The root is no number of this precision.
                    Value::Null => x.is_nan(),
                    ends => {
                        let (low, high) = (number(&ends[0]), number(&ends[1]));
                        let rough = if precision == Precision::Single {
                            roughness(&Device::default()) - 1.0
                        } else {
                            0.0
                        };
                        (low - rough * (high - low)..=high + rough * (high - low)).contains(&x)
                    }
                };
                if !right {
                    failures.push(format!(
                        "{form}, {precision:?}, {name}: {x:e}, not {} in {interval}",
                        case["x"]
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// One component: `x = e^s·t` with `t = (z − b)·e^−tanh a`, and so its derivatives, as far as they
/// are numbers.
#[test]
fn gradients_of_roots_are_those_of_the_affine_map() {
    for precision in Precision::BOTH {
        let scales: &[f64] = match precision {
            Precision::Single => &[-60.0, -7.0, 0.0, 40.0, 62.0, 79.0, 82.0, 84.0],
            Precision::Double => &[-79.0, -7.0, 0.0, 82.0, 290.0, 305.0, 650.0],
        };
        for &s in scales {
            for (a, z) in [(0.0, 0.25), (0.5, -3.0), (-9.0, 0.01)] {
                let law = MixLogCdfConfig::new(1)
                    .with_min_log_scale(LOWEST)
                    .with_max_log_scale(None)
                    .build()
                    .unwrap();
                let single = |value: f64| f64::from(value as f32);
                let (a, z, b) = (single(a), single(z), 0.125);
                let of = |kernel: bool| {
                    let z = precision.leaf(vec![z], [1, 1]);
                    let theta = precision.leaf(vec![a, b, 0.5, 0.0, s], [1, 5, 1]);
                    let x = if kernel {
                        law.inverse(z.clone(), theta.clone())
                    } else {
                        let (log_scale, shift, mixture) = plain::parts(theta.clone(), LOWEST);
                        mixture.inverse((z.clone() - shift) * log_scale.neg().exp())
                    };
                    let gradients = x.clone().sum().backward();
                    let parts = [
                        values(z.grad(&gradients).unwrap()),
                        values(theta.grad(&gradients).unwrap()),
                    ];
                    [values(x), parts.concat()].concat()
                };
                let alpha = a.tanh();
                let t = (z - b) * (-alpha).exp();
                let (slope, e) = ((s - alpha).exp(), (-2.0 * a.abs()).exp());
                let bend = 4.0 * e / (1.0 + e).powi(2);
                // x, then the derivatives in z, a, b, ℓ, μ and s.
                let truth =
                    [s.exp() * t, slope, -s.exp() * t * bend, -slope, 0.0, 1.0, s.exp() * t];
                let rounding = epsilon(precision) * (8.0 + 4.0 * s.abs());
                for (form, found) in [("kernel", of(true)), ("plain", of(false))] {
                    for (index, (found, truth)) in found.iter().zip(truth).enumerate() {
                        // The gradient of the mean is a quotient of slopes, that of the logit a
                        // difference of equal shares.
                        let size = if index == 4 { slope } else { truth.abs() };
                        let close = (found - truth).abs() <= 4.0 * rounding * size;
                        assert!(
                            close,
                            "{form}, {precision:?}, s = {s}, a = {a}, z = {z}, {index}: {found:e} \
                             for {truth:e}"
                        );
                    }
                }
            }
        }
    }
}

/// A wide component and a narrow one: beside the step of the narrow one the law is flat to
/// rounding. The roots are those of mpmath, by bisection of `ln F/G − z` at 60 digits.
#[test]
fn roots_beside_a_flat_stretch_are_found() {
    let cases = [
        ([0.0, 3.0], [0.0, 0.5], [40.0, -20.0], -3.0, 0.499_999_992_439_815_15),
        ([0.0, 3.0], [-1.0, 0.5], [67.5, -20.25], -3.0, 0.499_999_994_112_122_1),
        ([0.0, 2.0], [1.0, -2.0], [35.0, -18.0], -1.5, -2.000_000_027_716_961_5),
        ([0.0, 3.0], [-1.0, 0.5], [137.5, -41.25], -3.0, 0.5),
        ([0.0, 1.0], [0.25, 3.0], [100.0, -38.0], -0.5, 3.0),
    ];
    for (logits, means, log_scales, z, root) in cases {
        for precision in Precision::BOTH {
            let law = MixLogCdfConfig::new(2)
                .with_min_log_scale(LOWEST)
                .with_max_log_scale(None)
                .build()
                .unwrap();
            let theta =
                [vec![0.0, 0.0], logits.to_vec(), means.to_vec(), log_scales.to_vec()].concat();
            let theta = precision.tensor(theta, [1, 8, 1]).inner();
            let x = values(law.inverse(precision.tensor(vec![z], [1, 1]).inner(), theta))[0];
            let allowed = 4.0 * epsilon(precision) * f64::abs(root) * roughness(&Device::default());
            assert!(
                (x - root).abs() <= allowed,
                "{precision:?}, {means:?}, {log_scales:?}: {x:e}, not {root:e}"
            );
        }
    }
}
