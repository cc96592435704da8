//! What a convolutional network between the halves of a coupling is built for.

use burn::tensor::Tensor;

use crate::error::{ConfigError, ShapeError};

/// Channels of the kept half, of the half that changes, and the law's parameters for each number of it. Positions are free.
#[derive(Debug, Clone, Copy)]
pub(super) struct Halves {
    pub n_kept: usize,
    pub n_other: usize,
    pub n_params: usize,
}

impl Halves {
    pub fn validate(self, config: &'static str) -> Result<(), ConfigError> {
        ConfigError::positive(config, "n_kept", self.n_kept)?;
        ConfigError::positive(config, "n_other", self.n_other)?;
        ConfigError::positive(config, "n_params", self.n_params)
    }

    /// Channels that the network gives.
    pub fn n_outputs(self) -> usize {
        self.n_params * self.n_other
    }

    /// `[B, params·C, H, W]` to `[B, params, C·H·W]`.
    pub fn theta(self, output: Tensor<4>) -> Tensor<3> {
        let [b, _, h, w] = output.dims();
        output.reshape([b, self.n_params, self.n_other * h * w])
    }

    pub fn check(
        self,
        layer: &'static str,
        kept: [usize; 4],
        other: [usize; 4],
        n_params: usize,
    ) -> Result<(), ShapeError> {
        if n_params != self.n_params {
            let shape = vec![kept[0], n_params, other[1..].iter().product()];
            return Err(ShapeError::Axis { layer, axis: 1, expected: self.n_params, shape });
        }
        if kept[1] != self.n_kept {
            return Err(ShapeError::Axis { layer, axis: 1, expected: self.n_kept, shape: kept.to_vec() });
        }
        for (axis, expected) in [(1, self.n_other), (2, kept[2]), (3, kept[3])] {
            if other[axis] != expected {
                return Err(ShapeError::Axis { layer, axis, expected, shape: other.to_vec() });
            }
        }
        Ok(())
    }
}
