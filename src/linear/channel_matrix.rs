//! Pointwise channel matrix: a dense matrix that mixes the channels of every position, one for each
//! group of channels.
//! ```text
//! forward   z[b, g, :, p] = W_g x[b, g, :, p]        inverse   x = W_g⁻¹ z
//! log_det   P·Σ_g ln|det W_g|                        P positions per channel
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `W` | one matrix for each of `G` groups of `c = C/G` channels | `[G, c, c]` | yes |
//!
//! With one group this is Glow's plain 1x1 convolution. Flow++ has one matrix for each half of a
//! coupling, which is two groups.
//!
//! # Initialisation
//! [`MatrixInit::NearIdentity`]: `I + noise·N(0, 1)`. [`MatrixInit::Orthogonal`]: the factor Q of a
//! matrix of normal values.
//!
//! # Numerics
//! Determinant and inverse are computed in float64 on the host, or in pairs of float32 on a GPU
//! ([`crate::kernel::matrix_inverse`]). A singular matrix is not repaired but is visible in the
//! result: its log-determinant is −∞ and its inverse is NaN.
//!
//! # Cost
//! `O(B·C·c·P)`, and `O(G·c³)` for the matrices, which on a GPU are not copied to the host, unless
//! they are in float64 or have more than 256 columns.
//!
//! # Reference
//! Kingma & Dhariwal 2018 §3.2. The orthogonal initialisation is Glow's; the halves and the
//! initialisation near the identity are those of Flow++'s released code.

use std::iter::repeat_with;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use chacha20::ChaCha8Rng;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::matrix::{condition_number, mix_channels};
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::kernel::matrix_inverse::factor;
use crate::tensor::limit::{MOST_FACTORED, product};
use crate::tensor::parameter;

/// How the matrices are initialised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum MatrixInit {
    /// The identity with noise added.
    NearIdentity {
        /// Standard deviation of the noise, in [0, 0.1].
        noise: f64,
    },
    /// A random orthogonal matrix: the factor Q of a matrix of normal values.
    Orthogonal,
}

impl MatrixInit {
    /// Matrices of `channels` rows, one after another, row by row.
    fn draw(self, channels: usize, generator: ChaCha8Rng) -> impl Iterator<Item = f64> {
        let mut normal = parameter::normals(generator);
        let square = channels * channels;
        let matrix = move || match self {
            Self::NearIdentity { noise } => {
                let on_diagonal =
                    |place: usize| if place.is_multiple_of(channels + 1) { 1.0 } else { 0.0 };
                normal
                    .by_ref()
                    .take(square)
                    .enumerate()
                    .map(|(place, z)| on_diagonal(place) + noise * z)
                    .collect()
            }
            Self::Orthogonal => {
                let rows =
                    DMatrix::from_row_iterator(channels, channels, normal.by_ref().take(square));
                // nalgebra stores columns: the transpose's columns are the rows.
                rows.qr().q().transpose().as_slice().to_vec()
            }
        };
        repeat_with(matrix).flat_map(|matrix: Vec<f64>| matrix)
    }
}

config! {
    /// Configuration of [`ChannelMatrix`].
    #[derive(Debug)]
    pub struct ChannelMatrixConfig {
        /// Number of groups. Channels are mixed only within their group.
        pub n_groups: usize = 1,
        /// How the matrices are initialised.
        pub init: MatrixInit = MatrixInit::NearIdentity { noise: 0.001 },
    }
}

impl ChannelMatrixConfig {
    /// Checks the rules that do not depend on the number of channels.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive(NAME, "n_groups", self.n_groups)?;
        match self.init {
            MatrixInit::NearIdentity { noise } if !(0.0..=0.1).contains(&noise) => {
                let (field, range) = ("noise", "[0, 0.1]");
                Err(ConfigError::OutOfRange { config: NAME, field, range, found: noise })
            }
            MatrixInit::NearIdentity { .. } | MatrixInit::Orthogonal => Ok(()),
        }
    }

    /// Number of parameters of the layer for so many channels.
    pub(crate) fn num_params(&self, channels: usize) -> Result<usize, ConfigError> {
        self.validate()?;
        if !channels.is_multiple_of(self.n_groups) {
            let (field, of) = ("channels", "n_groups");
            let factor = self.n_groups;
            return Err(ConfigError::NotMultiple {
                config: NAME,
                field,
                found: channels,
                of,
                factor,
            });
        }
        let side = channels / self.n_groups;
        ConfigError::at_most(NAME, "channels/n_groups", side, MOST_FACTORED)?;
        ConfigError::parameters(NAME, product([channels, side]), [("channels", channels)])
    }
}

/// The name of the configuration in its errors.
const NAME: &str = "ChannelMatrixConfig";

impl<const D: usize, C: Context> LayerConfig<D, C> for ChannelMatrixConfig {
    type Layer = ChannelMatrix;

    fn build(&self, site: &Site<D, C>) -> Result<ChannelMatrix, ConfigError> {
        self.plan(site)?;
        let (groups, channels) = (self.n_groups, site.channels("ChannelMatrix")? / self.n_groups);
        let init = self.init;
        let draw = move |generator| init.draw(channels, generator);
        let matrices = parameter::drawn([groups, channels, channels], site.device(), draw);
        Ok(ChannelMatrix { matrices })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        Ok(site.keeps(self.num_params(site.channels("ChannelMatrix")?)?))
    }
}

/// Pointwise channel matrix. The formulas head this module.
#[derive(Module, Debug)]
pub struct ChannelMatrix {
    /// Matrices `W`, `[G, c, c]`.
    pub matrices: Param<Tensor<3>>,
}

impl ChannelMatrix {
    /// The largest divided by the smallest singular value of the matrix of all channels, computed
    /// in float64 on the host. Infinite if the matrix is singular, NaN if it is not finite.
    ///
    /// The inverse loses about this factor of the type's precision: 1e4 leaves three digits in
    /// float32.
    pub fn condition_number(&self) -> f64 {
        condition_number(self.matrices.val())
    }
}

/// The sum of the groups' log-determinants, times the `P` positions, for each example.
fn spread<const D: usize>(one: Tensor<1>, dims: [usize; D]) -> Tensor<1> {
    let positions: usize = dims[2..].iter().product();
    one.mul_scalar(positions as f64).expand([dims[0]])
}

impl<const D: usize> ShapeMap<D> for ChannelMatrix {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let own = self.matrices.lazy_shape();
        let expected = own[0] * own[1];
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "ChannelMatrix", axis: 1, expected, shape: shape.to_vec() })
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for ChannelMatrix {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let factored = factor(self.matrices.val());
        let log_det = spread(factored.log_abs_det(), x.dims());
        (mix_channels(self.matrices.val(), x), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        mix_channels(factor(self.matrices.val()).inverse(), z)
    }

    fn inverse_with_log_det(&self, z: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.input_shape(z.dims()));
        let factored = factor(self.matrices.val());
        let log_det = spread(factored.log_abs_det().neg(), z.dims());
        (mix_channels(factored.inverse(), z), log_det)
    }
}
