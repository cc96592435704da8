//! What a flow is conditioned on: nothing, a tensor, or several.

use burn::tensor::{Device, Gradients, Tensor};

use crate::finite::all_finite;
use crate::graph::lift;

/// A condition that every layer of a flow is given beside its input.
///
/// `()` is the condition of an unconditional flow. A tensor serves class embeddings (`Tensor<2>`) and feature maps (`Tensor<4>`);
/// pairs nest. The methods let a memory-saving backward cut the graph at a layer and collect the gradient of the condition there.
pub trait Context: Clone + Send + Sync + std::fmt::Debug + 'static {
    /// Gradient with respect to the condition, summed over layers.
    type Gradient: Default + Send + std::fmt::Debug;

    /// The same values as new leaves of the graphs on `device`.
    fn leaf(&self, device: &Device) -> Self;

    /// Whether every number in it is finite. Asked after a fault, to tell where it came from; a condition that does not say is taken to be.
    fn is_finite(&self) -> bool {
        true
    }

    /// Adds the gradients of `leaf`, made by [`Context::leaf`], to `into`.
    fn collect(leaf: &Self, gradients: &mut Gradients, into: &mut Self::Gradient);
}

impl Context for () {
    type Gradient = ();

    fn leaf(&self, _: &Device) {}

    fn collect(_: &Self, _: &mut Gradients, _: &mut ()) {}
}

impl<const K: usize> Context for Tensor<K> {
    type Gradient = Option<Tensor<K>>;

    fn leaf(&self, device: &Device) -> Self {
        lift(self.clone(), device).require_grad()
    }

    fn is_finite(&self) -> bool {
        all_finite(self)
    }

    fn collect(leaf: &Self, gradients: &mut Gradients, into: &mut Self::Gradient) {
        if let Some(gradient) = leaf.grad_remove(gradients) {
            *into = Some(match into.take() {
                None => gradient,
                Some(sum) => sum + gradient,
            });
        }
    }
}

impl<A: Context, B: Context> Context for (A, B) {
    type Gradient = (A::Gradient, B::Gradient);

    fn leaf(&self, device: &Device) -> Self {
        (self.0.leaf(device), self.1.leaf(device))
    }

    fn is_finite(&self) -> bool {
        self.0.is_finite() && self.1.is_finite()
    }

    fn collect(leaf: &Self, gradients: &mut Gradients, into: &mut Self::Gradient) {
        A::collect(&leaf.0, gradients, &mut into.0);
        B::collect(&leaf.1, gradients, &mut into.1);
    }
}
