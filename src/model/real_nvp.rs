//! RealNVP on vectors: couplings with alternating halves and dense networks. A flow for points in a
//! plane and for tables.
//! ```text
//! n_couplings times   norm and matrix, or not ([`Between`])
//!                     coupling of a law that transforms the second half,
//!                       theta = mlp(first half, context)
//!                     swap of the halves
//! prior               standard normal
//! ```
//! # Cost
//! Forward and inverse: one pass of each network. The affine law and the spline have an inverse in
//! closed form; MixLogCDF is inverted by root finding.
//!
//! # Reference
//! Dinh et al. 2017. Differs: vectors instead of images; other laws than the affine one; ActNorm
//! instead of batch normalisation.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use flowkit::Density;
//! use flowkit::model::RealNvpConfig;
//!
//! let device = Device::flex();
//! let x = Tensor::<2>::random([64, 3], Distribution::Normal(5.0, 2.0), &device);
//! let flow = RealNvpConfig::new(3).with_n_couplings(4).init(&device).initialize(x.clone())?;
//! assert_eq!(flow.evaluate(x)?.nats().len(), 64);
//! let samples = flow.sample(16)?;
//! assert_eq!(samples.dims(), [16, 3]);
//!
//! // Given one of two classes, one-hot.
//! let labels = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0]], &device);
//! let flow = RealNvpConfig::new(3).with_d_context(Some(2)).init_given(&device).without_data();
//! let one_of_each = flow.given(&labels).sample(2)?;
//! assert_eq!(one_of_each.dims(), [2, 3]);
//! # Ok::<(), flowkit::FlowError>(())
//! ```

use burn::config::Config;
use burn::tensor::{Device, Tensor};

use super::between::{Between, BetweenLayers};
use crate::bijector::{LayerConfig, Site};
use crate::conditioner::{Activation, Mlp, MlpConfig};
use crate::context::ContextShape;
use crate::coupling::{Coupling, CouplingConfig};
use crate::error::ConfigError;
use crate::flow::Flow;
use crate::flow::uninit::Uninit;
use crate::law::{AffineConfig, AffineForm, AnyLaw, AnyLawConfig};
use crate::prior::StandardNormal;
use crate::reshape::Swap;
use crate::tensor::limit::{product, sum};

/// The model. Built by [`RealNvpConfig::init`].
pub type RealNvp<C = ()> = Flow<Vec<RealNvpStep>, StandardNormal, 2, C>;

/// One coupling, the layers that precede it, and a swap.
pub type RealNvpStep = (BetweenLayers, Coupling<AnyLaw, Mlp>, Swap);

/// Configuration of [`RealNvp`].
#[derive(Config, Debug)]
pub struct RealNvpConfig {
    /// Number of elements of a vector, at least 2.
    pub dims: usize,
    /// Number of couplings.
    #[config(default = 8)]
    pub n_couplings: usize,
    /// Width of each hidden layer of the networks.
    #[config(default = "vec![64, 64]")]
    pub hidden: Vec<usize>,
    /// Nonlinearity of the networks.
    #[config(default = "Activation::Silu")]
    pub activation: Activation,
    /// Law of the couplings.
    #[config(default = "AnyLawConfig::Affine(AffineConfig::new(AffineForm::Exponential))")]
    pub law: AnyLawConfig,
    /// The layers that precede every coupling.
    #[config(default = "Between::Norm")]
    pub between: Between,
    /// Number of elements of the condition; `None`: no condition.
    pub d_context: Option<usize>,
}

impl RealNvpConfig {
    /// The model of points in a plane that other libraries' benchmarks use: eight affine couplings,
    /// two hidden layers of 64 units with ReLU, no layers between the couplings.
    pub fn plane() -> Self {
        Self::new(2).with_activation(Activation::Relu).with_between(Between::Nothing)
    }

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
        const NAME: &str = "RealNvpConfig";
        if self.dims < 2 {
            let (field, range, found) = ("dims", "[2, ∞)", self.dims as f64);
            return Err(ConfigError::OutOfRange { config: NAME, field, range, found });
        }
        ConfigError::positive(NAME, "dims", self.dims)?;
        ConfigError::repeated(NAME, "n_couplings", self.n_couplings)?;
        let coupling = self.coupling().plan(&self.site(&Device::default()))?.num_params;
        let layer = sum([coupling, self.between.num_params(self.dims)?]);
        let sizes = [("dims", self.dims), ("n_couplings", self.n_couplings)];
        ConfigError::parameters(NAME, product([self.n_couplings, layer]), sizes)
    }

    fn coupling(&self) -> CouplingConfig<AnyLawConfig, MlpConfig> {
        let net = MlpConfig::new(self.hidden.clone()).with_activation(self.activation);
        CouplingConfig::new(self.law.clone(), net)
    }

    /// The site of the layers.
    fn site(&self, device: &Device) -> Site<2> {
        Site::described([1, self.dims], ContextShape::vector(self.d_context), device)
    }

    /// The layers, not yet initialised, for a flow with another prior or as a part of a larger one.
    ///
    /// # Errors
    /// Those of [`RealNvpConfig::num_params`].
    pub fn try_init_layers(&self, device: &Device) -> Result<Vec<RealNvpStep>, ConfigError> {
        self.validate()?;
        let (coupling, site) = (self.coupling(), self.site(device));
        let step = |_| {
            let coupling = coupling.build(&site)?;
            Ok((self.between.init(self.dims, device), coupling, Swap::new()))
        };
        (0..self.n_couplings).map(step).collect()
    }

    /// [`RealNvpConfig::try_init_layers`].
    ///
    /// # Panics
    /// If [`RealNvpConfig::validate`] is an error.
    pub fn init_layers(&self, device: &Device) -> Vec<RealNvpStep> {
        match self.try_init_layers(device) {
            Ok(layers) => layers,
            Err(error) => panic!("{error}"),
        }
    }

    /// The model, not yet initialised.
    ///
    /// # Panics
    /// If [`RealNvpConfig::try_init`] is an error.
    pub fn init(&self, device: &Device) -> Uninit<RealNvp> {
        match self.try_init(device) {
            Ok(model) => model,
            Err(error) => panic!("{error}"),
        }
    }

    /// The model, not yet initialised.
    ///
    /// # Errors
    /// Those of [`RealNvpConfig::num_params`]; a configuration with a condition is an error too.
    pub fn try_init(&self, device: &Device) -> Result<Uninit<RealNvp>, ConfigError> {
        Ok(Flow::new(self.try_init_layers(device)?, StandardNormal::new(), [1, self.dims])?)
    }

    /// The model given a condition of `d_context` elements, not yet initialised.
    ///
    /// # Panics
    /// If [`RealNvpConfig::try_init_given`] is an error.
    pub fn init_given(&self, device: &Device) -> Uninit<RealNvp<Tensor<2>>> {
        match self.try_init_given(device) {
            Ok(model) => model,
            Err(error) => panic!("{error}"),
        }
    }

    /// The model given a condition of `d_context` elements, not yet initialised.
    ///
    /// # Errors
    /// Those of [`RealNvpConfig::num_params`]; a configuration without a condition is an error too.
    pub fn try_init_given(
        &self,
        device: &Device,
    ) -> Result<Uninit<RealNvp<Tensor<2>>>, ConfigError> {
        Ok(Flow::new_given(self.try_init_layers(device)?, StandardNormal::new(), [1, self.dims])?)
    }
}
