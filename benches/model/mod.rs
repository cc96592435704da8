//! The items of `models`.

pub mod flow_plus_plus;
pub mod glow;
pub mod plane;
// `launches` counts what the models above do.
#[allow(dead_code)]
pub mod preset;

use burn::module::Module;
use burn::tensor::Device;
use flowkit::train::{Objective, Trainer};

/// What several updates of a trainer lose, which must be finite, and the same when they are made
/// again.
fn repeatable<M: Module>(
    make: impl Fn() -> Trainer<M>,
    objective: &impl Objective<M>,
    device: &Device,
) {
    let losses = || {
        let mut trainer = make();
        let mut loss = || trainer.update_on(device, objective).expect("an update").loss;
        [loss(), loss(), loss()]
    };
    let (first, second) = (losses(), losses());
    assert!(first.iter().all(|loss| loss.is_finite()), "{first:?}");
    assert_eq!(first, second, "the same updates");
}
