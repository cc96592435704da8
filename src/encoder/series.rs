//! Encoder of series: convolutions that halve the length, then a mean over positions.
//! ```text
//! h_0 = x                                                   channels elements at L positions
//! h_i = φ(conv(h_i−1))        i = 1..n_layers               F elements at half as many positions
//! code = W·mean(h) + b                                      n_features elements
//! ```
//! `conv` has a kernel of `kernel` positions, a stride of 2 and `⌊kernel/2⌋` zeros beyond both
//! ends, so it turns `L` positions into `⌈L/2⌉` for an odd kernel. The length of the series may
//! differ between batches. The mean tells what occurs, not when: where that matters, give the time
//! as a further channel.
//!
//! # Initialisation
//! The weights of a convolution are uniform within `±√(6/fan_in)` (He et al. 2015), which keeps the
//! variance through the layers; biases, and the last layer, within `±1/√fan_in`.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::encoder::{Encoder, EncoderConfig, SeriesEncoderConfig};
//! use flowkit::Site;
//!
//! let device = Device::flex();
//! let encoder = SeriesEncoderConfig::new(16).build(&Site::new([1, 2, 100], &device))?;
//! let x = Tensor::<3>::random([32, 2, 100], Distribution::Normal(0.0, 1.0), &device);
//! assert_eq!(encoder.encode(x).dims(), [32, 16]);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::nn::conv::{Conv1d, Conv1dConfig};
use burn::nn::{Linear, PaddingConfig1d};
use burn::tensor::Tensor;

use super::{Encoder, EncoderConfig, check_axis};
use crate::bijector::Site;
use crate::conditioner::Activation;
use crate::context::ContextShape;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::kernel::epilogue::Epilogue;
use crate::kernel::linear;
use crate::tensor::limit::{MOST_KERNEL, product, sum};
use crate::tensor::parameter;

const NAME: &str = "SeriesEncoderConfig";

config! {
    /// Configuration of [`SeriesEncoder`].
    #[derive(Debug)]
    pub struct SeriesEncoderConfig {
        /// Length of the code.
        pub n_features: usize,
        /// Number of channels `F` of the convolutions.
        pub n_filters: usize = 32,
        /// Number of convolutions.
        pub n_layers: usize = 3,
        /// Length of the kernels.
        pub kernel: usize = 5,
        /// Nonlinearity `φ`.
        pub activation: Activation = Activation::Silu,
    }
}

impl SeriesEncoderConfig {
    /// Channels that arrive at each convolution.
    fn inputs(&self, channels: usize) -> impl Iterator<Item = usize> {
        let (first, rest) = (channels, self.n_filters);
        (0..self.n_layers).map(move |index| if index == 0 { first } else { rest })
    }
}

impl EncoderConfig<3> for SeriesEncoderConfig {
    type Encoder = SeriesEncoder;

    fn context(&self, site: &Site<3>) -> Result<ContextShape, ConfigError> {
        self.num_params(site)?;
        Ok(ContextShape::vector(Some(self.n_features)))
    }

    fn build(&self, site: &Site<3>) -> Result<SeriesEncoder, ConfigError> {
        self.num_params(site)?;
        let (channels, device) = (site.shape()[1], site.device());
        let conv = |inputs: usize| {
            let fan_in = (inputs * self.kernel) as f64;
            let padding = PaddingConfig1d::Explicit(self.kernel / 2, self.kernel / 2);
            let config = Conv1dConfig::new(inputs, self.n_filters, self.kernel)
                .with_stride(2)
                .with_padding(padding);
            let mut conv = config.init(device);
            let shape = [self.n_filters, inputs, self.kernel];
            conv.weight = parameter::uniform(shape, (6.0 / fan_in).sqrt(), device);
            conv.bias = Some(parameter::uniform([self.n_filters], 1.0 / fan_in.sqrt(), device));
            conv
        };
        Ok(SeriesEncoder {
            layers: self.inputs(channels).map(conv).collect(),
            output: parameter::fan_in_linear(self.n_filters, self.n_features, device),
            activation: self.activation,
            n_channels: channels,
        })
    }

    fn num_params(&self, site: &Site<3>) -> Result<usize, ConfigError> {
        let channels = site.channels("SeriesEncoder")?;
        ConfigError::positive(NAME, "n_features", self.n_features)?;
        ConfigError::positive(NAME, "n_filters", self.n_filters)?;
        ConfigError::repeated(NAME, "n_layers", self.n_layers)?;
        ConfigError::counted(NAME, "kernel", self.kernel, MOST_KERNEL)?;
        let conv =
            |inputs: usize| sum([product([self.n_filters, inputs, self.kernel]), self.n_filters]);
        let convs = self.inputs(channels).map(conv).fold(0, usize::saturating_add);
        let last = sum([product([self.n_filters, self.n_features]), self.n_features]);
        let sizes = [
            ("channels", channels),
            ("n_features", self.n_features),
            ("n_filters", self.n_filters),
            ("n_layers", self.n_layers),
            ("kernel", self.kernel),
        ];
        ConfigError::parameters(NAME, sum([convs, last]), sizes)
    }
}

/// Encoder of series. The formulas head this module.
#[derive(Module, Debug)]
pub struct SeriesEncoder {
    /// The convolutions, first to last.
    pub layers: Vec<Conv1d>,
    /// `F -> n_features`.
    pub output: Linear,
    #[module(skip)]
    activation: Activation,
    n_channels: usize,
}

impl Encoder<3> for SeriesEncoder {
    type Code = Tensor<2>;

    fn encode(&self, x: Tensor<3>) -> Tensor<2> {
        check_shape(self.check(x.dims()));
        let layer = |h: Tensor<3>, conv: &Conv1d| self.activation.forward(conv.forward(h));
        let h = self.layers.iter().fold(x, layer).mean_dim(2).squeeze_dim::<2>(2);
        linear::layer(h, &self.output, Epilogue::Nothing)
    }

    fn initialize(self, x: Tensor<3>) -> (Self, Tensor<2>) {
        let code = self.encode(x).detach();
        (self, code)
    }

    fn check(&self, shape: [usize; 3]) -> Result<(), ShapeError> {
        check_axis("SeriesEncoder", shape, 1, self.n_channels)
    }
}
