//! The bins of some elements at once, one in each lane: softmax of the logits, running knots, and
//! slopes. All of it is computed in float64: differences of knots, which are sums of up to `K`
//! shares, would lose digits of f32.

use super::block::{Block, Lanes, VECTOR};
use super::constants::{Axis, Constants};
use crate::kernel::cpu::simd::{MultiplyAdd, Real, exp, larger, log1p_of_unit, sigmoid};

/// The softmax of the logits of all bins and their knots, on both axes.
#[derive(Debug)]
pub struct Scratch {
    shares: [Vec<Lanes>; 2],
    knots: [Vec<Lanes>; 2],
}

impl Scratch {
    pub fn new(n_bins: usize) -> Self {
        let shares = vec![[0.0; VECTOR]; n_bins];
        let knots = vec![[0.0; VECTOR]; n_bins + 1];
        Self { shares: [shares.clone(), shares], knots: [knots.clone(), knots] }
    }

    /// The softmax of the logits of the widths or of the heights.
    #[inline(always)]
    pub fn softmax(&self, axis: Axis) -> &[Lanes] {
        &self.shares[axis as usize]
    }

    /// Computes an axis. The sum of the softmax is at least 1, the term of the largest logit
    /// itself; a logit that is NaN makes all shares NaN. Knots are at least a smallest share apart,
    /// and those at the ends are ±B.
    #[inline(always)]
    fn load<T: Real, M: MultiplyAdd>(
        &mut self,
        block: &Block<'_, T>,
        constants: &Constants,
        axis: Axis,
    ) {
        let shares = &mut self.shares[axis as usize];
        let first = axis as usize * shares.len();
        let mut largest = [f64::NEG_INFINITY; VECTOR];
        for (index, share) in shares.iter_mut().enumerate() {
            let logits = block.row(first + index);
            for lane in 0..VECTOR {
                largest[lane] = larger(largest[lane], logits[lane]);
            }
            *share = logits;
        }
        let mut total = [0.0; VECTOR];
        for share in shares.iter_mut() {
            for lane in 0..VECTOR {
                share[lane] = exp::<f64, M>(share[lane] - largest[lane]);
                total[lane] += share[lane];
            }
        }
        let mut of_total = [0.0; VECTOR];
        for lane in 0..VECTOR {
            of_total[lane] = 1.0 / total[lane];
        }
        let (smallest, rest) = constants.share(axis);
        let bound = constants.bound;
        let knots = &mut self.knots[axis as usize];
        knots[0] = [-bound; VECTOR];
        let mut sum = [0.0; VECTOR];
        for (share, knot) in shares.iter_mut().zip(&mut knots[1..]) {
            // In registers: whether two slices overlap is not known to the compiler.
            let (mut own, mut end) = (*share, [0.0; VECTOR]);
            for lane in 0..VECTOR {
                own[lane] *= of_total[lane];
                sum[lane] += smallest + rest * own[lane];
                end[lane] = 2.0 * bound * sum[lane] - bound;
            }
            (*share, *knot) = (own, end);
        }
        knots[constants.n_bins] = [bound; VECTOR];
    }

    /// For each value inside the last bin that begins at or below it, which is one since the first
    /// begins at −B. A whole number.
    #[inline(always)]
    fn index(&self, axis: Axis, values: &Lanes) -> Lanes {
        let knots = &self.knots[axis as usize];
        let mut index = [0.0; VECTOR];
        for begin in &knots[1..knots.len() - 1] {
            for lane in 0..VECTOR {
                index[lane] += if begin[lane] <= values[lane] { 1.0 } else { 0.0 };
            }
        }
        index
    }

    /// The bins of these indices.
    #[inline(always)]
    fn bins(&self, constants: &Constants, axis: Axis, index: &Lanes) -> Bin {
        let (smallest, rest) = constants.share(axis);
        let (shares, knots) = (self.softmax(axis), &self.knots[axis as usize]);
        let [mut left, mut right, mut own] = [[0.0; VECTOR]; 3];
        for (lane, &index) in index.iter().enumerate() {
            let index = index as usize;
            left[lane] = knots[index][lane];
            right[lane] = knots[index + 1][lane];
            own[lane] = shares[index][lane];
        }
        let [mut span, mut size] = [[0.0; VECTOR]; 2];
        for lane in 0..VECTOR {
            span[lane] = right[lane] - left[lane];
            size[lane] = 2.0 * constants.bound * (smallest + rest * own[lane]);
        }
        Bin { left, span, size }
    }

    /// `π_<`, `π_k` and `π_>` of the bins of these indices. The knots of the axis are lost.
    #[inline(always)]
    pub fn sides(&mut self, axis: Axis, index: &Lanes) -> [Lanes; 3] {
        let (shares, sums) = (&self.shares[axis as usize], &mut self.knots[axis as usize]);
        let [mut before, mut own, mut after] = [[0.0; VECTOR]; 3];
        let mut sum = [0.0; VECTOR];
        for (share, of_bin) in shares.iter().zip(sums.iter_mut()) {
            *of_bin = sum;
            for lane in 0..VECTOR {
                sum[lane] += share[lane];
            }
        }
        for lane in 0..VECTOR {
            let index = index[lane] as usize;
            (before[lane], own[lane]) = (sums[index][lane], shares[index][lane]);
        }
        let mut sum = [0.0; VECTOR];
        for (share, of_bin) in shares.iter().zip(&mut sums[..shares.len()]).rev() {
            *of_bin = sum;
            for lane in 0..VECTOR {
                sum[lane] += share[lane];
            }
        }
        for lane in 0..VECTOR {
            after[lane] = sums[index[lane] as usize][lane];
        }
        [before, own, after]
    }
}

/// Bins on one axis.
#[derive(Debug, Clone, Copy)]
pub struct Bin {
    /// The first knot.
    pub left: Lanes,
    /// Distance between the knots. Positions within the bin are measured by it.
    pub span: Lanes,
    /// The same distance from the share itself, with all of its digits.
    pub size: Lanes,
}

/// The bins of elements on both axes, and the slopes at their knots.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The bin, a whole number.
    pub index: Lanes,
    pub x: Bin,
    pub y: Bin,
    /// `s`, `d` and `e`.
    pub s: Lanes,
    pub d: Lanes,
    pub e: Lanes,
    /// Derivatives of `d` and `e` with respect to their parameters.
    pub d_slope: Lanes,
    pub e_slope: Lanes,
}

/// Finds the bins of the elements of a block, which are known on one axis.
#[inline(always)]
pub fn found<T: Real, M: MultiplyAdd>(
    block: &Block<'_, T>,
    constants: &Constants,
    known: Axis,
    scratch: &mut Scratch,
) -> Found {
    scratch.load::<T, M>(block, constants, Axis::X);
    scratch.load::<T, M>(block, constants, Axis::Z);
    let index = scratch.index(known, &block.values);
    let x = scratch.bins(constants, Axis::X, &index);
    let y = scratch.bins(constants, Axis::Z, &index);
    let (d, d_slope) = slopes::<T, M>(block, constants, &index, 0);
    let (e, e_slope) = slopes::<T, M>(block, constants, &index, 1);
    let mut s = [0.0; VECTOR];
    for (lane, s) in s.iter_mut().enumerate() {
        *s = y.size[lane] / x.size[lane];
    }
    Found { index, x, y, s, d, e, d_slope, e_slope }
}

/// The slopes at the first or second knots of bins, and their derivatives with respect to their
/// parameters. A slope without a parameter is 1.
#[inline(always)]
fn slopes<T: Real, M: MultiplyAdd>(
    block: &Block<'_, T>,
    constants: &Constants,
    index: &Lanes,
    knot: usize,
) -> (Lanes, Lanes) {
    let [mut v, mut free, mut slope, mut by_v] = [[0.0; VECTOR]; 4];
    for lane in 0..VECTOR {
        if let Some(row) = constants.slope_row(index[lane] as usize + knot) {
            (v[lane], free[lane]) = (block.parameter(row, lane), 1.0);
        }
    }
    for lane in 0..VECTOR {
        let v = v[lane] + constants.slope_shift;
        let above = if v > 0.0 { v } else { 0.0 };
        let softplus = above + log1p_of_unit::<f64, M>(exp::<f64, M>(-v.abs()));
        let is_free = free[lane] > 0.0;
        slope[lane] = if is_free { constants.min_slope + softplus } else { 1.0 };
        by_v[lane] = if is_free { sigmoid::<f64, M>(v).0 } else { 0.0 };
    }
    (slope, by_v)
}
