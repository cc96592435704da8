//! Fixed functions of each element over all that their domain says, against closed forms in float64
//! and against each other: values, and the slopes that autodiff finds.

#[path = "common/build.rs"]
mod build;

use crate::build::fixed;
use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::law::{AffineConfig, AffineForm, Law, LawConfig};
use flowkit::testing::tolerance::roughness;
use flowkit::{
    Activation, Bijector, BoxBijector, Exp, Invert, LeakyReluConfig, LogitConfig,
    ScalarAffineConfig, Sigmoid, Softplus, Tanh,
};

/// Numbers as the columns of one example.
fn row(values: &[f64], dtype: DType) -> Tensor<2> {
    let device = if dtype == DType::F64 { Device::flex() } else { Device::default() };
    let data = TensorData::new(values.to_vec(), [1, values.len()]).convert_dtype(dtype);
    Tensor::from_data(data, (&device, dtype))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

/// `z` and the log-derivative at one number.
fn at(bijector: &BoxBijector<2>, x: f64, dtype: DType) -> (f64, f64) {
    let (z, log_det) = bijector.forward(row(&[x], dtype), &());
    (numbers(z)[0], numbers(log_det)[0])
}

/// From 1e-30 to 80 on both sides, and 0.
fn line() -> Vec<f64> {
    let sizes = [1e-30, 1e-10, 1e-4, 0.01, 0.3, 0.7, 1.0, 3.0, 8.0, 9.5, 20.0, 50.0, 80.0];
    sizes.iter().flat_map(|size| [*size, -size]).chain([0.0]).map(|x| f64::from(x as f32)).collect()
}

/// The reference formulas are plain float64 where those are exact, written for each side.
#[test]
fn log_dets_are_exact_over_the_whole_line() {
    let log_cosh = |x: f64| x.abs() + (-2.0 * x.abs()).exp().ln_1p() - 2f64.ln();
    type Reference = (&'static str, BoxBijector<2>, Box<dyn Fn(f64) -> (f64, f64)>);
    let table: Vec<Reference> = vec![
        ("Tanh", BoxBijector::new(Tanh::new()), Box::new(move |x| (x.tanh(), -2.0 * log_cosh(x)))),
        (
            "Softplus",
            BoxBijector::new(Softplus::new()),
            Box::new(|x| {
                (x.max(0.0) + (-x.abs()).exp().ln_1p(), x.min(0.0) - (-x.abs()).exp().ln_1p())
            }),
        ),
        ("Exp", BoxBijector::new(Exp::new()), Box::new(|x| (x.exp(), x))),
        (
            "LeakyRelu",
            BoxBijector::new(fixed(&LeakyReluConfig::new())),
            Box::new(|x| if x < 0.0 { (0.01 * x, 0.01f64.ln()) } else { (x, 0.0) }),
        ),
        (
            "ScalarAffine",
            BoxBijector::new(fixed(&ScalarAffineConfig::new(-0.125, 3.0))),
            Box::new(|x| (3.0 - 0.125 * x, 0.125f64.ln())),
        ),
    ];
    for (name, bijector, reference) in &table {
        for x in line() {
            let (z, log_derivative) = reference(x);
            for (dtype, epsilon) in
                [(DType::F32, f64::from(f32::EPSILON)), (DType::F64, f64::EPSILON)]
            {
                // exp(x) doubles a rounding of x once for every unit of x.
                let bound = 4.0
                    * epsilon
                    * (1.0 + x.abs())
                    * if dtype == DType::F32 { roughness(&Device::default()) } else { 1.0 };
                let found = at(bijector, x, dtype);
                assert!(
                    (found.0 - z).abs() <= bound * z.abs(),
                    "{name}, {dtype:?} at {x}: {} for {z}",
                    found.0
                );
                let error = (found.1 - log_derivative).abs();
                assert!(
                    error <= bound * (1.0 + log_derivative.abs()),
                    "{name}, {dtype:?} at {x}: log_det {}",
                    found.1
                );
            }
        }
    }
}

/// Inverses at numbers whose logarithms or differences from 1 are what counts.
#[test]
fn inverses_are_exact_near_the_ends() {
    type Reference = (&'static str, BoxBijector<2>, &'static [f64], fn(f64) -> f64);
    let table: [Reference; 3] = [
        (
            "Tanh",
            BoxBijector::new(Invert::new(Tanh::new())),
            &[1e-30, 1e-5, 0.5, 0.999, 0.9999999],
            f64::atanh,
        ),
        (
            "Softplus",
            BoxBijector::new(Invert::new(Softplus::new())),
            &[1e-30, 1e-6, std::f64::consts::LN_2, 1.0, 30.0, 1e6],
            |z| z + (-(-z).exp_m1()).ln(),
        ),
        ("Exp", BoxBijector::new(Invert::new(Exp::new())), &[1e-30, 0.5, 1.0, 1e30], f64::ln),
    ];
    for (name, inverse, points, reference) in &table {
        for z in points.iter().map(|z| f64::from(*z as f32)) {
            let (x, log_derivative) = at(inverse, z, DType::F32);
            let bound = 8.0 * f64::from(f32::EPSILON) * roughness(&Device::default());
            let expected = reference(z);
            // A rounding of what is subtracted from: 1 for tanh, ln 2 for softplus at 0.
            let slack = if *name == "Softplus" { bound } else { 0.0 };
            assert!(
                (x - expected).abs() <= bound * expected.abs() + slack,
                "{name} at {z}: {x} for {expected}"
            );
            assert!(log_derivative.is_finite(), "{name} at {z}: {log_derivative}");
        }
    }
}

/// Beyond the ends of the domain: an infinity at them, NaN outside, never a number.
#[test]
fn what_has_no_inverse_is_not_guessed() {
    let inverse =
        |bijector: BoxBijector<2>, z: f64| numbers(bijector.inverse(row(&[z], DType::F32), &()))[0];
    assert_eq!(inverse(BoxBijector::new(Tanh::new()), 1.0), f64::INFINITY);
    assert_eq!(inverse(BoxBijector::new(Tanh::new()), -1.0), f64::NEG_INFINITY);
    assert!(inverse(BoxBijector::new(Tanh::new()), 1.5).is_nan());
    assert_eq!(inverse(BoxBijector::new(Softplus::new()), 0.0), f64::NEG_INFINITY);
    assert!(inverse(BoxBijector::new(Softplus::new()), -1.0).is_nan());
    assert_eq!(inverse(BoxBijector::new(Exp::new()), 0.0), f64::NEG_INFINITY);
    assert!(inverse(BoxBijector::new(Exp::new()), -1.0).is_nan());
}

/// `tanh x = 2σ(2x) − 1`, through three bijectors.
#[test]
fn tanh_is_a_sigmoid() {
    let around = (
        fixed(&ScalarAffineConfig::new(2.0, 0.0)),
        Sigmoid::new(),
        fixed(&ScalarAffineConfig::new(2.0, -1.0)),
    );
    let x = row(&line(), DType::F64);
    let (z, log_det) = Bijector::<2>::forward(&around, x.clone(), &());
    let (direct, direct_log_det) = Bijector::<2>::forward(&Tanh::new(), x, &());
    for (a, b) in numbers(z).iter().zip(numbers(direct)) {
        assert!((a - b).abs() <= 4.0 * f64::EPSILON, "{a} {b}");
    }
    let (a, b) = (numbers(log_det)[0], numbers(direct_log_det)[0]);
    assert!((a - b).abs() <= 1e-13 * a.abs(), "{a} {b}");
}

/// First derivatives of `z` and of the log-derivative at one number.
fn slopes(bijector: &BoxBijector<2>, x: f64, dtype: DType) -> (f64, f64) {
    let device = if dtype == DType::F64 { Device::flex() } else { Device::default() }.autodiff();
    let slope = |of_log_det: bool| {
        let data = TensorData::new(vec![x], [1, 1]).convert_dtype(dtype);
        let x = Tensor::<2>::from_data(data, (&device, dtype)).require_grad();
        let (z, log_det) = bijector.forward(x.clone(), &());
        let loss = if of_log_det { log_det.sum() } else { z.sum() };
        x.grad(&loss.backward()).map_or(0.0, |gradient| numbers(gradient)[0])
    };
    (slope(false), slope(true))
}

/// Both types, with the distance from 1 to the next number and the smallest number that keeps its
/// digits.
fn types() -> [(DType, f64, f64); 2] {
    let rough = roughness(&Device::default());
    [
        (DType::F32, rough * f64::from(f32::EPSILON), f64::from(f32::MIN_POSITIVE)),
        (DType::F64, f64::EPSILON, f64::MIN_POSITIVE),
    ]
}

/// Numbers from 1e-20 to as far as `e^−|x|` is a normal number, and 0.
fn whole_line(dtype: DType) -> Vec<f64> {
    let furthest = if dtype == DType::F64 { 700.0 } else { 87.0 };
    let near = [1e-20, 1e-6, 1e-3, 0.1, 0.45, 0.9, 0.999, 1.0, 1.001, 1.6, 2.0, 2.1, 4.1, 4.2, 5.0];
    let far = [7.0, 9.0, 10.0, 13.7, 17.0, 20.0, 36.0, 40.0, 61.3, 87.0, 150.0, 372.5, 700.0];
    let sizes = near.into_iter().chain(far).filter(|size| *size <= furthest);
    sizes.flat_map(|size| [size, -size]).chain([0.0]).map(|x| f64::from(x as f32)).collect()
}

/// `1/(1 + e^−x)`, whose rounded complement is nowhere used.
fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

/// Slopes of the value and of the log-derivative.
type Slopes = Box<dyn Fn(f64) -> (f64, f64)>;

fn check_slopes(
    name: &str,
    bijector: &BoxBijector<2>,
    points: &[f64],
    (dtype, epsilon, smallest): (DType, f64, f64),
    truth: &Slopes,
) {
    for &x in points {
        let (found, truth) = (slopes(bijector, x, dtype), truth(x));
        for (what, found, truth) in [("z", found.0, truth.0), ("log_det", found.1, truth.1)] {
            // Exponentials double a rounding of their argument once for every unit of it; `tanh`
            // takes that of `2x`.
            let allowed = 8.0 * epsilon * (1.0 + 2.0 * x.abs()) * truth.abs() + 8.0 * smallest;
            assert!(
                (found - truth).abs() <= allowed,
                "{name}, {dtype:?}: slope of {what} at {x}: {found:e} for {truth:e}"
            );
        }
    }
}

/// Where the value has long rounded to its limit, the slope is still a number with all of its
/// digits.
#[test]
fn slopes_keep_their_digits_over_the_whole_line() {
    let tanh = |x: f64| {
        let e = (-2.0 * x.abs()).exp();
        (4.0 * e / (1.0 + e).powi(2), -2.0 * x.tanh())
    };
    let table: Vec<(&str, BoxBijector<2>, Slopes)> = vec![
        ("Tanh", BoxBijector::new(Tanh::new()), Box::new(tanh)),
        (
            "Sigmoid",
            BoxBijector::new(Sigmoid::new()),
            Box::new(|x| (sigmoid(x) * sigmoid(-x), -(0.5 * x).tanh())),
        ),
        ("Softplus", BoxBijector::new(Softplus::new()), Box::new(|x| (sigmoid(x), sigmoid(-x)))),
        ("Exp", BoxBijector::new(Exp::new()), Box::new(|x| (x.exp(), 1.0))),
    ];
    for (name, bijector, truth) in &table {
        for kind in types() {
            check_slopes(name, bijector, &whole_line(kind.0), kind, truth);
        }
    }
    for margin in MARGINS {
        let inverse = BoxBijector::new(Invert::new(fixed(&LogitConfig::new().with_margin(margin))));
        let truth: Slopes =
            Box::new(move |z| (sigmoid(z) * sigmoid(-z) / (1.0 - 2.0 * margin), -(0.5 * z).tanh()));
        for kind in types() {
            check_slopes(
                &format!("inverse of Logit, margin {margin}"),
                &inverse,
                &whole_line(kind.0),
                kind,
                &truth,
            );
        }
    }
}

/// Margins of [`flowkit::Logit`], to where hardly anything is left of the data.
const MARGINS: [f64; 8] = [0.0, 1e-6, 0.05, 0.25, 0.3, 0.4, 0.49, 0.499];

/// Numbers in (0, 1), also close to the middle and to the ends.
fn unit() -> Vec<f64> {
    let points = [
        1e-30, 1e-6, 0.02, 0.1, 0.2499, 0.25, 0.26, 0.4, 0.4999, 0.499999, 0.5, 0.50001, 0.6, 0.74,
        0.75,
    ];
    points
        .into_iter()
        .chain([0.7501, 0.9, 0.99, 0.9999, 0.999999])
        .map(|x| f64::from(x as f32))
        .collect()
}

/// Inverses, and `Logit` forward, between their poles.
#[test]
fn slopes_keep_their_digits_between_the_ends() {
    let mut table: Vec<(String, BoxBijector<2>, Slopes)> = vec![
        (
            "inverse of Sigmoid".to_owned(),
            BoxBijector::new(Invert::new(Sigmoid::new())),
            Box::new(|z| (1.0 / (z * (1.0 - z)), (2.0 * z - 1.0) / (z * (1.0 - z)))),
        ),
        (
            "inverse of Tanh".to_owned(),
            BoxBijector::new(Invert::new(Tanh::new())),
            Box::new(|z| (1.0 / ((1.0 - z) * (1.0 + z)), 2.0 * z / ((1.0 - z) * (1.0 + z)))),
        ),
        (
            "inverse of Softplus".to_owned(),
            BoxBijector::new(Invert::new(Softplus::new())),
            Box::new(|z| (-1.0 / (-z).exp_m1(), -1.0 / z.exp_m1())),
        ),
    ];
    for margin in MARGINS {
        let width = 1.0 - 2.0 * margin;
        table.push((
            format!("Logit, margin {margin}"),
            BoxBijector::new(fixed(&LogitConfig::new().with_margin(margin))),
            Box::new(move |x| {
                let product = (margin + width * x) * (margin + width * (1.0 - x));
                (width / product, width * width * (2.0 * x - 1.0) / product)
            }),
        ));
    }
    for (name, bijector, truth) in &table {
        for (dtype, epsilon, smallest) in types() {
            // A number rebuilt near the ends has a logarithm of up to 70, of which a rounding is
            // that many roundings of the slope.
            check_slopes(name, bijector, &unit(), (dtype, 8.0 * epsilon, smallest), truth);
        }
    }
}

/// Both ways to the last digits, whatever the margin leaves of the data.
#[test]
fn logit_is_exact_at_every_margin() {
    for margin in MARGINS {
        let width = 1.0 - 2.0 * margin;
        let logit = BoxBijector::<2>::new(fixed(&LogitConfig::new().with_margin(margin)));
        for (dtype, epsilon, _) in types() {
            for x in unit() {
                let y = width * (2.0 * x - 1.0);
                // Of the terms, the larger is at most twice the result outside of the middle.
                let truth = if y.abs() < 0.5 {
                    2.0 * y.atanh()
                } else {
                    (margin + width * x).ln() - (margin + width * (1.0 - x)).ln()
                };
                let (z, _) = at(&logit, x, dtype);
                assert!(
                    (z - truth).abs() <= 4.0 * epsilon * truth.abs(),
                    "margin {margin}, {dtype:?}: z({x}) = {z} for {truth}"
                );
                // The inverse at a number of the type, from where the truth of float64 is good to
                // 1e-13 of its ends.
                let z = if dtype == DType::F64 { z } else { f64::from(z as f32) };
                let truth = 0.5 + 0.5 * (0.5 * z).tanh() / width;
                let found = numbers(logit.inverse(row(&[z], dtype), &()))[0];
                assert!(
                    (found - truth).abs() <= 2.0 * epsilon,
                    "margin {margin}, {dtype:?}: x({z}) = {found} for {truth}"
                );
            }
        }
    }
}

/// A law outside of couplings: slopes in the scale's parameter of the value, of the log-derivative
/// and of the inverse.
#[test]
fn affine_slopes_keep_their_digits() {
    let closed = |s: f64| {
        let e = (-2.0 * s.abs()).exp();
        4.0 * e / (1.0 + e).powi(2)
    };
    // Log-scale and its slope; the shift is 0, so that z = x·e^ℓ and x = z·e^−ℓ.
    type Scale = Box<dyn Fn(f64) -> (f64, f64)>;
    let table: Vec<(AffineForm, Scale)> = vec![
        (AffineForm::Exponential, Box::new(move |s| (s.tanh(), closed(s)))),
        (AffineForm::Sigmoid, Box::new(|s| (sigmoid(s + 2.0).ln(), sigmoid(-(s + 2.0))))),
        (
            AffineForm::Bounded,
            Box::new(|s| {
                let (open, shut) = (sigmoid(s + 2.0), sigmoid(-(s + 2.0)));
                ((0.5 * (1.0 + open)).ln(), open * shut / (1.0 + open))
            }),
        ),
    ];
    for (form, scale) in &table {
        let law = AffineConfig::new(*form).build().unwrap();
        for (dtype, epsilon, smallest) in types() {
            let device =
                if dtype == DType::F64 { Device::flex() } else { Device::default() }.autodiff();
            for s in whole_line(dtype).into_iter().filter(|s| s.abs() < 80.0) {
                let number = row(&[1.5], dtype).inner();
                let slope = |output: &dyn Fn(Tensor<2>, Tensor<3>) -> Tensor<2>| {
                    let data = TensorData::new(vec![s, 0.0], [1, 2, 1]).convert_dtype(dtype);
                    let theta = Tensor::<3>::from_data(data, (&device, dtype)).require_grad();
                    let x = Tensor::from_inner(number.clone());
                    let gradients = output(x, theta.clone()).sum().backward();
                    numbers(theta.grad(&gradients).unwrap())[0]
                };
                let (log_scale, truth) = scale(s);
                for (what, found, truth) in [
                    (
                        "z",
                        slope(&|x, theta| law.forward(x, theta).0),
                        1.5 * log_scale.exp() * truth,
                    ),
                    ("log-derivative", slope(&|x, theta| law.forward(x, theta).1), truth),
                    (
                        "x",
                        slope(&|z, theta| law.inverse(z, theta)),
                        -1.5 * (-log_scale).exp() * truth,
                    ),
                ] {
                    let allowed =
                        8.0 * epsilon * (3.0 + 2.0 * s.abs()) * truth.abs() + 8.0 * smallest;
                    assert!(
                        (found - truth).abs() <= allowed,
                        "{form:?}, {dtype:?}: slope of {what} at {s}: {found:e} for {truth:e}"
                    );
                }
            }
        }
    }
}

/// Activations of networks where they saturate.
#[test]
fn activations_keep_the_digits_of_their_slopes() {
    let closed = |x: f64| {
        let e = (-2.0 * x.abs()).exp();
        4.0 * e / (1.0 + e).powi(2)
    };
    let table: [(Activation, &dyn Fn(f64) -> f64); 2] =
        [(Activation::Tanh, &closed), (Activation::Elu, &|x| if x > 0.0 { 1.0 } else { x.exp() })];
    for (activation, truth) in table {
        for (dtype, epsilon, smallest) in types() {
            let device =
                if dtype == DType::F64 { Device::flex() } else { Device::default() }.autodiff();
            let points = whole_line(dtype);
            let data = TensorData::new(points.clone(), [1, points.len()]).convert_dtype(dtype);
            let x = Tensor::<2>::from_data(data, (&device, dtype)).require_grad();
            let found = numbers(x.grad(&activation.forward(x.clone()).sum().backward()).unwrap());
            for (&x, found) in points.iter().zip(found) {
                let allowed = 8.0 * epsilon * (1.0 + 2.0 * x.abs()) * truth(x) + 8.0 * smallest;
                assert!(
                    (found - truth(x)).abs() <= allowed,
                    "{activation:?}, {dtype:?} at {x}: {found:e} for {:e}",
                    truth(x)
                );
            }
        }
    }
}
