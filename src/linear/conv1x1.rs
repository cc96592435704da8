//! Invertible 1x1 convolution in PLU form: mixes channels, with a log-determinant for free.
//! ```text
//! W = P·L·(U + diag(sign·exp(s)))           L unit lower, U strictly upper triangular, P and sign fixed
//! forward   z[:, p] = W x[:, p]             inverse   x = W⁻¹ z
//! log_det   P·Σ_c s_c                       P positions per channel
//! ```
//! | symbol | meaning | shape | trained |
//! |---|---|---|---|
//! | `L`, `U` | strict triangles, the rest is ignored | `[C, C]` | yes |
//! | `s` | log of the diagonal's size | `[C]` | yes |
//! | `sign`, `P` | signs of the diagonal; row `i` of `W` is row `P_i` of the product | `[C]` | no |
//!
//! Starts at a random rotation: the PLU factors of the Q of a normal matrix.
//!
//! # Numerics
//! `W` cannot become singular: its determinant is `±exp(Σ s)`. It can become badly conditioned; the inverse is formed in float64.
//!
//! # Cost
//! `O(C³ + B·C²·P)`; no host read in `forward`, one in `inverse`.
//!
//! # Reference
//! Kingma & Dhariwal 2018 §3.2.

use burn::config::Config;
use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use nalgebra::DMatrix;

use super::matrix::{Factored, mix_channels};
use crate::bijector::Bijector;
use crate::context::Context;
use crate::error::{ConfigError, ShapeError, check_shape};

/// Configuration of [`Conv1x1`].
#[derive(Config, Debug)]
pub struct Conv1x1Config {
    /// Channels: length of axis 1.
    pub n_channels: usize,
}

impl Conv1x1Config {
    /// Whether the configuration describes a bijector.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::positive("Conv1x1Config", "n_channels", self.n_channels)
    }

    /// The bijector, at a random rotation drawn from the device's generator.
    ///
    /// # Panics
    /// If [`Conv1x1Config::validate`] is an error.
    pub fn init(&self, device: &Device) -> Conv1x1 {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let n = self.n_channels;
        let plain = device.clone().inner();
        let draws = Tensor::<2>::random([n, n], Distribution::Normal(0.0, 1.0), &plain).into_data();
        let normal = DMatrix::<f64>::from_row_iterator(n, n, draws.iter::<f64>());
        let lu = normal.qr().q().lu();
        // nalgebra factors P'·W = L·U: applying the row swaps to 0..n tells which row of W each row of L·U is.
        let mut rows = DMatrix::<f64>::from_fn(n, 1, |row, _| row as f64);
        lu.p().permute_rows(&mut rows);
        let mut permutation = vec![0i64; n];
        for (row, source) in rows.iter().enumerate() {
            permutation[*source as usize] = row as i64;
        }
        let (lower, upper) = (lu.l(), lu.u());
        let diagonal: Vec<f64> = upper.diagonal().iter().copied().collect();
        let square = |m: &DMatrix<f64>| {
            let rows: Vec<f32> = m.transpose().iter().map(|v| *v as f32).collect();
            Param::from_data(TensorData::new(rows, [n, n]), device)
        };
        let log_scale: Vec<f32> = diagonal.iter().map(|v| v.abs().ln() as f32).collect();
        let sign: Vec<i64> = diagonal.iter().map(|v| if *v < 0.0 { -1 } else { 1 }).collect();
        let fixed = |values: Vec<i64>| {
            Param::initialized(ParamId::new(), Tensor::<1, Int>::from_data(TensorData::new(values, [n]), device))
        };
        Conv1x1 {
            lower: square(&lower),
            upper: square(&upper),
            log_scale: Param::from_data(TensorData::new(log_scale, [n]), device),
            sign: fixed(sign),
            permutation: fixed(permutation),
        }
    }
}

/// Invertible 1x1 convolution in PLU form. The formulas head this module.
#[derive(Module, Debug)]
pub struct Conv1x1 {
    /// `L`: only what lies below the diagonal counts.
    pub lower: Param<Tensor<2>>,
    /// `U`: only what lies above the diagonal counts.
    pub upper: Param<Tensor<2>>,
    /// Log of the size of the diagonal, `s`.
    pub log_scale: Param<Tensor<1>>,
    /// Signs of the diagonal, ±1.
    pub sign: Param<Tensor<1, Int>>,
    /// Which row of the triangular product each row of `W` is.
    pub permutation: Param<Tensor<1, Int>>,
}

impl Conv1x1 {
    /// The matrix `W`, `[C, C]`.
    pub fn matrix(&self) -> Tensor<2> {
        let log_scale = self.log_scale.val();
        let n = log_scale.dims()[0];
        let options = (&log_scale.device(), log_scale.dtype());
        let identity = Tensor::<2>::ones([n, n], options).tril(0).triu(0);
        let lower = self.lower.val().tril(-1) + identity.clone();
        let sign = self.sign.val().float().cast(log_scale.dtype());
        let diagonal = identity * (log_scale.exp() * sign).unsqueeze_dim::<2>(0);
        let upper = self.upper.val().triu(1) + diagonal;
        lower.matmul(upper).select(0, self.permutation.val())
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Conv1x1 {
    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        check_shape(Bijector::<D, C>::output_shape(self, x.dims()));
        let dims = x.dims();
        let positions: usize = dims[2..].iter().product();
        let log_det = self.log_scale.val().sum().mul_scalar(positions as f64).expand([dims[0]]);
        (mix_channels(self.matrix().unsqueeze::<3>(), x), log_det)
    }

    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        check_shape(Bijector::<D, C>::input_shape(self, z.dims()));
        mix_channels(Factored::new(self.matrix().unsqueeze::<3>()).inverse(), z)
    }

    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        let expected = self.log_scale.lazy_shape()[0];
        if shape[1] == expected {
            return Ok(shape);
        }
        Err(ShapeError::Axis { layer: "Conv1x1", axis: 1, expected, shape: shape.to_vec() })
    }
}
