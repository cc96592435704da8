//! Fixed functions of each element.

pub mod fixed_affine;
pub mod logit;
pub mod sigmoid;

pub use fixed_affine::{FixedAffine, FixedAffineConfig};
pub use logit::{Logit, LogitConfig};
pub use sigmoid::Sigmoid;
