//! Gradients of a block from the gradients of `z` and of the log-derivative.
//! ```text
//! A = (γ_t − γ_L)/F        C = (γ_t + γ_L)/G        E = γ_L/D
//! ∂/∂ℓ   π σ(u) A − π σ(−u) C + κ q E + π γ_L/W
//! ∂/∂u   h = κ (A + C) − κ q (σ(u) − σ(−u)) E
//! ∂/∂μ   −q h        ∂/∂s   −u h − κ q E        ∂/∂x   Σ q h
//! ```
//! where the log-scale is not clamped; where it is clamped, the gradient of `s` is 0. The backward
//! pass recomputes the sums. It keeps the components of a tile until its second pass over that
//! tile. Elements whose sums are not valid for gradients are recomputed in log space.

use crate::kernel::cpu::simd::{Kernel, LANES, Lanes, MultiplyAdd, Real, exp_in_range, tanh};

use super::MixtureLogistic;
use super::linear_space::{Component, ExponentLimit, Sums, accumulate};
use super::log_space::{Gradient, Mixture};
use super::tile::{Batch, Block, PackedChunk, TILE_CHUNKS, Tile, component_rows, n_rows};

/// Most components times chunks that are kept: 256 KiB of f32, which fit into the second-level
/// cache beside the parameters.
const KEPT: usize = 1024;

/// The backward pass of a block. Gradients have the shape of the block.
#[derive(Debug)]
pub struct Backward<'a, 'b, T> {
    /// The law.
    pub law: MixtureLogistic<T>,
    /// The batch.
    pub batch: Batch<'a, T>,
    /// The part of the batch.
    pub block: Block,
    /// Gradient of `z`.
    pub z_gradient: &'a [T],
    /// Gradient of `ln dz/dx`.
    pub log_derivative_gradient: &'a [T],
    /// Output: gradient of `x`.
    pub x_gradient: &'a mut [T],
    /// Output: gradient of the parameters.
    pub theta_gradient: ThetaGradient<'a, 'b, T>,
}

/// Gradient of a block's parameters.
#[derive(Debug)]
pub enum ThetaGradient<'a, 'b, T> {
    /// As a whole, `[examples, rows, dims]`.
    Whole(&'a mut [T]),
    /// As rows: one slice for each row of each example.
    Rows(&'a mut [&'b mut [T]]),
}

impl<T: ExponentLimit> Kernel for Backward<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self {
            law,
            batch,
            block,
            z_gradient,
            log_derivative_gradient,
            x_gradient,
            mut theta_gradient,
        } = self;
        let (k, width) = (law.n_components, block.dims.len());
        let n_chunks = (KEPT / k).clamp(1, TILE_CHUNKS).min(width.div_ceil(LANES));
        let mut packed = PackedChunk::new(k);
        let mut packed_gradient = vec![T::zero(); n_rows(k) * LANES];
        let mut scratch = Scratch::new(k, n_chunks);
        for piece in block.pieces(n_chunks) {
            let tile = piece.tile(&batch, &mut packed);
            piece.fetch(z_gradient, scratch.z_gradient.as_flattened_mut());
            piece
                .fetch(log_derivative_gradient, scratch.log_derivative_gradient.as_flattened_mut());
            let whole = piece.starts().next().filter(|_| piece.is_whole());
            let rows = if let Some((start, _)) = whole {
                let (first, offset) = (start / width * n_rows(k), start % width);
                Rows { gradient: theta_gradient.reborrow(), first, width, offset }
            } else {
                Rows {
                    gradient: ThetaGradient::Whole(&mut packed_gradient),
                    first: 0,
                    width: LANES,
                    offset: 0,
                }
            };
            backward::<T, M>(&law, &tile, &mut scratch, rows);
            piece.store(scratch.x_gradient.as_flattened(), x_gradient);
            if !piece.is_whole() {
                for (row, gradient) in packed_gradient.as_chunks::<LANES>().0.iter().enumerate() {
                    for (to, from) in piece.starts() {
                        let row = to / width * n_rows(k) + row;
                        let n = piece.n_dims();
                        let [row] = theta_gradient.rows([row], width);
                        row[to % width..to % width + n].copy_from_slice(&gradient[from..from + n]);
                    }
                }
            }
        }
    }
}

impl<'b, T> ThetaGradient<'_, 'b, T> {
    #[inline(always)]
    fn reborrow(&mut self) -> ThetaGradient<'_, 'b, T> {
        match self {
            Self::Whole(whole) => ThetaGradient::Whole(whole),
            Self::Rows(rows) => ThetaGradient::Rows(rows),
        }
    }

    /// Distinct rows, numbered through the examples.
    #[inline(always)]
    fn rows<const N: usize>(&mut self, rows: [usize; N], width: usize) -> [&mut [T]; N] {
        let distinct = "rows are distinct and within the parameters";
        match self {
            Self::Whole(whole) => whole
                .get_disjoint_mut(rows.map(|row| row * width..(row + 1) * width))
                .expect(distinct),
            Self::Rows(all) => all.get_disjoint_mut(rows).expect(distinct).map(|row| &mut **row),
        }
    }
}

/// The place of the rows of a tile's gradient.
struct Rows<'a, 'b, T> {
    gradient: ThetaGradient<'a, 'b, T>,
    first: usize,
    width: usize,
    offset: usize,
}

impl<T: Real> Rows<'_, '_, T> {
    /// Distinct rows.
    #[inline(always)]
    fn get<const N: usize>(&mut self, rows: [usize; N], n_chunks: usize) -> [&mut [Lanes<T>]; N] {
        let lanes = self.offset..self.offset + n_chunks * LANES;
        let rows = self.gradient.rows(rows.map(|row| self.first + row), self.width);
        rows.map(|row| row[lanes.clone()].as_chunks_mut().0)
    }
}

/// Gradients of a tile.
#[inline(always)]
fn backward<T: ExponentLimit, M: MultiplyAdd>(
    law: &MixtureLogistic<T>,
    tile: &Tile<'_, T>,
    scratch: &mut Scratch<T>,
    mut rows: Rows<'_, '_, T>,
) {
    let (k, n) = (law.n_components, tile.x.len());
    let Scratch { kept, sums, factors, z_gradient, log_derivative_gradient, x_gradient, mixture } =
        scratch;
    let (sums, factors, x_gradient) = (&mut sums[..n], &mut factors[..n], &mut x_gradient[..n]);
    accumulate::<T, M>(tile, k, law.min_log_scale, sums, |index, chunk, part| {
        kept[index * n + chunk] = Kept::of(part);
    });
    let mut all_valid = true;
    for chunk in 0..n {
        let (of_z, of_log_derivative) = (&z_gradient[chunk], &log_derivative_gradient[chunk]);
        factors[chunk] =
            Factors::new::<M>(law, &sums[chunk], of_z, of_log_derivative, &tile.affine()[0][chunk]);
        all_valid &= factors[chunk].valid == [true; LANES];
        let [of_log_scale, of_shift] = rows.get([0, 1], n);
        let (t, _) = sums[chunk].values::<M>();
        of_log_scale[chunk] = factors[chunk].of_affine_log_scale::<M>(&t);
        of_shift[chunk] = *of_z;
    }
    x_gradient.fill([T::zero(); LANES]);
    for index in 0..k {
        let [logits, means, log_scales] = rows.get(component_rows(index, k), n);
        let raw = &tile.component(index)[2][..n];
        for chunk in 0..n {
            let mut gradient = factors[chunk].gradient::<M>(&kept[index * n + chunk]);
            let (raw, mut of_x) = (raw[chunk], x_gradient[chunk]);
            for lane in 0..LANES {
                let clamped = raw[lane] < law.min_log_scale;
                gradient.log_scale[lane] =
                    if clamped { T::zero() } else { gradient.log_scale[lane] };
                of_x[lane] -= gradient.mean[lane];
            }
            logits[chunk] = gradient.logit;
            means[chunk] = gradient.mean;
            log_scales[chunk] = gradient.log_scale;
            x_gradient[chunk] = of_x;
        }
    }
    if all_valid {
        return;
    }
    for chunk in (0..n).filter(|&chunk| factors[chunk].valid != [true; LANES]) {
        let factors = &factors[chunk];
        let put = |row: &mut Lanes<T>, lanes: &Lanes<T>| {
            for lane in 0..LANES {
                row[lane] = if factors.valid[lane] { row[lane] } else { lanes[lane] };
            }
        };
        mixture.load::<M>(tile, chunk, law.min_log_scale);
        let totals = mixture.evaluate::<M>(&tile.x[chunk]);
        let cotangent =
            mixture.cotangent::<M>(&totals, &factors.t_gradient, &factors.log_slope_gradient);
        let [of_log_scale] = rows.get([0], n);
        put(&mut of_log_scale[chunk], &factors.of_affine_log_scale::<M>(&totals.t));
        let mut of_x = [T::zero(); LANES];
        for index in 0..k {
            let mut gradient = mixture.gradient::<M>(index, &cotangent);
            let raw = &tile.component(index)[2][chunk];
            for lane in 0..LANES {
                if raw[lane] < law.min_log_scale {
                    gradient.log_scale[lane] = T::zero();
                }
                of_x[lane] -= gradient.mean[lane];
            }
            let [logits, means, log_scales] = rows.get(component_rows(index, k), n);
            put(&mut logits[chunk], &gradient.logit);
            put(&mut means[chunk], &gradient.mean);
            put(&mut log_scales[chunk], &gradient.log_scale);
        }
        put(&mut x_gradient[chunk], &of_x);
    }
}

/// Scratch memory of one task.
struct Scratch<T> {
    kept: Vec<Kept<T>>,
    sums: Vec<Sums<T>>,
    factors: Vec<Factors<T>>,
    z_gradient: Vec<Lanes<T>>,
    log_derivative_gradient: Vec<Lanes<T>>,
    x_gradient: Vec<Lanes<T>>,
    mixture: Mixture<T>,
}

impl<T: ExponentLimit> Scratch<T> {
    fn new(n_components: usize, n_chunks: usize) -> Self {
        let zeros = vec![[T::zero(); LANES]; n_chunks];
        Self {
            kept: vec![Kept::of(&Component::default()); n_components * n_chunks],
            sums: vec![Sums::default(); n_chunks],
            factors: vec![Factors::default(); n_chunks],
            z_gradient: zeros.clone(),
            log_derivative_gradient: zeros.clone(),
            x_gradient: zeros,
            mixture: Mixture::new(n_components),
        }
    }
}

/// The parts of a component that the second pass uses; the others follow from them.
#[derive(Debug, Clone, Copy)]
struct Kept<T> {
    weight: Lanes<T>,
    inverse_scale: Lanes<T>,
    u: Lanes<T>,
    tail: Lanes<T>,
}

impl<T: Real> Kept<T> {
    #[inline(always)]
    fn of(part: &Component<T>) -> Self {
        Self { weight: part.weight, inverse_scale: part.inverse_scale, u: part.u, tail: part.tail }
    }
}

/// The factors that all components of a chunk share.
#[derive(Debug, Clone, Copy)]
struct Factors<T> {
    /// `A`.
    below: Lanes<T>,
    /// `C`.
    above: Lanes<T>,
    /// `E`.
    density: Lanes<T>,
    /// `γ_L/W`.
    total: Lanes<T>,
    /// `γ_t`.
    t_gradient: Lanes<T>,
    /// `γ_L`.
    log_slope_gradient: Lanes<T>,
    /// `1 − α²`.
    complement: Lanes<T>,
    /// Whether gradients from the sums are valid.
    valid: [bool; LANES],
}

impl<T: Real> Default for Factors<T> {
    fn default() -> Self {
        let zeros = [T::zero(); LANES];
        Self {
            below: zeros,
            above: zeros,
            density: zeros,
            total: zeros,
            t_gradient: zeros,
            log_slope_gradient: zeros,
            complement: zeros,
            valid: [false; LANES],
        }
    }
}

impl<T: ExponentLimit> Factors<T> {
    #[inline(always)]
    fn new<M: MultiplyAdd>(
        law: &MixtureLogistic<T>,
        sums: &Sums<T>,
        z_gradient: &Lanes<T>,
        log_derivative_gradient: &Lanes<T>,
        affine_log_scale: &Lanes<T>,
    ) -> Self {
        let valid = sums.have_valid_gradients(&law.validity);
        let mut factors =
            Self { valid, log_slope_gradient: *log_derivative_gradient, ..Self::default() };
        for lane in 0..LANES {
            let (log_scale, complement) = tanh::<T, M>(affine_log_scale[lane]);
            let (gt, gl) =
                (z_gradient[lane] * exp_in_range::<T, M>(log_scale), log_derivative_gradient[lane]);
            let (f, g) = (sums.below[lane], sums.above[lane]);
            factors.below[lane] = (gt - gl) / f;
            factors.above[lane] = (gt + gl) / g;
            factors.density[lane] = gl / sums.density[lane];
            factors.total[lane] = gl / (f + g);
            factors.t_gradient[lane] = gt;
            factors.complement[lane] = complement;
        }
        factors
    }

    #[inline(always)]
    fn of_affine_log_scale<M: MultiplyAdd>(&self, t: &Lanes<T>) -> Lanes<T> {
        let mut gradient = [T::zero(); LANES];
        for lane in 0..LANES {
            let of_log_scale =
                M::mul_add(self.t_gradient[lane], t[lane], self.log_slope_gradient[lane]);
            gradient[lane] = of_log_scale * self.complement[lane];
        }
        gradient
    }

    /// Gradient of a component.
    #[inline(always)]
    fn gradient<M: MultiplyAdd>(&self, kept: &Kept<T>) -> Gradient<T> {
        let mut gradient = Gradient::default();
        for lane in 0..LANES {
            let (weight, inverse_scale) = (kept.weight[lane], kept.inverse_scale[lane]);
            let (u, tail) = (kept.u[lane], kept.tail[lane]);
            let (below, above) = (self.below[lane], self.above[lane]);
            let body = T::one() - tail;
            let small = weight * tail;
            let bump = small * body;
            let positive = u >= T::zero();
            // A multiplies the larger sigmoid where u is positive.
            let (large_factor, small_factor) =
                if positive { (below, -above) } else { (-above, below) };
            let density = bump * inverse_scale * self.density[lane];
            let logit =
                M::mul_add(small, small_factor, M::mul_add(weight * body, large_factor, density));
            let lean = if positive { body - tail } else { tail - body };
            let of_u = M::mul_add(bump, below + above, -density * lean);
            gradient.logit[lane] = M::mul_add(weight, self.total[lane], logit);
            gradient.mean[lane] = -inverse_scale * of_u;
            gradient.log_scale[lane] = -M::mul_add(u, of_u, density);
        }
        gradient
    }
}
