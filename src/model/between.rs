//! The layers that precede every coupling or autoregressive layer of a flow on vectors.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::bijector::site::built;
use crate::error::ConfigError;
use crate::linear::{ActNorm, ActNormConfig, Conv1x1, Conv1x1Config};
use crate::tensor::limit::sum;

/// The layers that precede every coupling or autoregressive layer of a flow on vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Between {
    /// None.
    Nothing,
    /// A norm that is initialised from data, for data of any scale.
    Norm,
    /// A norm, and a matrix over all elements that is initialised as a random orthogonal matrix.
    /// Use it for vectors of more than a few elements: with alternating halves alone, the elements
    /// of one half would interact only through the other half.
    NormAndMatrix,
}

/// The layers of a [`Between`].
pub type BetweenLayers = (Option<ActNorm<2>>, Option<Conv1x1>);

impl Between {
    /// Number of parameters of the layers for vectors of `dims` elements.
    pub(crate) fn num_params(self, dims: usize) -> Result<usize, ConfigError> {
        let norm = || ActNormConfig::new().num_params(dims);
        Ok(match self {
            Self::Nothing => 0,
            Self::Norm => norm(),
            Self::NormAndMatrix => sum([norm(), Conv1x1Config::new().num_params(dims)?]),
        })
    }

    /// The layers for vectors of `dims` elements.
    pub(crate) fn init(self, dims: usize, device: &Device) -> BetweenLayers {
        let norm = || built(&ActNormConfig::new(), [1, dims], device);
        match self {
            Self::Nothing => (None, None),
            Self::Norm => (Some(norm()), None),
            Self::NormAndMatrix => {
                (Some(norm()), Some(built(&Conv1x1Config::new(), [1, dims], device)))
            }
        }
    }
}
