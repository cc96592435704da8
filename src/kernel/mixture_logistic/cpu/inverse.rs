//! The inverse on a block: a search for each element. A chunk stops when all of its elements have.
//! ```text
//! t = (z − b) e^−α     bracket [min_k, max_k](μ_k + e^s̄_k t)
//! start    m + t √(3 V)/π, with the mixture's mean m and variance V: exact for one component
//! step     δ/(1 + ½ δ c)     Halley's: Newton's δ = (t − t(x))/(dt/dx) and c = d(ln dt/dx)/dx
//! c = (F − G)/W · dt/dx − (Σ κ (σ(u) − σ(−u)) q²)/D
//! ```
//! The bracket is exact: `F` is an average of the `σ(u_k)` and the logit increases, so `t` lies
//! between the smallest and the largest `u_k`. A step that would leave it, or that is longer than
//! half the previous one, is replaced by a bisection. So is every eighth step, if the bracket has
//! not halved within the last eight. An end that overflows is set to `L`, a quarter of the largest
//! finite number. A bracket wider than 2^64 that spans orders of magnitude is bisected in the
//! logarithm.
//!
//! An element is solved when its residual is within `ε(1 + |t|)`, or when the bracket has shrunk to
//! adjacent floating-point numbers. The latter happens with a steep law: there the last steps are
//! lengthened to cross the root. Near the root the residual is rounding noise, which does not
//! halve, so steps from a residual of a few tolerances need not halve. A bracket that closes at `L`
//! has found its own end and not a root: such an element is unsolved.
//!
//! Weights and inverse scales are computed once, so an evaluation costs one exponential per
//! component.

use crate::kernel::cpu::simd::{
    Kernel, LANES, Lanes, MultiplyAdd, Real, clamp, exp, exp_in_range, larger, ln, tanh,
};

use super::MixtureLogistic;
use super::linear_space::{ExponentLimit, Sums, tail_and_body};
use super::log_space::Mixture;
use super::tile::{Batch, Block, PackedChunk, TILE_CHUNKS, Tile};

/// Evaluations after which an element counts as unsolved: by then the bracket has shrunk by at
/// least 2^64.
const MAX_EVALUATIONS: usize = 512;

/// Evaluations within which the bracket is at least halved.
const PERIOD: usize = 8;

/// Width, 2^64, above which a bracket that spans orders of magnitude is bisected in the logarithm.
const WIDE: f64 = 18_446_744_073_709_551_616.0;

/// Largest residual, in tolerances, from which a step of any length is accepted. The rounding
/// errors of `F` and `G` amount to about 2 tolerances.
const NOISE: f64 = 8.0;

/// The inverse of a block. Outputs have the shape of the block.
#[derive(Debug)]
pub struct Inverse<'a, T> {
    /// The law.
    pub law: MixtureLogistic<T>,
    /// The batch; its elements are `z`.
    pub batch: Batch<'a, T>,
    /// The part of the batch.
    pub block: Block,
    /// Output `x`, or the best point found.
    pub x: &'a mut [T],
    /// Output `t(x) − t`.
    pub residual: &'a mut [T],
    /// Output: whether the residual is at rounding level, or the bracket has shrunk to adjacent
    /// floating-point numbers.
    pub solved: &'a mut [bool],
}

impl<T: ExponentLimit> Kernel for Inverse<'_, T> {
    /// Number of evaluations of chunks.
    type Output = usize;

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) -> usize {
        let Self { law, batch, block, x, residual, solved } = self;
        let n_chunks = TILE_CHUNKS.min(block.dims.len().div_ceil(LANES));
        let mut packed = PackedChunk::new(law.n_components);
        let mut evaluator = Evaluator::new(law);
        let mut points = vec![[T::zero(); LANES]; n_chunks];
        let mut residuals = points.clone();
        let mut all_solved = vec![[false; LANES]; n_chunks];
        let mut n_evaluations = 0;
        for piece in block.pieces(n_chunks) {
            let tile = piece.tile(&batch, &mut packed);
            for chunk in 0..tile.x.len() {
                let mut search = evaluator.start::<M>(&tile, chunk);
                for evaluation in 1..=MAX_EVALUATIONS {
                    let point = evaluator.evaluate::<M>(&tile, chunk, &search);
                    search.advance::<M>(&point, evaluation % PERIOD == 0);
                    n_evaluations += 1;
                    if search.ended == [true; LANES] {
                        break;
                    }
                }
                (points[chunk], all_solved[chunk]) = (search.best, search.solved);
                residuals[chunk] = search.best_residual;
            }
            piece.store(points.as_flattened(), x);
            piece.store(residuals.as_flattened(), residual);
            piece.store(all_solved.as_flattened(), solved);
        }
        n_evaluations
    }
}

/// The parts of a component that an evaluation uses.
#[derive(Debug, Clone, Copy)]
struct Prepared<T> {
    weight: Lanes<T>,
    mean: Lanes<T>,
    inverse_scale: Lanes<T>,
}

/// Evaluates the mixture at a chunk.
struct Evaluator<T> {
    law: MixtureLogistic<T>,
    components: Vec<Prepared<T>>,
    log_space: Mixture<T>,
    log_space_is_loaded: bool,
}

/// The values from which a step is computed.
struct Point<T> {
    /// `t(x) − t`.
    residual: Lanes<T>,
    /// `δ`.
    newton: Lanes<T>,
    /// `c`.
    curvature: Lanes<T>,
}

impl<T: ExponentLimit> Evaluator<T> {
    fn new(law: MixtureLogistic<T>) -> Self {
        let zeros = [T::zero(); LANES];
        let prepared = Prepared { weight: zeros, mean: zeros, inverse_scale: zeros };
        Self {
            law,
            components: vec![prepared; law.n_components],
            log_space: Mixture::new(law.n_components),
            log_space_is_loaded: false,
        }
    }

    /// Prepares the search for a chunk.
    #[inline(always)]
    fn start<M: MultiplyAdd>(&mut self, tile: &Tile<'_, T>, chunk: usize) -> Search<T> {
        let zeros = [T::zero(); LANES];
        let limit = T::of(T::LIMIT);
        // Reciprocal of the variance of a logistic distribution of scale 1.
        let per_variance = T::of(3.0 / std::f64::consts::PI.powi(2));
        let [a, b] = tile.affine().map(|row| &row[chunk]);
        let mut t = zeros;
        for lane in 0..LANES {
            let (log_scale, _) = tanh::<T, M>(a[lane]);
            t[lane] = (tile.x[chunk][lane] - b[lane]) * exp_in_range::<T, M>(-log_scale);
        }
        let mut low = [T::infinity(); LANES];
        let mut high = [T::neg_infinity(); LANES];
        // Relative to the distance: three exponentials, each with an error of two roundings. The
        // root may be at the very end of the bracket.
        let slack = T::of(8.0) * T::epsilon();
        let (mut total, mut mean_sum, mut square_sum) = (zeros, zeros, zeros);
        for (index, prepared) in self.components.iter_mut().enumerate() {
            let [logit, mean, log_scale] = tile.component(index).map(|row| row[chunk]);
            let (mut weight, mut inverse_scale) = (zeros, zeros);
            for lane in 0..LANES {
                let log_scale = larger(log_scale[lane], self.law.min_log_scale);
                // In two factors: e^s·t may be finite where e^s overflows.
                let root = scale_root::<T, M>(log_scale);
                let scale = root * root;
                let inverse = exp_in_range::<T, M>(-log_scale);
                inverse_scale[lane] = if log_scale <= limit { inverse } else { T::nan() };
                weight[lane] = exp_in_range::<T, M>(clamp(logit[lane], -limit, limit));
                let distance = root * (root * t[lane]);
                let (alone, slack) = (mean[lane] + distance, slack * distance.abs());
                low[lane] = if alone - slack < low[lane] { alone - slack } else { low[lane] };
                high[lane] = larger(high[lane], alone + slack);
                let square = M::mul_add(per_variance * mean[lane], mean[lane], scale * scale);
                total[lane] += weight[lane];
                mean_sum[lane] = M::mul_add(weight[lane], mean[lane], mean_sum[lane]);
                square_sum[lane] = M::mul_add(weight[lane], square, square_sum[lane]);
            }
            *prepared = Prepared { weight, mean, inverse_scale };
        }
        self.log_space_is_loaded = false;
        let furthest = furthest::<T>();
        for lane in 0..LANES {
            // An end that overflows lies beyond every finite root.
            low[lane] = clamp(low[lane] - T::epsilon() * low[lane].abs(), -furthest, furthest);
            high[lane] = clamp(high[lane] + T::epsilon() * high[lane].abs(), -furthest, furthest);
        }
        let middle = middles::<T, M>(&low, &high);
        let (mut x, mut allowance, mut ended) = (zeros, zeros, [false; LANES]);
        for lane in 0..LANES {
            let mean = mean_sum[lane] / total[lane];
            let square = square_sum[lane] / total[lane] - per_variance * mean * mean;
            // A NaN is not within the bracket. It arises from a variance that overflows or is lost
            // to cancellation.
            let start = M::mul_add(square.sqrt(), t[lane], mean);
            let within = (start >= low[lane]) & (start <= high[lane]);
            x[lane] = if within { start } else { middle[lane] };
            allowance[lane] = high[lane] - low[lane];
            // Without a finite target or bracket there is no root to find.
            ended[lane] = !(allowance[lane].is_finite() & t[lane].is_finite());
        }
        Search {
            t,
            x,
            low,
            high,
            allowance,
            pace: allowance,
            stretch: [T::one(); LANES],
            best: [T::nan(); LANES],
            best_residual: [T::infinity(); LANES],
            ended,
            solved: [false; LANES],
        }
    }

    /// Evaluates the mixture at the point that a search has reached.
    #[inline(always)]
    fn evaluate<M: MultiplyAdd>(
        &mut self,
        tile: &Tile<'_, T>,
        chunk: usize,
        search: &Search<T>,
    ) -> Point<T> {
        let mut sums = Sums::default();
        let mut bend = [T::zero(); LANES];
        let x = search.x;
        for component in &self.components {
            let Prepared { weight, mean, inverse_scale } = *component;
            for lane in 0..LANES {
                let u = (x[lane] - mean[lane]) * inverse_scale[lane];
                let (tail, body) = tail_and_body::<T, M>(u);
                let positive = u >= T::zero();
                let (small, large) = (weight[lane] * tail, weight[lane] * body);
                let density = small * body * inverse_scale[lane];
                let lean = if positive { body - tail } else { tail - body };
                sums.below[lane] += if positive { large } else { small };
                sums.above[lane] += if positive { small } else { large };
                sums.density[lane] += density;
                bend[lane] = M::mul_add(density * inverse_scale[lane], lean, bend[lane]);
            }
        }
        let zeros = [T::zero(); LANES];
        let mut point = Point { residual: zeros, newton: zeros, curvature: zeros };
        let mut settled = sums.are_valid(&self.law.validity);
        for (lane, settled) in settled.iter_mut().enumerate() {
            let (f, g, slope) = (sums.below[lane], sums.above[lane], sums.slope(lane));
            let residual = ln::<T, M>(f / g) - search.t[lane];
            point.residual[lane] = residual;
            point.newton[lane] = -residual / slope;
            point.curvature[lane] = (f - g) / (f + g) * slope - bend[lane] / sums.density[lane];
            *settled |= search.ended[lane];
        }
        if settled != [true; LANES] {
            if !self.log_space_is_loaded {
                self.log_space.load::<M>(tile, chunk, self.law.min_log_scale);
                self.log_space_is_loaded = true;
            }
            let totals = self.log_space.evaluate::<M>(&search.x);
            for (lane, settled) in settled.into_iter().enumerate() {
                if !settled {
                    let residual = totals.t[lane] - search.t[lane];
                    point.residual[lane] = residual;
                    // Far out, the law is nearly straight, so Newton's step suffices without the
                    // curvature.
                    point.newton[lane] = -residual * exp::<T, M>(-totals.log_slope[lane]);
                    point.curvature[lane] = T::zero();
                }
            }
        }
        point
    }
}

/// State of the searches of a chunk.
struct Search<T> {
    t: Lanes<T>,
    /// The next point to evaluate.
    x: Lanes<T>,
    /// The bracket.
    low: Lanes<T>,
    high: Lanes<T>,
    /// Twice the largest length of the next step.
    allowance: Lanes<T>,
    /// Width of the bracket when its shrinking was last checked.
    pace: Lanes<T>,
    /// Smallest length of the next step, in spacings.
    stretch: Lanes<T>,
    /// Point with the smallest residual.
    best: Lanes<T>,
    best_residual: Lanes<T>,
    ended: [bool; LANES],
    solved: [bool; LANES],
}

impl<T: ExponentLimit> Search<T> {
    /// Updates the search with the values at `x`. If `look`, also checks how the bracket shrinks.
    #[inline(always)]
    fn advance<M: MultiplyAdd>(&mut self, point: &Point<T>, look: bool) {
        let (zero, one, two, half) = (T::zero(), T::one(), T::of(2.0), T::of(0.5));
        let (epsilon, end) = (T::epsilon(), T::of(0.999) * furthest::<T>());
        let (mut low, mut high) = (self.low, self.high);
        for lane in 0..LANES {
            let (x, residual) = (self.x[lane], point.residual[lane]);
            low[lane] = if residual <= zero { x } else { low[lane] };
            high[lane] = if residual >= zero { x } else { high[lane] };
        }
        let middle = middles::<T, M>(&low, &high);
        for lane in 0..LANES {
            let (x, ended) = (self.x[lane], self.ended[lane]);
            let (residual, newton) = (point.residual[lane], point.newton[lane]);
            // Of equal residuals, the later point is taken: where the law is flat up to rounding,
            // it is nearer to the root.
            let better = !ended & (residual.abs() <= self.best_residual[lane].abs());
            self.best[lane] = if better { x } else { self.best[lane] };
            self.best_residual[lane] = if better { residual } else { self.best_residual[lane] };

            let (low, high) = (low[lane], high[lane]);
            let tolerance = epsilon * (one + self.t[lane].abs());
            let exact = residual.abs() <= tolerance;
            let closed = high - low <= epsilon * larger(low.abs(), high.abs());
            let undefined = residual.is_nan();
            // Through rounding, an earlier point of a flat stretch may have the smaller residual,
            // although the root is in the bracket.
            let stray = !ended & closed & !((self.best[lane] >= low) & (self.best[lane] <= high));
            self.best[lane] = if stray { x } else { self.best[lane] };
            self.best_residual[lane] = if stray { residual } else { self.best_residual[lane] };
            self.solved[lane] |= !ended & (exact | (closed & (x.abs() < end))) & !undefined;

            // Halley's factor is limited to values between one half and two.
            let bend = clamp(M::mul_add(half * newton, point.curvature[lane], one), half, two);
            let step = newton / bend;
            // Between 0.5 and 1.5 times the distance to the next number, so the sum is that number.
            let spacing = T::of(0.75) * epsilon * x.abs();
            let short = step.abs() < spacing;
            let stretched = spacing * self.stretch[lane];
            let step =
                if short { if residual < zero { stretched } else { -stretched } } else { step };
            let next = x + step;
            let noise = residual.abs() <= T::of(NOISE) * tolerance;
            let fitting = noise | (step.abs() <= half * self.allowance[lane]);
            let width = high - low;
            let slow = look & (width > half * self.pace[lane]);
            let within = (next > low) & (next < high) & fitting & !slow;
            self.x[lane] = if within { next } else { middle[lane] };
            self.allowance[lane] = if within { step.abs() } else { width };
            self.pace[lane] = if look { width } else { self.pace[lane] };
            self.stretch[lane] = if short { two * self.stretch[lane] } else { one };
            self.low[lane] = low;
            self.high[lane] = high;
            self.ended[lane] = ended | exact | closed | undefined;
        }
    }
}

/// `e^{s/2}`, kept finite, so that `t = 0` gives the mean for a component of any width.
#[inline(always)]
fn scale_root<T: Real, M: MultiplyAdd>(log_scale: T) -> T {
    let widest = T::EXP_RANGE.1 - T::one();
    let half = T::of(0.5) * log_scale;
    exp_in_range::<T, M>(if half > widest { widest } else { half })
}

/// `L`. The factor of a quarter keeps the width of a bracket finite.
#[inline(always)]
fn furthest<T: Real>() -> T {
    T::of(0.25) * T::max_value()
}

/// Midpoints, without overflow. For wide brackets, the midpoint is taken between the logarithms
/// `sign(x)·ln(1 + |x|)` of the ends.
#[inline(always)]
fn middles<T: Real, M: MultiplyAdd>(low: &Lanes<T>, high: &Lanes<T>) -> Lanes<T> {
    let (zero, one, half) = (T::zero(), T::one(), T::of(0.5));
    let mut middles = [zero; LANES];
    let mut wide = [false; LANES];
    for lane in 0..LANES {
        let (low, high) = (low[lane], high[lane]);
        middles[lane] = half * low + half * high;
        let width = high - low;
        wide[lane] = (width > T::of(WIDE)) & (width > half * larger(low.abs(), high.abs()));
    }
    if wide != [false; LANES] {
        for lane in 0..LANES {
            let [low, high] = [low[lane], high[lane]].map(|end| {
                let size = ln::<T, M>(one + end.abs());
                if end < zero { -size } else { size }
            });
            let middle = half * low + half * high;
            let size = exp::<T, M>(middle.abs()) - one;
            let middle = if middle < zero { -size } else { size };
            middles[lane] = if wide[lane] { middle } else { middles[lane] };
        }
    }
    middles
}
