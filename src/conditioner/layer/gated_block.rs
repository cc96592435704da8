//! Block of the gated networks: a gated convolution and gated attention, each followed by a norm.
//! ```text
//! h = norm(gated_conv(x, context))
//! y = norm(gated_attention(h, p))                        left out without mixing
//! ```
//! # Reference
//! Ho et al. 2019 §3.3; the norm follows the residual sum, as in the released code.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{
    ChannelNorm, ChannelNormConfig, ConvStyle, GateKernel, GatedAttention, GatedAttentionConfig,
    GatedConv, GatedConvConfig, Mixing,
};
use crate::error::ConfigError;
use crate::tensor::limit::{product, sum};

config! {
    /// Configuration of [`GatedBlock`].
    #[derive(Debug)]
    pub struct GatedBlockConfig {
        /// Number of channels `F` of input and output.
        pub n_filters: usize,
        /// Number of channels `A` of the condition; `None`: no context.
        pub n_context: Option<usize> = None,
        /// How positions are mixed. `None`: not at all; the block is its convolution and a norm.
        pub mixing: Option<Mixing> = Some(Mixing::Attention { heads: 4 }),
        /// Kernel of the convolution that computes the gate.
        pub gate: GateKernel = GateKernel::One,
        /// Dropout, initialisation and weights of the convolutions.
        pub style: ConvStyle = ConvStyle::default(),
    }
}

impl GatedBlockConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Number of parameters of the block, counted without building it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        self.conv().validate()?;
        self.attention().map_or(Ok(()), |attention| attention.validate())?;
        let sizes = [("n_filters", self.n_filters), ("n_context", self.n_context.unwrap_or(0))];
        ConfigError::parameters("GatedBlockConfig", self.count(), sizes)
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let norm = product([2, self.n_filters]);
        let attention = self.attention().map_or(0, |attention| sum([attention.count(), norm]));
        sum([self.conv().count(), norm, attention])
    }

    fn conv(&self) -> GatedConvConfig {
        GatedConvConfig::new(self.n_filters)
            .with_n_context(self.n_context)
            .with_gate(self.gate)
            .with_style(self.style)
    }

    fn attention(&self) -> Option<GatedAttentionConfig> {
        let attention = GatedAttentionConfig::new(self.n_filters).with_style(self.style);
        self.mixing.map(|mixing| attention.with_mixing(mixing))
    }

    /// The block.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self, device: &Device) -> Result<GatedBlock, ConfigError> {
        self.validate()?;
        let norm = || ChannelNormConfig::new(self.n_filters).build(device);
        Ok(GatedBlock {
            conv: self.conv().build(device)?,
            conv_norm: norm()?,
            attention: self.attention().map(|attention| attention.build(device)).transpose()?,
            attention_norm: self.mixing.map(|_| norm()).transpose()?,
        })
    }
}

/// Gated convolution and gated attention, each followed by a norm. The formulas head this module.
#[derive(Module, Debug)]
pub struct GatedBlock {
    /// Gated convolution.
    pub conv: GatedConv,
    /// Norm after the convolution.
    pub conv_norm: ChannelNorm,
    /// Gated attention.
    pub attention: Option<GatedAttention>,
    /// Norm after the attention, if there is one.
    pub attention_norm: Option<ChannelNorm>,
}

impl GatedBlock {
    /// Applies the block.
    ///
    /// # Shapes
    /// `x [B, F, H, W]`, `positions [1, F, H, W]`, `context [B, 2A, H, W]`, the activated condition
    /// of [`GatedConv`], to the shape of `x`.
    ///
    /// # Panics
    /// If the block mixes positions and gets none, or the reverse, and where [`GatedConv::forward`]
    /// panics.
    pub fn forward(
        &self,
        x: Tensor<4>,
        positions: Option<&Tensor<4>>,
        context: Option<&Tensor<4>>,
    ) -> Tensor<4> {
        let h = self.conv.forward_normed(x, context, &self.conv_norm);
        match (&self.attention, &self.attention_norm, positions) {
            (Some(attention), Some(norm), Some(positions)) => {
                attention.forward_normed(h, positions.clone(), norm)
            }
            (None, None, None) => h,
            _ => panic!("GatedBlock: {}", mismatch(positions.is_some())),
        }
    }

    /// Initialises the convolutions from a batch, one after another. Returns the output too,
    /// detached from the graph.
    ///
    /// # Panics
    /// Where [`GatedBlock::forward`] panics.
    pub fn initialize(
        self,
        x: Tensor<4>,
        positions: Option<&Tensor<4>>,
        context: Option<&Tensor<4>>,
    ) -> (Self, Tensor<4>) {
        let Self { conv, conv_norm, attention, attention_norm } = self;
        let (conv, h) = conv.initialize(x, context);
        let h = conv_norm.forward(h).detach();
        match (attention, attention_norm, positions) {
            (Some(attention), Some(norm), Some(positions)) => {
                let (attention, h) = attention.initialize(h, positions.clone());
                let h = norm.forward(h).detach();
                (
                    Self {
                        conv,
                        conv_norm,
                        attention: Some(attention),
                        attention_norm: Some(norm),
                    },
                    h,
                )
            }
            (None, None, None) => {
                (Self { conv, conv_norm, attention: None, attention_norm: None }, h)
            }
            _ => panic!("GatedBlock: {}", mismatch(positions.is_some())),
        }
    }
}

fn mismatch(given: bool) -> &'static str {
    if given {
        "expected no positions, because it has no attention, found some"
    } else {
        "expected positions for its attention, found none"
    }
}
