//! The items of `kernels`.

pub mod conv1x1;
pub mod cost;
mod gap;
pub mod mixture;
pub mod network;
pub mod operation;
mod precision;
