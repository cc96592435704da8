//! The network that tells the dequantization noise about the image.
//! ```text
//! h = partition(x)                       [B, 2C, H, W/2]: both halves side by side
//! h = conv3x3(h)                         A channels
//! 3 times   h = gated_conv(h)            3x3 gate, no norm, no attention
//! ```
//! Its output has the shape of one half, so that every coupling of the noise flow can add it.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::Bijector;
use crate::conditioner::{GatedConv, StartedConv};
use crate::quantize::Encoder;
use crate::reshape::Partition;

/// Context network of Flow++. The formulas head this module.
#[derive(Module, Debug)]
pub struct FlowPlusPlusEncoder {
    /// Pattern of the noise flow.
    pub partition: Partition,
    /// 3x3, `2C -> A`.
    pub input: StartedConv,
    /// Gated convolutions, first to last.
    pub blocks: Vec<GatedConv>,
}

impl FlowPlusPlusEncoder {
    fn halves(&self, x: Tensor<4>) -> Tensor<4> {
        self.partition.forward(x, &()).0
    }
}

impl Encoder<4> for FlowPlusPlusEncoder {
    type Code = Tensor<4>;

    fn encode(&self, x: Tensor<4>) -> Tensor<4> {
        let h = self.input.forward(self.halves(x));
        self.blocks.iter().fold(h, |h, block| block.forward(h, None))
    }

    fn initialize(self, x: Tensor<4>) -> (Self, Tensor<4>) {
        let halves = self.halves(x);
        let (input, mut h) = self.input.initialize(halves);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in self.blocks {
            let (block, y) = block.initialize(h, None);
            blocks.push(block);
            h = y;
        }
        (Self { partition: self.partition, input, blocks }, h)
    }
}
