//! Gated residual convolution.
//! ```text
//! c = conv3x3(celu(x))  [+ conv1x1(context)]             celu: concat_elu, 2F channels
//! h = conv(dropout(celu(c)))                             2F channels, initialised to deviation 0.1
//! y = x + h_1..F·σ(h_F+1..2F)
//! ```
//! The context is `concat_elu` of a condition of `A` channels. It comes activated, since all blocks
//! of a network have the same one.
//!
//! # Reference
//! Ho et al. 2019 §3.3; the block of PixelCNN++ (Salimans et al. 2017).

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::kernel::conv2d::{self, ConvStages, PreActivation};
use crate::kernel::gated_residual;
use crate::tensor::limit::{product, sum};

use super::{ChannelNorm, ConvStyle, DataInitConv, concat_elu};

/// Kernel of the convolution that computes the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateKernel {
    /// 1x1, in the network of a coupling.
    One,
    /// 3x3, in the context network of the dequantizer.
    Three,
}

config! {
    /// Configuration of [`GatedConv`].
    #[derive(Debug)]
    pub struct GatedConvConfig {
        /// Number of channels `F` of input and output.
        pub n_filters: usize,
        /// Number of channels `A` of the condition; `None`: no context.
        pub n_context: Option<usize> = None,
        /// Kernel of the convolution that computes the gate.
        pub gate: GateKernel = GateKernel::One,
        /// Dropout, initialisation and weights of the convolutions.
        pub style: ConvStyle = ConvStyle::default(),
    }
}

impl GatedConvConfig {
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
        const NAME: &str = "GatedConvConfig";
        ConfigError::positive(NAME, "n_filters", self.n_filters)?;
        ConfigError::positive(NAME, "n_context", self.n_context.unwrap_or(1))?;
        self.style.validate(NAME)?;
        let sizes = [("n_filters", self.n_filters), ("n_context", self.n_context.unwrap_or(0))];
        ConfigError::parameters(NAME, self.count(), sizes)
    }

    /// Side length of the kernel that computes the gates.
    fn kernel(&self) -> usize {
        match self.gate {
            GateKernel::One => 1,
            GateKernel::Three => 3,
        }
    }

    /// The number of parameters; `usize::MAX` where it is larger.
    pub(crate) fn count(&self) -> usize {
        let f = self.n_filters;
        let (wide, kernel) = (product([2, f]), self.kernel());
        let conv = |inputs, outputs, kernel| {
            self.style.conv(inputs, outputs, kernel, self.style.inner).count()
        };
        let context = self.n_context.map_or(0, |n| conv(product([2, n]), f, 1));
        sum([conv(wide, f, 3), context, conv(wide, wide, kernel)])
    }

    /// The block.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self, device: &Device) -> Result<GatedConv, ConfigError> {
        self.validate()?;
        let f = self.n_filters;
        let kernel = self.kernel();
        let style = self.style;
        let conv = |inputs, outputs, kernel, start| {
            style.conv(inputs, outputs, kernel, start).build(device)
        };
        Ok(GatedConv {
            inner: conv(2 * f, f, 3, style.inner)?,
            context: self.n_context.map(|n| conv(2 * n, f, 1, style.inner)).transpose()?,
            gate: conv(2 * f, 2 * f, kernel, style.gate)?,
            dropout: DropoutConfig::new(style.dropout).init(),
        })
    }
}

/// Gated residual convolution. The formulas head this module.
#[derive(Module, Debug)]
pub struct GatedConv {
    /// 3x3, `2F -> F`.
    pub inner: DataInitConv,
    /// 1x1 on the activated condition, `2A -> F`.
    pub context: Option<DataInitConv>,
    /// `2F -> 2F`.
    pub gate: DataInitConv,
    dropout: Dropout,
}

impl GatedConv {
    /// Applies the block.
    ///
    /// # Shapes
    /// `x [B, F, H, W]`, `context [B, 2A, H, W]` to the shape of `x`.
    ///
    /// # Panics
    /// If the block was built with a context and gets none, or the reverse, or if the context does
    /// not have `2A` channels.
    pub fn forward(&self, x: Tensor<4>, context: Option<&Tensor<4>>) -> Tensor<4> {
        let (c, before) = self.inside(x.clone(), context);
        gated_residual::forward(x, self.gate.forward_behind(c, before))
    }

    /// [`GatedConv::forward`], then a norm.
    pub(crate) fn forward_normed(
        &self,
        x: Tensor<4>,
        context: Option<&Tensor<4>>,
        norm: &ChannelNorm,
    ) -> Tensor<4> {
        let (c, before) = self.inside(x.clone(), context);
        norm.forward_gated(x, &self.gate, c, before)
    }

    /// The input of the gate, and the activation that is still to be applied to it.
    fn inside(&self, x: Tensor<4>, context: Option<&Tensor<4>>) -> (Tensor<4>, PreActivation) {
        let dtype = x.dtype();
        let (weight, bias) = self.inner.parameters(dtype);
        let stages = ConvStages::preceded_by(PreActivation::ConcatElu);
        let c = match (&self.context, context) {
            (Some(layer), Some(context)) => {
                check_activated(layer, context);
                let (of_context, second) = layer.parameters(dtype);
                // One of the convolutions adds both biases.
                let bias = match (bias, second) {
                    (Some(first), Some(second)) => Some(first + second),
                    (first, second) => first.or(second),
                };
                let c = conv2d::forward(x, weight, bias, stages);
                c + conv2d::forward(context.clone(), of_context, None, ConvStages::PLAIN)
            }
            (None, None) => conv2d::forward(x, weight, bias, stages),
            (layer, _) => panic!("GatedConv: {}", mismatch(layer.is_some())),
        };
        // Dropout comes between activation and convolution.
        if self.dropout.prob == 0.0 {
            (c, PreActivation::ConcatElu)
        } else {
            (self.dropout.forward(concat_elu(c)), PreActivation::Identity)
        }
    }

    /// Initialises the convolutions from a batch, one after another. Returns the output too,
    /// detached from the graph.
    ///
    /// # Panics
    /// Where [`GatedConv::forward`] panics.
    pub fn initialize(self, x: Tensor<4>, context: Option<&Tensor<4>>) -> (Self, Tensor<4>) {
        let (inner, mut c) = self.inner.initialize(concat_elu(x.clone()));
        let layer = match (self.context, context) {
            (Some(layer), Some(context)) => {
                check_activated(&layer, context);
                let (layer, added) = layer.initialize(context.clone());
                c = c + added;
                Some(layer)
            }
            (None, None) => None,
            (layer, _) => panic!("GatedConv: {}", mismatch(layer.is_some())),
        };
        let (gate, h) = self.gate.initialize(self.dropout.forward(concat_elu(c)));
        let y = gated_residual::forward(x, h).detach();
        (Self { inner, context: layer, gate, dropout: self.dropout }, y)
    }
}

/// A condition that is not activated has half as many channels.
fn check_activated(layer: &DataInitConv, context: &Tensor<4>) {
    let ([expected, _], [_, found, ..]) = (layer.channels(), context.dims());
    assert!(
        found == expected,
        "GatedConv: expected a context of {expected} channels, `concat_elu` of the condition, \
         found {found}"
    );
}

fn mismatch(built_with_context: bool) -> &'static str {
    if built_with_context {
        "expected a condition, found none"
    } else {
        "expected no condition, found one"
    }
}
