//! Models made of the crate's blocks.

pub mod flow_plus_plus;
pub mod glow;
