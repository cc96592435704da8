//! Setting a parameter's value without touching what the optimizer knows it by.

use burn::module::Param;
use burn::tensor::Tensor;

use crate::graph::lift;
use crate::moments::on_device;

/// `parameter` with another value, for a data-dependent start: id, device, type and whether it is trained stay.
///
/// # Panics
/// If the shapes differ.
pub fn set<const D: usize>(parameter: Param<Tensor<D>>, value: Tensor<D>) -> Param<Tensor<D>> {
    parameter.map(|old| {
        assert_eq!(old.dims(), value.dims(), "a parameter keeps its shape");
        let device = old.device();
        let value = value.inner().to_device(&device.clone().inner()).cast(old.dtype());
        if old.is_autodiff() { lift(value, &device).set_require_grad(old.is_require_grad()) } else { value }
    })
}

/// [`set`] to numbers of the host, each rounded to the nearest of the parameter's type.
pub(crate) fn set_values<const D: usize>(parameter: Param<Tensor<D>>, values: Vec<f64>) -> Param<Tensor<D>> {
    let old = parameter.val();
    let value = on_device(values, old.dims(), &old.device(), old.dtype());
    set(parameter, value)
}
