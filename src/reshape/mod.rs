//! Maps that only move elements. Their log-determinant is 0 and their inverse is exact.

pub mod order;
pub mod partition;
pub mod permutation;
pub mod squeeze;
pub mod swap;

pub use order::Order;
pub use partition::{Partition, PartitionConfig, Pattern};
pub use permutation::{Permutation, PermutationConfig};
pub use squeeze::{ChannelOrder, Squeeze, SqueezeConfig};
pub use swap::Swap;
