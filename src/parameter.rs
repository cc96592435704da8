//! Setting a parameter's value without touching what the optimizer knows it by.

use burn::module::Param;
use burn::tensor::Tensor;

/// `parameter` with another value; id, device, dtype and whether it is trained stay.
///
/// # Panics
/// If the shapes differ.
pub(crate) fn set<const D: usize>(parameter: Param<Tensor<D>>, value: Tensor<D>) -> Param<Tensor<D>> {
    parameter.map(|old| {
        assert_eq!(old.dims(), value.dims(), "a parameter keeps its shape");
        let value = value.inner().to_device(&old.device().inner()).cast(old.dtype());
        if old.is_autodiff() { Tensor::from_inner(value).set_require_grad(old.is_require_grad()) } else { value }
    })
}
