//! Nonlinearities of networks, chosen by a configuration.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, silu};
use serde::{Deserialize, Serialize};

use crate::tensor::smooth::{elu, tanh};

/// A function of every element of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `max(x, 0)`. Log-densities then have kinks.
    Relu,
    /// `tanh x`. Smooth and bounded: it saturates far outside of the data.
    Tanh,
    /// `x·σ(x)`. Smooth.
    Silu,
    /// `x₊ + exp(−x₋) − 1` with `x₊ = max(x, 0)`, `x₋ = max(−x, 0)`. Once differentiable.
    Elu,
}

impl Activation {
    /// [`Activation::Silu`], the default of dense networks.
    pub(crate) fn silu() -> Self {
        Self::Silu
    }

    /// Applies the function to every element.
    ///
    /// # Numerics
    /// `Elu` never computes `exp` of a positive value, so neither its value nor its gradient
    /// overflows. Its derivative at 0 is 1. The derivatives of `Tanh` and `Elu` stay accurate where
    /// the functions saturate ([`crate::tensor::smooth`]).
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => relu(x),
            Self::Tanh => tanh(x),
            Self::Silu => silu(x),
            Self::Elu => elu(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    #[test]
    fn activations_meet_their_formulas() {
        let device = Device::flex().autodiff();
        let points = [-700.0, -1.0, 0.0, 0.5, 700.0];
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        type Function<'a> = &'a dyn Fn(f64) -> f64;
        let cases: [(Activation, Function, Function); 4] = [
            (Activation::Relu, &|x| x.max(0.0), &|x| if x > 0.0 { 1.0 } else { 0.0 }),
            (Activation::Tanh, &|x: f64| x.tanh(), &|x| 1.0 - x.tanh().powi(2)),
            (Activation::Silu, &|x| x * sigmoid(x), &|x| {
                sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))
            }),
            (Activation::Elu, &|x| if x > 0.0 { x } else { x.exp_m1() }, &|x| {
                if x > 0.0 { 1.0 } else { x.exp() }
            }),
        ];
        for (activation, value, derivative) in cases {
            let x = Tensor::<1>::from_data(points, (&device, DType::F64)).require_grad();
            let y = activation.forward(x.clone());
            let slope = x.grad(&y.clone().sum().backward()).expect("a leaf").into_data();
            for ((&x, y), slope) in
                points.iter().zip(y.into_data().iter::<f64>()).zip(slope.iter::<f64>())
            {
                assert!((y - value(x)).abs() < 1e-12, "{activation:?} at {x}: {y}");
                assert!(
                    (slope - derivative(x)).abs() < 1e-12,
                    "{activation:?} at {x}: slope {slope}"
                );
            }
        }
    }
}
