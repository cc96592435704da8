//! Models built from the blocks of this crate.

pub mod between;
pub mod flow_plus_plus;
pub mod glow;
pub mod maf;
pub mod real_nvp;

pub use between::Between;
pub use maf::{Maf, MafConfig};
pub use real_nvp::{RealNvp, RealNvpConfig};
