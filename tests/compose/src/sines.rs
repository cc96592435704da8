//! A network that flowkit does not have: one hidden layer of sines.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use flowkit::conditioner::theta;
use flowkit::{ConfigError, Net, NetConfig, NetSite, config};

/// The network. It is written for vectors.
#[derive(Module, Debug)]
pub struct Sines {
    hidden: Linear,
    output: Linear,
    n_params: usize,
}

impl Net<2> for Sines {
    fn forward(&self, identity: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<3> {
        let input = [Some(identity), context].into_iter().flatten().collect();
        let h = self.hidden.forward(Tensor::cat(input, 1)).sin();
        theta(self.output.forward(h), self.n_params)
    }
}

config! {
    /// Configuration of [`Sines`].
    #[derive(Debug)]
    pub struct SinesConfig {
        /// Number of hidden units.
        pub width: usize,
    }
}

impl NetConfig<2> for SinesConfig {
    type Net = Sines;

    fn build(&self, site: &NetSite<2>) -> Result<Sines, ConfigError> {
        let hidden = LinearConfig::new(site.n_inputs(), self.width).init(site.device());
        let mut output = LinearConfig::new(self.width, site.n_outputs()).init(site.device());
        output.bias = Some(site.bias());
        Ok(Sines { hidden, output, n_params: site.n_params() })
    }
}
