//! Data-dependent starts.

use burn::tensor::{DType, Tensor};
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, CouplingConfig, GatedNetConfig, Mixing, PositionNorm, PositionNormConfig,
};

use crate::table::numbers::{device_rng, distance, largest, normal, numbers, rng, tensor};
use crate::table::parameters::parameters;
use crate::table::tolerance::{Kind, tolerance};
use crate::table::{Condition, Draw, Entry, Property, check_all, device_for, within};

/// A start passes on what the started bijector makes of the batch, cut from the graph, and parameters stay the ones that an optimizer
/// knows.
struct Starts;

impl Property for Starts {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let (dtype, batch) = (DType::F64, 8);
        let bijector = entry.build(91, dtype);
        let known = |bijector: &_| -> Vec<_> {
            parameters::<flowkit::BoxBijector<D, C>>(bijector).into_iter().map(|p| (p.path, p.id, p.trained)).collect()
        };
        let before = known(&bijector);
        let (x, context) = (entry.draw(Draw::Ordinary, 92, batch, dtype), entry.condition(93, batch, dtype));
        let (started, passed) = bijector.initialize(x.clone(), &context);
        if known(&started) != before {
            return Err("the start changed names, ids or what is trained".to_owned());
        }
        let z = numbers(&started.forward(x.clone(), &context).0);
        // Started convolutions scale their outputs, not their weights, in passing: the same number in another order of operations.
        let bound = tolerance(Kind::Walk, dtype) * (1.0 + largest(&z));
        within("passed on", distance(&numbers(&passed), &z), bound)?;
        let back = started.inverse(passed.clone(), &context);
        within("round trip", distance(&numbers(&back), &numbers(&x)), bound)
    }
}

#[test]
fn starts_pass_on_what_forward_gives() {
    check_all(&Starts);
}

/// Mean and biased variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n)
}

fn images() -> Tensor<4> {
    let values = normal(&mut rng(1), 6 * 2 * 2 * 3, 3.0).into_iter().map(|value| value + 5.0).collect();
    tensor(values, [6, 2, 2, 3], DType::F32, &device_for(DType::F32))
}

#[test]
fn act_norm_starts_with_mean_0_and_variance_1_per_channel() {
    let norm: ActNorm<4> = ActNormConfig::new(2).init(&device_for(DType::F32));
    let (_, z) = norm.initialize(images(), &());
    for channel in 0..2 {
        let (mean, variance) = moments(&numbers(&z.clone().narrow(1, channel, 1)));
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
    }
}

#[test]
fn position_norm_starts_with_mean_0_and_variance_1_per_position() {
    let floor = 0.25;
    let norm: PositionNorm<4> =
        PositionNormConfig::new().with_variance_floor(floor).init([1, 2, 2, 3], &device_for(DType::F32));
    let (_, z) = norm.initialize(images(), &());
    let (x, z) = (images().reshape([6, 12]), z.reshape([6, 12]));
    for position in 0..12 {
        let column = |x: &Tensor<2>| moments(&numbers(&x.clone().narrow(1, position, 1)));
        let ((_, before), (mean, variance)) = (column(&x), column(&z));
        assert!(mean.abs() < 1e-5, "{mean}");
        assert!((variance - before / (before + floor)).abs() < 1e-5, "{variance}");
    }
}

/// A channel that is constant in the batch has no variance to divide by.
#[test]
fn constant_channels_start_finite() {
    let x = Tensor::<4>::full([3, 2, 1, 2], 7.0, &device_for(DType::F32));
    let (norm, z) = ActNormConfig::new(2).init::<4>(&device_for(DType::F32)).initialize(x.clone(), &());
    assert_eq!(largest(&numbers(&z)), 0.0);
    assert!(largest(&numbers(&Bijector::<4>::forward(&norm, x.clone(), &()).1)).is_finite());
    let (_, z) = PositionNormConfig::new().init([1, 2, 1, 2], &device_for(DType::F32)).initialize(x, &());
    assert!(largest(&numbers(&z)) < 1e-2, "{z}");
}

/// The last convolution of a network starts at deviation 0.1: an additive coupling shows its output.
#[test]
fn networks_start_with_small_parameters() {
    let _guard = device_rng();
    let net = GatedNetConfig::new([1, 2, 3], 1, 4, 2)
        .with_mixing(Some(Mixing::Attention { heads: 2 }))
        .init(&device_for(DType::F32));
    let coupling = CouplingConfig::new().init(AffineConfig::new(AffineForm::Additive).init(), net);
    let x = images();
    let (_, z) = Bijector::<4>::initialize(coupling, x.clone(), &());
    let theta = numbers(&(z - x).narrow(1, 1, 1));
    let (mean, variance) = moments(&theta);
    assert!(mean.abs() < 1e-5 && (variance.sqrt() - 0.1).abs() < 1e-4, "{mean} {variance}");
}
