//! The mixture of one element: its components and the sums over them. Each weight is relative to
//! the largest.

use cubecl::prelude::*;

/// Initial value of a running maximum: below every log-weight of a finite mixture, and finite,
/// since WGSL may assume that all values are.
pub const LOWEST: f32 = -3.0e38;

/// The place of an element's parameters.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    /// Index of its first parameter.
    pub base: usize,
    /// Distance from one parameter to the next.
    pub stride: usize,
    /// Number of components of the mixture.
    pub n_components: usize,
}

#[cube]
impl Place {
    pub fn row<F: Float, N: Float>(&self, theta: &Tensor<F>, row: usize) -> N {
        N::cast_from(theta[self.base + row * self.stride])
    }
}

/// One component at a point.
#[derive(CubeType, Clone, Copy)]
pub struct Component<N: Float> {
    /// `ℓ − max ℓ`.
    pub logit: N,
    /// Whether the log-scale is above its bound.
    pub free: bool,
    pub log_scale: N,
    /// `(x − μ)·e^−s`.
    pub u: N,
    /// `1/(1 + e^−|u|)`: `σ(u) = share·e^min(u, 0)`, `σ(−u) = share·e^−max(u, 0)`.
    pub share: N,
}

#[cube]
pub fn component<F: Float, N: Float>(
    theta: &Tensor<F>,
    place: &Place,
    index: usize,
    x: N,
    max_logit: N,
    min_log_scale: N,
) -> Component<N> {
    let logit = place.row::<F, N>(theta, 2 + index) - max_logit;
    let mean = place.row::<F, N>(theta, 2 + place.n_components + index);
    let raw = place.row::<F, N>(theta, 2 + 2 * place.n_components + index);
    // A NaN stays one.
    let log_scale = max_nan(raw, min_log_scale);
    // In two factors: `u` may be finite where `e^−s` overflows.
    let root = N::exp(log_scale * N::new(-0.5));
    let u = (x - mean) * root * root;
    let share = N::new(1.0) / (N::new(1.0) + N::exp(-N::abs(u)));
    Component::<N> { logit, free: raw >= min_log_scale, log_scale, u, share }
}

/// `min(u, 0)`.
#[cube]
pub fn negative<N: Float>(u: N) -> N {
    N::min(u, N::new(0.0))
}

/// `max(u, 0)`.
#[cube]
pub fn positive<N: Float>(u: N) -> N {
    N::max(u, N::new(0.0))
}

/// Sums over the components at a point.
#[derive(CubeType, Clone, Copy)]
pub struct Sums<N: Float> {
    pub max_logit: N,
    /// `Σ e^ℓ`, relative to the largest.
    pub weight: N,
    /// Largest `ℓ + min(u, 0)`, and `Σ e^ℓ σ(u)` relative to it.
    pub below_max: N,
    pub below: N,
    /// Largest `ℓ − max(u, 0)`, and `Σ e^ℓ σ(−u)` relative to it.
    pub above_max: N,
    pub above: N,
    /// Largest logarithm of a component's share in `F'/F`, and the sum of the shares relative to
    /// it.
    pub rising_max: N,
    pub rising: N,
    /// The same for `F'/(1 − F)`.
    pub falling_max: N,
    pub falling: N,
    /// The fraction of `F'/F` in `F'/F + F'/(1 − F)`.
    pub rising_part: N,
    /// Logarithm of that sum.
    pub log_derivative: N,
    /// The logit.
    pub t: N,
}

#[cube]
pub fn sums<F: Float, N: Float>(
    theta: &Tensor<F>,
    place: &Place,
    x: N,
    min_log_scale: N,
) -> Sums<N> {
    let k = place.n_components;
    let mut max_logit = N::cast_from(LOWEST);
    for i in 0..k {
        max_logit = N::max(max_logit, place.row::<F, N>(theta, 2 + i));
    }
    let mut weight = N::new(0.0);
    let mut below_max = N::cast_from(LOWEST);
    let mut above_max = N::cast_from(LOWEST);
    for i in 0..k {
        let c = component::<F, N>(theta, place, i, x, max_logit, min_log_scale);
        weight += N::exp(c.logit);
        below_max = N::max(below_max, c.logit + negative::<N>(c.u));
        above_max = N::max(above_max, c.logit - positive::<N>(c.u));
    }
    let mut below = N::new(0.0);
    let mut above = N::new(0.0);
    let mut rising_max = N::cast_from(LOWEST);
    let mut falling_max = N::cast_from(LOWEST);
    for i in 0..k {
        let c = component::<F, N>(theta, place, i, x, max_logit, min_log_scale);
        let low = (c.logit + negative::<N>(c.u)) - below_max;
        let high = (c.logit - positive::<N>(c.u)) - above_max;
        below += N::exp(low) * c.share;
        above += N::exp(high) * c.share;
        rising_max = N::max(rising_max, low - positive::<N>(c.u) - c.log_scale);
        falling_max = N::max(falling_max, high + negative::<N>(c.u) - c.log_scale);
    }
    let mut rising = N::new(0.0);
    let mut falling = N::new(0.0);
    for i in 0..k {
        let c = component::<F, N>(theta, place, i, x, max_logit, min_log_scale);
        let low = (c.logit + negative::<N>(c.u)) - below_max;
        let high = (c.logit - positive::<N>(c.u)) - above_max;
        let shares = c.share * c.share;
        rising += N::exp(low - positive::<N>(c.u) - c.log_scale - rising_max) * shares;
        falling += N::exp(high + negative::<N>(c.u) - c.log_scale - falling_max) * shares;
    }
    // Each sum is at least a quarter, the contribution of the largest term, so the logarithms are
    // finite.
    let log_rising = rising_max + N::ln(rising) - N::ln(below);
    let log_falling = falling_max + N::ln(falling) - N::ln(above);
    let ratio = N::exp(-N::abs(log_rising - log_falling));
    let smaller = ratio / (N::new(1.0) + ratio);
    let rising_part =
        select(log_rising < log_falling, smaller, N::new(1.0) / (N::new(1.0) + ratio));
    let log_derivative = N::max(log_rising, log_falling) + N::ln(N::new(1.0) + ratio);
    let t = (below_max - above_max) + (N::ln(below) - N::ln(above));
    Sums::<N> {
        max_logit,
        weight,
        below_max,
        below,
        above_max,
        above,
        rising_max,
        rising,
        falling_max,
        falling,
        rising_part,
        log_derivative,
        t,
    }
}

/// The gradient with respect to `u_k`, from `σ(u)`, `σ(−u)` and the shares in `F`, `1 − F` and
/// `F'`, or these shares times `e^−s`.
#[cube]
pub fn by_point<N: Float>(
    by_t: N,
    by_log: N,
    below: N,
    above: N,
    density: N,
    plus: N,
    minus: N,
) -> N {
    let (from_below, from_above) = (below * minus, above * plus);
    by_t * (from_below + from_above)
        + by_log * ((from_above - from_below) - density * (plus - minus))
}

/// The midpoint, without overflow. For a bracket wider than 2^64 that spans orders of magnitude, it
/// is taken between the logarithms `sign(x)·ln(1 + |x|)` of the ends.
#[cube]
pub fn middle<N: Float>(low: N, high: N) -> N {
    let half = N::new(0.5);
    let width = high - low;
    let wide =
        width > N::new(18446744073709551616.0) && width > half * N::max(N::abs(low), N::abs(high));
    let log_low = N::ln(N::abs(low) + N::new(1.0));
    let log_high = N::ln(N::abs(high) + N::new(1.0));
    let log_low = select(low < N::new(0.0), -log_low, log_low);
    let log_high = select(high < N::new(0.0), -log_high, log_high);
    let log_middle = half * log_low + half * log_high;
    let size = N::exp(N::abs(log_middle)) - N::new(1.0);
    select(wide, select(log_middle < N::new(0.0), -size, size), half * low + half * high)
}

#[cube]
pub fn place(position: usize, dims: usize, n_components: usize) -> Place {
    let base = position / dims * (2 + 3 * n_components) * dims + position % dims;
    Place { base, stride: dims, n_components }
}
