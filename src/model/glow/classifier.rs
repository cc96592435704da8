//! A classifier on the deepest latents, which makes them carry the class that the prior is given.
//! ```text
//! logits = linear(mean over the positions of the deepest latents)
//! loss   = loss of the flow + weight·D·cross_entropy      nats per example, D elements per example
//! linear   scaled by exp(3·ℓ), initialised to 0
//! ```
//! The latents are those at the input of the [`TopPrior`], which standardizes them by the class;
//! its output would reveal the class to the classifier. In bits/dim the second term is
//! `weight·cross_entropy/ln 2`, as in the released code, whose weight is 0.01.
//!
//! It is trained together with the flow, as a pair:
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use flowkit::model::glow::{GlowClassifierConfig, GlowConfig, GlowPrior};
//! use flowkit::train::{Trainer, TrainerConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = Device::flex().autodiff();
//! let config = GlowConfig::new([1, 4, 4], 1, 1)
//!     .with_n_filters(4)
//!     .with_prior(GlowPrior::Classes { n_classes: 2 });
//! let x = Tensor::<1, Int>::arange(0..64, &device).reshape([4, 1, 4, 4]);
//! let class = Tensor::<1, Int>::from_data([0, 1, 1, 0], &device).one_hot::<2>(2).float();
//! let glow = config.build_classes(&device)?.initialize_given(x.clone(), &class)?;
//! let classifier = GlowClassifierConfig::for_model(&config)?.build(&device)?;
//! let mut trainer = Trainer::new((glow, classifier), TrainerConfig::new())?;
//! trainer.update(&device, |(glow, classifier)| classifier.loss(glow, x, &class, 0.01))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Reference
//! `weight_y` of the code of Kingma & Dhariwal 2018.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};

use super::{ClassGlow, GlowConfig, GlowLayers, GlowPrior, TopPrior};
use crate::bijector::Bijector;
use crate::conditioner::layer::{ZeroLinear, ZeroLinearConfig};
use crate::context::Features;
use crate::error::{ConfigError, FlowError, ShapeError};
use crate::flow::surjection::Surjection;
use crate::flow::{Density, Placement, or_panic};
use crate::prior::Prior;

config! {
    /// Configuration of [`GlowClassifier`].
    #[derive(Debug, Copy, PartialEq, Eq)]
    pub struct GlowClassifierConfig {
        /// Number of channels of the deepest latents.
        pub n_channels: usize,
        /// Number of classes.
        pub n_classes: usize,
    }
}

impl GlowClassifierConfig {
    /// The configuration for the classes and the deepest latents of a class-conditional model.
    ///
    /// # Errors
    /// If `model` is invalid or has no classes.
    pub fn for_model(model: &GlowConfig) -> Result<Self, ConfigError> {
        model.validate()?;
        let n_classes = match model.prior {
            GlowPrior::Classes { n_classes } => n_classes,
            GlowPrior::Standard | GlowPrior::Learned => 0,
        };
        let config = Self { n_channels: model.top_channels(), n_classes };
        config.validate()?;
        Ok(config)
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Number of parameters of the classifier, counted without building it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        ConfigError::positive("GlowClassifierConfig", "n_channels", self.n_channels)?;
        ConfigError::positive("GlowClassifierConfig", "n_classes", self.n_classes)?;
        ZeroLinearConfig::new(self.n_channels, self.n_classes).num_params()
    }

    /// The classifier.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self, device: &Device) -> Result<GlowClassifier, ConfigError> {
        self.validate()?;
        let linear = ZeroLinearConfig::new(self.n_channels, self.n_classes).build(device)?;
        Ok(GlowClassifier { linear })
    }
}

/// Classifier on the deepest latents. The formulas head this module.
#[derive(Module, Debug)]
pub struct GlowClassifier {
    /// From the channels of the deepest latents to the classes.
    pub linear: ZeroLinear,
}

impl GlowClassifier {
    /// Logits of the classes for the latents `z` of [`Bijector::forward`] under `context`,
    /// differentiable. The condition has one row for each example, or one row for all of them.
    ///
    /// # Shapes
    /// `z [batch, C, H, W]` to `[batch, n_classes]`.
    ///
    /// # Errors
    /// If `z` does not have the model's shape, or if latents or condition do not have its type and
    /// device.
    pub fn logits<C: Features<4>>(
        &self,
        layers: &GlowLayers,
        z: Tensor<4>,
        context: &C,
    ) -> Result<Tensor<2>, FlowError>
    where
        TopPrior: Bijector<4, C>,
    {
        let found = Placement::of(&z);
        Placement::of_modules(layers, &self.linear, &found)?.expect("latents", &found)?;
        found.expect_context(context)?;
        let context = &context.for_batch(z.dims()[0]);
        let latents = layers.1.latents(z.clone(), context)?;
        let top = latents.levels.into_iter().next_back().unwrap_or(z);
        let top = match layers.1.levels.last() {
            Some((_, _, _, prior)) => prior.inverse(top, context),
            None => top,
        };
        let [batch, c, ..] = top.dims();
        let expected = self.linear.n_inputs();
        if c != expected {
            let (layer, shape) = ("GlowClassifier", top.dims().to_vec());
            return Err(ShapeError::Axis { layer, axis: 1, expected, shape }.into());
        }
        Ok(self.linear.forward(top.mean_dims(&[2, 3]).reshape([batch, c])))
    }

    /// Training loss of a class-conditional model with this classifier: nats per example, `[1]`,
    /// with fresh noise. `class` is one-hot, `[batch, n_classes]`, or one row for all examples.
    ///
    /// # Panics
    /// If levels are outside the model's range, if shapes, types or devices differ from those of
    /// the model, or if the number of classes differs from that of the classifier.
    pub fn loss(
        &self,
        model: &ClassGlow,
        x: Tensor<4, Int>,
        class: &Tensor<2>,
        weight: f64,
    ) -> Tensor<1> {
        let class = &or_panic(model.fit(&x, class)).context;
        let noise = model.given(class).noise(&x);
        let (y, log_weight) = model.surjection.lift(x, noise);
        let (z, log_det) = model.bijector.forward(y, class);
        let log_prob = model.prior.log_prob(z.clone(), class) + log_det + log_weight;
        let logits = match self.logits(&model.bijector, z, class) {
            Ok(logits) => logits,
            Err(error) => panic!("{error}"),
        };
        let (classes, found) = (logits.dims().to_vec(), class.dims().to_vec());
        if classes != found {
            panic!(
                "{}",
                ShapeError::ContextShape { layer: "GlowClassifier", expected: classes, found }
            );
        }
        let cross_entropy = (class.clone() * log_softmax(logits, 1)).sum_dim(1).mean().neg();
        log_prob.mean().neg() + cross_entropy.mul_scalar(weight * model.given(class).dims() as f64)
    }
}
