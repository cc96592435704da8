//! Sums of the mixture without logarithms: three exponentials per component, valid where neither
//! tail is extreme.
//! ```text
//! π = e^ℓ     F, G, D, W as in the module of the operation, with W = F + G
//! t = ln(F/G)    ln dt/dx = ln( D/min(F, G) · W/max(F, G) )
//! ```
//! # Validity
//! Exponents are cut at `±R`, [`ExponentLimit::LIMIT`]: logits are clamped, and `e^−|u|` is 0
//! beyond. A component's share of `F` or `G` is then off by at most `(π + 1) e^−R`, and its share
//! of `D` by that times the largest `q`, which is `e^−s_min`. So
//! ```text
//! min(F, G) ≥ (W + K) e^−R/loss    D ≥ (W + K) e^(−R − s_min)/loss
//! ```
//! bounds the relative error of all three by `loss`, a fraction of the rounding unit. `D` must also
//! be so large that terms which underflow are negligible. A logit at the upper clamp increases `W`,
//! which must stay below its bound. Log-scales above `R` give NaN, which fails every comparison; so
//! do NaN and infinite inputs. Elements that fail are computed by [`super::log_space`].
//!
//! # Validity of gradients
//! Gradients of logits and log-scales are sums of shares of `F`, `G` and `D`, which the bounds
//! above cover. Those of `x` and of the means have one more factor `q`. With an error of `κ_k` of
//! at most `c_k ≤ (π + 1) e^−R` from the cut, the gradient of `x` is a sum of
//! ```text
//! (γ_t − γ_L) Σ q κ/F + (γ_t + γ_L) Σ q κ/G      off by at most (|γ_t| + |γ_L|)(1/F + 1/G) Σ q c
//! γ_L Σ q² κ (σ(−u) − σ(u))/D                        off by at most |γ_L| Σ q² c/D
//! ```
//! Its natural size, the sum of the absolute terms, is at least that of the first line,
//! `(|γ_t| + |γ_L|)(1/F + 1/G) D`, for `Σ q κ = D`. Relative to it, the first error is at most
//! `Σ q c/D ≤ loss` by the bound on `D`. The second is at most `Σ q² c/D` divided by
//! `(1/F + 1/G) D ≥ D/min(F, G)`. With `q ≤ e^−s_min`, the condition
//! ```text
//! D · D/min(F, G) ≥ (W + K) e^(−R − 2 s_min)/loss
//! ```
//! bounds it by `loss` too. The condition fails only where the density is small compared with the
//! square of the steepest slope: in the tail of a wide component, where a narrow component with a
//! weight smaller by a factor of e^−R may be hidden.

use crate::kernel::cpu::simd::{LANES, Lanes, MultiplyAdd, Real, clamp, exp_in_range, larger, ln};

use super::tile::Tile;

/// Range of the exponents of linear space.
pub trait ExponentLimit: Real {
    /// `R`. Products of three such exponentials (of a logit, of `−|u|`, of a log-scale) hardly ever
    /// leave the range of normal numbers.
    const LIMIT: f64;
    /// Largest relative error from the cut: below a tenth of a rounding unit.
    const LOSS: f64;
}

impl ExponentLimit for f32 {
    const LIMIT: f64 = 60.0;
    const LOSS: f64 = 5e-9;
}

impl ExponentLimit for f64 {
    const LIMIT: f64 = 300.0;
    const LOSS: f64 = 1e-17;
}

/// Bounds with which the sums are compared.
#[derive(Debug, Clone, Copy)]
pub struct Validity<T> {
    n_components: T,
    smallest_side: T,
    smallest_density: T,
    smallest_steepness: T,
    largest_total: T,
}

impl<T: ExponentLimit> Validity<T> {
    /// The bounds for a law.
    pub fn new(n_components: usize, min_log_scale: T) -> Self {
        // Computed in f64, whose range holds all bounds.
        let side = (-T::LIMIT).exp() / T::LOSS;
        let min_log_scale = min_log_scale.to_f64().unwrap_or(f64::NAN);
        Self {
            n_components: T::of(n_components as f64),
            smallest_side: T::of(side),
            smallest_density: larger(
                T::of(side * (-min_log_scale).exp()),
                T::min_positive_value() / T::of(T::LOSS),
            ),
            smallest_steepness: T::of(side * (-2.0 * min_log_scale).exp()),
            // A clamped weight exceeds it, whatever its last bits.
            largest_total: T::of((T::LIMIT - 0.1).exp()),
        }
    }
}

/// One component at the elements of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Component<T> {
    /// `π`.
    pub weight: Lanes<T>,
    /// `q`.
    pub inverse_scale: Lanes<T>,
    /// `u`.
    pub u: Lanes<T>,
    /// `σ(−|u|)`, at most 1/2.
    pub tail: Lanes<T>,
    /// `σ(|u|)`.
    pub body: Lanes<T>,
}

impl<T: Real> Default for Component<T> {
    fn default() -> Self {
        let zeros = [T::zero(); LANES];
        Self { weight: zeros, inverse_scale: zeros, u: zeros, tail: zeros, body: zeros }
    }
}

impl<T: ExponentLimit> Component<T> {
    /// The component at a chunk.
    #[inline(always)]
    pub fn at<M: MultiplyAdd>(
        x: &Lanes<T>,
        logit: &Lanes<T>,
        mean: &Lanes<T>,
        log_scale: &Lanes<T>,
        min_log_scale: T,
    ) -> Self {
        let limit = T::of(T::LIMIT);
        let mut part = Self::default();
        for lane in 0..LANES {
            let log_scale = larger(log_scale[lane], min_log_scale);
            let inverse_scale = exp_in_range::<T, M>(-log_scale);
            let inverse_scale = if log_scale <= limit { inverse_scale } else { T::nan() };
            let u = (x[lane] - mean[lane]) * inverse_scale;
            part.weight[lane] = exp_in_range::<T, M>(clamp(logit[lane], -limit, limit));
            part.inverse_scale[lane] = inverse_scale;
            part.u[lane] = u;
            (part.tail[lane], part.body[lane]) = tail_and_body::<T, M>(u);
        }
        part
    }
}

/// `σ(−|u|)` and `σ(|u|)`.
#[inline(always)]
pub fn tail_and_body<T: ExponentLimit, M: MultiplyAdd>(u: T) -> (T, T) {
    let depth = -u.abs();
    let e = exp_in_range::<T, M>(depth);
    let e = if depth < T::of(-T::LIMIT) { T::zero() } else { e };
    let body = T::one() / (T::one() + e);
    (e * body, body)
}

/// `F`, `G` and `D` of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Sums<T> {
    /// `F`.
    pub below: Lanes<T>,
    /// `G`.
    pub above: Lanes<T>,
    /// `D`.
    pub density: Lanes<T>,
}

impl<T: Real> Default for Sums<T> {
    fn default() -> Self {
        let zeros = [T::zero(); LANES];
        Self { below: zeros, above: zeros, density: zeros }
    }
}

impl<T: ExponentLimit> Sums<T> {
    /// Adds a component.
    #[inline(always)]
    pub fn add<M: MultiplyAdd>(&mut self, part: &Component<T>) {
        for lane in 0..LANES {
            let weight = part.weight[lane];
            let (small, large) = (weight * part.tail[lane], weight * part.body[lane]);
            let positive = part.u[lane] >= T::zero();
            self.below[lane] += if positive { large } else { small };
            self.above[lane] += if positive { small } else { large };
            self.density[lane] =
                M::mul_add(small * part.body[lane], part.inverse_scale[lane], self.density[lane]);
        }
    }

    /// Whether the sums are accurate to rounding.
    #[inline(always)]
    pub fn are_valid(&self, validity: &Validity<T>) -> [bool; LANES] {
        let mut valid = [false; LANES];
        for (lane, valid) in valid.iter_mut().enumerate() {
            let (f, g, d) = (self.below[lane], self.above[lane], self.density[lane]);
            let scale = f + g + validity.n_components;
            let side = scale * validity.smallest_side;
            let positive = (f >= side) & (g >= side) & (d >= scale * validity.smallest_density);
            *valid = positive & (f + g <= validity.largest_total);
        }
        valid
    }

    /// Whether gradients computed from the sums are accurate to rounding, too.
    #[inline(always)]
    pub fn have_valid_gradients(&self, validity: &Validity<T>) -> [bool; LANES] {
        let mut valid = self.are_valid(validity);
        for (lane, valid) in valid.iter_mut().enumerate() {
            let (f, g, d) = (self.below[lane], self.above[lane], self.density[lane]);
            let smaller = if f < g { f } else { g };
            *valid &=
                d * (d / smaller) >= (f + g + validity.n_components) * validity.smallest_steepness;
        }
        valid
    }

    /// `t` and `ln dt/dx`.
    #[inline(always)]
    pub fn values<M: MultiplyAdd>(&self) -> (Lanes<T>, Lanes<T>) {
        let (mut t, mut log_slope) = ([T::zero(); LANES], [T::zero(); LANES]);
        for lane in 0..LANES {
            t[lane] = ln::<T, M>(self.below[lane] / self.above[lane]);
            log_slope[lane] = ln::<T, M>(self.slope(lane));
        }
        (t, log_slope)
    }

    /// `dt/dx` at a lane, as a product of two ratios that do not overflow.
    #[inline(always)]
    pub fn slope(&self, lane: usize) -> T {
        let (f, g) = (self.below[lane], self.above[lane]);
        let (smaller, larger) = if f < g { (f, g) } else { (g, f) };
        (self.density[lane] / smaller) * ((f + g) / larger)
    }
}

/// Adds all components of a tile, and passes each to `keep` (component, chunk).
#[inline(always)]
pub fn accumulate<T: ExponentLimit, M: MultiplyAdd>(
    tile: &Tile<'_, T>,
    n_components: usize,
    min_log_scale: T,
    sums: &mut [Sums<T>],
    mut keep: impl FnMut(usize, usize, &Component<T>),
) {
    let n = sums.len();
    sums.fill(Sums::default());
    for index in 0..n_components {
        let [logits, means, log_scales] = tile.component(index).map(|row| &row[..n]);
        for (chunk, sums) in sums.iter_mut().enumerate() {
            let (logit, mean, log_scale) = (&logits[chunk], &means[chunk], &log_scales[chunk]);
            let part = Component::at::<M>(&tile.x[chunk], logit, mean, log_scale, min_log_scale);
            sums.add::<M>(&part);
            keep(index, chunk, &part);
        }
    }
}
