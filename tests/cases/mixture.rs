//! The MixLogCDF law beside values and gradients of 20 digits: far tails, narrow and wide
//! components, a flat valley between two of them.

use burn::tensor::Tensor;
use flowkit::law::{Law, LawConfig, MixLogCdfConfig};
use serde_json::{Value, json};

use super::common::{Precision, values};
use super::{Findings, each_precision, number, numbers};

fn cases() -> Vec<Value> {
    let own = || concat!(env!("CARGO_MANIFEST_DIR"), "/cases/mixlogcdf_cases.json").into();
    let path = std::env::var_os("FLOWKIT_CASES").unwrap_or_else(own);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Limits of the specification's reference values.
struct Limits {
    /// Of `z`, times `max(1, |z|)`.
    z: f64,
    /// Of the log-derivative as it is.
    log_derivative: f64,
    /// Of gradients, times `max(1, |gradient|)`.
    gradient: f64,
    /// Distance from 1 to the next number.
    epsilon: f64,
}

impl Limits {
    fn of(precision: Precision, case: &Value) -> Self {
        let log_derivative = number(&case["logdet"]);
        let rough = flowkit::testing::tolerance::roughness(&burn::tensor::Device::default());
        match precision {
            Precision::Double => Self {
                z: 1e-10,
                log_derivative: 1e-10 * log_derivative.abs().max(1.0),
                gradient: 1e-10,
                epsilon: f64::EPSILON,
            },
            Precision::Single => Self {
                z: 1e-6 * rough,
                // In the valley between two narrow components it is −1088.
                log_derivative: rough * if case["name"] == "k2_narrow_gap" { 2e-4 } else { 5e-6 },
                gradient: 5e-6 * rough,
                epsilon: f64::from(f32::EPSILON) * rough,
            },
        }
    }

    /// Of the gradient in `x` and in the means: a sum of derivatives in `z_k`, which round at 1,
    /// times `exp(−s_k)`. It counts where `x` stands on the mean of a narrow component: there the
    /// derivatives of the log-derivative cancel, and the next number is e^7 times as far from it.
    fn position_gradient(&self, case: &Value) -> f64 {
        let narrowest = numbers(&case["log_s"]).into_iter().fold(f64::INFINITY, f64::min);
        self.gradient + self.epsilon * (-narrowest).exp()
    }
}

/// Parameters of one number: `a` is the log-scale itself, so that the law is given its inverse
/// hyperbolic tangent.
fn theta(case: &Value, log_scales: &str, precision: Precision) -> Tensor<3> {
    let mut theta = vec![number(&case["a"]).atanh(), number(&case["b"])];
    theta.extend(["pi_logits", "mu", log_scales].iter().flat_map(|key| numbers(&case[*key])));
    let n = theta.len();
    precision.leaf(theta, [1, n, 1])
}

fn scalar(value: &Value, precision: Precision) -> Tensor<2> {
    precision.leaf(numbers(value), [1, 1])
}

fn forward(findings: &mut Findings, case: &Value, law: &impl Law) {
    let (precision, limits) = (findings.precision, Limits::of(findings.precision, case));
    for output in ["y", "logdet"] {
        let (x, theta) = (scalar(&case["x"], precision), theta(case, "log_s", precision));
        let (z, log_derivative) = law.forward(x.clone(), theta.clone());
        let gradients = if output == "y" {
            findings.check_to(limits.z, "y", &values(z.clone()), &numbers(&case["y"]));
            z.backward()
        } else {
            findings.check_absolute(
                limits.log_derivative,
                "logdet",
                &values(log_derivative.clone()),
                &case["logdet"],
            );
            log_derivative.backward()
        };
        let truth = &case[format!("grad_{output}")];
        let mut check = |key: &str, limit, found: &[f64], factor: f64| {
            let truth: Vec<f64> =
                numbers(&truth[key]).iter().map(|gradient| factor * gradient).collect();
            findings.check_to(limit, &format!("grad_{output}.{key}"), found, &truth);
        };
        let of_x = x.grad(&gradients).map_or(vec![0.0], values);
        let of_theta = values(theta.grad(&gradients).unwrap());
        let k = (law.n_params() - 2) / 3;
        let (pair, mixture) = of_theta.split_at(2);
        // d/d(atanh a) = (1 − a²) d/da.
        let a = number(&case["a"]);
        check("x", limits.position_gradient(case), &of_x, 1.0);
        check("a", limits.gradient, &pair[..1], 1.0 - a * a);
        check("b", limits.gradient, &pair[1..], 1.0);
        check("pi_logits", limits.gradient, &mixture[..k], 1.0);
        check("mu", limits.position_gradient(case), &mixture[k..2 * k], 1.0);
        check("log_s", limits.gradient, &mixture[2 * k..], 1.0);
    }
}

/// `x` at a given `z`: its image must be `z`, and where the truth is known and well-conditioned,
/// `x` must be it.
fn inverse(findings: &mut Findings, case: &Value, law: &impl Law, truth: Option<&Value>) {
    let (precision, limits) = (findings.precision, Limits::of(findings.precision, case));
    let (z, theta) = (scalar(&case["y"], precision), theta(case, "log_s", precision));
    let (x, inverse_log_derivative) = law.inverse_with_log_derivative(z.clone(), theta.clone());
    let (image, log_derivative) = law.forward(x.clone(), theta);
    let ([found], [image], [log_derivative]) = (one(x), one(image), one(log_derivative));
    // Neighbouring numbers x have images this far apart.
    let z = number(&case["y"]);
    let size = z.abs().max(1.0);
    let grain = limits.epsilon * found.abs() * log_derivative.exp();
    findings.check_to(limits.z + grain / size, "image of the inverse", &[image], &[z]);
    if let Some(truth) = truth.filter(|truth| !truth.is_null()) {
        // An image that is off by the limit is as far off in x as the slope says.
        let limit = limits.z * (1.0 + size * (-number(&case["logdet"])).exp());
        findings.check_to(limit, "inverse", &[found], &numbers(truth));
    }
    findings.check_to(
        0.0,
        "log-derivative of the inverse",
        &values(inverse_log_derivative),
        &[-log_derivative],
    );
}

/// The log-derivative of the inverse, up to what rounding `x` to the next number changes in it.
fn inverse_log_derivative(findings: &mut Findings, case: &Value, law: &impl Law) {
    let limits = Limits::of(findings.precision, case);
    let theta = theta(case, "log_s", findings.precision);
    let (x, found) =
        law.inverse_with_log_derivative(scalar(&case["y"], findings.precision), theta.clone());
    let x = scalar(&json!(one(x)), findings.precision);
    let slope = x.grad(&law.forward(x.clone(), theta).1.backward()).map_or([0.0], one);
    let grain = limits.epsilon * number(&case["x"]).abs() * slope[0].abs();
    findings.check_absolute(
        limits.log_derivative + grain,
        "inv_logdet",
        &values(found),
        &case["inv_logdet"],
    );
}

fn one(x: Tensor<2>) -> [f64; 1] {
    values(x).try_into().unwrap()
}

#[test]
fn mixlogcdf() {
    let cases = cases();
    assert!(!cases.is_empty());
    each_precision(|findings| {
        for case in &cases {
            findings.case = case["name"].as_str().unwrap().to_owned();
            let law = MixLogCdfConfig::new(case["K"].as_u64().unwrap() as usize).build().unwrap();
            match case["kind"].as_str().unwrap() {
                "forward" => {
                    forward(findings, case, &law);
                    let well_conditioned = case["inverse_well_conditioned"].as_bool().unwrap();
                    inverse(
                        findings,
                        case,
                        &law,
                        well_conditioned.then(|| &case["x_inv_of_stored_y"]),
                    );
                }
                "inverse" => {
                    inverse(findings, case, &law, Some(&case["x"]));
                    inverse_log_derivative(findings, case, &law);
                }
                "clamp" => {
                    let limits = Limits::of(findings.precision, case);
                    let theta = theta(case, "log_s_raw", findings.precision);
                    let (z, log_derivative) =
                        law.forward(scalar(&case["x"], findings.precision), theta.clone());
                    findings.check_to(limits.z, "y", &values(z.clone()), &numbers(&case["y"]));
                    let found = values(log_derivative.clone());
                    findings.check_absolute(
                        limits.log_derivative,
                        "logdet",
                        &found,
                        &case["logdet"],
                    );
                    let gradient = values(theta.grad(&(z + log_derivative).backward()).unwrap());
                    let raw = numbers(&case["log_s_raw"]);
                    let clamped = &gradient[gradient.len() - raw.len()..];
                    findings.check_to(
                        0.0,
                        "gradient of a clamped log-scale",
                        clamped,
                        &vec![0.0; raw.len()],
                    );
                }
                kind => panic!("{}: unknown kind {kind}", findings.case),
            }
        }
    });
}
