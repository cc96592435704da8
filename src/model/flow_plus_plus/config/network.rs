//! Settings of the couplings and their networks.

use serde::{Deserialize, Serialize};

/// Law of the couplings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CouplingLaw {
    /// Affine (the paper's ablation).
    Affine,
    /// Logistic mixture.
    MixLogCdf {
        /// Number of components of the mixture.
        n_components: usize,
    },
}

/// Whether channels are mixed before every coupling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelMixing {
    /// A matrix for each half.
    Matrix,
    /// Not at all (the ImageNet and CelebA models).
    None,
}
