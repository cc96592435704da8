//! How pixels become numbers.

use serde::{Deserialize, Serialize};

use super::super::EncoderBlock;
use crate::error::ConfigError;
use crate::reshape::Pattern;

/// How the networks of the noise flow mix positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoiseMixing {
    /// As those of the flow.
    AsFlow,
    /// Not at all: blocks of convolutions alone, without position embedding (the 64x64 and 128x128
    /// models).
    None,
}

/// The flow of the dequantization noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariationalConfig {
    /// Pattern of the halves.
    pub pattern: Pattern,
    /// Number of couplings.
    pub n_couplings: usize,
    /// Filters of their networks.
    pub n_filters: usize,
    /// Blocks of their networks.
    pub n_blocks: usize,
    /// How their networks mix positions.
    pub mixing: NoiseMixing,
    /// Channels of the context.
    pub n_context: usize,
    /// Blocks of the network that makes the context.
    pub n_encoder_blocks: usize,
    /// What each of them is.
    pub encoder_block: EncoderBlock,
}

impl VariationalConfig {
    /// Whether the counts describe a flow.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "VariationalConfig";
        ConfigError::repeated(NAME, "n_couplings", self.n_couplings)?;
        ConfigError::positive(NAME, "n_context", self.n_context)?;
        ConfigError::repeated(NAME, "n_encoder_blocks", self.n_encoder_blocks)
    }
}

/// How pixels become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DequantizationConfig {
    /// Uniform noise (the paper's ablation).
    Uniform,
    /// Noise from a conditional flow.
    Variational(VariationalConfig),
}
