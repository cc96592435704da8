//! Normalizing flows for burn.

pub mod data;
pub mod train;
