//! What the tests of single laws share: a law at many inputs under one theta, and its gradients
//! against differences.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::law::Law;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

/// The types, with their spacings at 1.
pub const TYPES: [(DType, f64); 2] =
    [(DType::F32, f32::EPSILON as f64), (DType::F64, f64::EPSILON)];

/// Values and log-derivatives, one of each for an input.
pub struct Run {
    pub value: Vec<f64>,
    pub log_derivative: Vec<f64>,
}

pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

/// The device on which a type is tested.
pub fn device_of(dtype: DType) -> Device {
    if dtype == DType::F64 { Device::flex() } else { Device::default() }
}

fn operands(
    theta: &[f64],
    inputs: &[f64],
    dtype: DType,
    device: &Device,
) -> (Tensor<2>, Tensor<3>) {
    let x = TensorData::new(inputs.to_vec(), [inputs.len(), 1]).convert_dtype(dtype);
    let theta = TensorData::new(theta.to_vec(), [1, theta.len(), 1]).convert_dtype(dtype);
    let theta = Tensor::<3>::from_data(theta, (device, dtype));
    let [_, params, _] = theta.dims();
    (Tensor::from_data(x, (device, dtype)), theta.expand([inputs.len(), params, 1]))
}

/// A law at inputs that share one theta.
pub fn forward(law: &impl Law, theta: &[f64], inputs: &[f64], dtype: DType) -> Run {
    let (x, theta) = operands(theta, inputs, dtype, &device_of(dtype));
    let (value, log_derivative) = law.forward(x, theta);
    Run { value: numbers(value), log_derivative: numbers(log_derivative) }
}

/// Its inverse.
pub fn inverse(law: &impl Law, theta: &[f64], inputs: &[f64], dtype: DType) -> Run {
    let (z, theta) = operands(theta, inputs, dtype, &device_of(dtype));
    let (value, log_derivative) = law.inverse_with_log_derivative(z, theta);
    Run { value: numbers(value), log_derivative: numbers(log_derivative) }
}

/// Normal numbers of a size, as float32 holds them.
pub fn draws(n: usize, size: f64, seed: u64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..n)
        .map(|_| {
            let normal: f64 = StandardNormal.sample(&mut rng);
            f64::from((size * normal) as f32)
        })
        .collect()
}

/// Which output a gradient is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    Latent,
    LogDerivative,
    Inverse,
    InverseLogDerivative,
}

pub const OUTPUTS: [Output; 4] =
    [Output::Latent, Output::LogDerivative, Output::Inverse, Output::InverseLogDerivative];

impl Output {
    fn of(self, law: &impl Law, x: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        match self {
            Self::Latent => law.forward(x, theta).0,
            Self::LogDerivative => law.forward(x, theta).1,
            Self::Inverse => law.inverse(x, theta),
            Self::InverseLogDerivative => law.inverse_with_log_derivative(x, theta).1,
        }
    }

    /// Gradients of the output at one input with respect to the input, then to theta.
    pub fn gradient(self, law: &impl Law, theta: &[f64], x: f64, dtype: DType) -> Vec<f64> {
        let device = device_of(dtype).autodiff();
        let (x, theta) = operands(theta, &[x], dtype, &device);
        let (x, theta) = (x.detach().require_grad(), theta.detach().require_grad());
        let found = self.of(law, x.clone(), theta.clone()).sum().backward();
        let of_x = x.grad(&found).map_or_else(|| vec![0.0], numbers);
        let n = theta.dims()[1];
        [of_x, theta.grad(&found).map_or_else(|| vec![0.0; n], numbers)].concat()
    }

    fn at(self, law: &impl Law, theta: &[f64], x: f64) -> f64 {
        let (x, theta) = operands(theta, &[x], DType::F64, &Device::flex());
        numbers(self.of(law, x, theta))[0]
    }

    /// The same by central differences, in float64.
    fn differences(self, law: &impl Law, theta: &[f64], x: f64) -> Vec<f64> {
        let step = 1e-5;
        let slope = |f: &dyn Fn(f64) -> f64| (f(step) - f(-step)) / (2.0 * step);
        let of_x = slope(&|h| self.at(law, theta, x + h));
        let of_theta = (0..theta.len()).map(|index| {
            slope(&|h| {
                let mut moved = theta.to_vec();
                moved[index] += h;
                self.at(law, &moved, x)
            })
        });
        std::iter::once(of_x).chain(of_theta).collect()
    }
}

/// Gradients of both outputs of both directions, with respect to the input and to every parameter,
/// are those of differences. The inputs lie where the law is smooth.
pub fn gradients_are_differences(law: &impl Law, theta: &[f64], inputs: &[f64]) {
    for output in OUTPUTS {
        for &x in inputs {
            let found = output.gradient(law, theta, x, DType::F64);
            let expected = output.differences(law, theta, x);
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(
                    (found - expected).abs() <= 1e-6 * (1.0 + expected.abs()),
                    "{output:?} at {x}, operand {index}: {found}, differences {expected}"
                );
            }
        }
    }
}

/// Gradients in float32 are finite.
pub fn gradients_are_finite(law: &impl Law, theta: &[f64], inputs: &[f64]) {
    for output in OUTPUTS {
        for &x in inputs {
            let found = output.gradient(law, theta, x, DType::F32);
            assert!(
                found.iter().all(|value| value.is_finite()),
                "{output:?} at {x}, theta {theta:?}: {found:?}"
            );
        }
    }
}

/// In 16 bits a law is that of float32, rounded once, where both take the same operands.
#[allow(dead_code)] // Only laws that compute in float32 call it.
pub fn half_types_are_rounded_once(law: &impl Law, theta: &[f64], inputs: &[f64]) {
    // Numbers that have few bits.
    let few = |values: &[f64]| -> Vec<f64> {
        values.iter().map(|value| (value * 16.0).round().clamp(-128.0, 128.0) / 16.0).collect()
    };
    let (theta, inputs) = (few(theta), few(inputs));
    let exact = forward(law, &theta, &inputs, DType::F32);
    let back = inverse(law, &theta, &inputs, DType::F32);
    for (dtype, epsilon) in [(DType::F16, 2f64.powi(-10)), (DType::BF16, 2f64.powi(-7))] {
        let found = forward(law, &theta, &inputs, dtype);
        let found_back = inverse(law, &theta, &inputs, dtype);
        for (found, exact) in [
            (found.value, &exact.value),
            (found.log_derivative, &exact.log_derivative),
            (found_back.value, &back.value),
        ] {
            for (found, exact) in found.iter().zip(exact) {
                let error = (found - exact).abs();
                assert!(error <= epsilon * (exact.abs() + 1e-2), "{dtype:?}: {found} {exact}");
            }
        }
    }
}
