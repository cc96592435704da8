//! The kernels of the mixture of logistics, compared with plain evaluations.

mod gradients;
mod inverse;
mod layout;
mod plain;
mod problem;
mod values;
