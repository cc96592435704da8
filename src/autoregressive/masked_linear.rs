//! Dense layer of which some connections are cut.
//! ```text
//! y_j = Σ_{i: degree_i ≤ degree_j} W[i, j]·x_i + b_j        hidden layers ([`Cut::Later`])
//! y_j = Σ_{i: degree_i < degree_j} W[i, j]·x_i + b_j        last layer ([`Cut::SameAndLater`])
//! ```
//! The mask follows from the degrees and is no parameter; a weight that is cut is read as 0 and gets the gradient 0.

use burn::module::{Initializer, Module};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::module::linear;
use burn::tensor::{Bool, Device, Tensor, TensorData};

/// Which connections are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Those from a larger degree to a smaller.
    Later,
    /// Those, and the ones between equal degrees.
    SameAndLater,
}

/// Dense layer with a mask. The formulas head this module.
#[derive(Module, Debug)]
pub struct MaskedLinear {
    /// The layer, weights `[in, out]`. Those that are cut hold values that are never used.
    pub linear: Linear,
    /// True where a connection is cut, `[in, out]`.
    cut: Tensor<2, Bool>,
}

impl MaskedLinear {
    /// A layer between units of the given degrees.
    pub(crate) fn new(
        inputs: &[usize],
        outputs: &[usize],
        cut: Cut,
        initializer: Option<Initializer>,
        device: &Device,
    ) -> Self {
        let is_cut = |from: usize, to: usize| match cut {
            Cut::Later => from > to,
            Cut::SameAndLater => from >= to,
        };
        let mask: Vec<bool> = inputs.iter().flat_map(|&i| outputs.iter().map(move |&j| is_cut(i, j))).collect();
        let shape = [inputs.len(), outputs.len()];
        let mut config = LinearConfig::new(shape[0], shape[1]);
        if let Some(initializer) = initializer {
            config = config.with_initializer(initializer);
        }
        Self { linear: config.init(device), cut: Tensor::from_data(TensorData::new(mask, shape), device) }
    }

    /// # Shapes
    /// `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = self.linear.weight.val().mask_fill(self.cut.clone(), 0.0);
        linear(x, weight, self.linear.bias.as_ref().map(|bias| bias.val()))
    }
}
