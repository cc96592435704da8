//! Affine law: one scale and one shift per number.
//! ```text
//! theta = (s, t)
//! Exponential   z = x·exp(tanh s) + t         log_derivative = tanh s
//! Sigmoid       z = (x + t)·σ(s + 2)          log_derivative = ln σ(s + 2)
//! Bounded       z = (x + t)·½(1 + σ(s + 2))   log_derivative = ln(1 + σ(s + 2)) − ln 2
//! Normal        z = (x − t)·exp(−s)           log_derivative = −s
//! Additive      theta = (t),  z = x + t       log_derivative = 0
//! ```
//! `Exponential` is the affine coupling of the Flow++ ablation (Ho et al. 2019, §4.3), `Sigmoid` and `Additive` are Glow's
//! (Kingma & Dhariwal 2018, table 1; the form and the 2 are those of the released code). `Bounded` keeps
//! the scale in (½, 1), as Behrmann et al. 2021 propose against inverses that explode. `Normal` takes `N(t, e^2s)` to the standard normal: a
//! coupling of this law in front of a standard normal prior is a learned, conditional normal prior of the half that changes.
//!
//! # Numerics
//! `tanh` keeps the scale in `(1/e, e)`. `σ(s + 2)` is positive but has no lower bound: `1/σ` overflows f32 at `s < -90`, and `Normal` at
//! `|s| > 88`. A network asks for such an `s` where latents are sampled that no data came near, and what its coupling makes of them is
//! farther out still: samples of a Glow that had learned for minutes overflowed (`docs/results.md`). `Bounded` at most doubles.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{Law, LawConfig, parameter};
use crate::error::ConfigError;
use crate::kernel::affine_coupling;
use crate::tensor::half::Half;
use crate::tensor::smooth::softplus;
use crate::tensor::smooth::{sigmoid, tanh};

/// How scale and shift act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AffineForm {
    /// `x·exp(tanh s) + t` (Flow++).
    Exponential,
    /// `(x + t)·σ(s + 2)` (Glow).
    Sigmoid,
    /// `(x + t)·(1 + σ(s + 2))/2`: an inverse that cannot overflow by itself.
    Bounded,
    /// `(x − t)·exp(−s)`: what makes `N(t, e^2s)` standard (Glow's learned priors).
    Normal,
    /// `x + t` (NICE, Glow).
    Additive,
}

impl AffineForm {
    /// Parameters for each number.
    pub fn n_params(self) -> usize {
        match self {
            Self::Additive => 1,
            _ => 2,
        }
    }
}

/// Configuration of [`Affine`].
#[derive(Config, Debug)]
pub struct AffineConfig {
    /// How scale and shift act.
    pub form: AffineForm,
}

impl AffineConfig {
    /// The law.
    pub fn init(&self) -> Affine {
        Affine { form: self.form }
    }
}

impl LawConfig for AffineConfig {
    type Law = Affine;

    fn build(&self) -> Result<Affine, ConfigError> {
        Ok(self.init())
    }
}

/// Affine law. The formulas head this module.
#[derive(Module, Debug)]
pub struct Affine {
    #[module(skip)]
    form: AffineForm,
}

impl Affine {
    /// Log-scale of every number; `None` where it is 0.
    fn log_scale(&self, theta: &Tensor<3>) -> Option<Tensor<2>> {
        match self.form {
            AffineForm::Exponential => Some(tanh(parameter(theta, 0))),
            AffineForm::Sigmoid => Some(softplus(parameter(theta, 0).add_scalar(2.0).neg()).neg()),
            // ½(1 + σ(v)) = 1 − ½σ(−v), which lies in [½, 1]: for large v the small difference from 1 stays accurate.
            AffineForm::Bounded => Some(sigmoid(parameter(theta, 0).add_scalar(2.0).neg()).mul_scalar(-0.5).log1p()),
            AffineForm::Normal => Some(parameter(theta, 0).neg()),
            AffineForm::Additive => None,
        }
    }
}

impl Law for Affine {
    fn n_params(&self) -> usize {
        self.form.n_params()
    }

    fn is_affine(&self) -> bool {
        true
    }

    fn forward_half(&self, x: Tensor<3>, theta: Tensor<3>, kept: Half) -> (Tensor<3>, Tensor<1>) {
        affine_coupling::forward(x, theta, self.form, kept)
    }

    fn inverse_half(&self, z: Tensor<3>, theta: Tensor<3>, kept: Half) -> Tensor<3> {
        affine_coupling::inverse(z, theta, self.form, kept)
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let shift = parameter(&theta, self.n_params() - 1);
        match self.log_scale(&theta) {
            None => {
                let log_derivative = x.zeros_like();
                (x + shift, log_derivative)
            }
            Some(log_scale) => {
                let scale = log_scale.clone().exp();
                let z = match self.form {
                    AffineForm::Sigmoid | AffineForm::Bounded => (x + shift) * scale,
                    AffineForm::Normal => (x - shift) * scale,
                    AffineForm::Exponential | AffineForm::Additive => x * scale + shift,
                };
                (z, log_scale)
            }
        }
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        let shift = parameter(&theta, self.n_params() - 1);
        match self.log_scale(&theta) {
            None => z - shift,
            Some(log_scale) => {
                let inverse_scale = log_scale.neg().exp();
                match self.form {
                    AffineForm::Sigmoid | AffineForm::Bounded => z * inverse_scale - shift,
                    AffineForm::Normal => z * inverse_scale + shift,
                    AffineForm::Exponential | AffineForm::Additive => (z - shift) * inverse_scale,
                }
            }
        }
    }
}
