//! What the networks and couplings of a model are like.

use serde::{Deserialize, Serialize};

use crate::conditioner::ConvInit;

/// Law of the couplings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CouplingLaw {
    /// Affine (the paper's ablation).
    Affine,
    /// Logistic mixture.
    MixLogCdf {
        /// Components of the mixture.
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

/// Where the first weights of the networks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetInit {
    /// From data: outputs of deviation 1, of gates and parameters 0.1 (the released code).
    DataDependent,
    /// Uniform by fan-in; the last layer from N(0, 0.01²).
    FanIn,
}

impl NetInit {
    /// Starts of inner convolutions, gates and the last layer.
    pub(super) fn convolutions(self) -> [ConvInit; 3] {
        match self {
            Self::DataDependent => [1.0, 0.1, 0.1].map(|scale| ConvInit::DataDependent { scale }),
            Self::FanIn => [ConvInit::FanIn, ConvInit::FanIn, ConvInit::Normal { deviation: 0.01 }],
        }
    }
}
