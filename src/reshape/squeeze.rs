//! Squeeze: every 2x2 block of an image becomes four channels.
//! ```text
//! forward   [B, C, H, W] -> [B, 4C, H/2, W/2]           log_det 0
//!
//!    0  1  2  3          top left   top right   bottom left   bottom right
//!    4  5  6  7    ->      0  2        1  3         4  6           5  7
//!    8  9 10 11            8 10        9 11        12 14          13 15
//!   12 13 14 15
//! ```
//! With [`ChannelOrder::ChannelMajor`] the four planes of a channel are adjacent: channel
//! `4c + 2·row + column`, as in Glow and in RealNVP in PyTorch. With [`ChannelOrder::BlockMajor`]
//! all channels of one block position are adjacent: channel `(2·row + column)·C + c`, as in
//! TensorFlow's `space_to_depth` and in Flow++. After `BlockMajor`, the first half of the channels
//! holds the even rows of the image.
//!
//! # Reference
//! Dinh et al. 2017 §3.6.

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::bijector::{Bijector, LayerConfig, Plan, Rearrange, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape, check_shape_size};
use crate::tensor::per_example::zero_log_det;

/// How the four planes of each channel are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelOrder {
    /// Channel `4c + 2·row + column`.
    ChannelMajor,
    /// Channel `(2·row + column)·C + c`.
    BlockMajor,
}

config! {
    /// Configuration of [`Squeeze`].
    #[derive(Debug)]
    pub struct SqueezeConfig {
        /// How the four planes of each channel are ordered.
        pub order: ChannelOrder,
    }
}

impl<C: Context> LayerConfig<4, C> for SqueezeConfig {
    type Layer = Squeeze;

    fn build(&self, site: &Site<4, C>) -> Result<Squeeze, ConfigError> {
        self.plan(site)?;
        Ok(self.layer())
    }

    fn plan(&self, site: &Site<4, C>) -> Result<Plan<4>, ConfigError> {
        site.elements("Squeeze")?;
        Ok(Plan { output: self.layer().output_shape(site.shape())?, num_params: 0 })
    }

    fn plan_inverse(&self, site: &Site<4, C>) -> Result<Plan<4>, ConfigError> {
        site.elements("Squeeze")?;
        Ok(Plan { output: self.layer().input_shape(site.shape())?, num_params: 0 })
    }
}

impl SqueezeConfig {
    /// The layer, which is the same for every shape.
    fn layer(&self) -> Squeeze {
        Squeeze { order: self.order }
    }
}

/// Squeeze. Picture and formulas head this module.
#[derive(Module, Debug)]
pub struct Squeeze {
    #[module(skip)]
    order: ChannelOrder,
}

impl ShapeMap<4> for Squeeze {
    fn output_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        let [b, c, h, w] = shape;
        for (axis, length) in [(2, h), (3, w)] {
            if length == 0 || length % 2 != 0 {
                return Err(ShapeError::NotDivisible {
                    layer: "Squeeze",
                    axis,
                    factor: 2,
                    shape: shape.to_vec(),
                });
            }
        }
        check_shape_size("Squeeze", &shape)?;
        Ok([b, 4 * c, h / 2, w / 2])
    }

    fn input_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        let [b, c, h, w] = shape;
        if c == 0 || c % 4 != 0 {
            return Err(ShapeError::NotDivisible {
                layer: "Squeeze",
                axis: 1,
                factor: 4,
                shape: shape.to_vec(),
            });
        }
        check_shape_size("Squeeze", &shape)?;
        Ok([b, c / 4, 2 * h, 2 * w])
    }
}

impl<C: Context> Bijector<4, C> for Squeeze {
    type Driver = Rearrange;

    fn forward(&self, x: Tensor<4>, _: &C) -> (Tensor<4>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let log_det = zero_log_det(&x);
        let [b, c, h, w] = x.dims();
        let blocks = x.reshape([b, c, h / 2, 2, w / 2, 2]);
        let z = match self.order {
            ChannelOrder::ChannelMajor => blocks.permute([0, 1, 3, 5, 2, 4]),
            ChannelOrder::BlockMajor => blocks.permute([0, 3, 5, 1, 2, 4]),
        };
        (z.reshape([b, 4 * c, h / 2, w / 2]), log_det)
    }

    fn inverse(&self, z: Tensor<4>, _: &C) -> Tensor<4> {
        check_shape(self.input_shape(z.dims()));
        let [b, c, h, w] = z.dims();
        let blocks = match self.order {
            ChannelOrder::ChannelMajor => {
                z.reshape([b, c / 4, 2, 2, h, w]).permute([0, 1, 4, 2, 5, 3])
            }
            ChannelOrder::BlockMajor => {
                z.reshape([b, 2, 2, c / 4, h, w]).permute([0, 3, 4, 1, 5, 2])
            }
        };
        blocks.reshape([b, c / 4, 2 * h, 2 * w])
    }

    fn inverse_with_log_det(&self, z: Tensor<4>, context: &C) -> (Tensor<4>, Tensor<1>) {
        let log_det = zero_log_det(&z);
        (self.inverse(z, context), log_det)
    }
}
