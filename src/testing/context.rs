//! Conditions as lists of elements, so that a check can sample, shift and compare them without
//! knowing their type.

use burn::tensor::{DType, Device, Gradients, Tensor};

use super::elements::{elements, normal, tensor};
use crate::context::Context;

/// A condition under which a bijector can be checked: nothing, a tensor, or pairs of conditions.
pub trait SampleContext: Context {
    /// Shape of the condition of one example.
    type Shape: Clone + 'static;

    /// Random conditions for `batch` examples.
    fn sample(shape: &Self::Shape, batch: usize, dtype: DType, device: &Device, seed: u64) -> Self;

    /// All elements, outside any graph.
    fn values(&self) -> Vec<f64>;

    /// A condition of the same shape, type and device with other elements. Takes them from the
    /// front of `values`.
    fn with(&self, values: &mut &[f64]) -> Self;

    /// Example `index` alone.
    fn example(&self, index: usize) -> Self {
        self.rows(index..index + 1)
    }

    /// Gradient of a leaf made by [`Context::leaf`]; `None` if it received none.
    fn gradient(&self, gradients: &Gradients) -> Option<Vec<f64>>;

    /// The gradient that a memory-saving pass collected.
    fn collected(gradient: Self::Gradient) -> Option<Vec<f64>>;
}

impl SampleContext for () {
    type Shape = ();

    fn sample((): &(), _: usize, _: DType, _: &Device, _: u64) {}

    fn values(&self) -> Vec<f64> {
        Vec::new()
    }

    fn with(&self, _: &mut &[f64]) {}

    fn gradient(&self, _: &Gradients) -> Option<Vec<f64>> {
        Some(Vec::new())
    }

    fn collected((): ()) -> Option<Vec<f64>> {
        Some(Vec::new())
    }
}

impl<const K: usize> SampleContext for Tensor<K> {
    type Shape = [usize; K];

    fn sample(shape: &[usize; K], batch: usize, dtype: DType, device: &Device, seed: u64) -> Self {
        let mut shape = *shape;
        shape[0] = batch;
        tensor(normal(seed, shape.iter().product(), 1.0), shape, dtype, device)
    }

    fn values(&self) -> Vec<f64> {
        elements(self)
    }

    fn with(&self, values: &mut &[f64]) -> Self {
        let (own, rest) = values.split_at(self.dims().iter().product());
        *values = rest;
        tensor(own.to_vec(), self.dims(), self.dtype(), &self.device())
    }

    fn gradient(&self, gradients: &Gradients) -> Option<Vec<f64>> {
        self.grad(gradients).map(|gradient| elements(&gradient))
    }

    fn collected(gradient: Self::Gradient) -> Option<Vec<f64>> {
        gradient.map(|gradient| elements(&gradient))
    }
}

impl<A: SampleContext, B: SampleContext> SampleContext for (A, B) {
    type Shape = (A::Shape, B::Shape);

    fn sample(shape: &Self::Shape, batch: usize, dtype: DType, device: &Device, seed: u64) -> Self {
        (
            A::sample(&shape.0, batch, dtype, device, seed),
            B::sample(&shape.1, batch, dtype, device, seed + 1),
        )
    }

    fn values(&self) -> Vec<f64> {
        [self.0.values(), self.1.values()].concat()
    }

    fn with(&self, values: &mut &[f64]) -> Self {
        (self.0.with(values), self.1.with(values))
    }

    fn gradient(&self, gradients: &Gradients) -> Option<Vec<f64>> {
        Some([self.0.gradient(gradients)?, self.1.gradient(gradients)?].concat())
    }

    fn collected(gradient: Self::Gradient) -> Option<Vec<f64>> {
        Some([A::collected(gradient.0)?, B::collected(gradient.1)?].concat())
    }
}
