//! Distributions of the latents.

pub mod standard_normal;
pub mod uniform;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{DType, Device, Tensor};

pub use standard_normal::StandardNormal;
pub use uniform::Uniform;

/// A distribution over tensors with `D` axes, the first of them the batch.
pub trait Prior<const D: usize>: Module + ModuleDisplay {
    /// `ln p(z)` in nats.
    ///
    /// # Shapes
    /// `[batch, ...]` to `[batch]`.
    fn log_prob(&self, z: Tensor<D>) -> Tensor<1>;

    /// Draws from the prior, its spread about the mean multiplied by `temperature`.
    fn sample(&self, shape: [usize; D], temperature: f64, device: &Device, dtype: DType) -> Tensor<D>;
}
