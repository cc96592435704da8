//! Data-dependent starts: the statistics at every offset and scale, constant channels, batches that
//! start nothing, conditions that are not finite.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::testing::elements::normal;
use flowkit::{FlowError, InitProblem};

#[path = "../common/build.rs"]
mod build;
mod condition;
mod constant;
mod outcome;
mod statistics;

fn device() -> Device {
    Device::flex().autodiff()
}

/// `offset + spread·N(0, 1)`, in float32.
fn around(seed: u64, n: usize, offset: f64, spread: f64) -> Vec<f32> {
    normal(seed, n, spread).into_iter().map(|x| (offset + x) as f32).collect()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// Columns side by side, `[rows, columns]`.
fn table(columns: &[Vec<f32>]) -> Tensor<2> {
    let rows = columns[0].len();
    let values = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
    tensor(values, [rows, columns.len()])
}

/// Every pixel a level from a fixed list.
fn levels(shape: [usize; 4], level: impl Fn(usize) -> i64) -> Tensor<4, Int> {
    let values: Vec<i64> = (0..shape.iter().product()).map(level).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// Levels that look like noise.
fn scattered(index: usize) -> i64 {
    (((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 256) as i64
}

fn numbers<const D: usize>(x: &Tensor<D>) -> Vec<f64> {
    x.clone().inner().into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

/// Mean and biased deviation, in float64.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (mean, (values.map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// Spacing of float32 at a number.
fn spacing(x: f64) -> f64 {
    let x = (x.abs() as f32).max(f32::MIN_POSITIVE);
    f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x)
}

/// Path, layer and reason of a start that failed.
fn failed<T>(start: Result<T, FlowError>) -> (String, String, InitProblem) {
    match start.map(drop) {
        Err(FlowError::Init { path, layer, problem }) => (path, layer.into_owned(), problem),
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("the start went through"),
    }
}
