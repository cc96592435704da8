//! Autoregressive layers: every number of a vector is transformed given those before it.

pub mod made;
pub mod masked_autoregressive;
pub mod masked_linear;

use crate::conditioner::Net;

pub use made::{Made, MadeConfig};
pub use masked_autoregressive::{MaskedAutoregressive, MaskedAutoregressiveConfig};
pub use masked_linear::MaskedLinear;

/// A network from a vector to parameters for each of its elements, of which those for one element
/// depend on the elements before it alone.
///
/// As a [`Net`] it reads the whole vector: identity and transformed half are the same.
pub trait AutoregressiveNet: Net<2> {
    /// Indices of the numbers, first to last: the parameters of number `order()[i]` depend on
    /// numbers `order()[..i]` and the condition.
    ///
    /// Read by the host, where it is a parameter.
    fn order(&self) -> Vec<usize>;
}
