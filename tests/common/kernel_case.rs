//! A kernel and its reference, compared: values and the gradient of every operand.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// An operation of operands that are flat here and have their shapes there.
pub type Operation = Box<dyn Fn(&[Tensor<1>]) -> Tensor<1>>;

/// A kernel on operands of some shapes, and its reference.
pub struct Case {
    name: String,
    shapes: Vec<Vec<usize>>,
    kernel: Operation,
    reference: Operation,
}

impl Case {
    pub fn new(
        name: String,
        shapes: Vec<Vec<usize>>,
        kernel: impl Fn(&[Tensor<1>]) -> Tensor<1> + 'static,
        reference: impl Fn(&[Tensor<1>]) -> Tensor<1> + 'static,
    ) -> Self {
        Self { name, shapes, kernel: Box::new(kernel), reference: Box::new(reference) }
    }
}

/// A tensor as a row of numbers.
pub fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let n = tensor.shape().num_elements();
    tensor.reshape([n])
}

/// Numbers that float32 holds, so that the truth is that of the same numbers.
pub fn normal(n: usize, rng: &mut StdRng) -> Vec<f64> {
    let mut number = || {
        let number: f64 = rng.sample(StandardNormal);
        f64::from(number as f32)
    };
    (0..n).map(|_| number()).collect()
}

/// The output, and the gradient of each operand that is a leaf.
pub fn outcome(
    operation: &Operation,
    operands: &[Vec<f64>],
    weights: &[f64],
    leaves: &[bool],
    (device, dtype): (&Device, DType),
) -> Vec<Vec<f64>> {
    let tensor = |numbers: &[f64], device: &Device| {
        let data = TensorData::new(numbers.to_vec(), [numbers.len()]).convert_dtype(dtype);
        Tensor::<1>::from_data(data, (device, dtype))
    };
    let graph = device.clone().autodiff();
    let leaf = |(numbers, leaf): (&Vec<f64>, &bool)| {
        if *leaf { tensor(numbers, &graph).require_grad() } else { tensor(numbers, device) }
    };
    let operands: Vec<_> = operands.iter().zip(leaves).map(leaf).collect();
    let output = operation(&operands);
    assert_eq!(output.dtype(), dtype);
    let numbers = |tensor: Tensor<1>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
    let mut found = vec![numbers(output.clone().inner())];
    let gradients = (output * tensor(weights, &graph)).sum().backward();
    for (operand, _) in operands.iter().zip(leaves).filter(|(_, leaf)| **leaf) {
        found.push(numbers(operand.grad(&gradients).expect("a leaf has a gradient")));
    }
    found
}

/// Largest error relative to the largest number.
pub fn error(found: &[f64], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let largest = truth.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    let errors = found.iter().zip(truth).map(|(found, truth)| (found - truth).abs() / largest);
    errors.fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { error.max(worst) })
}

/// Kernels may lose twice what plain operations of the same precision lose, and some roundings
/// more.
#[allow(dead_code)]
pub fn check(cases: Vec<Case>) {
    check_to(32.0, cases);
}

/// The same, where results in float64 may differ from the plain ones by so many roundings.
#[allow(dead_code)]
pub fn check_to(in_float64: f64, cases: Vec<Case>) {
    assert!(!cases.is_empty());
    let mut rng = StdRng::seed_from_u64(7);
    for Case { name, shapes, kernel, reference } in cases {
        let operands: Vec<_> =
            shapes.iter().map(|shape| normal(shape.iter().product(), &mut rng)).collect();
        let flex = Device::flex();
        let all = vec![true; operands.len()];
        let zeros: Vec<_> = operands.iter().map(|numbers| tensor_of(numbers, &flex)).collect();
        let n = kernel(&zeros).dims()[0];
        let weights = normal(n, &mut rng);
        // Every operand a leaf, and each alone: the others' gradients are then not computed.
        let alone =
            (0..operands.len()).map(|only| (0..operands.len()).map(|i| i == only).collect());
        for leaves in std::iter::once(all).chain(alone) {
            let truth = outcome(&reference, &operands, &weights, &leaves, (&flex, DType::F64));
            for (device, dtype, epsilon) in [
                (&flex, DType::F64, f64::EPSILON),
                (&Device::default(), DType::F32, f64::from(f32::EPSILON)),
            ] {
                let plain = outcome(&reference, &operands, &weights, &leaves, (device, dtype));
                let found = outcome(&kernel, &operands, &weights, &leaves, (device, dtype));
                for (index, ((found, plain), truth)) in
                    found.iter().zip(&plain).zip(&truth).enumerate()
                {
                    let roundings = if dtype == DType::F64 { in_float64 } else { 32.0 };
                    let allowed = 2.0 * error(plain, truth) + roundings * epsilon;
                    let error = error(found, truth);
                    assert!(
                        error <= allowed,
                        "{name}, {dtype:?}, {leaves:?}, {index}: {error:e} > {allowed:e}"
                    );
                }
            }
        }
    }
}

/// Of float64.
pub fn tensor_of(numbers: &[f64], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), [numbers.len()]), (device, DType::F64))
}
