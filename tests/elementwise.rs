//! Fixed functions of each element in float32, over all that their domain says, against float64 and against each other.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::testing::tolerance::roughness;
use flowkit::{Bijector, BoxBijector, Exp, Invert, LeakyReluConfig, ScalarAffineConfig, Sigmoid, Softplus, Tanh};

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
            Box::new(|x| (x.max(0.0) + (-x.abs()).exp().ln_1p(), x.min(0.0) - (-x.abs()).exp().ln_1p())),
        ),
        ("Exp", BoxBijector::new(Exp::new()), Box::new(|x| (x.exp(), x))),
        (
            "LeakyRelu",
            BoxBijector::new(LeakyReluConfig::new().init()),
            Box::new(|x| if x < 0.0 { (0.01 * x, 0.01f64.ln()) } else { (x, 0.0) }),
        ),
        (
            "ScalarAffine",
            BoxBijector::new(ScalarAffineConfig::new(-0.125, 3.0).init()),
            Box::new(|x| (3.0 - 0.125 * x, 0.125f64.ln())),
        ),
    ];
    for (name, bijector, reference) in &table {
        for x in line() {
            let (z, log_derivative) = reference(x);
            for (dtype, epsilon) in [(DType::F32, f64::from(f32::EPSILON)), (DType::F64, f64::EPSILON)] {
                // exp(x) doubles a rounding of x once for every unit of x.
                let bound = 4.0
                    * epsilon
                    * (1.0 + x.abs())
                    * if dtype == DType::F32 { roughness(&Device::default()) } else { 1.0 };
                let found = at(bijector, x, dtype);
                assert!((found.0 - z).abs() <= bound * z.abs(), "{name}, {dtype:?} at {x}: {} for {z}", found.0);
                let error = (found.1 - log_derivative).abs();
                assert!(error <= bound * (1.0 + log_derivative.abs()), "{name}, {dtype:?} at {x}: log_det {}", found.1);
            }
        }
    }
}

/// Inverses at numbers whose logarithms or differences from 1 are what counts.
#[test]
fn inverses_are_exact_near_the_ends() {
    type Reference = (&'static str, BoxBijector<2>, &'static [f64], fn(f64) -> f64);
    let table: [Reference; 3] = [
        ("Tanh", BoxBijector::new(Invert::new(Tanh::new())), &[1e-30, 1e-5, 0.5, 0.999, 0.9999999], f64::atanh),
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
            assert!((x - expected).abs() <= bound * expected.abs() + slack, "{name} at {z}: {x} for {expected}");
            assert!(log_derivative.is_finite(), "{name} at {z}: {log_derivative}");
        }
    }
}

/// Beyond the ends of the domain: an infinity at them, NaN outside, never a number.
#[test]
fn what_has_no_inverse_is_not_guessed() {
    let inverse = |bijector: BoxBijector<2>, z: f64| numbers(bijector.inverse(row(&[z], DType::F32), &()))[0];
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
    let around = (ScalarAffineConfig::new(2.0, 0.0).init(), Sigmoid::new(), ScalarAffineConfig::new(2.0, -1.0).init());
    let x = row(&line(), DType::F64);
    let (z, log_det) = Bijector::<2>::forward(&around, x.clone(), &());
    let (direct, direct_log_det) = Bijector::<2>::forward(&Tanh::new(), x, &());
    for (a, b) in numbers(z).iter().zip(numbers(direct)) {
        assert!((a - b).abs() <= 4.0 * f64::EPSILON, "{a} {b}");
    }
    let (a, b) = (numbers(log_det)[0], numbers(direct_log_det)[0]);
    assert!((a - b).abs() <= 1e-13 * a.abs(), "{a} {b}");
}
