//! The effect of a map on shapes, which does not depend on a condition.

use crate::error::ShapeError;
use crate::tensor::type_name::type_name;

/// The shapes that go into a map and come out of it. The batch axis is included.
///
/// The trait does not depend on the type of the condition, so `layer.output_shape(shape)` needs no
/// type annotation. A stack is checked by it before any data is computed.
pub trait ShapeMap<const D: usize> {
    /// Shape of `z` for a shape of `x`, or why this map cannot take it.
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError>;

    /// Shape of `x` for a shape of `z`. The default serves maps that keep the shape.
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
