//! Target: a density that is known up to a factor.
//! ```text
//! p(x) = p̃(x)/Z      ln p̃(x) = −energy(x) in units of kT       [batch], nats
//! ```

use burn::tensor::Tensor;

use crate::error::FlowError;
use crate::flow::Placement;

/// A density of tensors with `D` axes, known up to a factor. Every closure from a batch to its
/// log-densities is one.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use flowkit::importance::Target;
///
/// /// `E(x) = Σ (x² − 1)²`, at an inverse temperature.
/// struct DoubleWell {
///     beta: f64,
/// }
///
/// impl Target<2> for DoubleWell {
///     fn log_density(&self, x: Tensor<2>) -> Tensor<1> {
///         let energy = x.square().sub_scalar(1.0).square().sum_dim(1);
///         energy.squeeze_dim::<1>(1).mul_scalar(-self.beta)
///     }
/// }
///
/// let x = Tensor::<2>::from_data([[0.0], [1.0]], &Device::flex());
/// let nats = DoubleWell { beta: 3.0 }.log_density(x.clone());
/// assert_eq!(nats.into_data().to_vec::<f32>()?, [-3.0, 0.0]);
/// // A closure, which needs the type of its argument:
/// let normal = |x: Tensor<2>| x.square().sum_dim(1).squeeze_dim::<1>(1).mul_scalar(-0.5);
/// assert_eq!(normal.log_density(x).dims(), [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Target<const D: usize> {
    /// `ln p̃(x)` of every example, in nats, in the type and on the device of `x`. `−∞` where the
    /// density is 0.
    ///
    /// Training may differentiate it with respect to `x`, so compute it by operations of tensors,
    /// and make constants on `x.device()`.
    ///
    /// # Shapes
    /// `x [batch, ...]` to `[batch]`.
    fn log_density(&self, x: Tensor<D>) -> Tensor<1>;
}

impl<const D: usize, F: Fn(Tensor<D>) -> Tensor<1>> Target<D> for F {
    fn log_density(&self, x: Tensor<D>) -> Tensor<1> {
        self(x)
    }
}

/// The log-densities of a batch, if there is one for each example.
///
/// # Errors
/// [`FlowError::TargetShape`]; [`FlowError::Type`] or [`FlowError::OtherDevice`] if their type or
/// device is not that of the batch.
pub(crate) fn checked_log_density<const D: usize>(
    target: &impl Target<D>,
    x: Tensor<D>,
) -> Result<Tensor<1>, FlowError> {
    let (expected, placement) = (x.dims()[0], Placement::of(&x));
    let nats = target.log_density(x);
    let [found] = nats.dims();
    if found != expected {
        return Err(FlowError::TargetShape { expected, found });
    }
    placement.expect("target", &Placement::of(&nats))?;
    Ok(nats)
}
