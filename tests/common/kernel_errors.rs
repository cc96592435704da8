//! How far a kernel and its plain form are from the truth, in any type.

use burn::tensor::{DType, Device, TensorData};

use crate::kernel_case::{Operation, error, outcome};

/// The half types that the device under test has, each with the distance from 1 to the next number.
pub fn halves() -> Vec<(DType, f64)> {
    let device = Device::default();
    let all = [(DType::F16, 2f64.powi(-10)), (DType::BF16, 2f64.powi(-7))];
    let (known, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(dtype, _)| device.supports_dtype(*dtype));
    for (dtype, _) in others {
        println!("skipped: {device:?} has no {dtype:?}");
    }
    known
}

/// Numbers of a type that are next to some.
pub fn rounded(numbers: &[f64], dtype: DType) -> Vec<f64> {
    TensorData::new(numbers.to_vec(), [numbers.len()]).convert_dtype(dtype).iter::<f64>().collect()
}

/// The errors of the result and of each gradient, of a kernel and of its plain form, on the device
/// under test, against the plain form in float64. `weights` is the gradient of the result.
pub fn errors(
    [kernel, plain]: [&Operation; 2],
    operands: &[Vec<f64>],
    weights: &[f64],
    dtype: DType,
) -> Vec<[f64; 2]> {
    let operands: Vec<_> = operands.iter().map(|numbers| rounded(numbers, dtype)).collect();
    let leaves = vec![true; operands.len()];
    let weights = rounded(weights, dtype);
    let run = |operation: &Operation, device: &Device, dtype: DType| {
        outcome(operation, &operands, &weights, &leaves, (device, dtype))
    };
    let truth = run(plain, &Device::flex(), DType::F64);
    let found = [kernel, plain].map(|operation| run(operation, &Device::default(), dtype));
    let [kernel, plain] = found.map(|found| {
        found.iter().zip(&truth).map(|(found, truth)| error(found, truth)).collect::<Vec<_>>()
    });
    kernel.into_iter().zip(plain).map(|(kernel, plain)| [kernel, plain]).collect()
}
