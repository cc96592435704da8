//! Conversions between plain tensors and tensors on a graph.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

/// A value as a constant of the graphs on `device`, with the gradient checkpointing strategy of
/// that device: burn refuses to combine two strategies.
pub(crate) fn constant<const D: usize>(value: Tensor<D>, device: &Device) -> Tensor<D> {
    let lifted = Tensor::from_inner(value.inner());
    match device.gradient_checkpointing_strategy() {
        Some(strategy) => lifted.with_gradient_checkpointing_strategy(strategy),
        None => lifted,
    }
}

/// The device of a layer's graphs: that of its parameters, or of `x` if it has none.
pub(crate) fn graph_device<const D: usize, M: Module>(layer: &M, x: &Tensor<D>) -> Device {
    layer.devices().into_iter().next().unwrap_or_else(|| x.device()).autodiff()
}

/// A copy of a module that records no graph; dropout stays as it is. burn 0.22.1 frees a graph that
/// no backward pass has used only during the next backward pass, so a forward pass with graphs
/// would hold all of them at its end.
pub(crate) fn without_graph<M: Module>(module: &M) -> M {
    // Parameters that are not initialised yet are initialised here: otherwise each clone would
    // sample its own values.
    module.visit(&mut Touch);
    module.clone().no_grad()
}

/// Frees what is left of graphs that no backward pass has used: see [`without_graph`].
#[cfg(feature = "testing")]
pub(crate) fn free_unused(device: &Device) {
    Tensor::<1>::ones([1], device).require_grad().sum().backward();
}

struct Touch;

impl ModuleVisitor for Touch {
    fn visit_float<const E: usize>(&mut self, param: &Param<Tensor<E>>) {
        param.val();
    }
}
