//! What a user can get wrong in building blocks: each a message that names what and where.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Tensor};
use flowkit::{Bijector, ConfigError, Order, PermutationConfig};

fn permutation(order: Vec<usize>) -> PermutationConfig {
    PermutationConfig::new(3).with_order(Order::Explicit(order))
}

#[test]
fn configurations_say_what_is_wrong() {
    let cases: Vec<(Result<(), ConfigError>, &str)> = vec![
        (PermutationConfig::new(0).validate(), "PermutationConfig: `n_channels` must be at least 1"),
        (permutation(vec![0, 1]).validate(), "`order` must name each of 0..3 once, found [0, 1]"),
        (permutation(vec![0, 1, 3]).validate(), "`order` must name each of 0..3 once, found [0, 1, 3]"),
        (permutation(vec![0, 1, 1]).validate(), "`order` must name each of 0..3 once, found [0, 1, 1]"),
        (permutation(vec![0, 1, 2, 3]).validate(), "found [0, 1, 2, 3]"),
    ];
    for (result, expected) in cases {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}

/// What a panic says.
fn message<T>(run: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).err().expect("it went through");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// `forward` and `inverse` panic with the message of `output_shape`.
fn refuses<const D: usize>(layer: impl Bijector<D>, shape: [usize; D], expected: &str) {
    let x = || Tensor::<D>::zeros(shape, &Device::default());
    assert_eq!(layer.output_shape(shape).unwrap_err().to_string(), expected);
    assert_eq!(message(|| layer.forward(x(), &())), expected);
    assert_eq!(message(|| layer.inverse(x(), &())), expected);
}

#[test]
fn shapes_are_checked_first() {
    let device = Device::default();
    let expected = "Permutation: expected length 3 along axis 1, found shape [2, 4]";
    refuses(PermutationConfig::new(3).init(&device), [2, 4], expected);
}
