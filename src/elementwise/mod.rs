//! Fixed functions of each element.

mod logit;
mod sigmoid;

pub use logit::{Logit, LogitConfig};
pub use sigmoid::Sigmoid;
