//! Settings of the couplings and their networks.

use serde::{Deserialize, Serialize};

/// Law of the couplings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum CouplingLaw {
    /// Affine (the paper's ablation).
    Affine,
    /// Logistic mixture.
    MixLogCdf {
        /// Number of components of the mixture.
        n_components: usize,
        /// Smallest log-scale of a component: −7 in the released code, −80 in that which reads the
        /// released weights of the CIFAR-10 model.
        #[serde(default = "min_log_scale")]
        min_log_scale: f64,
    },
}

impl CouplingLaw {
    /// A logistic mixture with the smallest log-scale of the released code, −7.
    pub fn mix_log_cdf(n_components: usize) -> Self {
        Self::MixLogCdf { n_components, min_log_scale: min_log_scale() }
    }
}

fn min_log_scale() -> f64 {
    -7.0
}

/// Whether channels are mixed before every coupling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelMixing {
    /// A matrix for each half.
    Matrix,
    /// Not at all (the ImageNet and CelebA models).
    None,
}
