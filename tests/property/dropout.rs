//! A walk through layers that drop activations sees on the way back what it dropped on the way there.

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use flowkit::law::{Law, MixLogCdfConfig};
use flowkit::{
    Bijector, BoxBijector, Cotangent, Coupling, CouplingConfig, GatedNet, GatedNetConfig, Mixing, Swap, Walk,
};

use crate::table::numbers::{device_rng, distance, dot, largest, normal, numbers, rng, tensor};
use crate::table::parameters::{change, gradients, gradients_by_id, parameters};
use crate::table::{Draw, Entry, Inputs, device};

const DTYPE: DType = DType::F64;

fn coupling(device: &Device) -> Coupling<flowkit::law::MixLogCdf, GatedNet> {
    let law = MixLogCdfConfig::new(2).init();
    let net = GatedNetConfig::new([1, 2, 2], law.n_params(), 4, 1).with_mixing(Some(Mixing::Attention { heads: 2 }));
    CouplingConfig::new().init(law, net.with_dropout(0.4).init(device))
}

fn entry<B: Bijector<4> + Sync + 'static>(make: impl Fn(&Device) -> B + Clone + 'static) -> Entry<4, ()> {
    Entry::new("dropout", [1, 2, 2, 2], Inputs::Real(1.0), (), make)
}

struct Walked {
    z: Vec<f64>,
    x: Vec<f64>,
    grad_x: Vec<f64>,
    parameters: Vec<Option<Vec<f64>>>,
    loss: f64,
}

/// There and back with the loss `⟨a, z⟩ + Σ log_det`.
fn walk(bijector: &BoxBijector<4>, x: &Tensor<4>, a: &[f64], seed: u64) -> Walked {
    let mut walk = Walk::new(seed);
    let (z, log_det) = bijector.walk_forward(x.clone().inner(), &(), &mut walk);
    let grad_z = tensor(a.to_vec(), z.dims(), DTYPE, &device().inner());
    let loss = dot(a, &numbers(&z)) + numbers(&log_det).iter().sum::<f64>();
    let back = Cotangent { z: z.clone(), grad_z, grad_log_det: log_det.ones_like() };
    let back = bijector.walk_back(back, &(), &mut walk);
    let parameters = gradients_by_id(bijector, &walk.parameters);
    Walked { z: numbers(&z), x: numbers(&back.z), grad_x: numbers(&back.grad_z), parameters, loss }
}

#[test]
fn a_walk_of_two_layers_repeats_its_masks() {
    let entry = entry(|d| (coupling(d), Swap::new(), coupling(d)));
    let bijector = entry.build(61, DTYPE);
    let x = entry.draw(Draw::Ordinary, 62, 3, DTYPE);
    let a = normal(&mut rng(63), numbers(&x).len(), 1.0);
    let _guard = device_rng();
    let first = walk(&bijector, &x, &a, 64);
    assert!(distance(&first.x, &numbers(&x)) < 1e-10, "the input came back as another");
    let again = walk(&bijector, &x, &a, 64);
    assert_eq!((first.z.clone(), first.grad_x.clone()), (again.z, again.grad_x));
    assert_eq!(first.parameters, again.parameters);
    let other = walk(&bijector, &x, &a, 65);
    assert!(distance(&first.z, &other.z) > 1e-3, "another seed drops other activations");
    let still = walk(&bijector.valid().train(), &x, &a, 64);
    assert_eq!(first.z, still.z, "train() puts dropout back");

    // With the masks of one seed the loss is a function of parameters and input: its differences are the walk's gradients.
    let mut rng = rng(66);
    for (block, parameter) in parameters(&bijector).iter().enumerate() {
        let n = parameter.values.len();
        let direction = normal(&mut rng, n, 1.0 / (n as f64).sqrt());
        let [plus, minus] = [1e-4, -1e-4].map(|h| {
            let moved = change(bijector.clone(), DTYPE, |index, old| {
                if index != block {
                    return old;
                }
                old.iter().zip(&direction).map(|(old, v)| old + h * v).collect()
            });
            walk(&moved, &x, &a, 64).loss
        });
        let difference = (plus - minus) / 2e-4;
        let slope = dot(first.parameters[block].as_ref().expect("a gradient"), &direction);
        assert!((difference - slope).abs() < 1e-5 * (1.0 + slope.abs()), "{}: {difference} {slope}", parameter.path);
    }
}

#[test]
fn a_walk_drops_what_plain_autodiff_drops() {
    let entry = entry(coupling);
    let bijector = entry.build(71, DTYPE);
    let x = entry.draw(Draw::Ordinary, 72, 3, DTYPE);
    let a = normal(&mut rng(73), numbers(&x).len(), 1.0);
    let _guard = device_rng();
    // The first leaf of a walk draws from the walk's own seed.
    let walked = walk(&bijector, &x, &a, 74);
    device().seed(74);
    let leaf = x.clone().require_grad();
    let (z, log_det) = bijector.forward(leaf.clone(), &());
    let found = ((z.clone() * tensor(a, z.dims(), DTYPE, &device())).sum() + log_det.sum()).backward();
    assert_eq!(numbers(&z), walked.z);
    let close = |a: &[f64], b: &[f64]| assert!(distance(a, b) < 1e-9 * (1.0 + largest(a)), "{:.1e}", distance(a, b));
    close(&numbers(&leaf.grad(&found).expect("the input is a leaf")), &walked.grad_x);
    for (plain, walked) in gradients(&bijector, &found).iter().zip(&walked.parameters) {
        close(plain.as_ref().expect("a gradient"), walked.as_ref().expect("a gradient"));
    }
}

#[test]
fn valid_modules_drop_nothing() {
    let entry = entry(coupling);
    let bijector = entry.build(81, DTYPE).valid();
    let x = entry.draw(Draw::Ordinary, 82, 3, DTYPE).inner();
    assert_eq!(numbers(&bijector.forward(x.clone(), &()).0), numbers(&bijector.forward(x, &()).0));
}
