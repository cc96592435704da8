//! The effect of a map on shapes, which does not depend on a condition.

use crate::error::ShapeError;
use crate::tensor::type_name::type_name;

/// The input and output shapes of a map. They include the batch axis.
///
/// The trait does not depend on the type of the condition, so `layer.output_shape(shape)` needs no
/// type annotation. It allows a stack to be checked before any data is computed.
pub trait ShapeMap<const D: usize> {
    /// Shape of `z` for a shape of `x`.
    ///
    /// # Errors
    /// Why this map does not accept the shape.
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError>;

    /// Shape of `x` for a shape of `z`. The default is for maps that keep the shape.
    ///
    /// # Errors
    /// Why this map does not produce the shape; [`ShapeError::InverseUnknown`] for a map that
    /// changes shapes and does not override the method.
    fn input_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let output = self.output_shape(shape)?;
        if output == shape {
            Ok(shape)
        } else {
            let layer = type_name::<Self>();
            Err(ShapeError::InverseUnknown {
                layer,
                shape: shape.to_vec(),
                output: output.to_vec(),
            })
        }
    }
}
