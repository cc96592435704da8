//! Laws whose scales and slopes stay within a range for every theta: `FlooredAffine` and
//! `SoftClipSpline`, beside their formulas in float64.

mod common;

use burn::tensor::Tensor;
use common::tolerance::{elementwise, limit};
use common::{Precision, values};
use flowkit::law::{FlooredAffineConfig, Law, LawConfig, ScaleForm, SoftClipSplineConfig};
use flowkit::testing::elements::normal;

const FORMS: [ScaleForm; 3] = [ScaleForm::Softplus, ScaleForm::Sigmoid, ScaleForm::SoftClip];

/// Parameters, from where functions are flat to where they are steep.
const S: [f64; 15] =
    [-1e30, -1e4, -90.0, -20.0, -6.0, -1.0, -1e-3, 0.0, 1e-3, 0.5, 3.0, 8.0, 20.0, 90.0, 1e4];

fn sigmoid(x: f64) -> f64 {
    if x > 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// The scale of a parameter, and the derivative of its logarithm.
fn scale(form: ScaleForm, s: f64, least: f64) -> (f64, f64) {
    match form {
        ScaleForm::Softplus => {
            let scale = least + s.max(0.0) + (-s.abs()).exp().ln_1p();
            (scale, sigmoid(s) / scale)
        }
        ScaleForm::Sigmoid => {
            let scale = least + sigmoid(s + 2.0);
            (scale, sigmoid(s + 2.0) * sigmoid(-s - 2.0) / scale)
        }
        ScaleForm::SoftClip => {
            let one = 1.0 + s.abs() / -least.ln();
            ((s / one).exp(), 1.0 / (one * one))
        }
    }
}

#[test]
fn affine_scales_have_a_floor() {
    for (precision, form, least) in
        [Precision::Double, Precision::Single].into_iter().flat_map(|precision| {
            FORMS
                .into_iter()
                .flat_map(move |form| [1e-3, 0.2].map(|least| (precision, form, least)))
        })
    {
        let law = FlooredAffineConfig::new(form).with_least(least).build().unwrap();
        let n = S.len();
        let (x, t) = (normal(1, n, 2.0), normal(2, n, 1.0));
        let theta = precision.leaf::<3>([S.as_slice(), &t].concat(), [1, 2, n]);
        let (z, log_slope) = law.forward(precision.tensor(x.clone(), [1, n]), theta.clone());
        let expected: Vec<(f64, f64)> = S.iter().map(|&s| scale(form, s, least)).collect();
        let check = |what: &str, found: Vec<f64>, truth: Vec<f64>, most: f64| {
            let error = elementwise(&found, &truth);
            assert!(error <= most, "{form:?} {least} {precision:?} {what}: {error:e} {found:?}");
        };
        let most = limit(precision);
        let truth = x.iter().zip(&t).zip(&expected).map(|((x, t), (a, _))| x * a + t).collect();
        check("z", values(z.clone()), truth, most);
        let truth = expected.iter().map(|(a, _)| a.ln()).collect();
        check("ln a", values(log_slope.clone()), truth, most);
        let truth: Vec<f64> = expected.iter().map(|&(_, derivative)| derivative).collect();
        let gradient = theta.grad(&log_slope.sum().backward()).unwrap();
        let gradient = values(gradient.narrow(1, 0, 1));
        check("derivative", gradient.clone(), truth.clone(), most);
        // Accurate however small it is.
        for (found, truth) in gradient.iter().zip(truth).filter(|(_, truth)| *truth > 1e-30) {
            assert!((found / truth - 1.0).abs() < 1e3 * most, "{form:?}: {found:e}, {truth:e}");
        }
        let (back, log_slope) = law.inverse_with_log_derivative(z.clone(), theta.clone());
        // The inverse magnifies a rounding of z by 1/a.
        let errors = values(back.clone()).into_iter().zip(&x).zip(&expected);
        for ((found, x), (a, _)) in errors {
            let size = x.abs().max(1.0) + 1.0 / a;
            assert!((found - x).abs() <= most * size, "{form:?} {precision:?}: {found} {x}");
        }
        assert_eq!(values(back), values(law.inverse(z, theta)));
        check("−ln a", values(log_slope), expected.iter().map(|(a, _)| -a.ln()).collect(), most);
        let (s, t) = (law.theta_init()[0], law.theta_init()[1]);
        assert!((scale(form, s, least).0 - 1.0).abs() < 1e-12 && t == 0.0, "{form:?}: {s}");
    }
}

/// A spline in float64, element by element: `z` and the logarithm of the slope.
fn spline(x: f64, theta: &[f64], bound: f64, slope: f64) -> (f64, f64) {
    let n = theta.len().div_ceil(3);
    let clip = |v: f64, limit: f64| v / (1.0 + v.abs() / limit);
    let limit = -slope.ln();
    let sizes = |logits: &[f64]| -> Vec<f64> {
        let weights: Vec<f64> = logits.iter().map(|&v| clip(v, limit / 2.0).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| 2.0 * bound * weight / sum).collect()
    };
    let (widths, heights) = (sizes(&theta[..n]), sizes(&theta[n..2 * n]));
    let slopes = theta[2 * n..].iter().map(|&c| clip(c, limit).exp());
    let slopes: Vec<f64> = [1.0].into_iter().chain(slopes).chain([1.0]).collect();
    if x.abs() >= bound {
        return (x, 0.0);
    }
    let (mut left, mut low, mut k) = (-bound, -bound, 0);
    while k + 1 < n && x >= left + widths[k] {
        (left, low, k) = (left + widths[k], low + heights[k], k + 1);
    }
    let (w, h, d, e) = (widths[k], heights[k], slopes[k], slopes[k + 1]);
    let (s, p) = (h / w, (x - left) / w);
    let q = s + (d + e - 2.0 * s) * p * (1.0 - p);
    let z = low + h * (s * p * p + d * p * (1.0 - p)) / q;
    let slope = s * s * (e * p * p + 2.0 * s * p * (1.0 - p) + d * (1.0 - p) * (1.0 - p)) / (q * q);
    (z, slope.ln())
}

#[test]
fn splines_are_clipped() {
    for (precision, n_bins, size) in
        [Precision::Double, Precision::Single].into_iter().flat_map(|precision| {
            [(2, 1.0), (5, 3.0), (8, 30.0), (8, 1e30)]
                .map(|(n_bins, size)| (precision, n_bins, size))
        })
    {
        let (bound, slope, n) = (4.0, 1e-3, 64);
        let law = SoftClipSplineConfig::new(n_bins).with_bound(bound).with_slope(slope);
        let law = law.build().unwrap();
        let x: Vec<f64> = normal(3, n, 2.5).iter().map(|&v| f64::from(v as f32)).collect();
        let params = law.n_params();
        let theta: Vec<f64> =
            normal(4, params * n, size).iter().map(|&v| f64::from(v as f32)).collect();
        let input = precision.leaf::<3>(theta.clone(), [1, params, n]);
        let at = precision.tensor(x.clone(), [1, n]);
        let (z, log_slope) = law.forward(at.clone(), input.clone());
        let of = |i: usize| -> Vec<f64> { (0..params).map(|p| theta[p * n + i]).collect() };
        let truth: Vec<(f64, f64)> = (0..n).map(|i| spline(x[i], &of(i), bound, slope)).collect();
        // A position in a bin is known to a rounding of the bound, and slopes reach 1000.
        let most = if precision == Precision::Double { 1e-10 } else { 2e-3 };
        for (i, ((z, log_slope), truth)) in
            values(z.clone()).into_iter().zip(values(log_slope.clone())).zip(&truth).enumerate()
        {
            let steep = truth.1.exp().max(1.0);
            let place = format!("{precision:?}, {n_bins} bins of size {size:e}, {}", x[i]);
            assert!((z - truth.0).abs() <= most * steep, "{place}: {z}, {}", truth.0);
            assert!((log_slope - truth.1).abs() <= most * 30.0, "{place}: {log_slope}, {truth:?}");
        }
        let back = values(law.inverse(z.clone(), input.clone()));
        for ((back, x), (_, log_slope)) in back.iter().zip(&x).zip(&truth) {
            let flat = (-log_slope).exp().max(1.0);
            assert!((back - x).abs() <= most * flat, "{precision:?} {size:e}: {back}, {x}");
        }
        let loss = z.sum() + log_slope.sum();
        let gradient = values(input.grad(&loss.backward()).unwrap());
        assert!(gradient.iter().all(|value| value.is_finite()), "{precision:?} {size:e}");
    }
}

#[test]
fn limits_are_checked() {
    for least in [0.0, 1e-7, 0.6, f64::NAN] {
        let error = FlooredAffineConfig::new(ScaleForm::Sigmoid).with_least(least).build();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("FlooredAffineConfig") && error.contains("`least`"), "{error}");
    }
    let spline = || SoftClipSplineConfig::new(8);
    for (config, field) in [
        (SoftClipSplineConfig::new(1), "n_bins"),
        (spline().with_bound(0.0), "bound"),
        (spline().with_bound(f64::NAN), "bound"),
        (spline().with_slope(1.0), "slope"),
        (spline().with_slope(1e-6), "slope"),
        (spline().with_slope(f64::NAN), "slope"),
    ] {
        let error = config.build().unwrap_err().to_string();
        assert!(error.contains("SoftClipSplineConfig") && error.contains(field), "{error}");
    }
    let law = spline().build().unwrap();
    let x = Tensor::<2>::zeros([2, 3], &Precision::Single.device());
    let theta = Tensor::<3>::zeros([2, law.n_params(), 3], &Precision::Single.device());
    let (z, log_slope) = law.forward(x, theta);
    assert!(values(z).iter().chain(&values(log_slope)).all(|value| value.abs() < 1e-5));
}
