//! Between plain tensors and those on a graph.

use burn::tensor::{Device, Tensor};

/// A value as a constant of the graphs on `device`, with that device's way of checkpointing: burn refuses to combine two ways.
pub(crate) fn lift<const D: usize>(value: Tensor<D>, device: &Device) -> Tensor<D> {
    let lifted = Tensor::from_inner(value.inner());
    match device.gradient_checkpointing_strategy() {
        Some(strategy) => lifted.with_gradient_checkpointing_strategy(strategy),
        None => lifted,
    }
}
