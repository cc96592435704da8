//! An Adam update of a parameter.
//! ```text
//! m ← β₁·m + (1 − β₁)·g            v ← β₂·v + (1 − β₂)·g²
//! θ ← θ − rate·m/(√v + ε)          rate = r·√(1 − β₂^t)/(1 − β₁^t),  ε = ε₀·√(1 − β₂^t)
//! ```
//! | symbol | meaning | shape |
//! |---|---|---|
//! | `θ` | parameter | any |
//! | `g` | its gradient | as `θ` |
//! | `m`, `v` | decayed means of the gradient and of its square | as `θ` |
//!
//! Plain operations take about ten passes over the memory of the parameters; this kernel takes one.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod ops;
pub mod plain;
mod rates;

use burn::backend::{Dispatch, DispatchTensor};
use burn::tensor::Tensor;

use super::operands::operands;
use super::served::{FLOATS, Served};
use super::tensors::grouped;

pub use ops::AdamOps;
pub use rates::Rates;

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS };

/// The updated `θ`, `m` and `v`.
///
/// # Shapes
/// All of the same shape.
///
/// # Panics
/// If shapes or types differ, or a tensor is on a device with autodiff.
pub fn update<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    mean: Tensor<D>,
    square: Tensor<D>,
    rates: Rates,
) -> [Tensor<D>; 3] {
    operands!("adam", parameter, gradient, mean, square).alike();
    let tracked = [&parameter, &gradient, &mean, &square].iter().any(|tensor| tensor.is_autodiff());
    assert!(!tracked, "adam: expected tensors on a device without autodiff");
    if !SERVED.serves(&parameter) {
        return plain::update(parameter, gradient, mean, square, rates);
    }
    let [parameter, gradient, mean, square] =
        [parameter, gradient, mean, square].map(Tensor::into_dispatch);
    let (parameter, mean, square) =
        <Dispatch as AdamOps>::adam(parameter, gradient, mean, square, rates);
    [parameter, mean, square].map(Tensor::from_dispatch)
}

/// [`update`] of several parameters: each `[θ, g, m, v]`, of any number of axes. On a GPU it takes
/// few launches. The results, each `[θ, m, v]`, are in the order of the operands.
///
/// # Panics
/// As [`update`], and if the kernels do not serve a tensor.
pub fn update_all(updates: Vec<[DispatchTensor; 4]>, rates: Rates) -> Vec<[DispatchTensor; 3]> {
    for [parameter, gradient, mean, square] in &updates {
        operands!("adam", parameter, gradient, mean, square).alike();
        SERVED.require("adam", [parameter, gradient, mean, square]);
    }
    grouped(updates, |[parameters, gradients, means, squares]| {
        let (parameters, means, squares) =
            <Dispatch as AdamOps>::adam_all(parameters, gradients, means, squares, rates);
        [parameters, means, squares]
    })
}
