//! Maps that only move elements: their log-determinant is 0 and their inverse exact.

pub mod partition;
pub mod squeeze;
pub mod swap;

pub use partition::{Partition, PartitionConfig, Pattern};
pub use squeeze::{ChannelOrder, Squeeze, SqueezeConfig};
pub use swap::Swap;
