//! The Gaussianization law in float32 and float64: its quantile against 50 digits, mixtures against
//! their definition, both tails, the density that it states, and its gradients.

use std::f64::consts::PI;

use burn::tensor::{DType, Device};
use flowkit::ConfigError;
use flowkit::law::{Gaussianization, GaussianizationConfig, Law, LawConfig};
use flowkit::testing::tolerance::roughness;

#[path = "common/one_law.rs"]
mod one_law;

use one_law::{TYPES, draws, forward, gradients_are_differences, gradients_are_finite, inverse};

fn law(k: usize) -> Gaussianization {
    GaussianizationConfig::new(k).build().unwrap()
}

/// `t`, `Φ⁻¹(σ(t))` and the logarithm of its derivative: mpmath with 50 digits.
const QUANTILES: [[f64; 3]; 19] = [
    [1.0e-6, 6.266_570_686_577_389e-7, -0.467_355_827_915_271_5],
    [0.01, 0.006_266_559_479_824_919, -0.467_361_192_927_194_8],
    [0.5, 0.311_946_296_049_254_1, -0.480_560_189_346_116_2],
    [1.0, 0.616_017_692_672_450_5, -0.517_845_942_989_028_1],
    [2.25, 1.308_514_293_242_125_5, -0.675_369_756_819_352],
    [2.5, 1.433_495_233_738_253_2, -0.711_386_642_805_281_9],
    [2.75, 1.554_046_604_463_942, -0.747_466_220_378_770_7],
    [4.0, 2.097_239_042_780_17, -0.918_155_521_350_204_5],
    [8.0, 3.401_284_338_077_781, -1.297_364_705_314_514],
    [15.0, 4.987_453_162_494_811, -1.643_717_554_560_129],
    [24.5, 6.584_003_294_403_373, -1.906_511_776_483_886_5],
    [25.5, 6.731_027_365_105_309, -1.927_696_771_913_915],
    [40.0, 8.592_675_718_473_772, -2.164_023_465_370_951],
    [75.0, 11.965_962_496_592_53, -2.488_932_231_865_843],
    [150.0, 17.101_957_677_230_91, -2.842_583_269_896_697_6],
    [400.0, 28.133_355_508_542_44, -3.338_215_381_777_693],
    [677.0, 36.673_648_873_340_35, -3.602_800_624_266_407],
    [1000.0, 44.615_747_731_969_4, -3.798_588_625_428_862_5],
    [20000.0, 199.968_911_956_565_57, -5.298_186_920_459_326],
];

/// `z` and `ln Φ(z) − ln Φ(−z)`.
const LOGITS: [[f64; 2]; 11] = [
    [1.0e-7, 1.595_769_121_605_731_4e-7],
    [0.3, 0.480_692_656_580_369_5],
    [0.999, 1.666_455_345_964_245_4],
    [1.001, 1.670_080_816_595_995_5],
    [2.0, 3.760_171_424_353_068_5],
    [5.0, 15.064_998_107_337_113],
    [8.0, 35.013_437_159_914_55],
    [12.0, 75.410_673_001_568_8],
    [20.0, 203.917_155_371_097_26],
    [38.0, 726.557_216_018_820_1],
    [100.0, 5_005.524_208_694_205],
];

/// With one component of mean 0 and scale 1, `t = x`.
#[test]
fn quantiles_have_all_digits_in_both_tails() {
    let theta = [0.0, 0.0, 0.0];
    for (dtype, epsilon) in TYPES {
        let rough = if dtype == DType::F32 { roughness(&Device::default()) } else { 1.0 };
        let [mut value, mut slope, mut back] = [0.0f64; 3];
        for sign in [1.0, -1.0] {
            let t = QUANTILES.map(|row| sign * row[0]);
            let found = forward(&law(1), &theta, &t, dtype);
            for (i, [_, z, log_slope]) in QUANTILES.into_iter().enumerate() {
                // The kernel's `t` is off by a rounding of 1.
                let error = (sign * found.value[i] - z).abs() / (1.0 + z);
                value = value.max(error / epsilon);
                slope = slope.max((found.log_derivative[i] / log_slope - 1.0).abs() / epsilon);
            }
            let z = LOGITS.map(|row| sign * row[0]);
            let found = inverse(&law(1), &theta, &z, dtype);
            for (i, [_, t]) in LOGITS.into_iter().enumerate() {
                // The kernel solves for a residual of `ε(1 + |t|)`.
                let error = (sign * found.value[i] - t).abs() / (1.0 + t);
                back = back.max(error / epsilon);
            }
        }
        println!("{dtype:?}: value {value:.1} ε, log-slope {slope:.1} ε, inverse {back:.1} ε");
        assert!(value <= 8.0 * rough && slope <= 16.0 * rough && back <= 8.0 * rough);
    }
    // 0 is 0, and what has no quantile has none.
    let special = [0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    for dtype in [DType::F32, DType::F64] {
        let found = forward(&law(1), &theta, &special, dtype);
        assert_eq!(found.value[0], 0.0);
        assert!(found.value[3].is_nan());
        let back = inverse(&law(1), &theta, &special, dtype);
        assert_eq!(back.value[0], 0.0);
        assert!(back.value[1..].iter().all(|x| x.is_nan()), "{:?}", back.value);
    }
}

/// Logits, means and log-scales, as float32 numbers.
fn theta(k: usize, means: f64, log_scales: f64, seed: u64) -> Vec<f64> {
    [draws(k, 1.0, seed), draws(k, means, seed + 10), draws(k, log_scales, seed + 20)].concat()
}

/// `ln F`, `ln(1 − F)` and `ln F′` by their definition.
fn mixture(x: f64, theta: &[f64]) -> [f64; 3] {
    let k = theta.len() / 3;
    let log_sum = |terms: &dyn Fn(usize) -> f64| {
        let max = (0..k).map(terms).fold(f64::NEG_INFINITY, f64::max);
        max + (0..k).map(|i| (terms(i) - max).exp()).sum::<f64>().ln()
    };
    let log_sigmoid = |v: f64| v.min(0.0) - (-v.abs()).exp().ln_1p();
    let u = |i: usize| (x - theta[k + i]) * (-theta[2 * k + i]).exp();
    let total = log_sum(&|i| theta[i]);
    [
        log_sum(&|i| theta[i] + log_sigmoid(u(i))) - total,
        log_sum(&|i| theta[i] + log_sigmoid(-u(i))) - total,
        log_sum(&|i| theta[i] + log_sigmoid(u(i)) + log_sigmoid(-u(i)) - theta[2 * k + i]) - total,
    ]
}

/// A standard normal prior turns the law into the mixture's own density: the definition of both
/// outputs in one number, from −400 scales to 400.
#[test]
fn the_density_is_that_of_the_mixture() {
    for (dtype, epsilon) in TYPES {
        let rough = if dtype == DType::F32 { roughness(&Device::default()) } else { 1.0 };
        let mut worst = 0.0f64;
        for (k, seed) in [(1, 1), (2, 2), (5, 3), (16, 4)] {
            for (means, log_scales) in [(1.0, 0.3), (5.0, 1.0), (0.5, 2.0)] {
                let theta = theta(k, means, log_scales, seed);
                let x: Vec<f64> = (-40..=40).map(|i: i32| f64::from(i.pow(3)) / 160.0).collect();
                let found = forward(&law(k), &theta, &x, dtype);
                for (i, x) in x.into_iter().enumerate() {
                    let [_, _, log_density] = mixture(x, &theta);
                    let z = found.value[i];
                    let own = found.log_derivative[i] - 0.5 * z * z - 0.5 * (2.0 * PI).ln();
                    // Arguments of the components are off by two roundings of themselves.
                    let steepest = theta[2 * k..].iter().copied().fold(f64::INFINITY, f64::min);
                    let distance = (x.abs() + 3.0 * means) * (-steepest).exp();
                    let room = epsilon * (16.0 + z * z + 4.0 * distance);
                    worst = worst.max((own - log_density).abs() / room);
                }
            }
        }
        println!("{dtype:?}: {worst:.2} of what the type knows");
        assert!(worst <= 4.0 * rough, "{worst}");
    }
}

/// `Φ(z) = F(x)`, and `x` comes back, where `|z|` is up to 12 and beyond.
#[test]
fn both_tails_come_back() {
    for (dtype, epsilon) in TYPES {
        let rough = if dtype == DType::F32 { roughness(&Device::default()) } else { 1.0 };
        for (k, seed) in [(1, 5), (3, 6), (8, 7)] {
            let theta = theta(k, 2.0, 0.5, seed);
            let z: Vec<f64> = (-60..=60).map(|i| 0.25 * f64::from(i)).collect();
            let back = inverse(&law(k), &theta, &z, dtype);
            let again = forward(&law(k), &theta, &back.value, dtype);
            for (i, z) in z.into_iter().enumerate() {
                let x = back.value[i];
                let [below, above, log_density] = mixture(x, &theta);
                // One spacing of `t` and of `x` in `z`.
                let slope = again.log_derivative[i].exp();
                let t = (below - above).abs();
                let in_x = (1.0 + t) * (below + above - log_density).exp() + x.abs();
                let room = 8.0 * epsilon * (1.0 + z.abs() + slope * in_x) * rough;
                assert!(
                    (again.value[i] - z).abs() <= room,
                    "{dtype:?}, {k} components: {z} to {x} to {}",
                    again.value[i]
                );
                assert!((back.log_derivative[i] + again.log_derivative[i]).abs() <= 64.0 * epsilon);
            }
        }
    }
}

#[test]
fn gradients_are_right() {
    for (k, seed) in [(1, 8), (3, 9)] {
        let theta = theta(k, 1.0, 0.4, seed);
        // On both sides of 0, of the ranges of the quantile, and of 1.
        let x = [-30.0, -3.0, -1.0, -0.1, 0.2, 0.9, 1.6, 5.0, 12.0];
        gradients_are_differences(&law(k), &theta, &x);
        for log_scales in [0.4, 3.0] {
            let theta = self::theta(k, 5.0, log_scales, seed);
            gradients_are_finite(&law(k), &theta, &[-1e4, -12.0, 0.0, 1.0, 300.0]);
        }
    }
}

/// Extreme log-scales are bounded, and no output leaves the type.
#[test]
fn extreme_parameters_stay_finite() {
    for size in [10.0, 100.0, 1e4] {
        for seed in 0..5 {
            let theta = [draws(4, size, seed), draws(4, 3.0, seed), draws(4, size, seed)].concat();
            for x in [-1e3, -1.0, 0.0, 0.3, 1e3] {
                let found = forward(&law(4), &theta, &[x], DType::F32);
                assert!(found.value[0].is_finite() && found.log_derivative[0].is_finite());
            }
        }
    }
}

#[test]
fn it_starts_near_the_identity_with_components_apart() {
    for k in [1, 2, 4, 8, 32] {
        let law = law(k);
        let theta = law.theta_init();
        assert_eq!((theta.len(), law.n_params()), (3 * k, 3 * k));
        assert_eq!(law.check_init("Mlp", &theta), Ok(()));
        let x: Vec<f64> = (-20..=20).map(|i| 0.1 * f64::from(i)).collect();
        let found = forward(&law, &theta, &x, DType::F64);
        let farthest = found.value.iter().zip(&x).map(|(z, x)| (z - x).abs());
        let farthest = farthest.fold(0.0, f64::max);
        println!("K = {k}: {farthest:.3}");
        assert!(farthest < 0.09, "{k}: {farthest}");
        assert!(!law.is_affine());
    }
    let error = law(2).check_init("Mlp", &[0.0; 6]).unwrap_err();
    let ConfigError::EqualComponents { law: "Gaussianization", first: 0, second: 1, .. } = error
    else {
        panic!("{error}")
    };
}

#[test]
fn configurations_are_checked() {
    let error = |config: GaussianizationConfig| config.build().map(|_| ()).unwrap_err().to_string();
    let config = || GaussianizationConfig::new(2);
    for (config, text) in [
        (GaussianizationConfig::new(0), "GaussianizationConfig: `n_components` must be at least 1"),
        (config().with_min_log_scale(-81.0), "GaussianizationConfig: `min_log_scale`"),
        (config().with_max_log_scale(Some(1.0)), "GaussianizationConfig: `max_log_scale`"),
    ] {
        let found = error(config);
        assert!(found.starts_with(text), "{found}");
    }
}
