//! Autoregressive layers: each element of a vector is transformed given the elements before it.

mod degrees;
pub mod made;
pub mod masked_autoregressive;
pub mod masked_linear;
pub mod res_made;

use crate::conditioner::Net;

pub use made::{Made, MadeConfig};
pub use masked_autoregressive::{MaskedAutoregressive, MaskedAutoregressiveConfig};
pub use masked_linear::MaskedLinear;
pub use res_made::{ResMade, ResMadeConfig};

/// A network from a vector to parameters for each of its elements. The parameters of an element
/// depend only on the elements before it.
///
/// As a [`Net`] it reads the whole vector: identity and transformed half are the same.
pub trait AutoregressiveNet: Net<2> {
    /// Indices of the elements, first to last: the parameters of element `order()[i]` depend on the
    /// elements `order()[..i]` and the condition.
    ///
    /// Needs a device-to-host copy if the order is a parameter.
    fn order(&self) -> Vec<usize>;
}
