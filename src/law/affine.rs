//! Affine law: one scale and one shift per element. `σ` is the logistic function.
//! ```text
//! theta = (s, t)
//! Exponential   z = x·exp(tanh s) + t         log_derivative = tanh s
//! Sigmoid       z = (x + t)·σ(s + 2)          log_derivative = ln σ(s + 2)
//! Bounded       z = (x + t)·½(1 + σ(s + 2))   log_derivative = ln(1 + σ(s + 2)) − ln 2
//! Normal        z = (x − t)·exp(−s)           log_derivative = −s
//! Additive      theta = (t),  z = x + t       log_derivative = 0
//! ```
//! `Exponential` is the affine coupling of the Flow++ ablation (Ho et al. 2019, §4.3). `Sigmoid`
//! and `Additive` are those of Glow (Kingma & Dhariwal 2018, table 1); the form and the constant 2
//! come from the released code. `Bounded` keeps the scale in (½, 1), as Behrmann et al. 2021
//! propose against exploding inverses. `Normal` maps `N(t, e^2s)` to the standard normal
//! distribution: a coupling with this law, followed by a standard normal prior, is a learned
//! conditional normal prior of the transformed half.
//!
//! `Normal` alone has a free scale: any positive number. The other scales are bounded from above,
//! which keeps deep stacks from overflowing. In other libraries:
//!
//! | library | affine map | here |
//! |---|---|---|
//! | zuko | `MonotonicAffineTransform`: `x·e^a + b`, a scale that is bounded smoothly within (10⁻³, 10³) | [`FlooredAffine`](super::FlooredAffine), `SoftClip` |
//! | nflows | `AffineCouplingTransform`: `x·(σ(s + 2) + 10⁻³) + t` | [`FlooredAffine`](super::FlooredAffine), `Sigmoid` |
//! | nflows | `AffineTransform`: constant scale and shift | [`ScalarAffine`](crate::ScalarAffine) |
//!
//! # Numerics
//! `tanh` keeps the scale of `Exponential` in `(1/e, e)`. `σ(s + 2)` is positive but has no
//! positive lower bound: `1/σ` overflows float32 at `s < -90`, and `Normal` overflows at
//! `|s| > 88`. A network can output such an `s` where samples of the latents lie far from the
//! latents of all data, and the output of its coupling then lies even farther away. Samples of a
//! Glow that had been trained for minutes overflowed for this reason (`docs/results.md`). The
//! inverse of `Bounded` at most doubles.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::Tensor;

use super::{AffineForm, Law, LawConfig};
use crate::error::ConfigError;
use crate::kernel::affine_coupling;

config! {
    /// Configuration of [`Affine`].
    #[derive(Debug)]
    pub struct AffineConfig {
        /// How scale and shift act.
        pub form: AffineForm,
    }
}

impl LawConfig for AffineConfig {
    type Law = Affine;

    fn build(&self) -> Result<Affine, ConfigError> {
        Ok(Affine { form: self.form })
    }
}

/// Affine law. The formulas head this module.
#[derive(Module, Debug)]
pub struct Affine {
    #[module(skip)]
    form: AffineForm,
}

impl Affine {
    /// How scale and shift act.
    pub(crate) fn form(&self) -> AffineForm {
        self.form
    }
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
        affine_coupling::plain::elementwise(x, theta, self.form)
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        affine_coupling::plain::elementwise_inverse(z, theta, self.form)
    }
}
