//! Autoregressive layers: every number of a vector is transformed given those before it.

pub mod made;
pub mod masked_autoregressive;
pub mod masked_linear;

use crate::conditioner::Conditioner;
use crate::context::Context;

pub use made::{Made, MadeConfig};
pub use masked_autoregressive::MaskedAutoregressive;
pub use masked_linear::MaskedLinear;

/// A network from a vector to parameters for each of its numbers, of which those for one number depend on the numbers before it alone.
///
/// As a [`Conditioner`] it is given the whole vector, `kept` and `other` being the same.
pub trait AutoregressiveNet<C: Context = ()>: Conditioner<2, C> {
    /// Indices of the numbers, first to last: the parameters of number `order()[i]` depend on numbers `order()[..i]` and the condition.
    ///
    /// Read by the host, where it is a parameter.
    fn order(&self) -> Vec<usize>;
}
