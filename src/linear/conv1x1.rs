//! Invertible 1x1 convolution in PLU form: mixes channels, and its log-determinant costs no
//! factorisation.
//! ```text
//! Free      W = P·L·(U + D)                 L unit lower, U strictly upper triangular
//! Bounded   W = P·(I + N_l)·D·(I + N_u)     N_l, N_u strictly triangular,  |s| < s_max
//!           D = diag(sign·exp(s))
//! forward   z[:, p] = W x[:, p]             inverse   x = W⁻¹ z
//! log_det   n·Σ_c s_c                       n positions per channel
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `L`, `U` | strict triangles; the other entries are ignored | `[C, C]` | yes |
//! | `s` | log-magnitude of the diagonal | `[C]` | yes |
//! | `sign`, `P` | signs of the diagonal; row `i` of `W` is row `P_i` of the product | `[C]` | no |
//!
//! # Conditioning
//! [`Conditioning::Free`], the published form, cannot become singular: its determinant is
//! `±exp(Σ s)`. But its condition number can grow during training until the inverse is meaningless
//! in float32. [`Conditioning::Bounded`] has the same parameters `L`, `U`, `s` and uses
//! ```text
//! s = s_max·tanh(s/s_max)          N = τ·T/√(1 + ‖T‖²)
//!                                  T the strict triangle of L or U, ‖T‖ its Frobenius norm
//! ```
//! so `‖N‖₂ ≤ ‖N‖ < τ < 1`. Hence `‖I + N‖₂ < 1 + τ` and, by the Neumann series,
//! `‖(I + N)⁻¹‖₂ < 1/(1 − τ)`. With `‖D‖₂·‖D⁻¹‖₂ < exp(2 s_max)` and `P` orthogonal:
//! ```text
//! cond₂(W) < ((1 + τ)/(1 − τ))²·exp(2 s_max)     for all parameters and any number of channels
//! ```
//! The bound is 66.5 at `τ = 1/2` and `s_max = 1`. [`Conv1x1::condition_number`] computes the
//! condition number itself, for diagnostics.
//!
//! # Initialisation
//! [`Conv1x1Init::Orthogonal`]: a random orthogonal matrix, as the PLU factors of the Q of a matrix
//! of normal values. If the condition number is bounded, only its `P` and the signs are used, with
//! `L = U = 0` and `s = 0`, a random permutation with signs: the triangles of the orthogonal matrix
//! itself are not small.
//! [`Conv1x1Init::Permutation`]: a random `P` and the rest of the identity, which neural spline
//! flows begin with. Each channel then leaves as it came in. Sums of many channels, as of an
//! orthogonal matrix, hide what is special about one of them, for example a value it often has.
//!
//! # Numerics
//! The inverse multiplies by the inverses of the triangles and refines once: `x₀ = U⁻¹L⁻¹P⁻¹z`,
//! `x = x₀ + W⁻¹(z − W x₀)`. Its measured accuracy is that of an inverse formed in float64, about
//! `ε·cond(W)·|x|`; `kernel/plu/triangular.rs` has the figures and the rejected alternatives.
//! Gradients flow through the refinement step: with `x₀` and the inverses of the triangles as
//! constants, its differential is `W⁻¹(dz − dW x)`, that of the inverse itself.
//!
//! # Cost
//! `O(C³ + B·C²·n)` forward, `O(C³ log C + B·C²·n)` inverse. No device-to-host copy in either
//! direction.
//!
//! # Reference
//! Kingma & Dhariwal 2018 §3.2. The bounded form is ours.
//!
//! # Example
//! ```
//! use flowkit::{Bijector, Conditioning, Conv1x1Config, LayerConfig, Site};
//! use burn::tensor::{Device, Tensor};
//!
//! let device = Device::flex();
//! let bounded = Conditioning::Bounded { max_triangle: 0.5, max_log_scale: 1.0 };
//! let conv = Conv1x1Config::new().with_conditioning(bounded);
//! let conv = conv.build(&Site::new([1, 3], &device))?;
//! assert!((conv.condition_number() - 1.0).abs() < 1e-6);
//! assert!(bounded.bound().is_some_and(|bound| (bound - 9.0 * 2f64.exp()).abs() < 1e-9));
//! let x = Tensor::<2>::from_data([[0.5, -1.0, 2.0]], &device);
//! let (z, log_det) = conv.forward(x.clone(), &());
//! assert_eq!(log_det.into_scalar::<f32>(), 0.0);
//! conv.inverse(z, &()).into_data().assert_approx_eq::<f32>(&x.into_data(), Default::default());
//! # Ok::<(), flowkit::ConfigError>(())
//! ```

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Int, Tensor, TensorData};
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::matrix::{condition_number, mix_channels};
use super::plu_factors::PluFactors;
use crate::bijector::{Bijector, LayerConfig, Leaf, Plan, ShapeMap, Site};
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};
use crate::kernel::exact_product::of_matrices;
use crate::kernel::plu::{self, inverse_of_lower};
use crate::random::shuffle::in_random_order;
use crate::tensor::limit::{MOST_FACTORED, product, sum};
use crate::tensor::parameter;
use crate::tensor::per_example::log_det_of_scales;
use crate::tensor::smooth::tanh;

/// The matrix before training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conv1x1Init {
    /// A random orthogonal matrix, or a permutation with signs if the matrix is bounded.
    Orthogonal,
    /// A random permutation.
    Permutation,
}

/// How the condition number of the matrix is limited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Conditioning {
    /// It is not limited: the published form.
    Free,
    /// A bound that holds for every value of the parameters.
    Bounded {
        /// `τ`, the largest norm of each triangle, in (0, 1).
        max_triangle: f64,
        /// `s_max`, the largest magnitude of a log-scale, in (0, 10].
        max_log_scale: f64,
    },
}

impl Conditioning {
    /// Upper bound of the condition number: `((1 + τ)/(1 − τ))²·exp(2 s_max)`, or `None` if there
    /// is none.
    pub fn bound(&self) -> Option<f64> {
        match *self {
            Self::Free => None,
            Self::Bounded { max_triangle, max_log_scale } => Some(
                ((1.0 + max_triangle) / (1.0 - max_triangle)).powi(2) * (2.0 * max_log_scale).exp(),
            ),
        }
    }
}

config! {
    /// Configuration of [`Conv1x1`].
    #[derive(Debug)]
    pub struct Conv1x1Config {
        /// How the condition number of the matrix is limited.
        pub conditioning: Conditioning = Conditioning::Free,
        /// The matrix before training.
        pub init: Conv1x1Init = Conv1x1Init::Orthogonal,
    }
}

impl Conv1x1Config {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Conditioning::Bounded { max_triangle, max_log_scale } = self.conditioning else {
            return Ok(());
        };
        let out_of_range = |field, range, found| {
            Err(ConfigError::OutOfRange { config: NAME, field, range, found })
        };
        if !(max_triangle > 0.0 && max_triangle < 1.0) {
            return out_of_range("max_triangle", "(0, 1)", max_triangle);
        }
        if !(max_log_scale > 0.0 && max_log_scale <= 10.0) {
            return out_of_range("max_log_scale", "(0, 10]", max_log_scale);
        }
        Ok(())
    }

    /// Number of parameters of the layer for so many channels.
    pub(crate) fn num_params(&self, channels: usize) -> Result<usize, ConfigError> {
        self.validate()?;
        ConfigError::counted(NAME, "channels", channels, MOST_FACTORED)?;
        // Two triangles, stored as squares, and the log-scales.
        Ok(sum([product([2, channels, channels]), channels]))
    }
}

/// The name of the configuration in its errors.
const NAME: &str = "Conv1x1Config";

impl<const D: usize, C: Context> LayerConfig<D, C> for Conv1x1Config {
    type Layer = Conv1x1;

    /// The bijector, with a matrix from the device's generator.
    fn build(&self, site: &Site<D, C>) -> Result<Conv1x1, ConfigError> {
        self.plan(site)?;
        let (n, device) = (site.channels("Conv1x1")?, site.device());
        let mut generator = parameter::host_generator(device);
        let matrix = match self.init {
            Conv1x1Init::Orthogonal => {
                let draws = parameter::normals(generator);
                DMatrix::<f64>::from_row_iterator(n, n, draws.take(n * n)).qr().q()
            }
            Conv1x1Init::Permutation => {
                let order = in_random_order(n, &mut generator);
                DMatrix::from_fn(n, n, |row, column| f64::from(u8::from(order[row] == column)))
            }
        };
        let PluFactors { mut lower, mut upper, log_scale, sign, permutation } =
            PluFactors::of(matrix);
        let mut log_scale: Vec<f32> = log_scale.into_iter().map(|value| value as f32).collect();
        if self.conditioning != Conditioning::Free {
            lower.fill(0.0);
            upper.fill(0.0);
            log_scale.fill(0.0);
        }
        let square = |m: &DMatrix<f64>| {
            let rows: Vec<f32> = m.transpose().iter().map(|v| *v as f32).collect();
            Param::from_data(TensorData::new(rows, [n, n]), device)
        };
        let fixed = |values: Vec<i64>| {
            Param::initialized(
                ParamId::new(),
                Tensor::<1, Int>::from_data(TensorData::new(values, [n]), device),
            )
        };
        Ok(Conv1x1 {
            lower: square(&lower),
            upper: square(&upper),
            log_scale: Param::from_data(TensorData::new(log_scale, [n]), device),
            sign: fixed(sign),
            permutation: fixed(permutation),
            conditioning: self.conditioning,
        })
    }

    fn plan(&self, site: &Site<D, C>) -> Result<Plan<D>, ConfigError> {
        Ok(site.keeps(self.num_params(site.channels("Conv1x1")?)?))
    }
}

/// Invertible 1x1 convolution in PLU form. The formulas head this module.
#[derive(Module, Debug)]
pub struct Conv1x1 {
    /// `L`. Only the entries below the diagonal are used.
    pub lower: Param<Tensor<2>>,
    /// `U`. Only the entries above the diagonal are used.
    pub upper: Param<Tensor<2>>,
    /// Log-magnitude of the diagonal, `s`.
    pub log_scale: Param<Tensor<1>>,
    /// Signs of the diagonal, ±1.
    pub sign: Param<Tensor<1, Int>>,
    /// The row of the triangular product that each row of `W` is, `P`.
    pub permutation: Param<Tensor<1, Int>>,
    #[module(skip)]
    conditioning: Conditioning,
}

/// The factors of `W` in the bounded form.
struct Factors {
    /// Unit lower triangular.
    lower: Tensor<2>,
    /// Upper triangular, with the diagonal.
    upper: Tensor<2>,
}

impl Conv1x1 {
    /// Log-magnitude of the diagonal that `W` uses.
    fn log_diagonal(&self) -> Tensor<1> {
        let log_scale = self.log_scale.val();
        match self.conditioning {
            Conditioning::Free => log_scale,
            Conditioning::Bounded { max_log_scale, .. } => {
                tanh(log_scale.mul_scalar(1.0 / max_log_scale)).mul_scalar(max_log_scale)
            }
        }
    }

    /// The diagonal of `U + D`.
    fn diagonal(&self) -> Tensor<1> {
        let log_diagonal = self.log_diagonal();
        let sign = self.sign.val().float().cast(log_diagonal.dtype());
        log_diagonal.exp() * sign
    }

    fn factors(&self, max_triangle: f64) -> Factors {
        let diagonal = self.diagonal();
        let [n] = diagonal.dims();
        let identity =
            Tensor::<2>::ones([n, n], (&diagonal.device(), diagonal.dtype())).tril(0).triu(0);
        let (lower, upper) = (self.lower.val().tril(-1), self.upper.val().triu(1));
        Factors {
            lower: bounded(lower, max_triangle) + identity.clone(),
            upper: (bounded(upper, max_triangle) + identity) * diagonal.unsqueeze_dim::<2>(1),
        }
    }

    /// The inverses of the triangles, outside the graph.
    fn inverses(&self) -> (Tensor<2>, Tensor<2>) {
        match self.conditioning {
            Conditioning::Free => {
                plu::inverses(self.lower.val(), self.upper.val(), self.diagonal())
            }
            Conditioning::Bounded { max_triangle, .. } => {
                let Factors { lower, upper } = self.factors(max_triangle);
                (inverse_of_lower(lower), inverse_of_lower(upper.transpose()).transpose())
            }
        }
    }

    /// The matrix `W`, `[C, C]`.
    pub fn matrix(&self) -> Tensor<2> {
        let permutation = self.permutation.val();
        match self.conditioning {
            Conditioning::Free => {
                plu::matrix(self.lower.val(), self.upper.val(), self.diagonal(), permutation)
            }
            Conditioning::Bounded { max_triangle, .. } => {
                let Factors { lower, upper } = self.factors(max_triangle);
                of_matrices(lower, upper).select(0, permutation)
            }
        }
    }

    /// `‖W‖₂·‖W⁻¹‖₂`, the largest divided by the smallest singular value, computed in float64 on
    /// the host. Infinite where it is too large for float64, NaN where `W` is not finite.
    ///
    /// The inverse loses about this factor of the type's precision: 1e4 leaves three digits in
    /// float32.
    pub fn condition_number(&self) -> f64 {
        condition_number(self.matrix().unsqueeze::<3>())
    }
}

/// `bound·T/√(1 + ‖T‖²)`, whose norm is below `bound`. The entries are first divided by the
/// largest, so no square overflows. The result does not depend on the divisor, which is therefore a
/// constant to the gradient.
fn bounded(triangle: Tensor<2>, bound: f64) -> Tensor<2> {
    let size = triangle.clone().detach().abs().max().clamp_min(1.0).recip();
    let scaled = triangle * size.clone().unsqueeze::<2>();
    // At least 1: where `size` is not 1 itself, the square of the largest entry is.
    let norm = (scaled.clone().square().sum() + size.square()).sqrt();
    scaled * norm.recip().mul_scalar(bound).unsqueeze::<2>()
}

impl<const D: usize> ShapeMap<D> for Conv1x1 {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let expected = self.log_scale.lazy_shape()[0];
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "Conv1x1", axis: 1, expected, shape: shape.to_vec() })
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Conv1x1 {
    type Driver = Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(self.output_shape(x.dims()));
        let dims = x.dims();
        let positions: usize = dims[2..].iter().product();
        let log_det = log_det_of_scales(self.log_diagonal(), positions as f64, dims[0]);
        (mix_channels(self.matrix().unsqueeze::<3>(), x), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(self.input_shape(z.dims()));
        // Row i of W is row π_i of L·U, so L·U x holds z_i at position π_i. The columns of L⁻¹ are
        // reordered instead.
        let (lower, upper) = self.inverses();
        let permutation = self.permutation.val().inner();
        let (lower, upper) = (lower.select(1, permutation).unsqueeze::<3>(), upper.unsqueeze());
        let undo = |z: Tensor<D>| mix_channels(upper.clone(), mix_channels(lower.clone(), z));
        let x = undo(z.clone().inner());
        let matrix = self.matrix().unsqueeze::<3>();
        x.clone() + undo(z - mix_channels(matrix, x))
    }
}
