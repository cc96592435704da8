//! The channel mixing of a Glow step, as the configuration selects it.

use serde::{Deserialize, Serialize};

use crate::bijector::{LayerConfig, Plan, Site};
use crate::context::Context;
use crate::error::ConfigError;
use crate::linear::{ChannelMatrix, ChannelMatrixConfig, Conv1x1, Conv1x1Config, MatrixInit};
use crate::reshape::order::Order;
use crate::reshape::{Permutation, PermutationConfig};

/// How a step mixes its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum GlowPermutation {
    /// A plain matrix, initialised as a random orthogonal matrix (the released code's default).
    Matrix,
    /// The same in PLU form: no device-to-host copies in training, twice the parameters.
    Plu,
    /// The reverse order of the channels (the paper's ablation).
    Reverse,
    /// A different random order for each step (the paper's ablation).
    Shuffle {
        /// Seed of the orders.
        seed: u64,
    },
}

crate::choice! {
    /// The channel mixing of a Glow step.
    pub enum GlowMixing: Bijector {
        /// A plain matrix.
        Matrix(ChannelMatrix),
        /// A matrix in PLU form.
        Plu(Conv1x1),
        /// A fixed order.
        Fixed(Permutation),
    }
}

fn matrix() -> ChannelMatrixConfig {
    ChannelMatrixConfig::new().with_init(MatrixInit::Orthogonal)
}

fn fixed(order: Order) -> PermutationConfig {
    PermutationConfig::new().with_order(order)
}

impl<const D: usize, C: Context> LayerConfig<D, C> for GlowPermutation {
    type Layer = GlowMixing;

    fn build(&self, site: &Site<D, C>) -> Result<GlowMixing, ConfigError> {
        match *self {
            Self::Matrix => matrix().build(site).map(GlowMixing::Matrix),
            Self::Plu => Conv1x1Config::new().build(site).map(GlowMixing::Plu),
            Self::Reverse => fixed(Order::Reversed).build(site).map(GlowMixing::Fixed),
            Self::Shuffle { seed } => {
                fixed(Order::Shuffled { seed }).build(site).map(GlowMixing::Fixed)
            }
        }
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        match *self {
            Self::Matrix => matrix().plan(site),
            Self::Plu => Conv1x1Config::new().plan(site),
            Self::Reverse => fixed(Order::Reversed).plan(site),
            Self::Shuffle { seed } => fixed(Order::Shuffled { seed }).plan(site),
        }
    }
}
