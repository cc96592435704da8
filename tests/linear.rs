//! Linear blocks: what the table of all bijectors cannot see.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use flowkit::train::Checkpoint;
use flowkit::{Bijector, Order, Permutation, PermutationConfig};

fn order_of(permutation: &Permutation) -> Vec<i64> {
    permutation.indices.val().into_data().iter::<i64>().collect()
}

#[test]
fn orders_are_what_they_say() {
    let device = Device::default();
    let make = |order| order_of(&PermutationConfig::new(12).with_order(order).init(&device));
    assert_eq!(make(Order::Reversed), (0..12).rev().collect::<Vec<i64>>());
    // Independent ChaCha8 and Fisher-Yates in Python: the same on every machine.
    assert_eq!(make(Order::Shuffled { seed: 7 }), [4, 1, 7, 10, 11, 6, 8, 3, 2, 0, 5, 9]);
    assert_ne!(make(Order::Shuffled { seed: 8 }), make(Order::Shuffled { seed: 7 }));
    device.seed(3);
    assert_eq!(make(Order::Shuffled { seed: 7 }), make(Order::Shuffled { seed: 7 }));
}

/// Also for numbers that arithmetic would change: infinities, and the smallest there are.
#[test]
fn permutations_move_bits() {
    let device = Device::default();
    let permutation = PermutationConfig::new(5).with_order(Order::Shuffled { seed: 1 }).init(&device);
    let values = [[f32::INFINITY, f32::MAX, -1.5, 1e-38, f32::NEG_INFINITY]];
    let x = Tensor::<2>::from_data(values, &device);
    let (z, log_det) = permutation.forward(x.clone(), &());
    assert_eq!(log_det.into_scalar::<f32>(), 0.0);
    assert_eq!(permutation.inverse(z, &()).to_data(), x.to_data());
}

/// A checkpoint carries the order, whatever the model that takes it was built with.
#[test]
fn an_order_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("permutation.safetensors");
    let device = Device::default();
    let make = |seed| PermutationConfig::new(9).with_order(Order::Shuffled { seed }).init(&device);
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    checkpoint.insert("permutation", &make(1)).unwrap();
    checkpoint.save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap().apply("permutation", make(2)).unwrap();
    assert_ne!(order_of(&make(2)), order_of(&make(1)));
    assert_eq!(order_of(&loaded), order_of(&make(1)));
}
