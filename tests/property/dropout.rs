//! Layers that drop activations: what they drop in training, and that they pass every check.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use flowkit::bijector::replay::{Cotangent, Replay};
use flowkit::law::{MixLogCdf, MixLogCdfConfig};
use flowkit::testing::elements::{device_rng, distance, elements, largest, normal, tensor};
use flowkit::testing::parameters::{gradients, gradients_by_id};
use flowkit::testing::{Conformance, Inputs, Region};
use flowkit::{
    Bijector, BoxBijector, ConvStyle, Coupling, CouplingConfig, GatedNet, GatedNetConfig,
    LayerConfig, Mixing, Site, Swap,
};

const DTYPE: DType = DType::F64;

fn coupling(device: &Device) -> Coupling<MixLogCdf, GatedNet> {
    let net = GatedNetConfig::new(4, 1)
        .with_mixing(Some(Mixing::Attention { heads: 2 }))
        .with_style(ConvStyle::new().with_dropout(0.4));
    CouplingConfig::new(MixLogCdfConfig::new(2), net)
        .build(&Site::new([1, 2, 2, 2], device))
        .unwrap()
}

fn two(device: &Device) -> (Coupling<MixLogCdf, GatedNet>, Swap, Coupling<MixLogCdf, GatedNet>) {
    (coupling(device), Swap::new(), coupling(device))
}

fn of<B: Bijector<4> + Sync + 'static>(
    make: impl Fn(&Device) -> B + Clone + 'static,
) -> Conformance<4> {
    Conformance::new("dropout", [1, 2, 2, 2], make).inputs(Inputs::Real(1.0))
}

#[test]
fn dropping_layers_conform() {
    of(two).check().unwrap();
}

#[test]
fn another_seed_drops_other_activations() {
    let of = of(two);
    let bijector = of.build_training(61, DTYPE);
    let x = of.sample(Region::Ordinary, 62, 3, DTYPE).inner();
    let _guard = device_rng();
    let z = |bijector: &BoxBijector<4>, seed| {
        elements(&bijector.replay_forward(x.clone(), &(), &mut Replay::new(seed)).0)
    };
    assert!(distance(&z(&bijector, 64), &z(&bijector, 65)) > 1e-3);
    let still = bijector.valid();
    assert_eq!(z(&bijector, 64), z(&still.train(), 64), "train() puts dropout back");
}

#[test]
fn a_replay_drops_what_plain_autodiff_drops() {
    let of = of(coupling);
    let bijector = of.build_training(71, DTYPE);
    let device = of.device_for(DTYPE);
    let x = of.sample(Region::Ordinary, 72, 3, DTYPE);
    let a: Tensor<4> =
        tensor(normal(73, elements(&x).len(), 1.0), x.dims(), DTYPE, &device.clone().inner());
    let _guard = device_rng();
    // The first leaf of a replay draws from the replay's own seed.
    let mut replay = Replay::new(74);
    let (z, log_det) = bijector.replay_forward(x.clone().inner(), &(), &mut replay);
    let back = Cotangent { z: z.clone(), grad_z: a.clone(), grad_log_det: log_det.ones_like() };
    let back = bijector.replay_back(back, &(), &mut replay);
    device.seed(74);
    let leaf = x.clone().require_grad();
    let (plain, log_det) = bijector.forward(leaf.clone(), &());
    let found = ((plain.clone() * Tensor::from_inner(a)).sum() + log_det.sum()).backward();
    assert_eq!(elements(&plain), elements(&z));
    let close = |a: &[f64], b: &[f64]| {
        assert!(distance(a, b) < 1e-9 * (1.0 + largest(a)), "{:.1e}", distance(a, b))
    };
    close(&elements(&leaf.grad(&found).expect("the input is a leaf")), &elements(&back.grad_z));
    let replayed = gradients_by_id(&bijector, &replay.parameters);
    for (plain, replayed) in gradients(&bijector, &found).iter().zip(&replayed) {
        close(plain.as_ref().expect("a gradient"), replayed.as_ref().expect("a gradient"));
    }
}
