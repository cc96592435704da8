//! What a backend implements.

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use crate::kernel::cube::arithmetic;
use crate::kernel::tensors::Tensors;

/// [The operation](super) on a backend's tensors, of one type and at least one.
#[backend_extension(Cube, Fusion)]
pub trait GlobalNormOps: Backend {
    /// [`norms`](super::norms): the norm of all tensors, `[1]`.
    #[fusion(meta = norm)]
    fn global_norm(#[extension_type] tensors: Tensors<Self>) -> FloatTensor<Self>;

    /// [`scale_all`](super::scale_all): the products, in place for tensors whose memory nobody else
    /// holds.
    #[fusion(meta = scaled)]
    fn scale_all(#[extension_type] tensors: Tensors<Self>, factor: f64) -> Tensors<Self>;
}

fn norm(tensors: &[TensorSpec]) -> TensorSpec {
    TensorSpec::new([1].into(), arithmetic(tensors[0].dtype))
}

fn scaled(tensors: &[TensorSpec], _factor: &f64) -> Vec<TensorSpec> {
    tensors.to_vec()
}
