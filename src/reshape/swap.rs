//! Swap: exchanges the two halves of the channel axis.
//! ```text
//! forward   (a, b) -> (b, a)               log_det 0
//! ```
//! Between two couplings it exchanges the identity half and the transformed half. With an odd
//! number of channels the first half is the longer one, so the lengths are exchanged too.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Plan, Rearrange, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::tensor::per_example::zero_log_det;

/// Exchange of the two halves of the channel axis.
#[derive(Module, Debug, Default)]
pub struct Swap {}

impl Swap {
    /// The bijector.
    pub fn new() -> Self {
        Self {}
    }
}

/// Moves the first `n` channels to the end.
fn rotate<const D: usize>(x: Tensor<D>, n: usize) -> Tensor<D> {
    let dims = x.dims();
    let rest = dims[1] - n;
    if rest == n {
        // Exchanging equal halves is one operation in each direction; slices and their gradients
        // are eight.
        let halves = x.reshape([dims[0], 2, n * dims[2..].iter().product::<usize>()]);
        return halves.flip([1]).reshape(dims);
    }
    Tensor::cat(vec![x.clone().narrow(1, n, rest), x.narrow(1, 0, n)], 1)
}

/// Nothing is configured: the layer is its own configuration.
impl<const D: usize, C: Context> LayerConfig<D, C> for Swap {
    type Layer = Self;

    fn build(&self, site: &Site<D, C>) -> Result<Self, ConfigError> {
        self.plan(site)?;
        Ok(Self::new())
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        site.elements("Swap")?;
        Ok(Plan { output: self.output_shape(site.shape())?, num_params: 0 })
    }
}

impl<const D: usize> ShapeMap<D> for Swap {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        if shape[1] >= 2 {
            return Ok(shape);
        }
        Err(ShapeError::Short { layer: "Swap", axis: 1, least: 2, shape: shape.to_vec() })
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Swap {
    type Driver = Rearrange;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let log_det = zero_log_det(&x);
        let first = x.dims()[1].div_ceil(2);
        (rotate(x, first), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        let second = z.dims()[1] / 2;
        rotate(z, second)
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, context: &C) -> (Tensor<D>, Tensor<1>) {
        let log_det = zero_log_det(&z);
        (self.inverse(z, context), log_det)
    }
}
