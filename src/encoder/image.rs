//! Encoder of images: convolutions that halve both sides, then a mean over positions.
//! ```text
//! h_0 = x                                                   channels elements at H×W positions
//! h_i = φ(conv(h_i−1))        i = 1..n_layers               F elements, both sides halved
//! code = W·mean(h) + b                                      n_features elements
//! ```
//! `conv` has a square kernel of `kernel` pixels a side, a stride of 2 and `⌊kernel/2⌋` zeros
//! beyond each border, so it turns a side of `H` pixels into `⌈H/2⌉` for an odd kernel. The size of
//! the images may differ between batches.
//!
//! # Initialisation
//! That of [`SeriesEncoder`](super::SeriesEncoder).
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::encoder::{Encoder, EncoderConfig, ImageEncoderConfig};
//! use flowkit::Site;
//!
//! let device = Device::flex();
//! let encoder = ImageEncoderConfig::new(16).build(&Site::new([1, 1, 28, 28], &device))?;
//! let x = Tensor::<4>::random([8, 1, 28, 28], Distribution::Normal(0.0, 1.0), &device);
//! assert_eq!(encoder.encode(x).dims(), [8, 16]);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, PaddingConfig2d};
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

const NAME: &str = "ImageEncoderConfig";

config! {
    /// Configuration of [`ImageEncoder`].
    #[derive(Debug)]
    pub struct ImageEncoderConfig {
        /// Length of the code.
        pub n_features: usize,
        /// Number of channels `F` of the convolutions.
        pub n_filters: usize = 32,
        /// Number of convolutions.
        pub n_layers: usize = 3,
        /// Side of the kernels in pixels.
        pub kernel: usize = 3,
        /// Nonlinearity `φ`.
        pub activation: Activation = Activation::Silu,
    }
}

impl ImageEncoderConfig {
    /// Channels that arrive at each convolution.
    fn inputs(&self, channels: usize) -> impl Iterator<Item = usize> {
        let (first, rest) = (channels, self.n_filters);
        (0..self.n_layers).map(move |index| if index == 0 { first } else { rest })
    }
}

impl EncoderConfig<4> for ImageEncoderConfig {
    type Encoder = ImageEncoder;

    fn context(&self, site: &Site<4>) -> Result<ContextShape, ConfigError> {
        self.num_params(site)?;
        Ok(ContextShape::vector(Some(self.n_features)))
    }

    fn build(&self, site: &Site<4>) -> Result<ImageEncoder, ConfigError> {
        self.num_params(site)?;
        let (channels, device) = (site.shape()[1], site.device());
        let conv = |inputs: usize| {
            let (k, pad) = (self.kernel, self.kernel / 2);
            let fan_in = (inputs * k * k) as f64;
            let padding = PaddingConfig2d::Explicit(pad, pad, pad, pad);
            let config = Conv2dConfig::new([inputs, self.n_filters], [k, k])
                .with_stride([2, 2])
                .with_padding(padding);
            let mut conv = config.init(device);
            let shape = [self.n_filters, inputs, k, k];
            conv.weight = parameter::uniform(shape, (6.0 / fan_in).sqrt(), device);
            conv.bias = Some(parameter::uniform([self.n_filters], 1.0 / fan_in.sqrt(), device));
            conv
        };
        Ok(ImageEncoder {
            layers: self.inputs(channels).map(conv).collect(),
            output: parameter::fan_in_linear(self.n_filters, self.n_features, device),
            activation: self.activation,
            n_channels: channels,
        })
    }

    fn num_params(&self, site: &Site<4>) -> Result<usize, ConfigError> {
        let channels = site.channels("ImageEncoder")?;
        ConfigError::positive(NAME, "n_features", self.n_features)?;
        ConfigError::positive(NAME, "n_filters", self.n_filters)?;
        ConfigError::repeated(NAME, "n_layers", self.n_layers)?;
        ConfigError::counted(NAME, "kernel", self.kernel, MOST_KERNEL)?;
        let k = self.kernel;
        let conv = |inputs: usize| sum([product([self.n_filters, inputs, k, k]), self.n_filters]);
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

/// Encoder of images. The formulas head this module.
#[derive(Module, Debug)]
pub struct ImageEncoder {
    /// The convolutions, first to last.
    pub layers: Vec<Conv2d>,
    /// `F -> n_features`.
    pub output: Linear,
    #[module(skip)]
    activation: Activation,
    n_channels: usize,
}

impl Encoder<4> for ImageEncoder {
    type Code = Tensor<2>;

    fn encode(&self, x: Tensor<4>) -> Tensor<2> {
        check_shape(self.check(x.dims()));
        let layer = |h: Tensor<4>, conv: &Conv2d| self.activation.forward(conv.forward(h));
        let h = self.layers.iter().fold(x, layer);
        let [batch, width, ..] = h.dims();
        let h = h.mean_dims(&[2, 3]).reshape([batch, width]);
        linear::layer(h, &self.output, Epilogue::Nothing)
    }

    fn initialize(self, x: Tensor<4>) -> (Self, Tensor<2>) {
        let code = self.encode(x).detach();
        (self, code)
    }

    fn check(&self, shape: [usize; 4]) -> Result<(), ShapeError> {
        check_axis("ImageEncoder", shape, 1, self.n_channels)
    }
}
