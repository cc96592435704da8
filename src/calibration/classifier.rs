//! A small classifier that tells two sets of vectors apart.
//! ```text
//! h_1 = relu(W_1·x + b_1),  h_2 = relu(W_2·h_1 + b_2)        `width` elements each
//! s = w·h_2 + b                                             the second set if s > 0
//! loss   mean ln(1 + e^−s) over the second set, ln(1 + e^s) over the first
//! ```
//! Weights are uniform within `±√(6/(inputs + outputs))`. The training ends after `patience` epochs
//! in which the mean loss did not fall by `tolerance` below its least value.

use burn::module::Module;
use burn::nn::Linear;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};

use super::CalibrationError;
use super::classifier_test_config::ClassifierTestConfig;
use crate::error::FlowError;
use crate::random::shuffle::shuffled;
use crate::tensor::parameter;

/// The classifier. The formulas head this module.
#[derive(Module, Debug)]
pub(super) struct Classifier {
    layers: Vec<Linear>,
    output: Linear,
}

impl Classifier {
    fn new(inputs: usize, width: usize, device: &Device) -> Self {
        let layer = |inputs: usize, outputs: usize| {
            let bound = (6.0 / (inputs + outputs) as f64).sqrt();
            parameter::linear(inputs, outputs, bound, device)
        };
        let layers = vec![layer(inputs, width), layer(width, width)];
        Self { layers, output: layer(width, 1) }
    }

    /// The score of each row, `[rows, 1]`.
    pub fn score(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.layers.iter().fold(x, |h, layer| relu(layer.forward(h))))
    }

    /// A classifier trained on rows `x` with a sign for each, 1 for the second set and −1 for the
    /// first, both on a device without autodiff. `stream` is the one of this classifier's shuffles.
    pub fn trained(
        x: &Tensor<2>,
        signs: &Tensor<2>,
        config: &ClassifierTestConfig,
        stream: u64,
    ) -> Result<Self, CalibrationError> {
        let [rows, inputs] = x.dims();
        let device = x.device().autodiff();
        let mut model = Self::new(inputs, config.width_for(inputs)?, &device);
        let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
        let (mut least, mut waited) = (f64::INFINITY, 0);
        for epoch in 0..config.epochs {
            let order = shuffled(rows, config.seed, stream + epoch as u64);
            let mut losses = Vec::new();
            for batch in order.chunks(config.batch_size) {
                // The cast is safe: an index is below the length of a tensor.
                let batch: Vec<i64> = batch.iter().map(|&row| row as i64).collect();
                let places = Tensor::<1, Int>::from_data(batch.as_slice(), &x.device());
                let on_graph = |values: &Tensor<2>| {
                    Tensor::<2>::from_inner(values.clone().select(0, places.clone()))
                };
                let margin = model.score(on_graph(x)) * on_graph(signs);
                // ln(1 + e^−m) = max(−m, 0) + ln(1 + e^−|m|)
                let loss = relu(margin.clone().neg()) + margin.abs().neg().exp().log1p();
                let loss = loss.mean();
                losses.push(loss.clone().inner().mul_scalar(batch.len() as f64));
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimizer.step(config.learning_rate, model, gradients);
            }
            let loss = Tensor::cat(losses, 0).sum().try_into_data();
            let loss = loss.map_err(|error| FlowError::Device(error.to_string()))?;
            let loss = loss.iter::<f64>().sum::<f64>() / rows as f64;
            waited = if loss > least - config.tolerance { waited + 1 } else { 0 };
            least = least.min(loss);
            if waited >= config.patience {
                break;
            }
        }
        Ok(model.valid())
    }
}
