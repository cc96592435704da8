//! A bijector that flowkit does not have: it bends the tails of each number.
//! ```text
//! forward  z = asinh(e^s·x)/e^s         log_det  −½ Σ ln(1 + (e^s·x)²)
//! inverse  x = sinh(e^s·z)/e^s
//! ```

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};
use flowkit::{Bijector, Context, ShapeError, ShapeMap, check_shape, tensor::per_example};

/// The bijector. `s` is one number for each position of axis 1.
#[derive(Module, Debug)]
pub struct Arcsinh {
    log_scale: Param<Tensor<1>>,
}

impl Arcsinh {
    pub fn new(n: usize, device: &Device) -> Self {
        Self { log_scale: Initializer::Zeros.init([n], device) }
    }

    fn scale(&self) -> Tensor<2> {
        self.log_scale.val().exp().unsqueeze()
    }
}

impl ShapeMap<2> for Arcsinh {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        let [expected] = self.log_scale.shape().dims();
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "Arcsinh", axis: 1, expected, shape: shape.to_vec() })
    }
}

impl<C: Context> Bijector<2, C> for Arcsinh {
    type Driver = flowkit::Leaf;

    fn forward(&self, x: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let scaled = x * self.scale();
        let root = scaled.clone().square().add_scalar(1.0);
        // asinh(y) = sign(y)·ln(|y| + √(y² + 1)): of the absolute value, so that nothing cancels;
        // the argument of ln is at least 1.
        let z = scaled.clone().sign() * (scaled.abs() + root.clone().sqrt()).log() / self.scale();
        (z, per_example::sum_event(root.log()).mul_scalar(-0.5))
    }

    fn inverse(&self, z: Tensor<2>, _: &C) -> Tensor<2> {
        (z * self.scale()).sinh() / self.scale()
    }
}
