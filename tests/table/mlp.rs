//! A conditioner as a user would write it: two dense layers, for vectors without condition, with one and with two.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use flowkit::{Conditioner, ShapeError};

/// `theta = output(tanh(input(kept, condition)))`.
#[derive(Module, Debug)]
pub struct Mlp {
    input: Linear,
    output: Linear,
    d_context: usize,
    d_other: usize,
}

impl Mlp {
    /// For a kept half of `d_kept` numbers, another of `d_other`, a condition of `d_context` and `n_params` parameters for each number.
    pub fn new(d_kept: usize, d_other: usize, d_context: usize, n_params: usize, device: &Device) -> Self {
        Self {
            input: LinearConfig::new(d_kept + d_context, 6).init(device),
            output: LinearConfig::new(6, n_params * d_other).init(device),
            d_context,
            d_other,
        }
    }

    fn run(&self, x: Tensor<2>) -> Tensor<3> {
        let batch = x.dims()[0];
        let theta = self.output.forward(self.input.forward(x).tanh());
        let outputs = theta.dims()[1];
        theta.reshape([batch, outputs / self.d_other, self.d_other])
    }

    fn check_widths(&self, kept: [usize; 2], other: [usize; 2], n_params: usize) -> Result<(), ShapeError> {
        let inputs = self.input.weight.lazy_shape()[0] - self.d_context;
        let outputs = self.output.weight.lazy_shape()[1];
        let axis = |expected: usize, shape: [usize; 2]| {
            Err(ShapeError::Axis { layer: "Mlp", axis: 1, expected, shape: shape.to_vec() })
        };
        match (kept[1] == inputs, other[1] * n_params == outputs) {
            (true, true) => Ok(()),
            (false, _) => axis(inputs, kept),
            (true, false) => axis(outputs / n_params, other),
        }
    }
}

impl Conditioner<2> for Mlp {
    fn forward(&self, kept: Tensor<2>, (): &()) -> Tensor<3> {
        self.run(kept)
    }

    fn check(&self, kept: [usize; 2], other: [usize; 2], n_params: usize) -> Result<(), ShapeError> {
        self.check_widths(kept, other, n_params)
    }
}

impl Conditioner<2, Tensor<2>> for Mlp {
    fn forward(&self, kept: Tensor<2>, context: &Tensor<2>) -> Tensor<3> {
        self.run(Tensor::cat(vec![kept, context.clone()], 1))
    }

    fn check(&self, kept: [usize; 2], other: [usize; 2], n_params: usize) -> Result<(), ShapeError> {
        self.check_widths(kept, other, n_params)
    }
}

impl Conditioner<2, (Tensor<2>, Tensor<2>)> for Mlp {
    fn forward(&self, kept: Tensor<2>, context: &(Tensor<2>, Tensor<2>)) -> Tensor<3> {
        self.run(Tensor::cat(vec![kept, context.0.clone(), context.1.clone()], 1))
    }

    fn check(&self, kept: [usize; 2], other: [usize; 2], n_params: usize) -> Result<(), ShapeError> {
        self.check_widths(kept, other, n_params)
    }
}
