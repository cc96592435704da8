//! Affine law: one scale and one shift per number.
//! ```text
//! theta = (s, t)
//! Exponential   z = x·exp(tanh s) + t         log_derivative = tanh s
//! Sigmoid       z = (x + t)·σ(s + 2)          log_derivative = ln σ(s + 2)
//! Bounded       z = (x + t)·½(1 + σ(s + 2))   log_derivative = ln(1 + σ(s + 2)) − ln 2
//! Normal        z = (x − t)·exp(−s)           log_derivative = −s
//! Additive      theta = (t),  z = x + t       log_derivative = 0
//! ```
//! `Exponential` is the affine coupling of the Flow++ ablation (Ho et al. 2019, §4.3), `Sigmoid`
//! and `Additive` are Glow's (Kingma & Dhariwal 2018, table 1; the form and the 2 are those of the
//! released code). `Bounded` keeps the scale in (½, 1), as Behrmann et al. 2021 propose against
//! inverses that explode. `Normal` takes `N(t, e^2s)` to the standard normal: a coupling of this
//! law in front of a standard normal prior is a learned, conditional normal prior of the half that
//! changes.
//!
//! # Numerics
//! `tanh` keeps the scale in `(1/e, e)`. `σ(s + 2)` is positive but has no lower bound: `1/σ`
//! overflows f32 at `s < -90`, and `Normal` at `|s| > 88`. A network asks for such an `s` where
//! latents are sampled that no data came near, and what its coupling makes of them is farther out
//! still: samples of a Glow that had learned for minutes overflowed (`docs/results.md`). `Bounded`
//! at most doubles.

use std::ops::Range;

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;

use super::{AffineForm, Law, LawConfig};
use crate::error::ConfigError;
use crate::kernel::affine_coupling;

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

impl Law for Affine {
    fn n_params(&self) -> usize {
        self.form.n_params()
    }

    fn is_affine(&self) -> bool {
        true
    }

    fn forward_within(
        &self,
        x: Tensor<3>,
        theta: Tensor<3>,
        range: Range<usize>,
    ) -> (Tensor<3>, Tensor<1>) {
        affine_coupling::forward(x, theta, self.form, range)
    }

    fn inverse_within(&self, z: Tensor<3>, theta: Tensor<3>, range: Range<usize>) -> Tensor<3> {
        affine_coupling::inverse(z, theta, self.form, range)
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        affine_coupling::reference::elementwise(x, theta, self.form)
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        affine_coupling::reference::elementwise_inverse(z, theta, self.form)
    }
}
