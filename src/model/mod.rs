//! Models from the literature, built from the blocks of this crate.

mod alternating;
pub mod circular_nsf;
pub mod flow_plus_plus;
pub mod glow;
pub mod linear_kind;
pub mod maf;
pub mod mixed_nsf;
pub mod nflows;
pub mod nsf;
pub mod real_nvp;
mod translation;
pub mod unknown_preset;
pub mod zuko;

pub use circular_nsf::{CircularNsf, CircularNsfConfig};
pub use linear_kind::LinearKind;
pub use maf::{Maf, MafConfig};
pub use mixed_nsf::{MixedNsf, MixedNsfConfig, RowElement};
pub use nsf::{Nsf, NsfConfig, NsfForm};
pub use real_nvp::{RealNvp, RealNvpConfig};
pub use unknown_preset::UnknownPreset;
