//! The layers that precede every coupling or autoregressive layer of a flow on vectors.

use serde::{Deserialize, Serialize};

use crate::linear::{ActNorm, ActNormConfig, ConstantChannel, Conv1x1, Conv1x1Config, Conv1x1Init};

/// The layers that precede every coupling or autoregressive layer of a flow on vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinearKind {
    /// None.
    None,
    /// A norm that is initialised from data, for data of any scale.
    Norm,
    /// A norm, and a matrix over all elements. Use it for vectors of more than a few elements: with
    /// alternating halves alone, the elements of one half would interact only through the other
    /// half.
    NormAndMatrix(Conv1x1Init),
}

/// The layers of a [`LinearKind`].
pub type LinearLayers = (Option<ActNorm<2>>, Option<Conv1x1>);

/// The configuration of these layers.
pub(super) type LinearLayersConfig = (Option<ActNormConfig>, Option<Conv1x1Config>);

impl LinearKind {
    /// The configuration of the layers; `constant` is that of the norm.
    pub(super) fn config(self, constant: ConstantChannel) -> LinearLayersConfig {
        let norm = ActNormConfig::new().with_constant(constant);
        match self {
            Self::None => (None, None),
            Self::Norm => (Some(norm), None),
            Self::NormAndMatrix(init) => (Some(norm), Some(Conv1x1Config::new().with_init(init))),
        }
    }
}
