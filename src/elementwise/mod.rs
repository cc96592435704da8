//! Functions of each element: fixed functions, and laws whose parameters are trained directly.
//! ```text
//! Elementwise<L>:  theta [1, params, dims]     parameters of each element, shared by all examples
//! forward   z_i = law(x_i; theta_i)        inverse   x_i = law⁻¹(z_i; theta_i)
//! log_det   Σ_i ln ∂z_i/∂x_i
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `theta` | the law's parameters, `dims` elements per example | `[1, params, dims]` | yes |
//!
//! This is a marginal transform: with a spline or a mixture each element gets its own distribution,
//! without any dependence between elements. For one scale and one shift per element use
//! [`crate::PositionNorm`], which is also initialised from data; per channel, [`crate::ActNorm`];
//! for constants, [`ScalarAffine`].
//!
//! # Initialisation
//! [`Law::theta_init`] plus normal noise with the standard deviation `noise`. Because of
//! `theta_init`, the components of a mixture differ even without noise.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::RationalQuadraticSplineConfig;
//! use flowkit::{Bijector, ElementwiseConfig, LayerConfig, Site};
//!
//! let config = ElementwiseConfig::new(RationalQuadraticSplineConfig::new(8)).with_noise(0.0);
//! let layer = config.build(&Site::new([1, 3], &Device::flex()))?;
//! let x = Tensor::<2>::from_data([[0.5, -2.0, 7.0]], &Device::flex());
//! let (z, log_det) = layer.forward(x.clone(), &());
//! z.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
//! assert!(log_det.into_scalar::<f32>().abs() < 1e-5);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

pub mod column_map;
pub mod columns;
pub mod exp;
pub mod leaky_relu;
pub mod logit;
pub mod scalar_affine;
pub mod sigmoid;
pub mod softplus;
pub mod tanh;

use std::fmt::Debug;

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use column_map::ColumnMap;
pub use columns::{Columns, ColumnsConfig};
pub use exp::Exp;
pub use leaky_relu::{LeakyRelu, LeakyReluConfig};
pub use logit::{Logit, LogitConfig};
pub use scalar_affine::{ScalarAffine, ScalarAffineConfig};
pub use sigmoid::Sigmoid;
pub use softplus::Softplus;
pub use tanh::Tanh;

use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape};
use crate::law::{Law, LawConfig};
use crate::tensor::limit::product;
use crate::tensor::parameter;
use crate::tensor::per_example::{flatten, sum_event};

/// Configuration of [`Elementwise`], with that of its law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElementwiseConfig<L> {
    /// The law.
    pub law: L,
    /// Standard deviation of the noise that is added to the law's initial parameters.
    #[serde(default = "default_noise")]
    pub noise: f64,
}

fn default_noise() -> f64 {
    0.1
}

impl<L: Debug + Serialize + DeserializeOwned> Config for ElementwiseConfig<L> {}

impl<L> ElementwiseConfig<L> {
    /// A layer of this law, with a noise of 0.1.
    pub fn new(law: L) -> Self {
        Self { law, noise: default_noise() }
    }

    /// Sets [`ElementwiseConfig::noise`].
    pub fn with_noise(mut self, noise: f64) -> Self {
        self.noise = noise;
        self
    }
}

impl<L: LawConfig> ElementwiseConfig<L> {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.checked_law().map(|_| ())
    }

    /// The law, after a check of all rules that need no shape.
    fn checked_law(&self) -> Result<L::Law, ConfigError> {
        let found = self.noise;
        if !(0.0..=1.0).contains(&found) {
            return Err(ConfigError::OutOfRange {
                config: NAME,
                field: "noise",
                range: "[0, 1]",
                found,
            });
        }
        let law = self.law.build().map_err(|error| error.at(".law"))?;
        if found == 0.0 {
            // Nothing else makes components differ.
            law.check_init(NAME, &law.theta_init())?;
        }
        Ok(law)
    }
}

/// The name of the configuration in its errors.
const NAME: &str = "ElementwiseConfig";

impl<const D: usize, C: Context, L: LawConfig> LayerConfig<D, C> for ElementwiseConfig<L> {
    type Layer = Elementwise<L::Law>;

    /// The bijector, with parameters from the device's generator.
    fn build(&self, site: &Site<D, C>) -> Result<Elementwise<L::Law>, ConfigError> {
        self.plan(site)?;
        let law = self.checked_law()?;
        let shape = [1, law.n_params(), site.elements("Elementwise")?];
        let theta = around(parameter::normal(shape, self.noise, site.device()), law.theta_init());
        Ok(Elementwise { law, theta, shape: site.shape()[1..].to_vec() })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        let n_params = self.checked_law()?.n_params();
        let elements = site.elements("Elementwise")?;
        let sizes = [("shape", elements), ("law", n_params)];
        Ok(site.keeps(ConfigError::parameters(NAME, product([n_params, elements]), sizes)?))
    }
}

/// Adds `start` to the initial value of a parameter. A lazy parameter stays lazy.
fn around(theta: Param<Tensor<3>>, start: Vec<f64>) -> Param<Tensor<3>> {
    if start.iter().all(|&value| value == 0.0) {
        return theta;
    }
    theta.init_mapper(move |noise: Tensor<3>| {
        let data = TensorData::new(start.clone(), [1, start.len(), 1]);
        noise.clone() + Tensor::from_data(data, (&noise.device(), noise.dtype()))
    })
}

/// A law with its own parameters for each element. The formulas head this module.
#[derive(Module, Debug)]
pub struct Elementwise<L> {
    /// The law.
    pub law: L,
    /// The parameters of the law, `[1, params, dims]`.
    pub theta: Param<Tensor<3>>,
    #[module(skip)]
    shape: Vec<usize>,
}

impl<L> Elementwise<L> {
    fn theta(&self, batch: usize) -> Tensor<3> {
        let theta = self.theta.val();
        let [_, params, dims] = theta.dims();
        theta.expand([batch, params, dims])
    }
}

impl<const D: usize, L: Law> ShapeMap<D> for Elementwise<L> {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        check_event("Elementwise", &self.shape, shape)
    }
}

impl<const D: usize, C: Context, L: Law> Bijector<D, C> for Elementwise<L> {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let dims = x.dims();
        let (z, log_derivative) = self.law.forward(flatten(x), self.theta(dims[0]));
        (z.reshape(dims), sum_event(log_derivative))
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        let dims = z.dims();
        self.law.inverse(flatten(z), self.theta(dims[0])).reshape(dims)
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.input_shape(z.dims()));
        let dims = z.dims();
        let (x, log_derivative) =
            self.law.inverse_with_log_derivative(flatten(z), self.theta(dims[0]));
        (x.reshape(dims), sum_event(log_derivative))
    }
}
