//! Networks whose last layer starts at 0 make identities of laws whose 0 is the identity.

use burn::tensor::{DType, Device, Tensor};
use flowkit::law::{AffineConfig, AffineForm, AnyLawConfig, Law, MixLogCdfConfig, RationalQuadraticSplineConfig};
use flowkit::{
    Bijector, BoxBijector, ConvResNetConfig, CouplingConfig, MadeConfig, MaskedAutoregressive, MlpConfig, ResNetConfig,
};

use flowkit::testing::numbers::{device_rng, distance, largest, normal, numbers, tensor};
use flowkit::testing::tolerance::{Kind, tolerance};

fn check<const D: usize>(layer: impl Bijector<D>, shape: [usize; D]) {
    let _guard = device_rng();
    let n = shape.iter().product();
    // The first parameters of a network are float32.
    let x: Tensor<D> = tensor(normal(1, n, 3.0), shape, DType::F32, &Device::flex().autodiff());
    let (z, log_det) = layer.forward(x.clone(), &());
    let bound = tolerance(Kind::Regrouped, DType::F32);
    assert!(distance(&numbers(&x), &numbers(&z)) <= bound * largest(&numbers(&x)));
    assert!(largest(&numbers(&log_det)) <= bound * n as f64);
}

#[test]
fn layers_start_as_the_identity() {
    let device = Device::flex().autodiff();
    let laws: [AnyLawConfig; 4] = [
        AffineConfig::new(AffineForm::Exponential).into(),
        AffineConfig::new(AffineForm::Additive).into(),
        // Several components start apart, near the identity: `tests/theta_init.rs`.
        MixLogCdfConfig::new(1).into(),
        RationalQuadraticSplineConfig::new(5).into(),
    ];
    for law in laws.map(|config| config.init()) {
        let coupling = CouplingConfig::new();
        let n = law.n_params();
        let vectors: [BoxBijector<2>; 3] = [
            BoxBijector::new(coupling.init(law.clone(), MlpConfig::new(2, 1, n).init(&device))),
            BoxBijector::new(coupling.init(law.clone(), ResNetConfig::new(2, 1, n).init(&device))),
            BoxBijector::new(MaskedAutoregressive::new(law.clone(), MadeConfig::new(3, n).init(&device))),
        ];
        vectors.into_iter().for_each(|layer| check(layer, [4, 3]));
        let net = ConvResNetConfig::new(2, 1, n).with_n_filters(4).init(&device);
        check(coupling.init(law, net), [2, 3, 4, 5]);
    }
}
