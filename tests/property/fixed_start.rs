//! Random starts are fixed where a module is made: what is drawn before its first use changes
//! nothing.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use flowkit::conditioner::layer::DataInitConvConfig;
use flowkit::law::{AnyLawConfig, MixLogCdfConfig};
use flowkit::model::flow_plus_plus::FlowPlusPlusConfig;
use flowkit::model::glow::{GlowConfig, GlowPermutation};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::testing::elements::{device_rng, elements};
use flowkit::testing::parameters::parameters;
use flowkit::{
    ContextShape, ElementwiseConfig, Flow, HouseholderConfig, NetConfig, NetSite,
    NormalMixtureConfig, PriorConfig, ResNetConfig, Site, StandardNormal, tensor::parameter,
};

use crate::build::layer;
use crate::table::cases;

fn device() -> Device {
    Device::default().autodiff()
}

#[test]
fn a_seed_gives_one_bijector_whatever_is_drawn_before_its_first_use() {
    let mut random = 0;
    for case in cases() {
        let start = case.start(7, 1);
        assert_eq!(case.start(7, 1000), start, "{}", case.name());
        random += usize::from(case.start(8, 1) != start);
    }
    println!("{random} entries start at random");
    assert!(random > 40, "{random}");
}

/// The same of what is no bijector, and of whole models.
fn fixed<M: Module>(name: &str, make: impl Fn(&Device) -> M) {
    let start = |seed: u64, between: usize| -> Vec<f64> {
        let _guard = device_rng();
        device().seed(seed);
        let module = make(&device());
        let _ = Tensor::<1>::random([between], Distribution::Default, &device()).into_data();
        parameters(&module).into_iter().flat_map(|parameter| parameter.values).collect()
    };
    let first = start(7, 1);
    assert_eq!(start(7, 1000), first, "{name}");
    assert_ne!(start(8, 1), first, "{name}");
}

#[test]
fn a_seed_gives_one_model_whatever_is_drawn_before_its_first_use() {
    fixed("Flow++", |d| FlowPlusPlusConfig::tiny().build(d).unwrap().without_data());
    for permutation in [GlowPermutation::Matrix, GlowPermutation::Plu] {
        let config =
            GlowConfig::new([3, 8, 8], 2, 2).with_n_filters(8).with_permutation(permutation);
        fixed("Glow", |d| config.build(d).unwrap().without_data());
    }
    fixed("RealNVP", |d| {
        Flow::build(&RealNvpConfig::new(8), StandardNormal::new(), [1, 3], d)
            .unwrap()
            .without_data()
    });
    fixed("MAF", |d| {
        Flow::build(&MafConfig::new(5), StandardNormal::new(), [1, 3], d).unwrap().without_data()
    });
    fixed("NormalMixture", |d| {
        NormalMixtureConfig::new(4).build(&Site::<2>::new([1, 3], d)).unwrap()
    });
    fixed("Householder", |d| layer(&HouseholderConfig::new(4), [1, 5], d));
    let site = |d: &Device| {
        NetSite::new([1, 2], [1, 2], vec![0.0; 3], d).with_context(ContextShape::vector(Some(2)))
    };
    fixed("ResNet", |d| ResNetConfig::new().build(&site(d)).unwrap());
    fixed("DataInitConv", |d| DataInitConvConfig::new(2, 3).build(d).unwrap());
    let law = AnyLawConfig::MixLogCdf(MixLogCdfConfig::new(3));
    let elementwise = ElementwiseConfig::new(law);
    fixed("Elementwise", |d| layer(&elementwise, [1, 4], d));
}

/// Two parameters of one module are two draws; clones, and copies to the same device, are one.
#[test]
fn parameters_are_drawn_apart_and_clones_together() {
    let _guard = device_rng();
    device().seed(3);
    let one = parameter::normal([8], 1.0, &device());
    let (other, copy) = (parameter::normal([8], 1.0, &device()), one.clone());
    assert_ne!(elements(&one.val()), elements(&other.val()));
    assert_eq!(elements(&copy.val()), elements(&one.val()));
    assert!(one.val().is_require_grad() && one.is_initialized());
    let lazy = parameter::uniform([3, 2], 0.5, &device());
    assert!(!lazy.is_initialized() && lazy.lazy_shape().to_vec() == [3, 2]);
    let frozen = lazy.set_require_grad(false);
    assert!(!frozen.is_initialized() && !frozen.val().is_require_grad());
    let plain = parameter::normal([2], 1.0, &device().inner());
    assert!(!plain.val().is_autodiff());
    assert!(
        elements(&parameter::normal([9], 0.0, &device()).val()).iter().all(|v| v.to_bits() == 0),
        "+0"
    );
}

/// The largest distance between the share of the draws below a number and `below`, its probability.
/// Kolmogorov: above 1.95/√n in one of a thousand samples.
fn distance_from(mut draws: Vec<f64>, below: impl Fn(f64) -> f64) -> f64 {
    draws.sort_by(f64::total_cmp);
    let n = draws.len() as f64;
    let off = |(index, &draw): (usize, &f64)| {
        let probability = below(draw);
        (probability - index as f64 / n).abs().max((probability - (index + 1) as f64 / n).abs())
    };
    draws.iter().enumerate().map(off).fold(0.0, f64::max)
}

/// `Φ(z)` by Simpson's rule on the density, from −9 to `z`; checked against mpmath's `ncdf`.
fn normal_cdf(z: f64) -> f64 {
    let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let (n, from) = (200, -9.0);
    let h = (z - from) / n as f64;
    let inner = |i: usize| if i % 2 == 1 { 4.0 } else { 2.0 } * density(from + i as f64 * h);
    (density(from) + (1..n).map(inner).sum::<f64>() + density(z)) * h / 3.0
}

#[test]
fn starts_have_their_distributions() {
    // mpmath.ncdf(1.25), mpmath.ncdf(-2.5)
    assert!((normal_cdf(1.25) - 0.894_350_226_333_144_8).abs() < 1e-7);
    assert!((normal_cdf(-2.5) - 0.006_209_665_325_776_135).abs() < 1e-7);
    let _guard = device_rng();
    device().seed(11);
    const N: usize = 100_000;
    let bound = 1.95 / (N as f64).sqrt();
    for deviation in [0.05, 1.0, 3.0] {
        let draws = elements(&parameter::normal([N / 2, 2], deviation, &device()).val());
        let square = draws.iter().map(|v| v * v).sum::<f64>() / N as f64 / (deviation * deviation);
        // The variance of z² is 2: four deviations.
        assert!((square - 1.0).abs() < 4.0 * (2.0 / N as f64).sqrt(), "{square}");
        assert!(distance_from(draws, |v| normal_cdf(v / deviation)) < bound);
    }
    for limit in [1e-3, 0.7] {
        let draws = elements(&parameter::uniform([N], limit, &device()).val());
        assert!(draws.iter().all(|v| v.abs() <= f64::from(limit as f32)));
        assert!(distance_from(draws, |v| (v / limit + 1.0) / 2.0) < bound);
    }
    // The default of dense layers: within 1/√fan_in, weights and bias.
    let site = NetSite::new([1, 100], [1, 1], vec![0.0], &device());
    let net = flowkit::MlpConfig::new([300]).build(&site).unwrap();
    for values in parameters(&net.hidden[0]).into_iter().map(|parameter| parameter.values) {
        let n = values.len() as f64;
        assert!(values.iter().all(|v| v.abs() <= f64::from(0.1f32)));
        assert!(distance_from(values, |v| (v / 0.1 + 1.0) / 2.0) < 1.95 / n.sqrt());
    }
}
