//! Fixed functions of each element.

pub mod logit;
pub mod sigmoid;

pub use logit::{Logit, LogitConfig};
pub use sigmoid::Sigmoid;
