//! Partition: divides an image into two halves and stacks them on the channel axis, as couplings
//! require.
//! ```text
//! forward   [B, C, H, W] -> [B, 2C, H, W/2]             log_det 0
//!           channels 0..C hold the first half (a), C..2C the second (b)
//!
//!   Stripes   a b a b        Checkerboard   a b a b
//!             a b a b                       b a b a
//!             a b a b                       a b a b
//! ```
//! [`Pattern::Channels`] leaves the image unchanged: the halves are those of the channel axis.
//!
//! # Reference
//! The checkerboard is Dinh et al. 2017 §3.4. Flow++'s paper describes a checkerboard; its released
//! code uses stripes of columns.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::bijector::{Bijector, LayerConfig, Plan, Rearrange, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape, check_shape_size};
use crate::tensor::per_example::zero_log_det;

/// Which elements of an image form the first half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pattern {
    /// The first half of the channels.
    Channels,
    /// Even columns (Flow++'s released code).
    Stripes,
    /// Elements whose row plus column is even.
    Checkerboard,
}

config! {
    /// Configuration of [`Partition`].
    #[derive(Debug)]
    pub struct PartitionConfig {
        /// Which elements form the first half.
        pub pattern: Pattern,
    }
}

impl<C: Context> LayerConfig<4, C> for PartitionConfig {
    type Layer = Partition;

    fn build(&self, site: &Site<4, C>) -> Result<Partition, ConfigError> {
        self.plan(site)?;
        Ok(self.layer())
    }

    fn plan(&self, site: &Site<4, C>) -> Result<Plan<4>, ConfigError> {
        site.elements("Partition")?;
        Ok(Plan { output: self.layer().output_shape(site.shape())?, num_params: 0 })
    }

    fn plan_inverse(&self, site: &Site<4, C>) -> Result<Plan<4>, ConfigError> {
        site.elements("Partition")?;
        Ok(Plan { output: self.layer().input_shape(site.shape())?, num_params: 0 })
    }
}

impl PartitionConfig {
    /// The layer, which is the same for every shape.
    fn layer(&self) -> Partition {
        Partition { pattern: self.pattern }
    }
}

/// Partition of an image into two halves. The pictures head this module.
#[derive(Module, Debug)]
pub struct Partition {
    #[module(skip)]
    pattern: Pattern,
}

/// Exchanges the columns of each pair in odd rows. It is its own inverse.
fn flip_odd_rows(x: Tensor<4>) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let rows = x.reshape([b, c * (h / 2), 2, w / 2, 2]);
    let even = rows.clone().narrow(2, 0, 1);
    let odd = rows.narrow(2, 1, 1).flip([4]);
    Tensor::cat(vec![even, odd], 2).reshape([b, c, h, w])
}

impl ShapeMap<4> for Partition {
    fn output_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        let [b, c, h, w] = shape;
        let even = |axis: usize| {
            if shape[axis] == 0 || !shape[axis].is_multiple_of(2) {
                Err(ShapeError::NotDivisible {
                    layer: "Partition",
                    axis,
                    factor: 2,
                    shape: shape.to_vec(),
                })
            } else {
                Ok(())
            }
        };
        check_shape_size("Partition", &shape)?;
        match self.pattern {
            Pattern::Channels => even(1).map(|()| shape),
            Pattern::Stripes => even(3).map(|()| [b, 2 * c, h, w / 2]),
            Pattern::Checkerboard => even(2).and(even(3)).map(|()| [b, 2 * c, h, w / 2]),
        }
    }

    fn input_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        let [b, c, h, w] = shape;
        if c == 0 || c % 2 != 0 {
            return Err(ShapeError::NotDivisible {
                layer: "Partition",
                axis: 1,
                factor: 2,
                shape: shape.to_vec(),
            });
        }
        check_shape_size("Partition", &shape)?;
        match self.pattern {
            Pattern::Channels => Ok(shape),
            Pattern::Checkerboard if h == 0 || h % 2 != 0 => Err(ShapeError::NotDivisible {
                layer: "Partition",
                axis: 2,
                factor: 2,
                shape: shape.to_vec(),
            }),
            Pattern::Stripes | Pattern::Checkerboard => Ok([b, c / 2, h, 2 * w]),
        }
    }
}

impl<C: Context> Bijector<4, C> for Partition {
    type Driver = Rearrange;

    fn forward(&self, x: Tensor<4>, _: &C) -> (Tensor<4>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let log_det = zero_log_det(&x);
        let striped = match self.pattern {
            Pattern::Channels => return (x, log_det),
            Pattern::Stripes => x,
            Pattern::Checkerboard => flip_odd_rows(x),
        };
        let [b, c, h, w] = striped.dims();
        let halves = striped.reshape([b, c, h, w / 2, 2]).permute([0, 4, 1, 2, 3]);
        (halves.reshape([b, 2 * c, h, w / 2]), log_det)
    }

    fn inverse(&self, z: Tensor<4>, _: &C) -> Tensor<4> {
        check_shape(self.input_shape(z.dims()));
        if self.pattern == Pattern::Channels {
            return z;
        }
        let [b, c, h, w] = z.dims();
        let striped =
            z.reshape([b, 2, c / 2, h, w]).permute([0, 2, 3, 4, 1]).reshape([b, c / 2, h, 2 * w]);
        if self.pattern == Pattern::Checkerboard { flip_odd_rows(striped) } else { striped }
    }

    fn inverse_with_log_det(&self, z: Tensor<4>, context: &C) -> (Tensor<4>, Tensor<1>) {
        let log_det = zero_log_det(&z);
        (self.inverse(z, context), log_det)
    }
}
