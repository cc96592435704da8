//! Networks whose last layer starts at 0 make identities of laws whose 0 is the identity.

use burn::tensor::{DType, Device, Tensor};
use flowkit::law::{
    AffineConfig, AffineForm, AnyLawConfig, BernsteinConfig, CircularSplineConfig,
    FlooredAffineConfig, MixLogCdfConfig, RationalQuadraticSplineConfig, ScaleForm,
    SoftClipSplineConfig,
};
use flowkit::{
    Bijector, BoxBijector, ConvResNetConfig, CouplingConfig, LayerConfig, MadeConfig,
    MaskedAutoregressiveConfig, MlpConfig, ResNetConfig, Site,
};

use flowkit::testing::elements::{device_rng, distance, elements, largest, normal, tensor};
use flowkit::testing::tolerance::{Kind, tolerance};

fn check<const D: usize>(layer: impl Bijector<D>, shape: [usize; D]) {
    let n = shape.iter().product();
    // The first parameters of a network are float32.
    let x: Tensor<D> = tensor(normal(1, n, 3.0), shape, DType::F32, &Device::flex().autodiff());
    let (z, log_det) = layer.forward(x.clone(), &());
    let bound = tolerance(Kind::Regrouped, DType::F32);
    assert!(distance(&elements(&x), &elements(&z)) <= bound * largest(&elements(&x)));
    assert!(largest(&elements(&log_det)) <= bound * n as f64);
}

#[test]
fn layers_start_as_the_identity() {
    let _guard = device_rng();
    let device = Device::flex().autodiff();
    let laws: [AnyLawConfig; 10] = [
        AffineConfig::new(AffineForm::Exponential).into(),
        AffineConfig::new(AffineForm::Additive).into(),
        // Several components start apart, near the identity: `tests/theta_init.rs`.
        MixLogCdfConfig::new(1).into(),
        RationalQuadraticSplineConfig::new(5).into(),
        BernsteinConfig::new(5).into(),
        FlooredAffineConfig::new(ScaleForm::Softplus).into(),
        FlooredAffineConfig::new(ScaleForm::Sigmoid).into(),
        FlooredAffineConfig::new(ScaleForm::SoftClip).into(),
        SoftClipSplineConfig::new(5).into(),
        // Beyond all of the inputs.
        CircularSplineConfig::new(5).with_bound(20.0).into(),
    ];
    let vectors = Site::new([1, 3], &device);
    for law in laws {
        let coupling = CouplingConfig::new(law.clone(), MlpConfig::new([64, 64]));
        let residual = CouplingConfig::new(law.clone(), ResNetConfig::new());
        let masked = MaskedAutoregressiveConfig::new(law.clone(), MadeConfig::new([64, 64]));
        let layers: [BoxBijector<2>; 3] = [
            BoxBijector::new(coupling.build(&vectors).unwrap()),
            BoxBijector::new(residual.build(&vectors).unwrap()),
            BoxBijector::new(masked.build(&vectors).unwrap()),
        ];
        layers.into_iter().for_each(|layer| check(layer, [4, 3]));
        let images = CouplingConfig::new(law, ConvResNetConfig::new().with_n_filters(4));
        check(images.build(&Site::new([1, 3, 4, 5], &device)).unwrap(), [2, 3, 4, 5]);
    }
}
