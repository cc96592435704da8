//! The upper bound of a mixture's log-scales: nothing below the knee, smooth above, and what it is
//! for: flows whose networks extrapolate can be sampled.
//!
//! One component is `z = e^{tanh a}·(x − μ)e^−s̄ + b`, so at `a = 0` minus the log-derivative is
//! the bounded log-scale.

use burn::tensor::{DType, Device, Tensor};
use flowkit::data::TwoMoons;
use flowkit::law::{AnyLawConfig, Law, LawConfig, MixLogCdfConfig};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::testing::elements::{device_rng, distance, elements, normal, tensor};
use flowkit::testing::parameters::change;
use flowkit::{Bijector, Density, Flow, FlowError, StandardNormal, Uninit};

const TYPES: [DType; 2] = [DType::F32, DType::F64];

fn epsilon(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}

/// `s̄`, with its slope, of a law of one component; the other parameters are 0.
fn bounded(config: MixLogCdfConfig, s: &[f64], dtype: DType) -> (Vec<f64>, Vec<f64>) {
    let n = s.len();
    let theta = [vec![0.0; 4 * n], s.to_vec()].concat();
    let theta = tensor::<3>(theta, [1, 5, n], dtype, &Device::flex().autodiff()).require_grad();
    let x = tensor(vec![0.0; n], [1, n], dtype, &Device::flex().autodiff());
    let (_, log_derivative) = config.build().unwrap().forward(x, theta.clone());
    let bounded = log_derivative.neg();
    let slope = theta.grad(&bounded.clone().sum().backward()).unwrap();
    (elements(&bounded), elements(&slope).split_off(4 * n))
}

/// `s` to the knee `max − 2`, then `max − 2/(1 + r + r²)`, with slope `(1 + 2r)/(1 + r + r²)²`.
fn expected(s: f64, max: f64) -> (f64, f64) {
    let r = (s - max + 2.0) / 2.0;
    if r <= 0.0 {
        return (s, 1.0);
    }
    let q = 1.0 + r + r * r;
    (max - 2.0 / q, (1.0 + 2.0 * r) / (q * q))
}

#[test]
fn the_bound_is_its_formula() {
    let s = [
        -6.9, -3.0, 0.0, 1.7, 3.25, 4.99, 5.01, 5.5, 6.0, 7.0, 8.0, 12.0, 50.0, 85.0, 200.0, 1e4,
        1e9,
    ];
    for (config, max) in [
        (MixLogCdfConfig::new(1), 7.0),
        (MixLogCdfConfig::new(1).with_max_log_scale(Some(2.0)), 2.0),
        (MixLogCdfConfig::new(1).with_max_log_scale(Some(3.5)), 3.5),
        (MixLogCdfConfig::new(1).with_max_log_scale(Some(40.0)), 40.0),
    ] {
        for dtype in TYPES {
            let rounded: Vec<f64> =
                elements(&tensor::<1>(s.to_vec(), [s.len()], dtype, &Device::flex()));
            let (found, slopes) = bounded(config.clone(), &rounded, dtype);
            for ((s, found), slope) in rounded.iter().zip(found).zip(slopes) {
                let (value, derivative) = expected(*s, max);
                // The log-derivative is formed from parts of the size of s̄, and r from s − k.
                let allowed = 16.0 * epsilon(dtype) * (1.0 + value.abs());
                assert!(
                    (found - value).abs() <= allowed,
                    "{max} {dtype:?} s = {s}: {found} {value}"
                );
                let allowed =
                    32.0 * epsilon(dtype) * (1.0 + s.abs().min(1e3)) * derivative.max(1e-3);
                assert!(
                    (slope - derivative).abs() <= allowed,
                    "{max} {dtype:?} s = {s}: slope {slope} {derivative}"
                );
                assert!(
                    slope > 0.0 && found <= max + 1e-5,
                    "{max} {dtype:?} s = {s}: {found} {slope}"
                );
            }
        }
    }
}

/// The authors' formula, which has no bound.
#[test]
fn without_a_bound_log_scales_are_their_parameters() {
    let s = [-6.5, 0.0, 4.0, 6.0, 9.0, 30.0, 60.0];
    let (found, slopes) = bounded(MixLogCdfConfig::new(1).with_max_log_scale(None), &s, DType::F64);
    assert!(distance(&found, &s) < 1e-12, "{found:?}");
    assert!(distance(&slopes, &[1.0; 7]) < 1e-12, "{slopes:?}");
}

/// Up to the knee the bound changes no bit of a value or a gradient.
#[test]
fn below_the_knee_nothing_changes() {
    let (k, dims) = (4, 200);
    let law = |max| MixLogCdfConfig::new(k).with_max_log_scale(max).build().unwrap();
    for dtype in TYPES {
        let n_params = law(None).n_params();
        let mut theta = normal(1, n_params * dims, 1.5);
        let first = (2 + 2 * k) * dims;
        theta[first..].iter_mut().for_each(|s| *s = (2.0 * *s).min(5.0));
        let outcome = |max| {
            let device = Device::flex().autodiff();
            let theta =
                tensor::<3>(theta.clone(), [1, n_params, dims], dtype, &device).require_grad();
            let x = tensor::<2>(normal(2, dims, 3.0), [1, dims], dtype, &device).require_grad();
            let (z, log_derivative) = law(max).forward(x.clone(), theta.clone());
            let gradients = (z.clone() * 0.7 + log_derivative.clone()).sum().backward();
            let gradients = [
                elements(&x.grad(&gradients).unwrap()),
                elements(&theta.grad(&gradients).unwrap()),
            ];
            let back = law(max).inverse(z.clone().inner(), theta.inner());
            [elements(&z), elements(&log_derivative), elements(&back), gradients.concat()]
        };
        let names = ["z", "log-derivative", "inverse", "gradients"];
        for ((bounded, free), name) in outcome(Some(7.0)).iter().zip(outcome(None)).zip(names) {
            assert!(*bounded == free, "{dtype:?}: {name} differs by {}", distance(bounded, &free));
        }
    }
}

/// However large a log-scale a network asks for, the law has an inverse.
#[test]
fn log_scales_of_any_size_can_be_inverted() {
    let s = [81.0, 100.0, 1e3, 1e6, 1e20, 1e38];
    for dtype in TYPES {
        for z in [-9.0, -0.5, 0.0, 3.0, 9.0] {
            let theta = |config: MixLogCdfConfig| {
                let zeros = vec![0.0; 2 * s.len()];
                let logits = vec![0.0; 2 * s.len()];
                let means = [vec![-1.0; s.len()], vec![2.0; s.len()]].concat();
                let all = [zeros, logits, means, s.to_vec(), s.to_vec()].concat();
                let theta: Tensor<3> = tensor(all, [1, 8, s.len()], dtype, &Device::flex());
                let z: Tensor<2> = tensor(vec![z; s.len()], [1, s.len()], dtype, &Device::flex());
                let law = config.build().unwrap();
                let x = law.inverse(z.clone(), theta.clone());
                let (back, _) = law.forward(x, theta);
                elements(&back)
            };
            let back = theta(MixLogCdfConfig::new(2));
            assert!(
                distance(&back, &[z; 6]) <= 64.0 * epsilon(dtype) * 10.0,
                "{dtype:?} {z}: {back:?}"
            );
            if dtype == DType::F32 && z != 0.0 {
                let back = theta(MixLogCdfConfig::new(2).with_max_log_scale(None));
                assert!(back[1..].iter().all(|back| back.is_nan()), "{z}: {back:?}");
            }
        }
    }
}

/// Samples of a flow all of whose parameters got noise.
fn sampled<B: Bijector<2>>(
    init: impl Fn(&Device) -> Uninit<Flow<B, StandardNormal, 2>>,
    noise: f64,
    seed: u64,
) -> Result<Tensor<2>, FlowError> {
    let device = Device::flex();
    device.seed(seed);
    let x = TwoMoons::new(200, 0.1, seed).points(&device);
    let flow = init(&device).initialize(x).unwrap();
    let add = |index: usize, values: Vec<f64>| {
        let noise = normal(1000 * seed + index as u64, values.len(), noise);
        values.iter().zip(noise).map(|(value, noise)| value + noise).collect()
    };
    change(flow, DType::F32, add).sample(200)
}

#[test]
fn a_flow_with_noise_on_its_parameters_can_be_sampled() {
    let _guard = device_rng();
    for k in [2, 5] {
        let law = |max| AnyLawConfig::from(MixLogCdfConfig::new(k).with_max_log_scale(max));
        let default = || AnyLawConfig::from(MixLogCdfConfig::new(k));
        let mut lost = 0;
        for seed in 0..4 {
            for noise in [0.1, 0.3, 1.0] {
                let flow = |device: &Device| {
                    Flow::build(
                        &RealNvpConfig::new(8).with_law(default()),
                        StandardNormal::new(),
                        [1, 2],
                        device,
                    )
                    .unwrap()
                };
                sampled(flow, noise, seed)
                    .unwrap_or_else(|error| panic!("RealNVP, {k}, {noise}, {seed}: {error}"));
                let flow = |device: &Device| {
                    Flow::build(
                        &MafConfig::new(5).with_law(default()),
                        StandardNormal::new(),
                        [1, 2],
                        device,
                    )
                    .unwrap()
                };
                sampled(flow, noise, seed)
                    .unwrap_or_else(|error| panic!("MAF, {k}, {noise}, {seed}: {error}"));
                let free = |device: &Device| {
                    Flow::build(
                        &RealNvpConfig::new(8).with_law(law(None)),
                        StandardNormal::new(),
                        [1, 2],
                        device,
                    )
                    .unwrap()
                };
                lost += usize::from(sampled(free, noise, seed).is_err());
            }
        }
        assert!(lost >= 8, "without the bound {lost} of 12 could not be sampled");
    }
}
