//! Parameters: random initial values, and new values that leave the identity of a parameter, by
//! which the optimizer knows it, unchanged.
//!
//! burn's `Initializer` samples a parameter from the device's generator at its first use, so a
//! model depends on all random numbers that were sampled between `build` and that moment. The
//! initial values of this module are fixed at `build`:
//! ```text
//! key      eight random numbers from the device's generator, at `build`
//! values   from ChaCha with 8 rounds under that key, on the host, at first use; rounded to the
//!          device's float type
//! ```
//! Nothing is allocated before it is needed, and loading a checkpoint samples no values. One key
//! gives the same initial values on every device. All modules of this crate are initialised this
//! way; for networks of your own, use [`normal`] and [`uniform`].
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::tensor::parameter;
//!
//! let device = Device::flex();
//! let initial = |between: usize| {
//!     device.seed(1);
//!     let weight = parameter::normal([3, 2], 0.05, &device);
//!     let _ = Tensor::<1>::random([between], Distribution::Default, &device);
//!     weight.val().into_data()
//! };
//! assert_eq!(initial(1), initial(100));
//! ```

use std::iter::repeat_with;

use burn::module::{Param, ParamId};
use burn::nn::Linear;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use chacha20::ChaCha8Rng;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::random;
use crate::random::draw::generator;
use crate::tensor::graph::constant;
use crate::tensor::moments::on_device;

/// Separates the keys of parameters from those of shuffles and augmentations.
const PARAMETERS: u64 = 1;

/// A trained parameter of the given shape whose initial values are independent samples of
/// `N(0, deviation²)`, fixed by this call.
///
/// # Panics
/// If the device returns no random numbers.
pub fn normal<const D: usize>(
    shape: [usize; D],
    deviation: f64,
    device: &Device,
) -> Param<Tensor<D>> {
    // Adding 0 changes no sample, except that −0 becomes 0.
    drawn(shape, device, move |generator| normals(generator).map(move |z| 0.0 + deviation * z))
}

/// A trained parameter of the given shape whose initial values are independent samples of the
/// uniform distribution on `[−bound, bound)`, fixed by this call.
///
/// # Panics
/// If the device returns no random numbers.
pub fn uniform<const D: usize>(shape: [usize; D], bound: f64, device: &Device) -> Param<Tensor<D>> {
    drawn(shape, device, move |generator| uniforms(generator).map(move |u| bound * (2.0 * u - 1.0)))
}

/// Uniform samples of `[0, 1)`: the upper 53 bits of 64, the precision of a float64.
fn uniforms(mut generator: ChaCha8Rng) -> impl Iterator<Item = f64> {
    repeat_with(move || (generator.next_u64() >> 11) as f64 * 2f64.powi(-53))
}

/// Samples of `N(0, 1)`.
pub(crate) fn normals(generator: ChaCha8Rng) -> impl Iterator<Item = f64> {
    Distribution::<f64>::sample_iter(StandardNormal, generator)
}

/// Dense layer whose weights and bias are uniform within `±bound`.
pub(crate) fn linear(inputs: usize, outputs: usize, bound: f64, device: &Device) -> Linear {
    Linear {
        weight: uniform([inputs, outputs], bound, device),
        bias: Some(uniform([outputs], bound, device)),
    }
}

/// Dense layer with burn's initialisation, which is PyTorch's: uniform within `±1/√inputs`.
pub(crate) fn fan_in_linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    linear(inputs, outputs, 1.0 / (inputs as f64).sqrt(), device)
}

/// A host generator, fixed by the state of the device's generator.
///
/// # Panics
/// If the device returns no random numbers.
pub(crate) fn host_generator(device: &Device) -> ChaCha8Rng {
    match random::key(device) {
        Ok(key) => generator([key, 0, 0, PARAMETERS]),
        Err(reason) => {
            panic!("the device returned no random numbers to initialise a parameter: {reason}")
        }
    }
}

/// A trained parameter whose initial values, row by row, are those that `values` makes from a
/// generator fixed by this call.
pub(crate) fn drawn<const D: usize, I: Iterator<Item = f64>>(
    shape: [usize; D],
    device: &Device,
    values: impl FnOnce(ChaCha8Rng) -> I + Send + Sync + 'static,
) -> Param<Tensor<D>> {
    let generator = host_generator(device);
    let start = move |device: &Device, require_grad: bool| {
        let values = values(generator).take(shape.iter().product());
        let dtype = device.settings().float_dtype;
        // Half types are rounded from float32, as in burn's own initialisers.
        let data = match dtype {
            FloatDType::F64 => TensorData::new(values.collect::<Vec<f64>>(), shape),
            _ => TensorData::new(values.map(|value| value as f32).collect::<Vec<f32>>(), shape),
        };
        device.memory_persistent_allocations(data, |data| {
            let value = Tensor::from_data(data, (device, DType::from(dtype)));
            if require_grad { value.require_grad() } else { value }
        })
    };
    Param::uninitialized(ParamId::new(), start, device.clone(), true, shape.into())
}

/// `parameter` with another value, for data-dependent initialisation. Id, device and type stay the
/// same, and so does whether it is trained.
///
/// # Panics
/// If the shapes differ.
pub fn set<const D: usize>(parameter: Param<Tensor<D>>, value: Tensor<D>) -> Param<Tensor<D>> {
    parameter.map(|old| {
        assert_eq!(
            old.dims(),
            value.dims(),
            "parameter: expected a value of the parameter's shape"
        );
        let device = old.device();
        let value = value.inner().to_device(&device.clone().inner()).cast(old.dtype());
        if old.is_autodiff() {
            constant(value, &device).set_require_grad(old.is_require_grad())
        } else {
            value
        }
    })
}

/// [`set`] with host values, each rounded to the nearest value of the parameter's type.
pub(crate) fn set_values<const D: usize>(
    parameter: Param<Tensor<D>>,
    values: Vec<f64>,
) -> Param<Tensor<D>> {
    let old = parameter.val();
    let value = on_device(values, old.dims(), &old.device(), old.dtype());
    set(parameter, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from an independent ChaCha8 in Python: `(word >> 11)·2⁻⁵³` of the
    /// little-endian words of the stream under the key `[11, 0, 0, 1]`.
    #[test]
    fn uniform_draws_are_the_documented_ones() {
        let draws: Vec<f64> = uniforms(generator([11, 0, 0, PARAMETERS]))
            .map(|u| 0.3 * (2.0 * u - 1.0))
            .take(10)
            .collect();
        assert_eq!(
            draws[..4],
            [-0.001373049094982881, -0.2638169379125962, 0.15231301649289475, 0.2987054075087542]
        );
        assert_eq!(draws[8..], [-0.12098406870263713, 0.26063881260115296]);
    }
}
