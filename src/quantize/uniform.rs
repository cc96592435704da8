//! Uniform dequantization: noise that is uniform on [0, 1), independent of the data.
//! ```text
//! lift     y = (x + u)/M,  u ~ U[0, 1)                  log_weight = −D ln M,
//!                                                       NaN if a level x_j is none of 0..M−1
//! ```
//! The special case of [`crate::VariationalDequantization`] with `q(u | x) = 1`. Theis et al. 2016
//! §3.1.

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Int, Tensor};

use super::{cell, check_levels, nan_outside, shape};
use crate::error::{ConfigError, FlowError};
use crate::flow::likelihood::OneSampleBound;
use crate::flow::surjection::Surjection;

const NAME: &str = "UniformDequantizationConfig";

config! {
    /// Configuration of [`UniformDequantization`].
    #[derive(Debug)]
    pub struct UniformDequantizationConfig {
        /// Number of levels `M` of the data.
        pub n_levels: usize = 256,
        /// Type in which the flow computes. It limits the number of levels.
        pub dtype: DType = DType::F32,
    }
}

impl UniformDequantizationConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        cell::check(NAME, self.n_levels, self.dtype)
    }

    /// The dequantization.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn build(&self) -> Result<UniformDequantization, ConfigError> {
        self.validate()?;
        Ok(UniformDequantization { n_levels: self.n_levels })
    }
}

/// Uniform dequantization. The formulas head this module.
#[derive(Module, Debug)]
pub struct UniformDequantization {
    n_levels: usize,
}

impl UniformDequantization {
    /// Number of levels `M` of the data.
    pub fn n_levels(&self) -> usize {
        self.n_levels
    }
}

impl<const D: usize> Surjection<D> for UniformDequantization {
    type Data = Tensor<D, Int>;
    type Noise = Tensor<D>;
    type Provenance = OneSampleBound;
    const PROVENANCE: OneSampleBound = OneSampleBound;

    fn plain(&self, x: Self::Data) -> Self::Data {
        x.inner()
    }

    fn noise(&self, x: &Self::Data, dtype: DType) -> Tensor<D> {
        Tensor::random(x.dims(), Distribution::Uniform(0.0, 1.0), (&x.device(), dtype))
    }

    fn lift(&self, x: Self::Data, noise: Tensor<D>) -> (Tensor<D>, Tensor<1>) {
        let dims = x.dims();
        let n: usize = dims[1..].iter().product();
        let levels = self.n_levels as f64;
        let log_weight =
            Tensor::full([dims[0]], -(n as f64) * levels.ln(), (&noise.device(), noise.dtype()));
        let x = cell::to_float(x, noise.dtype());
        let log_weight = nan_outside(log_weight, x.clone(), self.n_levels);
        (cell::place(x, noise, self.n_levels), log_weight)
    }

    fn lower(&self, y: Tensor<D>) -> Self::Data {
        cell::level(y, self.n_levels)
    }

    fn shape(&self, x: &Self::Data) -> Result<[usize; D], FlowError> {
        Ok(shape(x)?)
    }

    fn check(&self, x: &Self::Data) -> Result<[usize; D], FlowError> {
        let shape = shape(x)?;
        check_levels(x, self.n_levels)?;
        Ok(shape)
    }

    fn placement(&self, x: &Self::Data, dtype: DType) -> (DType, Device) {
        (dtype, x.device())
    }

    fn check_dtype(&self, dtype: DType) -> Result<(), FlowError> {
        Ok(cell::check(NAME, self.n_levels, dtype)?)
    }
}
