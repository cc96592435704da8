//! Gated multi-head self-attention over the positions of an image.
//! ```text
//! (q, k, v) = conv1x1(x + p)                             3F channels: q, k, v, each head-major
//! a = softmax_keys(q·kᵀ / √(F/heads))·v                  over all H·W positions
//! h = conv1x1(dropout(a))                                2F channels, initialised to deviation 0.1
//! y = x + h_1..F·σ(h_F+1..2F)
//! ```
//! `p` is the positional embedding; the residual connection does not contain it.
//! [`Mixing::PositionwiseMaxout`] is the paper's ablation: `a` is the maximum of three values of
//! the same convolution at the same position, with the same number of parameters.
//!
//! # Cost
//! `O(B·F·(H·W)²)` time. Memory: that of inputs and outputs where [`attention`] has a kernel;
//! elsewhere, `O(B·heads·(H·W)²)` with a graph and `O(heads·(H·W)²)` without.
//!
//! # Reference
//! Ho et al. 2019 §3.3; dropout on the result, not on the weights, as in the released code.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::kernel::conv2d::PreActivation;
use crate::kernel::{attention, gated_residual, projected_attention};
use crate::tensor::limit::{product, sum};

use super::{ChannelNorm, ConvStyle, DataInitConv};

/// How positions are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Mixing {
    /// Self-attention.
    Attention {
        /// Number of heads, which divides the number of filters.
        heads: usize,
    },
    /// No mixing of positions: the maximum of three channels at each position (the paper's
    /// ablation).
    PositionwiseMaxout,
}

config! {
    /// Configuration of [`GatedAttention`].
    #[derive(Debug)]
    pub struct GatedAttentionConfig {
        /// Number of channels `F` of input and output.
        pub n_filters: usize,
        /// How positions are mixed.
        pub mixing: Mixing = Mixing::Attention { heads: 4 },
        /// Dropout, initialisation and weights of the convolutions.
        pub style: ConvStyle = ConvStyle::default(),
    }
}

impl GatedAttentionConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Number of parameters of the layer, counted without building it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        const NAME: &str = "GatedAttentionConfig";
        ConfigError::positive(NAME, "n_filters", self.n_filters)?;
        if let Mixing::Attention { heads } = self.mixing {
            ConfigError::positive(NAME, "heads", heads)?;
            if !self.n_filters.is_multiple_of(heads) {
                let (field, found) = ("n_filters", self.n_filters);
                return Err(ConfigError::NotMultiple {
                    config: NAME,
                    field,
                    found,
                    of: "heads",
                    factor: heads,
                });
            }
        }
        self.style.validate(NAME)?;
        ConfigError::parameters(NAME, self.count(), [("n_filters", self.n_filters)])
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let f = self.n_filters;
        let conv = |outputs| self.style.conv(f, outputs, 1, self.style.inner).count();
        sum([conv(product([3, f])), conv(product([2, f]))])
    }

    /// The block.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self, device: &Device) -> Result<GatedAttention, ConfigError> {
        self.validate()?;
        let f = self.n_filters;
        let style = self.style;
        let conv = |outputs, start| style.conv(f, outputs, 1, start).build(device);
        Ok(GatedAttention {
            projection: conv(3 * f, style.inner)?,
            gate: conv(2 * f, style.gate)?,
            dropout: DropoutConfig::new(style.dropout).init(),
            mixing: self.mixing,
        })
    }
}

/// Gated multi-head self-attention. The formulas head this module.
#[derive(Module, Debug)]
pub struct GatedAttention {
    /// 1x1, `F -> 3F`.
    pub projection: DataInitConv,
    /// 1x1, `F -> 2F`.
    pub gate: DataInitConv,
    dropout: Dropout,
    #[module(skip)]
    mixing: Mixing,
}

impl GatedAttention {
    /// Applies the block.
    ///
    /// # Shapes
    /// `x [B, F, H, W]`, `positions [1, F, H, W]` to the shape of `x`.
    pub fn forward(&self, x: Tensor<4>, positions: Tensor<4>) -> Tensor<4> {
        let h = self.gate.forward(self.inside(x.clone(), positions));
        gated_residual::forward(x, h)
    }

    /// [`GatedAttention::forward`], then a norm.
    pub(crate) fn forward_normed(
        &self,
        x: Tensor<4>,
        positions: Tensor<4>,
        norm: &ChannelNorm,
    ) -> Tensor<4> {
        let mixed = self.inside(x.clone(), positions);
        norm.forward_gated(x, &self.gate, mixed, PreActivation::Identity)
    }

    /// The input of the gate.
    fn inside(&self, x: Tensor<4>, positions: Tensor<4>) -> Tensor<4> {
        let mixed = match self.mixing {
            Mixing::Attention { heads } => {
                let projection = self.projection.parameters(x.dtype());
                projected_attention::forward(x, positions, projection, heads)
            }
            mixing => mix(self.projection.forward(x + positions), mixing),
        };
        self.dropout.forward(mixed)
    }

    /// Initialises the convolutions from a batch, one after another. Returns the output too,
    /// detached from the graph.
    pub fn initialize(self, x: Tensor<4>, positions: Tensor<4>) -> (Self, Tensor<4>) {
        let (projection, projected) = self.projection.initialize(x.clone() + positions);
        let (gate, h) =
            self.gate.initialize(self.dropout.forward(mix(projected, self.mixing).detach()));
        let y = gated_residual::forward(x, h).detach();
        (Self { projection, gate, ..self }, y)
    }
}

/// `[B, 3F, H, W]` to `[B, F, H, W]`.
fn mix(projected: Tensor<4>, mixing: Mixing) -> Tensor<4> {
    let [b, channels, h, w] = projected.dims();
    let (f, positions) = (channels / 3, h * w);
    match mixing {
        Mixing::PositionwiseMaxout => {
            projected.reshape([b, f, 3, positions]).max_dim(2).reshape([b, f, h, w])
        }
        Mixing::Attention { heads } => attention::forward(projected, heads),
    }
}
