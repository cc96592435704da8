//! Data-dependent starts of single layers.

use burn::tensor::{DType, Device, Tensor};
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, CouplingConfig, GatedNetConfig, LayerConfig, Mixing,
    PositionNorm, PositionNormConfig, Site,
};

use crate::build::layer;
use flowkit::testing::elements::{device_rng, elements, largest, normal, tensor};

fn device() -> Device {
    Device::default().autodiff()
}

/// Mean and biased variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n)
}

fn images() -> Tensor<4> {
    let values = normal(1, 6 * 2 * 2 * 3, 3.0).into_iter().map(|value| value + 5.0).collect();
    tensor(values, [6, 2, 2, 3], DType::F32, &device())
}

#[test]
fn act_norm_starts_with_mean_0_and_variance_1_per_channel() {
    let norm: ActNorm<4> = layer(&ActNormConfig::new(), [1, 2, 1, 1], &device());
    let (_, z) = norm.initialize(images(), &());
    for channel in 0..2 {
        let (mean, variance) = moments(&elements(&z.clone().narrow(1, channel, 1)));
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
    }
}

#[test]
fn position_norm_starts_with_mean_0_and_variance_1_per_position() {
    let floor = 0.25;
    let norm: PositionNorm<4> =
        layer(&PositionNormConfig::new().with_variance_floor(floor), [1, 2, 2, 3], &device());
    let (_, z) = norm.initialize(images(), &());
    let (x, z) = (images().reshape([6, 12]), z.reshape([6, 12]));
    for position in 0..12 {
        let column = |x: &Tensor<2>| moments(&elements(&x.clone().narrow(1, position, 1)));
        let ((_, before), (mean, variance)) = (column(&x), column(&z));
        assert!(mean.abs() < 1e-5, "{mean}");
        assert!((variance - before / (before + floor)).abs() < 1e-5, "{variance}");
    }
}

/// A channel that is constant in the batch has no variance to divide by.
#[test]
fn constant_channels_start_finite() {
    let x = Tensor::<4>::full([3, 2, 1, 2], 7.0, &device());
    let (norm, z) =
        layer(&ActNormConfig::new(), [1, 2, 1, 1], &device()).initialize(x.clone(), &());
    assert_eq!(largest(&elements(&z)), 0.0);
    assert!(largest(&elements(&Bijector::<4>::forward(&norm, x.clone(), &()).1)).is_finite());
    let (_, z) = layer(&PositionNormConfig::new(), [1, 2, 1, 2], &device()).initialize(x, &());
    assert!(largest(&elements(&z)) < 1e-2, "{z}");
}

/// The last convolution of a network starts at deviation 0.1: an additive coupling shows its
/// output.
#[test]
fn networks_start_with_small_parameters() {
    let _guard = device_rng();
    let mixing = Some(Mixing::Attention { heads: 2 });
    let net = GatedNetConfig::new(4, 2).with_mixing(mixing);
    let coupling = CouplingConfig::new(AffineConfig::new(AffineForm::Additive), net);
    let coupling = coupling.build(&Site::new([1, 2, 2, 3], &device())).unwrap();
    let x = images();
    let (_, z) = Bijector::<4>::initialize(coupling, x.clone(), &());
    let theta = elements(&(z - x).narrow(1, 1, 1));
    let (mean, variance) = moments(&theta);
    assert!(mean.abs() < 1e-5 && (variance.sqrt() - 0.1).abs() < 1e-4, "{mean} {variance}");
}
