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
//! | `β₁`, `β₂` | their decays | |
//! | `r`, `ε₀` | learning rate, and what is added to the divisor, before their corrections | |
//! | `t` | number of this update, from 1 | |
//!
//! Plain operations take about ten passes over the memory of the parameters; this kernel takes one.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "_gpu")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
pub mod plain;
mod rates;

#[cfg(feature = "_gpu")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, DispatchTensor, backend_extension};
use burn::tensor::Tensor;

use super::operands::operands;
use super::served::{FLOATS, Served};
use super::tensors::{Tensors, grouped, of_one_length};

pub use rates::Rates;

/// The devices and types that have kernels.
pub const SERVED: Served = Served { cpu: FLOATS, gpu: FLOATS };

/// The operation on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "_gpu"),
    Fusion: cfg(feature = "_gpu"),
)]
pub trait AdamOps: Backend {
    /// The updated parameter, mean and square. The mean and the square are updated in place if
    /// nobody else holds their memory.
    #[fusion(meta = updated)]
    fn adam(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        rates: Rates,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`AdamOps::adam`] for several parameters of one type: the updated parameters, means and
    /// squares, in few launches. The lists are of the same length, at least 1.
    #[fusion(meta = all_updated)]
    fn adam_all(
        #[extension_type] parameters: Tensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        #[extension_type] means: Tensors<Self>,
        #[extension_type] squares: Tensors<Self>,
        rates: Rates,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        of_one_length("adam", [&parameters, &gradients, &means, &squares]);
        let gradients = gradients.0.into_iter();
        let states = means.0.into_iter().zip(squares.0);
        let mut updated = (Vec::new(), Vec::new(), Vec::new());
        for ((parameter, gradient), (mean, square)) in
            parameters.0.into_iter().zip(gradients).zip(states)
        {
            let (parameter, mean, square) = Self::adam(parameter, gradient, mean, square, rates);
            updated.0.push(parameter);
            updated.1.push(mean);
            updated.2.push(square);
        }
        (Tensors(updated.0), Tensors(updated.1), Tensors(updated.2))
    }
}

#[cfg(feature = "_gpu")]
fn updated(
    parameter: &TensorSpec,
    _gradient: &TensorSpec,
    mean: &TensorSpec,
    square: &TensorSpec,
    _rates: &Rates,
) -> (TensorSpec, TensorSpec, TensorSpec) {
    (parameter.clone(), mean.clone(), square.clone())
}

#[cfg(feature = "_gpu")]
fn all_updated(
    parameters: &[TensorSpec],
    _gradients: &[TensorSpec],
    means: &[TensorSpec],
    squares: &[TensorSpec],
    _rates: &Rates,
) -> (Vec<TensorSpec>, Vec<TensorSpec>, Vec<TensorSpec>) {
    (parameters.to_vec(), means.to_vec(), squares.to_vec())
}

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
