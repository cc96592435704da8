//! Models from the literature, built from the blocks of this crate.

pub mod flow_plus_plus;
pub mod glow;
pub mod linear_kind;
pub mod maf;
pub mod nsf;
pub mod real_nvp;
pub mod unknown_preset;

pub use linear_kind::LinearKind;
pub use maf::{Maf, MafConfig};
pub use nsf::{Nsf, NsfConfig, NsfForm};
pub use real_nvp::{RealNvp, RealNvpConfig};
pub use unknown_preset::UnknownPreset;
