//! The widths that a network was built for, and whether what it is given has them.

use burn::tensor::Tensor;

use crate::error::{ConfigError, ShapeError, check_shape_size};
use crate::tensor::limit::{product, sum};

/// Widths of a network from a kept half and a condition to parameters. Widths are lengths of axis 1: numbers of a vector, channels of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Widths {
    /// Of the kept half.
    pub kept: usize,
    /// Of the half that changes.
    pub other: usize,
    /// Parameters for each number of the other half.
    pub params: usize,
    /// Of the condition; `None`: there is no condition.
    pub context: Option<usize>,
}

impl Widths {
    /// Whether every width of a network for vectors is at least 1.
    pub fn validate(&self, config: &'static str) -> Result<(), ConfigError> {
        self.validate_as(config, ["d_kept", "d_other", "n_params", "d_context"])
    }

    /// As [`Widths::validate`], for a network for images, whose widths are counts of channels.
    pub fn validate_channels(&self, config: &'static str) -> Result<(), ConfigError> {
        self.validate_as(config, ["n_kept", "n_other", "n_params", "n_context"])
    }

    fn validate_as(&self, config: &'static str, fields: [&'static str; 4]) -> Result<(), ConfigError> {
        let values = [self.kept, self.other, self.params, self.context.unwrap_or(1)];
        fields.into_iter().zip(values).try_for_each(|(field, value)| ConfigError::positive(config, field, value))
    }

    /// The widths of a network for vectors, by the names of its fields.
    pub fn fields(&self) -> [(&'static str, usize); 4] {
        [("d_kept", self.kept), ("d_other", self.other), ("n_params", self.params), ("d_context", self.d_context())]
    }

    /// Numbers that the last layer gives; `usize::MAX` where there are more.
    pub fn outputs(&self) -> usize {
        product([self.params, self.other])
    }

    /// Weights and biases of dense layers through the hidden widths; `usize::MAX` where there are more.
    pub fn dense(&self, hidden: &[usize]) -> usize {
        let (mut inputs, mut total) = (sum([self.kept, self.d_context()]), 0);
        for width in hidden.iter().copied().chain([self.outputs()]) {
            total = sum([total, product([inputs, width]), width]);
            inputs = width;
        }
        total
    }

    /// Width of the condition, 0 where there is none.
    pub fn d_context(&self) -> usize {
        self.context.unwrap_or(0)
    }

    /// What [`super::NetShape::check`] is asked.
    pub fn check<const D: usize>(
        &self,
        layer: &'static str,
        kept: [usize; D],
        other: [usize; D],
        n_params: usize,
    ) -> Result<(), ShapeError> {
        if kept[1] != self.kept {
            return Err(ShapeError::Axis { layer, axis: 1, expected: self.kept, shape: kept.to_vec() });
        }
        for axis in 1..D {
            let expected = if axis == 1 { self.other } else { kept[axis] };
            if other[axis] != expected {
                return Err(ShapeError::Axis { layer, axis, expected, shape: other.to_vec() });
            }
        }
        if n_params != self.params {
            let shape = vec![kept[0], n_params, check_shape_size(layer, &other[1..])?];
            return Err(ShapeError::Axis { layer, axis: 1, expected: self.params, shape });
        }
        Ok(())
    }

    /// Whether it is given a condition, of `n_parts` tensors, where it was built for one and only there.
    pub fn check_given(&self, layer: &'static str, n_parts: usize) -> Result<(), ShapeError> {
        let name = |given: bool| if given { "a condition" } else { "no condition" };
        let (built, given) = (self.context.is_some(), n_parts > 0);
        if built == given {
            return Ok(());
        }
        Err(ShapeError::Condition { layer, expected: name(built), found: name(given) })
    }

    /// What [`super::Conditioner::check_context`] is asked, for a condition of `parts` that stand side by side along axis 1. Further axes are
    /// those of `kept` or 1.
    pub fn check_context<const D: usize>(
        &self,
        layer: &'static str,
        kept: [usize; D],
        parts: &[Tensor<D>],
    ) -> Result<(), ShapeError> {
        self.check_given(layer, parts.len())?;
        let width: usize = parts.iter().map(|part| part.dims()[1]).sum();
        for part in parts {
            let mut found = part.dims();
            found[1] = width;
            let expected: [usize; D] = std::array::from_fn(|axis| match axis {
                1 => self.d_context(),
                axis if axis > 1 && found[axis] == 1 => 1,
                axis => kept[axis],
            });
            if found != expected {
                let (expected, found) = (expected.to_vec(), found.to_vec());
                return Err(ShapeError::ConditionShape { layer, expected, found });
            }
        }
        Ok(())
    }

    /// Outputs of the last layer, ordered by parameter, then by number: `[batch, params·other, ...]` to `[batch, params, dims]`.
    pub fn theta<const D: usize>(&self, output: Tensor<D>) -> Tensor<3> {
        let dims = output.dims();
        let positions: usize = dims[2..].iter().product();
        output.reshape([dims[0], self.params, self.other * positions])
    }
}
