//! What several test programs share. Not every program uses all of it.
#![allow(dead_code)]

pub mod build;
pub mod comparison;
pub mod conv_net;
pub mod golden;
pub mod naming;
pub mod parameters;
pub mod tolerance;

use burn::tensor::{DType, Device, Tensor, TensorData};

/// In which type a test computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Float64, on the CPU.
    Double,
    /// Float32, on the default device.
    Single,
}

impl Precision {
    pub const BOTH: [Self; 2] = [Self::Double, Self::Single];

    pub fn dtype(self) -> DType {
        match self {
            Self::Double => DType::F64,
            Self::Single => DType::F32,
        }
    }

    /// A device that records graphs.
    pub fn device(self) -> Device {
        match self {
            Self::Double => Device::flex().autodiff(),
            Self::Single => Device::default().autodiff(),
        }
    }

    pub fn tensor<const D: usize>(self, values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
        let data = TensorData::new(values, shape).convert_dtype(self.dtype());
        Tensor::from_data(data, (&self.device(), self.dtype()))
    }

    /// A tensor that gradients are asked for.
    pub fn leaf<const D: usize>(self, values: Vec<f64>, shape: [usize; D]) -> Tensor<D> {
        self.tensor(values, shape).require_grad()
    }
}

/// The values of a tensor, row by row.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.without_autodiff().into_data().iter::<f64>().collect()
}
