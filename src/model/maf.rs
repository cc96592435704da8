//! Masked autoregressive flow on vectors: every element is transformed given all elements before
//! it, in alternating orders.
//! ```text
//! n_layers times      norm and matrix, or not ([`Between`])
//!                     masked autoregressive layer of a law     theta = made(x, context)
//! prior               standard normal
//! ```
//! Orders alternate: natural, reversed, natural, and so on.
//!
//! # Cost
//! Densities: one pass of each network. Samples: `dims` passes of each. A layer is more expressive
//! than a coupling, which leaves half of the elements unchanged.
//!
//! # Reference
//! Papamakarios et al. 2017. Differs: other laws than the affine one; ActNorm instead of batch
//! normalisation.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::Density;
//! use flowkit::model::MafConfig;
//!
//! let device = Device::flex();
//! let x = Tensor::<2>::random([64, 3], Distribution::Normal(5.0, 2.0), &device);
//! let flow = MafConfig::new(3).init(&device).initialize(x.clone())?;
//! assert_eq!(flow.evaluate(x)?.nats().len(), 64);
//! let samples = flow.sample(16)?;
//! assert_eq!(samples.dims(), [16, 3]);
//! # Ok::<(), flowkit::FlowError>(())
//! ```

use burn::config::Config;
use burn::tensor::{Device, Tensor};

use super::between::{Between, BetweenLayers};
use crate::autoregressive::{Made, MadeConfig, MaskedAutoregressive, MaskedAutoregressiveConfig};
use crate::bijector::{LayerConfig, Site};
use crate::conditioner::Activation;
use crate::context::ContextShape;
use crate::error::ConfigError;
use crate::flow::Flow;
use crate::flow::uninit::Uninit;
use crate::law::{AffineConfig, AffineForm, AnyLaw, AnyLawConfig};
use crate::prior::StandardNormal;
use crate::reshape::order::Order;
use crate::tensor::limit::{product, sum};

/// The model. Built by [`MafConfig::init`].
pub type Maf<C = ()> = Flow<Vec<MafStep>, StandardNormal, 2, C>;

/// One autoregressive layer and the layers that precede it.
pub type MafStep = (BetweenLayers, MaskedAutoregressive<AnyLaw, Made>);

/// Configuration of [`Maf`].
#[derive(Config, Debug)]
pub struct MafConfig {
    /// Number of elements of a vector. A single element needs a nonlinear law or a condition: with
    /// affine layers the model would only be a normal distribution.
    pub dims: usize,
    /// Number of autoregressive layers.
    #[config(default = 5)]
    pub n_layers: usize,
    /// Width of each hidden layer of the networks.
    #[config(default = "vec![64, 64]")]
    pub hidden: Vec<usize>,
    /// Nonlinearity of the networks.
    #[config(default = "Activation::Silu")]
    pub activation: Activation,
    /// Law of the layers.
    #[config(default = "AnyLawConfig::Affine(AffineConfig::new(AffineForm::Exponential))")]
    pub law: AnyLawConfig,
    /// The layers that precede every autoregressive layer.
    #[config(default = "Between::Norm")]
    pub between: Between,
    /// Number of elements of the condition; `None`: no condition.
    pub d_context: Option<usize>,
}

impl MafConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.num_params().map(|_| ())
    }

    /// Number of parameters of the model, counted without building it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn num_params(&self) -> Result<usize, ConfigError> {
        ConfigError::repeated("MafConfig", "n_layers", self.n_layers)?;
        let net = self.layer(0).plan(&self.site(&Device::default()))?.num_params;
        let layer = sum([net, self.between.num_params(self.dims)?]);
        let sizes = [("dims", self.dims), ("n_layers", self.n_layers)];
        ConfigError::parameters("MafConfig", product([self.n_layers, layer]), sizes)
    }

    /// Autoregressive layer `layer`.
    fn layer(&self, layer: usize) -> MaskedAutoregressiveConfig<AnyLawConfig, MadeConfig> {
        let order = if layer.is_multiple_of(2) { Order::Natural } else { Order::Reversed };
        let net =
            MadeConfig::new(self.hidden.clone()).with_order(order).with_activation(self.activation);
        MaskedAutoregressiveConfig::new(self.law.clone(), net)
    }

    /// The site of the layers.
    fn site(&self, device: &Device) -> Site<2> {
        Site::described([1, self.dims], ContextShape::vector(self.d_context), device)
    }

    /// The layers, not yet initialised, for a flow with another prior or as a part of a larger one.
    ///
    /// # Errors
    /// Those of [`MafConfig::num_params`].
    pub fn try_init_layers(&self, device: &Device) -> Result<Vec<MafStep>, ConfigError> {
        self.validate()?;
        let site = self.site(device);
        let step = |layer| {
            let masked = self.layer(layer).build(&site)?;
            Ok((self.between.init(self.dims, device), masked))
        };
        (0..self.n_layers).map(step).collect()
    }

    /// [`MafConfig::try_init_layers`].
    ///
    /// # Panics
    /// If [`MafConfig::validate`] is an error.
    pub fn init_layers(&self, device: &Device) -> Vec<MafStep> {
        match self.try_init_layers(device) {
            Ok(layers) => layers,
            Err(error) => panic!("{error}"),
        }
    }

    /// The model, not yet initialised.
    ///
    /// # Panics
    /// If [`MafConfig::try_init`] is an error.
    pub fn init(&self, device: &Device) -> Uninit<Maf> {
        match self.try_init(device) {
            Ok(model) => model,
            Err(error) => panic!("{error}"),
        }
    }

    /// The model, not yet initialised.
    ///
    /// # Errors
    /// Those of [`MafConfig::num_params`]; a configuration with a condition is an error too.
    pub fn try_init(&self, device: &Device) -> Result<Uninit<Maf>, ConfigError> {
        Ok(Flow::new(self.try_init_layers(device)?, StandardNormal::new(), [1, self.dims])?)
    }

    /// The model given a condition of `d_context` elements, not yet initialised.
    ///
    /// # Panics
    /// If [`MafConfig::try_init_given`] is an error.
    pub fn init_given(&self, device: &Device) -> Uninit<Maf<Tensor<2>>> {
        match self.try_init_given(device) {
            Ok(model) => model,
            Err(error) => panic!("{error}"),
        }
    }

    /// The model given a condition of `d_context` elements, not yet initialised.
    ///
    /// # Errors
    /// Those of [`MafConfig::num_params`]; a configuration without a condition is an error too.
    pub fn try_init_given(&self, device: &Device) -> Result<Uninit<Maf<Tensor<2>>>, ConfigError> {
        Ok(Flow::new_given(self.try_init_layers(device)?, StandardNormal::new(), [1, self.dims])?)
    }
}
