//! The network of Glow's couplings, written as a user of the crate would.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use flowkit::law::Law;
use flowkit::{Conditioner, ConfigError, NetShape, ShapeError, ThetaInit};

/// Glow's network, as a user of the crate would write it.
#[derive(Module, Debug)]
pub struct ConvNet {
    first: Conv2d,
    second: Conv2d,
    third: Conv2d,
}

impl ConvNet {
    pub fn new(n_inputs: usize, n_hidden: usize, n_outputs: usize, device: &Device) -> Self {
        let conv = |inputs, outputs, kernel| {
            let padding = PaddingConfig2d::Explicit(kernel / 2, kernel / 2, kernel / 2, kernel / 2);
            Conv2dConfig::new([inputs, outputs], [kernel, kernel]).with_padding(padding).init(device)
        };
        Self {
            first: conv(n_inputs, n_hidden, 3),
            second: conv(n_hidden, n_hidden, 1),
            third: conv(n_hidden, n_outputs, 3),
        }
    }
}

/// Every layer starts at random, the last one too.
impl ThetaInit for ConvNet {
    fn init_at<L: Law>(self, _: &L) -> Result<Self, ConfigError> {
        Ok(self)
    }
}

impl NetShape<4> for ConvNet {
    fn check(&self, kept: [usize; 4], other: [usize; 4], n_params: usize) -> Result<(), ShapeError> {
        let [outputs, ..] = self.third.weight.dims();
        assert_eq!((kept, outputs), (other, n_params * other[1]));
        Ok(())
    }
}

impl Conditioner<4> for ConvNet {
    fn forward(&self, kept: Tensor<4>, _: &()) -> Tensor<3> {
        let [b, c, h, w] = kept.dims();
        let hidden = relu(self.second.forward(relu(self.first.forward(kept))));
        let output = self.third.forward(hidden);
        let n_params = output.dims()[1] / c;
        output.reshape([b, n_params, c * h * w])
    }
}
