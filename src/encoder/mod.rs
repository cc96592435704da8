//! Encoders: networks that compute the condition of a flow from something else.
//! ```text
//! code = encoder(x)           one row for each row of x
//! ```
//! | encoder | `x` | `code` |
//! |---|---|---|
//! | [`Unchanged`] | any tensor | `x` itself |
//! | [`VectorEncoder`] | vectors `[batch, n]` | `[batch, n_features]` |
//! | [`SetEncoder`] | sets `[batch, members, n]`, in any order of the members | `[batch, n_features]` |
//! | [`SeriesEncoder`] | series `[batch, channels, length]` | `[batch, n_features]` |
//! | [`ImageEncoder`] | images `[batch, channels, height, width]` | `[batch, n_features]` |
//! | [`Standardized`] | that of another encoder | that of the other encoder, for standardised `x` |
//!
//! [`Embedded`](crate::flow::Embedded) computes the condition of a flow in this way.
//! [`VariationalDequantization`](crate::VariationalDequantization) computes the condition of its
//! noise in this way, from the data scaled to [−½, ½).

pub mod encoding;
pub mod image;
pub mod series;
pub mod set;
pub mod standardized;
pub mod unchanged;
pub mod vector;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

pub use encoding::Encoding;
pub use image::{ImageEncoder, ImageEncoderConfig};
pub use series::{SeriesEncoder, SeriesEncoderConfig};
pub use set::{SetEncoder, SetEncoderConfig};
pub use standardized::{Standardized, StandardizedConfig};
pub use unchanged::Unchanged;
pub use vector::{VectorEncoder, VectorEncoderConfig};

use crate::bijector::Site;
use crate::context::{Context, ContextShape};
use crate::error::{ConfigError, InitProblem, ShapeError};

/// A network that computes a condition from tensors with `D` axes, the first of which is the batch.
///
/// Its input has the type of its weights.
pub trait Encoder<const D: usize>: Module + ModuleDisplay {
    /// The condition that it computes.
    type Code: Context;

    /// Axis of the features, each of which has a unit of its own: 1, except for sets. The other
    /// axes number examples, members or positions.
    const FEATURE_AXIS: usize = 1;

    /// The condition of a batch.
    ///
    /// # Panics
    /// If [`Encoder::check`] is an error.
    fn encode(&self, x: Tensor<D>) -> Self::Code;

    /// Data-dependent initialisation. Returns the condition too, detached from the graph.
    fn initialize(self, x: Tensor<D>) -> (Self, Self::Code);

    /// Checks that it accepts inputs of this shape. The default accepts every shape.
    ///
    /// # Errors
    /// The axis that does not fit.
    fn check(&self, shape: [usize; D]) -> Result<(), ShapeError> {
        let _ = shape;
        Ok(())
    }

    /// Why a batch cannot initialise it, if it knows the reason. Called after an initialisation
    /// that led to values that are not finite.
    fn init_problem(&self, x: &Tensor<D>) -> Option<InitProblem> {
        let _ = x;
        None
    }
}

/// The configuration of an encoder.
pub trait EncoderConfig<const D: usize> {
    /// The encoder that it builds.
    type Encoder: Encoder<D>;

    /// The shape of the condition that the encoder computes from data of the site's shape.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn context(&self, site: &Site<D>) -> Result<ContextShape, ConfigError>;

    /// The encoder for data of the site's shape.
    ///
    /// # Errors
    /// The first rule that is broken.
    fn build(&self, site: &Site<D>) -> Result<Self::Encoder, ConfigError>;

    /// Number of parameters of the encoder. The default builds it to count them.
    ///
    /// # Errors
    /// Those of [`EncoderConfig::build`].
    fn num_params(&self, site: &Site<D>) -> Result<usize, ConfigError> {
        Ok(Module::num_params(&self.build(site)?))
    }
}

/// `Ok` if a shape has the length `expected` along an axis and no axis of length 0.
fn check_axis<const D: usize>(
    layer: &'static str,
    shape: [usize; D],
    axis: usize,
    expected: usize,
) -> Result<(), ShapeError> {
    if shape.contains(&0) {
        return Err(ShapeError::Empty { layer, shape: shape.to_vec() });
    }
    if shape[axis] == expected {
        return Ok(());
    }
    Err(ShapeError::Axis { layer, axis, expected, shape: shape.to_vec() })
}
