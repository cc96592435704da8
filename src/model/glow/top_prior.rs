//! The learned prior of the deepest latents: a normal distribution that depends on the position,
//! and on the class if there is one.
//! ```text
//! (m, s) = halves of the channels of  conv(zeros) [+ linear(class)]
//!          conv, linear: scaled by exp(3·ℓ), initialised to 0
//! forward   z = (x − m)·exp(−s)            inverse   x = z·exp(s) + m
//! log_det   −Σ s
//! ```
//! The input of the convolution is an image of zeros, so only its bias and the weights of its
//! border channel matter: `m` and `s` are the same at all positions but those at the border.
//! Followed by a standard normal prior, this layer makes `x` distributed as `N(m, e^2s)`. A class
//! is a one-hot row of a `Tensor<2>`, or a mixture of classes.
//!
//! # Numerics
//! `exp(−s)` overflows float32 at `s < −88`.
//!
//! # Reference
//! `learntop` and `ycond` of the code of Kingma & Dhariwal 2018. As there, some weights of the
//! convolution are only multiplied by zeros.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::conditioner::layer::{ZeroLinear, ZeroLinearConfig};
use crate::conditioner::{NetConfig, NetSite, ZeroConv, ZeroConvConfig};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::tensor::limit::{product, sum};
use crate::tensor::per_example::sum_event;

/// Configuration of [`TopPrior`], which has no settings: the number of channels and, with classes,
/// the width of the condition are those of the site.
#[derive(Debug, Clone, Copy)]
pub(super) struct TopPriorConfig;

/// The site of the convolution: `2C` input channels, and two parameters for each of the `C`
/// channels.
fn conv_site<C: Context>(site: &Site<4, C>) -> NetSite<4> {
    let [_, c, h, w] = site.shape();
    NetSite::new([1, product([2, c]), h, w], [1, c, h, w], vec![0.0; 2], site.device())
}

/// The layer of the classes, if there are any.
fn class_layer<C: Context>(site: &Site<4, C>) -> Option<ZeroLinearConfig> {
    let n_outputs = product([2, site.shape()[1]]);
    site.context().width().map(|n_classes| ZeroLinearConfig::new(n_classes, n_outputs))
}

impl<C: Context> LayerConfig<4, C> for TopPriorConfig
where
    TopPrior: Bijector<4, C>,
{
    type Layer = TopPrior;

    fn build(&self, site: &Site<4, C>) -> Result<TopPrior, ConfigError> {
        let n_channels = site.channels(LAYER)?;
        let conv = ZeroConvConfig::new().build(&conv_site(site))?;
        let classes = class_layer(site).map(|config| config.build(site.device())).transpose()?;
        Ok(TopPrior { conv, classes, n_channels })
    }

    fn plan(&self, site: &Site<4, C>) -> Result<Plan<4>, ConfigError> {
        site.channels(LAYER)?;
        let conv = ZeroConvConfig::new().num_params(&conv_site(site))?;
        let classes = class_layer(site).map_or(Ok(0), |config| config.num_params())?;
        Ok(site.keeps(sum([conv, classes])))
    }
}

/// Learned prior of the deepest latents. The formulas head this module.
#[derive(Module, Debug)]
pub struct TopPrior {
    /// 3x3, `2C -> 2C`: means, then log-deviations.
    pub conv: ZeroConv,
    /// `classes -> 2C`, added at every position.
    pub classes: Option<ZeroLinear>,
    n_channels: usize,
}

const LAYER: &str = "TopPrior";

/// Names of the conditions of the prior.
const NOTHING: &str = "no condition";
const CLASSES: &str = "classes as condition";

/// The class of each example, if there is one.
type Class<'a> = Option<&'a Tensor<2>>;

impl TopPrior {
    /// Means and log-deviations, `[1 or B, C, H, W]` each.
    fn moments(&self, [batch, _, h, w]: [usize; 4], class: Class) -> (Tensor<4>, Tensor<4>) {
        let mut both = self.conv.of_zeros([h, w]);
        if let (Some(layer), Some(class)) = (&self.classes, class) {
            both = both + layer.forward(class.clone()).reshape([batch, 2 * self.n_channels, 1, 1]);
        }
        let c = self.n_channels;
        (both.clone().narrow(1, 0, c), both.narrow(1, c, c))
    }

    fn standardize(&self, x: Tensor<4>, class: Class) -> (Tensor<4>, Tensor<1>) {
        let dims = x.dims();
        let (mean, log_deviation) = self.moments(dims, class);
        let log_det = sum_event(log_deviation.clone().neg()).expand([dims[0]]);
        ((x - mean) * log_deviation.neg().exp(), log_det)
    }

    fn restore(&self, z: Tensor<4>, class: Class) -> Tensor<4> {
        let (mean, log_deviation) = self.moments(z.dims(), class);
        z * log_deviation.exp() + mean
    }

    fn check_kind(&self, found: &'static str) -> Result<(), ShapeError> {
        let expected = if self.classes.is_some() { CLASSES } else { NOTHING };
        if expected == found {
            Ok(())
        } else {
            Err(ShapeError::Context { layer: LAYER, expected, found })
        }
    }
}

impl ShapeMap<4> for TopPrior {
    fn output_shape(&self, shape: [usize; 4]) -> Result<[usize; 4], ShapeError> {
        if shape[1] == self.n_channels {
            return Ok(shape);
        }
        Err(ShapeError::Axis {
            layer: LAYER,
            axis: 1,
            expected: self.n_channels,
            shape: shape.to_vec(),
        })
    }
}

impl Bijector<4> for TopPrior {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<4>, _: &()) -> (Tensor<4>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), &()));
        self.standardize(x, None)
    }

    fn inverse(&self, z: Tensor<4>, _: &()) -> Tensor<4> {
        check_shape(self.output_shape_given(z.dims(), &()));
        self.restore(z, None)
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.check_kind(NOTHING)
    }

    fn check_context(&self, _: [usize; 4], _: &()) -> Result<(), ShapeError> {
        self.check_kind(NOTHING)
    }
}

impl Bijector<4, Tensor<2>> for TopPrior {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<4>, class: &Tensor<2>) -> (Tensor<4>, Tensor<1>) {
        check_shape(self.output_shape_given(x.dims(), class));
        self.standardize(x, Some(class))
    }

    fn inverse(&self, z: Tensor<4>, class: &Tensor<2>) -> Tensor<4> {
        check_shape(self.output_shape_given(z.dims(), class));
        self.restore(z, Some(class))
    }

    fn accepts(&self) -> Result<(), ShapeError> {
        self.check_kind(CLASSES)
    }

    fn check_context(&self, shape: [usize; 4], class: &Tensor<2>) -> Result<(), ShapeError> {
        self.check_kind(CLASSES)?;
        let width = self.classes.as_ref().map_or(0, ZeroLinear::n_inputs);
        let (expected, found) = ([shape[0], width], class.dims());
        if found != expected {
            let (expected, found) = (expected.to_vec(), found.to_vec());
            return Err(ShapeError::ContextShape { layer: LAYER, expected, found });
        }
        Ok(())
    }
}
