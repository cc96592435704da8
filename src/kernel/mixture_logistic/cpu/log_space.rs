//! The mixture in log space: nothing saturates, however far out. Five exponentials per component,
//! and four more for its gradient.
//!
//! `F` and `G` are summed relative to their largest terms. The density is summed relative to `F` or
//! to `G`, whichever is smaller:
//! ```text
//! φ_k = ℓ_k + min(u_k, 0) − max_j(…)     F ∝ Σ e^φ_k σ(|u_k|)
//! χ_k = ℓ_k − max(u_k, 0) − max_j(…)     G ∝ Σ e^χ_k σ(|u_k|)
//! ψ_k = φ_k − max(u_k, 0) − s̄_k  or  χ_k + min(u_k, 0) − s̄_k      D/F or D/G ∝ Σ e^ψ_k σ(|u_k|)²
//! ln dt/dx = ln(D/F) + ln(1 + F/G)  or  ln(D/G) + ln(1 + G/F)
//! ```
//! The last term is at most `ln(1 + 2K)`, so nothing cancels. `φ` and `χ` are differences of terms
//! of equal size, taken before anything else is added, so they stay accurate where `|u|` is large.
//!
//! `q = e^−s̄` is applied as `e^{−s̄/2}` twice, so `u` is finite wherever its exact value is in
//! range. Shares are multiplied by `q` in their exponents: the share of a narrow component may
//! underflow where its product with `q`, which is the gradient, does not.

use crate::kernel::cpu::simd::{LANES, Lanes, MultiplyAdd, Real, exp, larger, ln};

use super::tile::Tile;

/// Parameters of one component at a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<T> {
    /// Relative to the largest of the mixture: a common offset would reduce the precision of `t`.
    pub logit: Lanes<T>,
    /// `μ`.
    pub mean: Lanes<T>,
    /// `s̄`, clamped.
    pub log_scale: Lanes<T>,
    /// `√q`.
    pub inverse_root: Lanes<T>,
}

/// One component at the elements of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Share<T> {
    /// `u`.
    pub u: Lanes<T>,
    /// `σ(−|u|)`.
    pub tail: Lanes<T>,
    /// `σ(|u|)`.
    pub body: Lanes<T>,
    /// Share of `F`, in units of [`Totals::below`].
    pub below: Lanes<T>,
    /// Share of `G`, in units of [`Totals::above`].
    pub above: Lanes<T>,
    /// Share of `D`, in units of [`Totals::density`].
    pub density: Lanes<T>,
    /// `φ`.
    below_exponent: Lanes<T>,
    /// `χ`.
    above_exponent: Lanes<T>,
    /// `ψ` minus the largest `ψ`.
    density_exponent: Lanes<T>,
}

/// Sums over the components, and the values that follow from them.
#[derive(Debug, Clone, Copy)]
pub struct Totals<T> {
    /// `Σ` of [`Share::below`].
    pub below: Lanes<T>,
    /// `Σ` of [`Share::above`].
    pub above: Lanes<T>,
    /// `Σ` of [`Share::density`].
    pub density: Lanes<T>,
    /// `t`.
    pub t: Lanes<T>,
    /// `ln dt/dx`.
    pub log_slope: Lanes<T>,
}

/// The mixture at a chunk, with memory to evaluate it.
#[derive(Debug)]
pub struct Mixture<T> {
    /// For each component.
    pub parameters: Vec<Parameters<T>>,
    /// For each component, from the last evaluation.
    pub shares: Vec<Share<T>>,
}

impl<T: Real> Mixture<T> {
    /// Memory for `n_components` components.
    pub fn new(n_components: usize) -> Self {
        let zeros = [T::zero(); LANES];
        let parameters =
            Parameters { logit: zeros, mean: zeros, log_scale: zeros, inverse_root: zeros };
        let share = Share {
            u: zeros,
            tail: zeros,
            body: zeros,
            below: zeros,
            above: zeros,
            density: zeros,
            below_exponent: zeros,
            above_exponent: zeros,
            density_exponent: zeros,
        };
        Self { parameters: vec![parameters; n_components], shares: vec![share; n_components] }
    }

    /// Reads the parameters of a chunk of a tile.
    #[inline(always)]
    pub fn load<M: MultiplyAdd>(&mut self, tile: &Tile<'_, T>, chunk: usize, min_log_scale: T) {
        let mut largest = [T::neg_infinity(); LANES];
        for (index, parameters) in self.parameters.iter_mut().enumerate() {
            let [logit, mean, mut log_scale] = tile.component(index).map(|row| row[chunk]);
            let mut inverse_root = [T::zero(); LANES];
            for lane in 0..LANES {
                largest[lane] = larger(largest[lane], logit[lane]);
                log_scale[lane] = larger(log_scale[lane], min_log_scale);
                inverse_root[lane] = exp::<T, M>(T::of(-0.5) * log_scale[lane]);
            }
            *parameters = Parameters { logit, mean, log_scale, inverse_root };
        }
        for parameters in &mut self.parameters {
            for (logit, &largest) in parameters.logit.iter_mut().zip(&largest) {
                *logit -= largest;
            }
        }
    }

    /// Evaluates the mixture at `x`.
    #[inline(always)]
    pub fn evaluate<M: MultiplyAdd>(&mut self, x: &Lanes<T>) -> Totals<T> {
        let zeros = [T::zero(); LANES];
        let lowest = [T::neg_infinity(); LANES];
        let (mut below_max, mut above_max, mut density_max) = (lowest, lowest, lowest);
        let x = *x;
        for (parameters, share) in self.parameters.iter().zip(&mut self.shares) {
            let Parameters { logit, mean, inverse_root, .. } = *parameters;
            let mut u = zeros;
            for lane in 0..LANES {
                u[lane] = (x[lane] - mean[lane]) * inverse_root[lane] * inverse_root[lane];
                let (low, high) = parts(u[lane]);
                below_max[lane] = larger(below_max[lane], logit[lane] + low);
                above_max[lane] = larger(above_max[lane], logit[lane] - high);
            }
            share.u = u;
        }
        let (mut below, mut above, mut density) = (zeros, zeros, zeros);
        for (parameters, kept) in self.parameters.iter().zip(&mut self.shares) {
            let (parameters, mut share) = (*parameters, *kept);
            for lane in 0..LANES {
                let u = share.u[lane];
                let (low, high) = parts(u);
                let e = exp::<T, M>(-u.abs());
                let body = T::one() / (T::one() + e);
                let phi = parameters.logit[lane] + low - below_max[lane];
                let chi = parameters.logit[lane] - high - above_max[lane];
                let relative =
                    if below_max[lane] < above_max[lane] { phi - high } else { chi + low };
                let exponent = relative - parameters.log_scale[lane];
                share.tail[lane] = e * body;
                share.body[lane] = body;
                share.below[lane] = exp::<T, M>(phi) * body;
                share.above[lane] = exp::<T, M>(chi) * body;
                share.below_exponent[lane] = phi;
                share.above_exponent[lane] = chi;
                share.density_exponent[lane] = exponent;
                below[lane] += share.below[lane];
                above[lane] += share.above[lane];
                density_max[lane] = larger(density_max[lane], exponent);
            }
            *kept = share;
        }
        // The shares hold σ(|u|) where the sums have σ(±u). The rest of the sigmoid, e^min(u, 0) or
        // e^−max(u, 0), is part of the exponents φ and χ.
        for share in &mut self.shares {
            let Share { body, density_exponent: mut exponent, .. } = *share;
            let mut part = zeros;
            for lane in 0..LANES {
                exponent[lane] -= density_max[lane];
                part[lane] = exp::<T, M>(exponent[lane]) * body[lane] * body[lane];
                density[lane] += part[lane];
            }
            (share.density, share.density_exponent) = (part, exponent);
        }
        let (mut t, mut log_slope) = (zeros, zeros);
        for lane in 0..LANES {
            let by_below = below_max[lane] < above_max[lane];
            t[lane] = (below_max[lane] - above_max[lane]) + ln::<T, M>(below[lane] / above[lane]);
            let (side, ratio) =
                if by_below { (below[lane], t[lane]) } else { (above[lane], -t[lane]) };
            let other_side = ln::<T, M>(T::one() + exp::<T, M>(ratio));
            log_slope[lane] = density_max[lane] + (ln::<T, M>(density[lane] / side) + other_side);
        }
        Totals { below, above, density, t, log_slope }
    }
}

/// Gradient of a component's parameters at a chunk. The gradient of `x` is minus the sum of those
/// of the means.
#[derive(Debug, Clone, Copy)]
pub struct Gradient<T> {
    /// Of the logit.
    pub logit: Lanes<T>,
    /// Of the mean.
    pub mean: Lanes<T>,
    /// Of the log-scale, as if it were not clamped.
    pub log_scale: Lanes<T>,
}

impl<T: Real> Default for Gradient<T> {
    fn default() -> Self {
        let zeros = [T::zero(); LANES];
        Self { logit: zeros, mean: zeros, log_scale: zeros }
    }
}

/// Gradients of `t` and of `ln dt/dx`, and the values that all components share.
#[derive(Debug)]
pub struct Cotangent<'a, T> {
    totals: &'a Totals<T>,
    t: &'a Lanes<T>,
    log_slope: &'a Lanes<T>,
    total_weight: Lanes<T>,
}

impl<T: Real> Mixture<T> {
    /// Prepares [`Mixture::gradient`] at the elements of the last evaluation.
    #[inline(always)]
    pub fn cotangent<'a, M: MultiplyAdd>(
        &self,
        totals: &'a Totals<T>,
        t: &'a Lanes<T>,
        log_slope: &'a Lanes<T>,
    ) -> Cotangent<'a, T> {
        let mut total_weight = [T::zero(); LANES];
        for parameters in &self.parameters {
            for (total, &logit) in total_weight.iter_mut().zip(&parameters.logit) {
                *total += exp::<T, M>(logit);
            }
        }
        Cotangent { totals, t, log_slope, total_weight }
    }

    /// Gradient of one component.
    ///
    /// The shares are divided, not multiplied by reciprocals, so a single component has shares of
    /// exactly 1, and their differences are exactly 0.
    #[inline(always)]
    pub fn gradient<M: MultiplyAdd>(
        &self,
        index: usize,
        cotangent: &Cotangent<'_, T>,
    ) -> Gradient<T> {
        let (parameters, share) = (&self.parameters[index], &self.shares[index]);
        let totals = cotangent.totals;
        let mut gradient = Gradient::default();
        for lane in 0..LANES {
            let (gt, gl) = (cotangent.t[lane], cotangent.log_slope[lane]);
            let u = share.u[lane];
            let f = share.below[lane] / totals.below[lane];
            let g = share.above[lane] / totals.above[lane];
            let d = share.density[lane] / totals.density[lane];
            let w = exp::<T, M>(parameters.logit[lane]) / cotangent.total_weight[lane];
            let (body, tail) = (share.body[lane], share.tail[lane]);
            let (sigmoid, complement) = if u >= T::zero() { (body, tail) } else { (tail, body) };
            // Derivatives of ln F and −ln G with respect to u, from the shares, and their
            // contributions to the gradients.
            let of_u = |f: T, g: T, d: T| {
                let (rise, fall) = (f * complement, g * sigmoid);
                gt * (rise + fall) + gl * ((fall - rise) - d * (sigmoid - complement))
            };
            gradient.logit[lane] = gt * (f - g) + gl * ((d - g) + (w - f));
            // The shares times q, in units of the largest of the three, so those of a single
            // component are still exactly 1.
            let log_scale = parameters.log_scale[lane];
            let steep = |exponent: T, rest: T| exp::<T, M>(exponent - log_scale) * rest;
            let steep_f = steep(share.below_exponent[lane], body / totals.below[lane]);
            let steep_g = steep(share.above_exponent[lane], body / totals.above[lane]);
            let steep_d = steep(share.density_exponent[lane], body * body / totals.density[lane]);
            let largest = larger(larger(steep_f, steep_g), steep_d);
            let unit = if largest > T::zero() { largest } else { T::one() };
            gradient.mean[lane] = -unit * of_u(steep_f / unit, steep_g / unit, steep_d / unit);
            let of_u = of_u(f, g, d);
            // u may be infinite where shares and tails have vanished.
            let of_u_times_u = if of_u == T::zero() { of_u } else { u * of_u };
            gradient.log_scale[lane] = -(of_u_times_u + gl * d);
        }
        gradient
    }
}

/// `min(u, 0)` and `max(u, 0)`. Both are 0 if `u` is NaN, but `e^−|u|` is NaN then.
#[inline(always)]
fn parts<T: Real>(u: T) -> (T, T) {
    let zero = T::zero();
    (if u < zero { u } else { zero }, if u > zero { u } else { zero })
}
