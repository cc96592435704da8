//! Dense layer with masked connections.
//! ```text
//! y_j = Σ_{i: degree_i ≤ degree_j} W[i, j]·x_i + b_j        hidden layers ([`Cut::Later`])
//! y_j = Σ_{i: degree_i < degree_j} W[i, j]·x_i + b_j        last layer ([`Cut::SameAndLater`])
//! ```
//! The degrees are integer parameters, saved with the weights. A loaded layer therefore has the
//! mask that it was trained with, also if it was built with other degrees. The mask follows from
//! the degrees. A masked weight is read as 0 and its gradient is 0.

use burn::module::{Module, Param, ParamId};
use burn::nn::Linear;
use burn::tensor::module::linear;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Which connections are masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Those from a larger degree to a smaller one.
    Later,
    /// Those, and those between equal degrees.
    SameAndLater,
}

/// Dense layer with a mask. The formulas head this module.
#[derive(Module, Debug)]
pub struct MaskedLinear {
    /// The layer, weights `[in, out]`. The values of masked weights are never used.
    pub linear: Linear,
    /// Degrees of the inputs, `[in]`.
    pub inputs: Param<Tensor<1, Int>>,
    /// Degrees of the outputs, `[out]`.
    pub outputs: Param<Tensor<1, Int>>,
    #[module(skip)]
    cut: Cut,
}

impl MaskedLinear {
    /// A dense layer between units of the given degrees.
    pub(crate) fn new(
        inputs: &[usize],
        outputs: &[usize],
        cut: Cut,
        linear: Linear,
        device: &Device,
    ) -> Self {
        Self { linear, inputs: indices(inputs, device), outputs: indices(outputs, device), cut }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = self.linear.weight.val();
        let from = self.inputs.val().unsqueeze_dim::<2>(1).expand(weight.dims());
        let to = self.outputs.val().unsqueeze_dim::<2>(0).expand(weight.dims());
        let cut = match self.cut {
            Cut::Later => from.greater(to),
            Cut::SameAndLater => from.greater_equal(to),
        };
        let weight = weight.mask_fill(cut, 0.0);
        linear(x, weight, self.linear.bias.as_ref().map(|bias| bias.val()))
    }
}

/// Integers that are saved with a module.
pub(super) fn indices(values: &[usize], device: &Device) -> Param<Tensor<1, Int>> {
    let data: Vec<i64> = values.iter().map(|&value| value as i64).collect();
    let data = TensorData::new(data, [values.len()]);
    Param::initialized(ParamId::new(), Tensor::from_data(data, device))
}
