//! Samples with their log-density, and batches of which some rows fail.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::f64::consts::{LN_2, PI};

use crate::build::{fixed, layer};
use crate::draws::seeded;
use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::tensor::per_example::sum_event;
use flowkit::testing::elements::elements;
use flowkit::{
    ActNorm, ActNormConfig, Bijector, Context, Density, FailedRow, Flow, FlowError, Invert,
    LogitConfig, Prior, RowFault, ShapeError, ShapeMap, Sigmoid, StandardNormal, Tanh, Uniform,
    UniformDequantizationConfig,
};

fn device() -> Device {
    Device::flex()
}

const N: usize = 200;
const DIMS: usize = 3;

/// The latents that a flow draws first after a seed, in float64.
fn latents(prior: &impl Prior<2>, temperature: f64) -> Vec<f64> {
    elements(&prior.sample([N, DIMS], temperature, &(), &device(), DType::F32))
}

fn ln_normal(z: f64) -> f64 {
    -0.5 * z * z - 0.5 * (2.0 * PI).ln()
}

/// `ln σ(z) σ(−z)`.
fn ln_sigmoid_slope(z: f64) -> f64 {
    -z.abs() - 2.0 * (-z.abs()).exp().ln_1p()
}

/// `ln (1 − tanh² z)`.
fn ln_tanh_slope(z: f64) -> f64 {
    2.0 * (LN_2 - z.abs() - (-2.0 * z.abs()).exp().ln_1p())
}

/// Log-densities of samples of a flow with a standard normal prior against
/// `ln_normal(z) − ln_slope(z)` in float64, summed over an example. `ends` are where samples round
/// to.
fn check<B: Bijector<2>>(
    bijector: B,
    temperature: f64,
    ends: [f64; 2],
    ln_slope: impl Fn(f64) -> f64,
) {
    let flow = Flow::new(bijector, StandardNormal::new(), [1, DIMS]).unwrap().without_data();
    let guard = seeded(&device(), 31);
    let z = latents(&StandardNormal::new(), temperature);
    device().seed(31);
    let samples = flow.sample_with_log_prob_at(N, temperature).unwrap();
    device().seed(31);
    let alone = flow.sample_at(N, temperature).unwrap();
    device().seed(31);
    let rows = flow.sample_rows_with_log_prob_at(N, temperature).unwrap();
    drop(guard);
    let x = elements(&samples.x);
    assert_eq!(x, elements(&alone));
    assert_eq!((x.clone(), rows.rows.len(), rows.failed.len()), (elements(&rows.samples.x), N, 0));
    assert_eq!(samples.log_likelihood, rows.samples.log_likelihood);
    assert_eq!(samples.log_likelihood.dims(), DIMS);
    for end in ends {
        assert!(x.contains(&end), "no sample rounds to {end}");
    }
    let (mut worst, mut at_end) = (0.0f64, 0);
    for (row, nats) in samples.log_likelihood.nats().iter().enumerate() {
        let own = &z[row * DIMS..][..DIMS];
        let expected: f64 = own.iter().map(|&z| ln_normal(z) - ln_slope(z)).sum();
        // A few roundings of terms as large as the largest.
        let size: f64 = own.iter().map(|&z| 1.0 + z * z + ln_slope(z).abs()).sum();
        worst = worst.max((nats - expected).abs() / size);
        at_end += usize::from(x[row * DIMS..][..DIMS].iter().any(|x| ends.contains(x)));
    }
    assert!(worst < 3e-7, "off by {worst}");
    assert!(at_end > 5 && at_end < N - 5, "{at_end} of {N} rows at an end");

    // What evaluation knows of the same samples: all but those at an end.
    assert!(flow.evaluate(samples.x.clone()).is_err());
    let evaluated = flow.evaluate_rows(samples.x).unwrap();
    let failed = evaluated.failed();
    assert_eq!(failed.len(), at_end);
    assert!(failed.iter().all(|failed| matches!(failed.fault, RowFault::Likelihood { .. })));
    assert!(
        failed.iter().all(|failed| x[failed.row * DIMS..][..DIMS].iter().any(|x| ends.contains(x)))
    );
    assert_eq!(evaluated.good().len() + at_end, N);
    assert_eq!(evaluated.log_likelihood().unwrap().nats().len(), N - at_end);
}

#[test]
fn samples_of_a_tanh_flow_have_their_density_at_the_ends_too() {
    check(Invert::new(Tanh::new()), 4.0, [-1.0, 1.0], ln_tanh_slope);
}

#[test]
fn samples_of_a_logit_flow_have_their_density_at_the_ends_too() {
    // Below −104 a sigmoid is 0 in float32.
    check(fixed(&LogitConfig::new().with_margin(0.0)), 50.0, [0.0, 1.0], ln_sigmoid_slope);
    check(Invert::new(Sigmoid::new()), 50.0, [0.0, 1.0], ln_sigmoid_slope);
}

/// A norm between the latents and the interval: `z = (ln x − ln(1 − x))·e^s`, so the derivative has
/// a factor `e^−s` more.
#[test]
fn layers_before_the_interval_keep_the_density() {
    let norm = |device: &Device| -> ActNorm<2> {
        let mut norm = layer(&ActNormConfig::new(), [1, DIMS], device);
        norm.log_scale = burn::module::Param::from_data([[-3.0; DIMS]], device);
        norm
    };
    let scale = 3.0f64.exp();
    let slope = move |z: f64| ln_sigmoid_slope(scale * z) + 3.0;
    check((fixed(&LogitConfig::new().with_margin(0.0)), norm(&device())), 2.5, [0.0, 1.0], slope);
}

/// Whatever the temperature, the density is the model's own: that of evaluation.
#[test]
fn the_density_is_the_models_at_every_temperature() {
    let _guard = seeded(&device(), 32);
    let flow = Flow::new(fixed(&LogitConfig::new()), StandardNormal::new(), [1, DIMS])
        .unwrap()
        .without_data();
    for temperature in [0.0, 0.3, 1.0, 1.5] {
        let samples = flow.sample_with_log_prob_at(50, temperature).unwrap();
        let evaluated = flow.evaluate(samples.x).unwrap();
        for (own, evaluated) in samples.log_likelihood.nats().iter().zip(evaluated.nats()) {
            assert!((own - evaluated).abs() < 1e-3, "{temperature}: {own} {evaluated}");
        }
    }
    // At 0 all samples are the image of z = 0: ln N(0) − ln(σ(0) σ(0) / 0.9) each.
    let samples = flow.sample_with_log_prob_at(2, 0.0).unwrap();
    let expected = DIMS as f64 * (ln_normal(0.0) + 0.9f64.ln() + 4.0f64.ln());
    assert!(samples.log_likelihood.nats().iter().all(|nats| (nats - expected).abs() < 1e-5));
    for (n, temperature) in [(0, 1.0), (1, -1.0), (1, f64::NAN)] {
        assert!(flow.sample_with_log_prob_at(n, temperature).is_err());
        assert!(flow.sample_rows_at(n, temperature).is_err());
        assert!(flow.sample_rows_with_log_prob_at(n, temperature).is_err());
    }
}

/// `z = x·exp(c)` for a condition `[batch, 1]`.
#[derive(Module, Debug)]
struct Scale {}

impl ShapeMap<2> for Scale {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        Ok(shape)
    }
}

impl Bijector<2, Tensor<2>> for Scale {
    type Driver = flowkit::Leaf;

    fn forward(&self, x: Tensor<2>, context: &Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let log_scale = context.clone().expand(x.dims());
        (x * log_scale.clone().exp(), sum_event(log_scale))
    }

    fn inverse(&self, z: Tensor<2>, context: &Tensor<2>) -> Tensor<2> {
        z * context.clone().neg().exp()
    }
}

/// Latents outside of (0, 1) have no inverse under a sigmoid. The rows that failed are named, the
/// others are where their conditions are.
#[test]
fn rows_that_cannot_be_inverted_are_named() {
    let temperature = 1.2;
    let layers = (Scale {}, Sigmoid::new());
    let flow = Flow::<_, _, 2, Tensor<2>>::new_given(layers, Uniform::new(), [1, DIMS])
        .unwrap()
        .without_data();
    let c: Vec<f32> = (0..N).map(|row| (row % 7) as f32 - 3.0).collect();
    let context = Tensor::<2>::from_data(TensorData::new(c.clone(), [N, 1]), &device());
    let guard = seeded(&device(), 33);
    let z = latents(&Uniform::new(), temperature);
    let again = || device().seed(33);
    again();
    let error = flow.given(&context).sample_at(N, temperature).unwrap_err();
    again();
    let rows = flow.given(&context).sample_rows_at(N, temperature).unwrap();
    again();
    let with_density = flow.given(&context).sample_rows_with_log_prob_at(N, temperature).unwrap();
    drop(guard);

    let outside =
        |row: usize| z[row * DIMS..][..DIMS].iter().filter(|&&z| !(z > 0.0 && z < 1.0)).count();
    let bad: Vec<usize> = (0..N).filter(|&row| outside(row) > 0).collect();
    let good: Vec<usize> = (0..N).filter(|&row| outside(row) == 0).collect();
    assert!(bad.len() > 10 && good.len() > 10);
    let count: usize = bad.iter().map(|&row| outside(row)).sum();
    assert_eq!(error, FlowError::NotInverted { count, total: N * DIMS, rows: bad.clone() });
    let first: Vec<String> = bad[..8].iter().map(usize::to_string).collect();
    let text = format!(
        "{count} of {} elements are undefined because latents could not be inverted, in examples \
         {} and {} more; `sample_rows` gives the other examples",
        N * DIMS,
        first.join(", "),
        bad.len() - 8
    );
    assert_eq!(error.to_string(), text);

    let fault = |row: usize| RowFault::NotInverted { count: outside(row), total: DIMS };
    let failed: Vec<FailedRow> =
        bad.iter().map(|&row| FailedRow { row, fault: fault(row) }).collect();
    assert_eq!((&rows.rows, &rows.failed), (&good, &failed));
    assert_eq!((&with_density.rows, &with_density.failed), (&good, &failed));
    let x = elements(&rows.samples);
    assert_eq!(x, elements(&with_density.samples.x));
    for (place, &row) in good.iter().enumerate() {
        let c = f64::from(c[row]);
        let own = &z[row * DIMS..][..DIMS];
        for (x, z) in x[place * DIMS..].iter().zip(own) {
            let expected = (z.ln() - (-z).ln_1p()) * (-c).exp();
            assert!((x - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{row}: {x} {expected}");
        }
        // Uniform latents: ln p(x) = ln|∂z/∂x| = c + ln z (1 − z).
        let expected: f64 = own.iter().map(|z| c + z.ln() + (-z).ln_1p()).sum();
        let nats = with_density.samples.log_likelihood.nats()[place];
        assert!(
            (nats - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "{row}: {nats} {expected}"
        );
    }
}

/// Where no row is left there is no sample to give.
#[test]
fn no_good_row_is_an_error() {
    let _guard = seeded(&device(), 34);
    let flow = Flow::new(Invert::new(Invert::new(Sigmoid::new())), Uniform::new(), [1, 400])
        .unwrap()
        .without_data();
    let all = vec![0, 1, 2];
    for error in [
        flow.sample_rows_at(3, 1e3).unwrap_err(),
        flow.sample_rows_with_log_prob_at(3, 1e3).unwrap_err(),
        flow.sample_with_log_prob_at(3, 1e3).unwrap_err(),
    ] {
        assert!(matches!(&error, FlowError::NotInverted { rows, .. } if *rows == all), "{error}");
    }
}

/// Latents outside of the prior's support can be inverted, and have no density under the model.
#[test]
fn a_sample_without_density_is_named() {
    let _guard = seeded(&device(), 35);
    let layer = layer(&ActNormConfig::new(), [1, 2], &device());
    let flow = Flow::new(layer, Uniform::new(), [1, 2]).unwrap().without_data();
    assert!(flow.sample_at(64, 1.2).is_ok());
    let error = flow.sample_with_log_prob_at(64, 1.2).unwrap_err();
    assert!(
        matches!(error, FlowError::NonFiniteLikelihood { value: f64::NEG_INFINITY, .. }),
        "{error}"
    );
    let rows = flow.sample_rows_with_log_prob_at(64, 1.2).unwrap();
    assert!(!rows.failed.is_empty() && rows.rows.len() + rows.failed.len() == 64);
    let minus_infinity = RowFault::Likelihood { value: f64::NEG_INFINITY };
    assert!(rows.failed.iter().all(|failed| failed.fault == minus_infinity));
    assert!(rows.samples.log_likelihood.nats().iter().all(|nats| nats.abs() < 1e-6));
}

/// One row that is not finite, one at an end, the others as if they were alone.
#[test]
fn evaluation_marks_rows() {
    let layers = (Scale {}, fixed(&LogitConfig::new().with_margin(0.0)));
    let flow = Flow::<_, _, 2, Tensor<2>>::new_given(layers, StandardNormal::new(), [1, 2])
        .unwrap()
        .without_data();
    let x = [[0.25f32, 0.5], [f32::NAN, f32::INFINITY], [0.125, 0.75], [0.5, 1.0], [0.5, 0.5]];
    let context = Tensor::<2>::from_data([[-0.5f32], [0.0], [0.25], [0.0], [-1.0]], &device());
    let rows = flow.given(&context).evaluate_rows(Tensor::<2>::from_data(x, &device())).unwrap();
    assert_eq!(rows.good(), [0, 2, 4]);
    let failed = rows.failed();
    assert_eq!(failed[0], FailedRow { row: 1, fault: RowFault::Input { count: 2, total: 2 } });
    assert_eq!(failed[0].to_string(), "row 1: the input is not finite: 2 of 2 elements");
    assert!(failed[1].row == 3 && matches!(failed[1].fault, RowFault::Likelihood { .. }));
    for (row, c) in [(0, -0.5), (2, 0.25), (4, -1.0)] {
        let one = |x: f32| {
            let p = f64::from(x) * f64::exp(c);
            ln_normal((p / (1.0 - p)).ln()) - (p * (1.0 - p)).ln() + c
        };
        let (found, expected) = (rows.rows()[row].unwrap(), one(x[row][0]) + one(x[row][1]));
        assert!((found - expected).abs() < 1e-5, "{row}: {found} {expected}");
    }
    let error = rows.whole().unwrap_err();
    assert_eq!(error, FlowError::NonFiniteInput { count: 2, total: 2, example: 1 });
    // A batch without a good row still has its faults.
    let nothing = flow.given(&Context::rows(&context, 0..1)).evaluate_rows(Tensor::<2>::full(
        [1, 2],
        f32::NAN,
        &device(),
    ));
    let nothing = nothing.unwrap();
    assert!(
        nothing.good().is_empty()
            && nothing.log_likelihood().is_none()
            && nothing.failed().len() == 1
    );
}

/// Bounds mark rows too, and so do samples of discrete data.
#[test]
fn rows_of_a_bound() {
    let dequantization = || UniformDequantizationConfig::new().with_n_levels(4).build().unwrap();
    // y in [0, 1) times exp(c), in the support of a logit only where that stays below 1.
    let layers = (Scale {}, fixed(&LogitConfig::new().with_margin(0.0)));
    let flow = Flow::<_, _, 2, Tensor<2>>::new_given(layers, StandardNormal::new(), [1, 2])
        .map(|flow| flow.behind(dequantization()));
    let flow = flow.unwrap().without_data();
    let x = Tensor::<2, Int>::from_data([[0, 1], [3, 3], [1, 2]], &device());
    let context = Tensor::<2>::from_data([[-0.5f32], [2.0], [-0.25]], &device());
    let _guard = seeded(&device(), 36);
    let rows = flow.given(&context).evaluate_rows(x.clone()).unwrap();
    assert_eq!((rows.good(), rows.failed()[0].row), (vec![0, 2], 1));
    let weighted = flow.given(&context).evaluate_importance_weighted_rows(x.clone(), 5).unwrap();
    assert_eq!((weighted.good(), weighted.failed()[0].row), (vec![0, 2], 1));
    let error = flow.given(&context).evaluate(x.clone()).unwrap_err();
    assert!(matches!(error, FlowError::NonFiniteLikelihood { example: 1, .. }), "{error}");
    let error = flow.given(&context).evaluate_importance_weighted(x, 5).unwrap_err();
    assert!(matches!(error, FlowError::NonFiniteLikelihood { example: 1, .. }), "{error}");

    let flow = Flow::new(Sigmoid::new(), Uniform::new(), [1, 2])
        .unwrap()
        .behind(dequantization())
        .without_data();
    device().seed(37);
    let error = flow.sample_at(100, 1.3).unwrap_err();
    device().seed(37);
    let rows = flow.sample_rows_at(100, 1.3).unwrap();
    let failed: Vec<usize> = rows.failed.iter().map(|failed| failed.row).collect();
    assert!(matches!(error, FlowError::NotInverted { rows, .. } if rows == failed));
    assert_eq!(rows.samples.dims(), [100 - failed.len(), 2]);
}
