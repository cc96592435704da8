//! Functions of each element: fixed ones, and laws with parameters of their own.
//! ```text
//! Elementwise<L>:  theta [1, params, dims]               parameters of each element, shared by all examples
//! forward   z_i = law(x_i; theta_i)        inverse   x_i = law⁻¹(z_i; theta_i)
//! log_det   Σ_i ln ∂z_i/∂x_i
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `theta` | the law's parameters, `dims` numbers per example | `[1, params, dims]` | yes |
//!
//! A marginal transform: with a spline or a mixture each element gets a distribution of its own, without any dependence between elements. One
//! scale and one shift per element are [`crate::PositionNorm`], which also starts from data; per channel, [`crate::ActNorm`]; constants,
//! [`ScalarAffine`].
//!
//! # Start
//! [`Law::theta_init`] and normal numbers of deviation `noise`, so that the components of a mixture differ without
//! noise too.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::law::RationalQuadraticSplineConfig;
//! use flowkit::{Bijector, ElementwiseConfig};
//!
//! let spline = RationalQuadraticSplineConfig::new(8).init();
//! let layer = ElementwiseConfig::new().with_noise(0.0).init(spline, [1, 3], &Device::flex());
//! let x = Tensor::<2>::from_data([[0.5, -2.0, 7.0]], &Device::flex());
//! let (z, log_det) = layer.forward(x.clone(), &());
//! z.into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
//! assert!(log_det.into_scalar::<f32>().abs() < 1e-5);
//! ```

pub mod exp;
pub mod leaky_relu;
pub mod logit;
pub mod scalar_affine;
pub mod sigmoid;
pub mod softplus;
pub mod tanh;

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

pub use exp::Exp;
pub use leaky_relu::{LeakyRelu, LeakyReluConfig};
pub use logit::{Logit, LogitConfig};
pub use scalar_affine::{ScalarAffine, ScalarAffineConfig};
pub use sigmoid::Sigmoid;
pub use softplus::Softplus;
pub use tanh::Tanh;

use crate::bijector::{Bijector, ShapeMap};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape};
use crate::law::Law;
use crate::tensor::limit::{per_example, product};
use crate::tensor::parameter;
use crate::tensor::per_example::{flatten, sum_event};

/// Configuration of [`Elementwise`].
#[derive(Config, Debug)]
pub struct ElementwiseConfig {
    /// Standard deviation of the parameters at the start, about the law's own start.
    #[config(default = 0.1)]
    pub noise: f64,
}

impl ElementwiseConfig {
    /// Whether the configuration describes a bijector.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if (0.0..=1.0).contains(&self.noise) {
            return Ok(());
        }
        Err(ConfigError::OutOfRange { config: "ElementwiseConfig", field: "noise", range: "[0, 1]", found: self.noise })
    }

    /// Parameters of the bijector for examples of shape `shape[1..]`, counted without making it.
    ///
    /// # Errors
    /// The first rule that is broken, or [`ConfigError::TooManyParameters`].
    pub fn num_params<const D: usize, L: Law>(&self, law: &L, shape: [usize; D]) -> Result<usize, ConfigError> {
        self.validate()?;
        let numbers = per_example(shape);
        let sizes = [("shape", numbers), ("law", law.n_params())];
        ConfigError::parameters("ElementwiseConfig", product([law.n_params(), numbers]), sizes)
    }

    /// The bijector for examples of shape `shape[1..]`, with parameters from the device's generator.
    ///
    /// # Panics
    /// If [`ElementwiseConfig::validate`] is an error.
    pub fn init<const D: usize, L: Law>(&self, law: L, shape: [usize; D], device: &Device) -> Elementwise<L> {
        if let Err(error) = self.num_params(&law, shape) {
            panic!("{error}");
        }
        let theta = parameter::normal([1, law.n_params(), shape[1..].iter().product()], self.noise, device);
        let theta = around(theta, law.theta_init());
        Elementwise { law, theta, shape: shape[1..].to_vec() }
    }
}

/// Parameters about a start instead of 0; lazy ones stay lazy.
fn around(theta: Param<Tensor<3>>, start: Vec<f64>) -> Param<Tensor<3>> {
    if start.iter().all(|&value| value == 0.0) {
        return theta;
    }
    theta.init_mapper(move |noise: Tensor<3>| {
        let data = TensorData::new(start.clone(), [1, start.len(), 1]);
        noise.clone() + Tensor::from_data(data, (&noise.device(), noise.dtype()))
    })
}

/// A law with parameters of its own for each element. The formulas head this module.
#[derive(Module, Debug)]
pub struct Elementwise<L> {
    /// The law.
    pub law: L,
    /// Its parameters, `[1, params, dims]`.
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
        let (x, log_derivative) = self.law.inverse_with_log_derivative(flatten(z), self.theta(dims[0]));
        (x.reshape(dims), sum_event(log_derivative))
    }
}
