//! The encoder without a network: the condition is the tensor itself. In a
//! [`Standardized`](super::Standardized) it is the standardised tensor.
//! ```text
//! code = x
//! ```

use burn::module::Module;
use burn::tensor::Tensor;

use super::{Encoder, EncoderConfig};
use crate::bijector::Site;
use crate::context::ContextShape;
use crate::error::ConfigError;

/// Returns its input. It has no settings and is its own configuration.
#[derive(Module, Debug, Default)]
pub struct Unchanged {}

impl Unchanged {
    /// The encoder.
    pub fn new() -> Self {
        Self {}
    }
}

impl<const D: usize> Encoder<D> for Unchanged {
    type Code = Tensor<D>;

    fn encode(&self, x: Tensor<D>) -> Tensor<D> {
        x
    }

    fn initialize(self, x: Tensor<D>) -> (Self, Tensor<D>) {
        let code = x.detach();
        (self, code)
    }
}

impl<const D: usize> EncoderConfig<D> for Unchanged {
    type Encoder = Self;

    fn context(&self, site: &Site<D>) -> Result<ContextShape, ConfigError> {
        site.elements("Unchanged")?;
        Ok(ContextShape::new(vec![site.shape().to_vec()]))
    }

    fn build(&self, site: &Site<D>) -> Result<Self, ConfigError> {
        self.context(site)?;
        Ok(Self {})
    }

    fn num_params(&self, _: &Site<D>) -> Result<usize, ConfigError> {
        Ok(0)
    }
}
