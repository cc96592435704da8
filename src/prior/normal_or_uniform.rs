//! Independent latents, each standard normal or uniform between two bounds.
//! ```text
//! ln p(z) = Σ_normal (−½ z² − ½ ln 2π) − Σ_uniform ln(upper − lower)
//! ```
//! It is [`StandardNormal`] on some elements and [`UniformBox`] on the others: for latents of which
//! some are real numbers, and others lie on a circle or between bounds. A temperature scales the
//! normal elements, and the distance of the uniform ones from the middle of their bounds.
//!
//! # Numerics
//! Those of the two priors.
//!
//! # Example
//! ```
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{ElementPrior, NormalOrUniformConfig, Prior, PriorConfig, Site};
//!
//! let uniform = ElementPrior::Uniform { lower: 0.0, upper: 4.0 };
//! let config = NormalOrUniformConfig::new(vec![ElementPrior::Normal, uniform]);
//! let prior = config.build(&Site::new([1, 2], &Device::flex()))?;
//! let z = Tensor::<2>::from_data([[0.0, 3.0]], &Device::flex());
//! let nats: f32 = prior.log_prob(z, &()).into_scalar();
//! assert!((nats + 0.918_938_5 + 4f32.ln()).abs() < 1e-6);
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Prior, PriorConfig, ReparametrisedPrior, StandardNormal, UniformBox, UniformBoxConfig,
};
use crate::bijector::Site;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_event, check_shape, check_shape_size};
use crate::tensor::channels::{select, unselect};
use crate::tensor::per_example::zero_log_det;

const NAME: &str = "NormalOrUniformConfig";

/// The distribution of one element.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ElementPrior {
    /// Normal with mean 0 and variance 1.
    Normal,
    /// Uniform.
    Uniform {
        /// Lower bound.
        lower: f64,
        /// Upper bound.
        upper: f64,
    },
}

config! {
    /// Configuration of [`NormalOrUniform`].
    #[derive(Debug)]
    pub struct NormalOrUniformConfig {
        /// The distribution of each element.
        pub elements: Vec<ElementPrior>,
    }
}

impl NormalOrUniformConfig {
    /// Checks what needs no shape: bounds as [`UniformBoxConfig`] demands them.
    ///
    /// # Errors
    /// The first rule that is broken, with the place of its element.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.elements.iter().enumerate().try_for_each(|(place, element)| match *element {
            ElementPrior::Normal => Ok(()),
            ElementPrior::Uniform { lower, upper } => UniformBoxConfig::between(lower, upper)
                .validate()
                .map_err(|error| error.at(format_args!(".elements[{place}]"))),
        })
    }
}

impl<C: Context> PriorConfig<2, C> for NormalOrUniformConfig {
    type Prior = NormalOrUniform;

    fn build(&self, site: &Site<2, C>) -> Result<NormalOrUniform, ConfigError> {
        self.validate()?;
        let (expected, found) = (site.channels("NormalOrUniform")?, self.elements.len());
        if found != expected {
            return Err(ConfigError::Length { config: NAME, field: "elements", expected, found });
        }
        let (mut normal, mut uniform, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        for (place, element) in self.elements.iter().enumerate() {
            match *element {
                ElementPrior::Normal => normal.push(place),
                ElementPrior::Uniform { lower, upper } => {
                    uniform.push(place);
                    bounds.push((lower, upper));
                }
            }
        }
        let bounded = if uniform.is_empty() {
            None
        } else {
            let (lower, upper): (Vec<f64>, Vec<f64>) = bounds.into_iter().unzip();
            let site = site.at([1, uniform.len()]);
            Some(UniformBoxConfig::between(lower, upper).build(&site)?)
        };
        Ok(NormalOrUniform { bounded, normal, uniform })
    }
}

/// Independent latents, normal or uniform. The formula heads this module.
#[derive(Module, Debug)]
pub struct NormalOrUniform {
    bounded: Option<UniformBox>,
    #[module(skip)]
    normal: Vec<usize>,
    #[module(skip)]
    uniform: Vec<usize>,
}

impl NormalOrUniform {
    fn n_elements(&self) -> usize {
        self.normal.len() + self.uniform.len()
    }
}

impl<C: Context> Prior<2, C> for NormalOrUniform {
    fn log_prob(&self, z: Tensor<2>, context: &C) -> Tensor<1> {
        check_shape(Prior::<2, C>::check(self, z.dims()));
        let mut nats = zero_log_det(&z);
        if !self.normal.is_empty() {
            let normal = select(z.clone(), &self.normal);
            nats = nats + StandardNormal::new().log_prob(normal, context);
        }
        if let Some(bounded) = &self.bounded {
            nats = nats + bounded.log_prob(select(z, &self.uniform), context);
        }
        nats
    }

    fn sample(
        &self,
        shape: [usize; 2],
        temperature: f64,
        context: &C,
        device: &Device,
        dtype: DType,
    ) -> Tensor<2> {
        check_shape(check_shape_size("NormalOrUniform", &shape));
        check_shape(Prior::<2, C>::check(self, shape));
        let mut parts = Vec::with_capacity(2);
        if !self.normal.is_empty() {
            let shape = [shape[0], self.normal.len()];
            parts.push(StandardNormal::new().sample(shape, temperature, context, device, dtype));
        }
        if let Some(bounded) = &self.bounded {
            let shape = [shape[0], self.uniform.len()];
            parts.push(bounded.sample(shape, temperature, context, device, dtype));
        }
        unselect(parts, self.normal.iter().chain(&self.uniform).copied())
    }

    fn check(&self, shape: [usize; 2]) -> Result<(), ShapeError> {
        check_event("NormalOrUniform", &[self.n_elements()], shape).map(drop)
    }
}

impl<C: Context> ReparametrisedPrior<2, C> for NormalOrUniform {}
