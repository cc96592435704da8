//! Orthogonal mixing of channels: a product of Householder reflections.
//! ```text
//! H(v) = I − 2 v vᵀ/(vᵀv)                  W = H(v_n)·…·H(v_1)
//! forward   z[:, p] = W x[:, p]            inverse   x = H(v_1)·…·H(v_n) z = Wᵀ z
//! log_det   0
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `v` | one vector for each reflection | `[n, C]` | yes |
//!
//! Every orthogonal matrix of `C` channels is a product of at most `C` reflections (Cartan and
//! Dieudonné). The determinant is `(−1)^n`, so a given `n` gives either rotations or reflections,
//! not both. `W` preserves lengths: its condition number is 1 for all values of the parameters.
//!
//! # Initialisation
//! Normal vectors: their directions are uniform on the sphere.
//!
//! # Numerics
//! `H` depends only on the direction of `v`, so `v` is first divided by its largest magnitude `m`.
//! The largest magnitude of `w = v/m` is 1, hence `1 ≤ wᵀw ≤ C`, and `v` may be as short or as long
//! as its type allows. As `v → 0` the limit of `H(v)` depends on the direction, so `H` has no
//! continuous value there. A vector whose elements are all below 1e-30 in magnitude counts as 0 and
//! reflects nothing: with `w = 0` and a denominator of 1, `H = I` and its derivative is 0. `I` is
//! orthogonal too, so the log-determinant and the inverse hold everywhere and nothing is NaN.
//!
//! Training does not reach 0: `H(c·v) = H(v)` makes the gradient orthogonal to `v`, so a step along
//! it lengthens `v`: `|v − ηg|² = |v|² + η²|g|²`. Weight decay does shorten `v`, by a constant
//! factor per step, without changing `W`; gradients grow as `1/|v|`.
//!
//! # Cost
//! `O(n·C² + B·C²·P)` in both directions: the reflections are multiplied into one matrix, which is
//! applied to the data. No device-to-host copy.
//!
//! # Reference
//! Tomczak & Welling 2016, *Improving Variational Auto-Encoders using Householder Flow*.
//!
//! # Example
//! ```
//! use burn::module::Param;
//! use burn::tensor::{Device, Tensor};
//! use flowkit::{Bijector, Householder};
//!
//! let device = Device::flex();
//! // One reflection at the diagonal exchanges two elements.
//! let layer = Householder { vectors: Param::from_data([[1.0, -1.0]], &device) };
//! let x = Tensor::<2>::from_data([[3.0, 5.0]], &device);
//! let (z, log_det) = layer.forward(x.clone(), &());
//! assert_eq!(z.to_data(), Tensor::<2>::from_data([[5.0, 3.0]], &device).to_data());
//! assert_eq!(log_det.into_scalar::<f32>(), 0.0);
//! assert_eq!(layer.inverse(z, &()).to_data(), x.to_data());
//! ```

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::matrix::mix_channels;
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::kernel::exact_product::of_matrices;
use crate::tensor::limit::product;
use crate::tensor::parameter;
use crate::tensor::per_example::zero_log_det;

/// Vectors whose elements are all smaller than this in magnitude reflect nothing. Its reciprocal,
/// which multiplies gradients, is a finite f32.
const SHORTEST: f64 = 1e-30;

config! {
    /// Configuration of [`Householder`].
    #[derive(Debug)]
    pub struct HouseholderConfig {
        /// Number of reflections `n`, at most one for each channel.
        pub n_reflections: usize,
    }
}

impl HouseholderConfig {
    /// Checks the rules that do not depend on the number of channels.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::repeated(NAME, "n_reflections", self.n_reflections)
    }

    /// Number of parameters of the layer for so many channels.
    pub(crate) fn num_params(&self, channels: usize) -> Result<usize, ConfigError> {
        self.validate()?;
        if self.n_reflections > channels {
            let (field, range) = ("n_reflections", "[1, channels]");
            let found = self.n_reflections as f64;
            return Err(ConfigError::OutOfRange { config: NAME, field, range, found });
        }
        let sizes = [("channels", channels), ("n_reflections", self.n_reflections)];
        ConfigError::parameters(NAME, product([self.n_reflections, channels]), sizes)
    }
}

/// The name of the configuration in its errors.
const NAME: &str = "HouseholderConfig";

impl<const D: usize, C: Context> LayerConfig<D, C> for HouseholderConfig {
    type Layer = Householder;

    /// The bijector, with vectors from the device's generator.
    fn build(&self, site: &Site<D, C>) -> Result<Householder, ConfigError> {
        self.plan(site)?;
        let shape = [self.n_reflections, site.channels("Householder")?];
        Ok(Householder { vectors: parameter::normal(shape, 1.0, site.device()) })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        Ok(site.keeps(self.num_params(site.channels("Householder")?)?))
    }
}

/// Product of Householder reflections. The formulas head this module.
#[derive(Module, Debug)]
pub struct Householder {
    /// Vectors `v`, `[n, C]`, in the order in which they are applied.
    pub vectors: Param<Tensor<2>>,
}

impl Householder {
    /// The matrix `W`, `[C, C]`.
    pub fn matrix(&self) -> Tensor<2> {
        let vectors = self.vectors.val();
        let [n, c] = vectors.dims();
        let none = vectors.clone().detach().abs().max_dim(1).lower_elem(SHORTEST);
        // A sixteenth (exact) of any float32 value has a reciprocal that is not subnormal. Devices
        // may treat subnormal values as 0.
        let vectors = vectors.mul_scalar(0.0625);
        let largest = vectors.clone().detach().abs().max_dim(1);
        let scaled = vectors.clone() * largest.mask_fill(none.clone(), 1.0).recip();
        let scaled = scaled.mask_fill(none.clone().expand([n, c]), 0.0);
        let squares = scaled.clone().square().sum_dim(1).mask_fill(none, 1.0);
        let doubled = scaled.clone() * squares.recip().mul_scalar(2.0);
        let identity =
            Tensor::<2>::ones([c, c], (&vectors.device(), vectors.dtype())).tril(0).triu(0);
        (0..n).fold(identity, |matrix, index| {
            let row = scaled.clone().narrow(0, index, 1);
            let column = doubled.clone().narrow(0, index, 1).transpose();
            matrix.clone() - of_matrices(column, of_matrices(row, matrix))
        })
    }
}

impl<const D: usize> ShapeMap<D> for Householder {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let expected = self.vectors.lazy_shape()[1];
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "Householder", axis: 1, expected, shape: shape.to_vec() })
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Householder {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let log_det = zero_log_det(&x);
        (mix_channels(self.matrix().unsqueeze::<3>(), x), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        mix_channels(self.matrix().transpose().unsqueeze::<3>(), z)
    }
}
