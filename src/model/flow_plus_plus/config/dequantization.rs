//! How pixels become continuous values.

use serde::{Deserialize, Serialize};

use super::super::EncoderBlock;
use crate::error::ConfigError;
use crate::reshape::Pattern;

/// How the networks of the noise flow mix positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoiseMixing {
    /// Like the networks of the flow.
    AsFlow,
    /// Not at all: blocks of convolutions only, without positional embedding (the 64x64 and 128x128
    /// models).
    None,
}

/// The flow of the dequantization noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariationalConfig {
    /// Pattern of the halves.
    pub pattern: Pattern,
    /// Number of couplings.
    pub n_couplings: usize,
    /// Number of filters of their networks.
    pub n_filters: usize,
    /// Number of blocks of their networks.
    pub n_blocks: usize,
    /// How their networks mix positions.
    pub mixing: NoiseMixing,
    /// Number of channels of the context.
    pub n_context: usize,
    /// Number of blocks of the network that computes the context.
    pub n_encoder_blocks: usize,
    /// Kind of these blocks.
    pub encoder_block: EncoderBlock,
}

impl VariationalConfig {
    /// Checks the counts.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const NAME: &str = "VariationalConfig";
        ConfigError::repeated(NAME, "n_couplings", self.n_couplings)?;
        ConfigError::positive(NAME, "n_context", self.n_context)?;
        ConfigError::repeated(NAME, "n_encoder_blocks", self.n_encoder_blocks)
    }
}

/// How pixels become continuous values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DequantizationConfig {
    /// Uniform noise (the paper's ablation).
    Uniform,
    /// Noise from a conditional flow.
    Variational(VariationalConfig),
}
