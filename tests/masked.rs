//! Masked couplings: what passes, what changes, and what is kept in a checkpoint.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor};
use flowkit::law::{Affine, AffineConfig, AffineForm};
use flowkit::train::Checkpoint;
use flowkit::{
    AutoregressiveNet, Bijector, ConfigError, Half, LayerConfig, MadeConfig, Mask,
    MaskedAutoregressiveConfig, MaskedCoupling, MaskedCouplingConfig, Net, NetConfig, NetSite,
    Order, Site,
};

/// Shifts every number by 1 plus the sum of all that it sees.
#[derive(Module, Debug)]
struct Sum {}

impl Net<2> for Sum {
    fn forward(&self, identity: Tensor<2>, _: Option<Tensor<2>>) -> Tensor<3> {
        let [batch, dims] = identity.dims();
        identity.sum_dim(1).add_scalar(1.0).reshape([batch, 1, 1]).expand([batch, 1, dims])
    }
}

impl Net<4> for Sum {
    fn forward(&self, identity: Tensor<4>, _: Option<Tensor<4>>) -> Tensor<3> {
        let [batch, c, h, w] = identity.dims();
        Net::<2>::forward(self, identity.reshape([batch, c * h * w]), None)
    }
}

struct SumConfig;

impl<const D: usize> NetConfig<D> for SumConfig
where
    Sum: Net<D>,
{
    type Net = Sum;

    fn build(&self, _: &NetSite<D>) -> Result<Sum, ConfigError> {
        Ok(Sum {})
    }
}

fn coupling<const D: usize>(
    shape: [usize; D],
    mask: Mask,
    identity: Half,
) -> MaskedCoupling<Affine, Sum>
where
    Sum: Net<D>,
{
    let law = AffineConfig::new(AffineForm::Additive);
    let config = MaskedCouplingConfig::new(law, SumConfig, mask).with_identity(identity);
    config.build(&Site::new(shape, &Device::default())).unwrap()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn vector<const N: usize>(values: [f32; N]) -> Tensor<2> {
    Tensor::<1>::from_floats(values, &Device::default()).unsqueeze()
}

#[test]
fn any_mask_keeps_what_it_names_where_it_is() {
    let mask = || Mask::Explicit(vec![false, true, true, false, true]);
    let x = || vector([1.0, 2.0, 4.0, 8.0, 16.0]);
    let z = coupling([1, 5], mask(), Half::First).forward(x(), &()).0;
    assert_eq!(numbers(z), [24.0, 2.0, 4.0, 31.0, 16.0]);
    let z = coupling([1, 5], mask(), Half::Second).forward(x(), &()).0;
    assert_eq!(numbers(z), [1.0, 12.0, 14.0, 8.0, 26.0]);
    // Half moons: one number of two, then the other.
    let both = [Half::First, Half::Second].map(|kept| coupling([1, 2], Mask::Alternating, kept));
    let layers = both.to_vec();
    let z = layers.forward(vector([1.0, 2.0]), &()).0;
    assert_eq!(numbers(z.clone()), [6.0, 4.0]);
    assert_eq!(numbers(Bijector::<2>::inverse(&layers, z, &())), [1.0, 2.0]);
}

#[test]
fn images_keep_a_checkerboard() {
    let x = Tensor::<4>::ones([2, 2, 2, 3], &Device::default());
    // Six of twelve numbers are kept, so the others move by 7.
    let z = coupling([1, 2, 2, 3], Mask::Checkerboard, Half::First).forward(x.clone(), &()).0;
    let one = [1.0, 8.0, 1.0, 8.0, 1.0, 8.0];
    assert_eq!(numbers(z), one.repeat(4));
    let z = coupling([1, 2, 2, 3], Mask::Alternating, Half::Second).forward(x, &()).0;
    assert_eq!(numbers(z), [[8.0; 6], [1.0; 6], [8.0; 6], [1.0; 6]].concat());
}

/// The network sees zeros where numbers change, so one that is not finite stays in its place,
/// forward, back and in gradients.
#[test]
fn what_is_not_seen_does_not_leak() {
    let coupling = coupling([1, 4], Mask::Alternating, Half::First);
    for value in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let x = Tensor::<2>::from_floats([[1.0, value, 4.0, 8.0]], &Device::default().autodiff())
            .require_grad();
        let same = |found: Vec<f32>, expected: [f32; 4]| {
            let equal = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
            assert!(found.iter().zip(&expected).all(equal), "{value}: {found:?}");
        };
        let (z, log_det) = coupling.forward(x.clone(), &());
        // The kept numbers add up to 5, so the others move by 6.
        same(numbers(z.clone().inner()), [1.0, value, 4.0, 14.0]);
        assert_eq!(numbers(log_det.clone().inner()), [0.0]);
        let back = Bijector::<2>::inverse(&coupling, x.clone().inner(), &());
        same(numbers(back), [1.0, value, 4.0, 2.0]);
        // Of the changed number that is finite: its own, and what the network made of the kept
        // ones.
        let gradients = z.narrow(1, 3, 1).sum().backward();
        assert_eq!(numbers(x.grad(&gradients).unwrap()), [1.0, 0.0, 1.0, 1.0], "{value}");
        let gradients = coupling.forward(x.clone(), &()).0.narrow(1, 0, 1).sum().backward();
        assert_eq!(numbers(x.grad(&gradients).unwrap()), [1.0, 0.0, 0.0, 0.0], "{value}");
    }
}

#[test]
fn a_mask_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("coupling.safetensors");
    let explicit = |mask: [bool; 4]| coupling([1, 4], Mask::Explicit(mask.to_vec()), Half::First);
    let saved = explicit([true, false, false, true]);
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    checkpoint.insert("coupling", &saved).unwrap();
    checkpoint.save(&path).unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    let x = || vector([1.0, 2.0, 3.0, 4.0]);
    let loaded = checkpoint.apply("coupling", explicit([true, true, false, false])).unwrap();
    assert_eq!(numbers(loaded.forward(x(), &()).0), numbers(saved.forward(x(), &()).0));
    // A mask that keeps another number of elements does not fit.
    assert!(checkpoint.apply("coupling", explicit([true, true, true, false])).is_err());
}

/// A net that is loaded into one of another order must not let weights live that were cut when they
/// were trained.
#[test]
fn the_order_of_an_autoregressive_net_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.safetensors");
    let device = Device::default();
    let x = || vector([1.0, -2.0, 0.5, 3.0]);
    for hidden in [vec![], vec![9, 8]] {
        let net = |order| {
            let net = MadeConfig::new(hidden.clone()).with_order(order);
            let config =
                MaskedAutoregressiveConfig::new(AffineConfig::new(AffineForm::Additive), net);
            config.build(&Site::new([1, 4], &device)).unwrap()
        };
        let saved = net(Order::Reversed);
        let output = saved.conditioner.net.output.linear.weight.clone();
        let weight = output.val().random_like(Distribution::Normal(0.0, 1.0));
        let mut saved = saved;
        saved.conditioner.net.output.linear.weight = Param::from_tensor(weight);
        let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
        checkpoint.insert("net", &saved).unwrap();
        checkpoint.save(&path).unwrap();
        let other = net(Order::Shuffled { seed: 5 });
        assert_ne!(other.conditioner.net.order(), [3, 2, 1, 0]);
        let loaded = Checkpoint::load(&path).unwrap().apply("net", other).unwrap();
        assert_eq!(loaded.conditioner.net.order(), [3, 2, 1, 0]);
        let z = saved.forward(x(), &()).0;
        assert_eq!(numbers(loaded.forward(x(), &()).0), numbers(z.clone()));
        let back = numbers(Bijector::<2>::inverse(&loaded, z, &()));
        assert!(back.iter().zip(numbers(x())).all(|(back, x)| (back - x).abs() < 1e-5), "{back:?}");
    }
}
