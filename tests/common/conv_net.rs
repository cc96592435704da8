//! The network of Glow's couplings, written as a user of the crate would.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use flowkit::conditioner::theta;
use flowkit::{ConfigError, Net, NetConfig, NetSite};

/// Glow's network, as a user of the crate would write it.
#[derive(Module, Debug)]
pub struct ConvNet {
    first: Conv2d,
    second: Conv2d,
    third: Conv2d,
    n_params: usize,
}

/// Configuration of [`ConvNet`].
pub struct ConvNetConfig {
    pub n_hidden: usize,
}

/// Every layer starts at random, the last one too.
impl NetConfig<4> for ConvNetConfig {
    type Net = ConvNet;

    fn build(&self, site: &NetSite<4>) -> Result<ConvNet, ConfigError> {
        let conv = |inputs, outputs, kernel| {
            let padding = PaddingConfig2d::Explicit(kernel / 2, kernel / 2, kernel / 2, kernel / 2);
            Conv2dConfig::new([inputs, outputs], [kernel, kernel])
                .with_padding(padding)
                .init(site.device())
        };
        Ok(ConvNet {
            first: conv(site.identity()[1], self.n_hidden, 3),
            second: conv(self.n_hidden, self.n_hidden, 1),
            third: conv(self.n_hidden, site.n_outputs(), 3),
            n_params: site.n_params(),
        })
    }
}

impl Net<4> for ConvNet {
    fn forward(&self, identity: Tensor<4>, _: Option<Tensor<4>>) -> Tensor<3> {
        let hidden = relu(self.second.forward(relu(self.first.forward(identity))));
        theta(self.third.forward(hidden), self.n_params)
    }
}
