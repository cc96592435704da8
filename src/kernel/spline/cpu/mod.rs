//! The operation on slices, in blocks of elements. Each lane computes one element: the bin that
//! contains it is selected from all of them, so that no lane branches. Examples are shared among
//! threads.

mod bins;
mod block;
mod constants;
mod gradient;
mod place;

use crate::kernel::cpu::simd::{InstructionSet, Kernel, MultiplyAdd, Real, ln};
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSliceMut, for_each_with};

use self::bins::{Scratch, found};
pub use self::block::Batch;
use self::block::{Block, Lanes, VECTOR, blocks};
use self::constants::{Axis, Constants};
use self::gradient::Backward;
use self::place::Place;
use super::SplineShape;

/// Of a bin of an element, by `k.spline` of `benches/kernel/cost.rs`.
const FORWARD: Cost = Cost::picoseconds(6_500);
const BACKWARD: Cost = Cost::picoseconds(12_000);

/// Examples of a task at least, so that all blocks but few of them are full.
fn together(n_dims: usize) -> usize {
    if n_dims < 8 * VECTOR { VECTOR } else { 1 }
}

/// `z` and the log-derivatives of some examples, of which `first` is the first element.
struct Forward<'a, T> {
    constants: Constants,
    batch: Batch<'a, T>,
    first: usize,
    z: &'a mut [T],
    log_derivative: &'a mut [T],
    scratch: &'a mut Scratch,
}

impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { constants, batch, first, z, log_derivative, scratch } = self;
        for own in blocks(z.len()) {
            let block = Block::new(&batch, &constants, first + own.start, own.len());
            let found = found::<T, M>(&block, &constants, Axis::X, scratch);
            let [mut of_z, mut of_log]: [Lanes; 2] = [[0.0; VECTOR]; 2];
            for lane in 0..VECTOR {
                let Place { p, q, u, .. } = Place::of(block.values[lane], &found, lane);
                of_z[lane] = found.y.left[lane] + found.y.span[lane] * (p / q);
                let logs = ln::<f64, M>(found.s[lane]) - ln::<f64, M>(q);
                let logs = 2.0 * logs + ln::<f64, M>(u);
                of_log[lane] = if block.inside[lane] { logs } else { 0.0 };
            }
            block.write(&of_z, &mut z[own.clone()]);
            for (log_derivative, log) in log_derivative[own].iter_mut().zip(of_log) {
                *log_derivative = T::of(log);
            }
        }
    }
}

/// `x` of some examples, of which `first` is the first element.
struct Inverse<'a, T> {
    constants: Constants,
    batch: Batch<'a, T>,
    first: usize,
    x: &'a mut [T],
    scratch: &'a mut Scratch,
}

impl<T: Real> Kernel for Inverse<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { constants, batch, first, x, scratch } = self;
        for own in blocks(x.len()) {
            let block = Block::new(&batch, &constants, first + own.start, own.len());
            let found = found::<T, M>(&block, &constants, Axis::Z, scratch);
            let mut of_x = [0.0; VECTOR];
            for (lane, of_x) in of_x.iter_mut().enumerate() {
                let (d, e, twice) = (found.d[lane], found.e[lane], 2.0 * found.s[lane]);
                let eta = (block.values[lane] - found.y.left[lane]) / found.y.span[lane];
                let rest = 1.0 - eta;
                let r = d * rest - e * eta;
                let t = (r * r + twice * twice * eta * rest).sqrt();
                let (up, down) = (twice * eta, twice * rest);
                let (over, under) = if r < 0.0 { (t - r, t - r + down) } else { (up, t + r + up) };
                *of_x = found.x.left[lane] + over / under * found.x.span[lane];
            }
            block.write(&of_x, &mut x[own]);
        }
    }
}

/// `z` and the log-derivative, each `[examples, dims]`. Outputs are written in full.
pub fn forward<T: Real>(
    batch: &Batch<'_, T>,
    spline: SplineShape,
    z: &mut [T],
    log_derivative: &mut [T],
) {
    assert_eq!(z.len(), log_derivative.len(), "spline: lengths of the outputs");
    if z.is_empty() {
        return;
    }
    let (set, constants) = (InstructionSet::detect(), Constants::new::<T>(spline));
    let n = batch.n_dims * together(batch.n_dims);
    let outputs = z.par_chunks_mut(n).zip(log_derivative.par_chunks_mut(n)).enumerate();
    for_each_with(
        outputs,
        FORWARD.times(n * spline.n_bins),
        || Scratch::new(spline.n_bins),
        |scratch, (task, (z, log_derivative))| {
            let (batch, first) = (*batch, task * n);
            set.dispatch(Forward { constants, batch, first, z, log_derivative, scratch });
        },
    );
}

/// The `x` whose `z` the batch holds, `[examples, dims]`.
pub fn inverse<T: Real>(batch: &Batch<'_, T>, spline: SplineShape, x: &mut [T]) {
    if x.is_empty() {
        return;
    }
    let (set, constants) = (InstructionSet::detect(), Constants::new::<T>(spline));
    let n = batch.n_dims * together(batch.n_dims);
    for_each_with(
        x.par_chunks_mut(n).enumerate(),
        FORWARD.times(n * spline.n_bins),
        || Scratch::new(spline.n_bins),
        |scratch, (task, x)| {
            let (batch, first) = (*batch, task * n);
            set.dispatch(Inverse { constants, batch, first, x, scratch });
        },
    );
}

/// Gradients of `x`, `[examples, dims]`, and of the parameters, `[examples, rows, dims]`, from
/// those of both outputs, `[2, examples, dims]`. Outputs are written in full.
pub fn backward<T: Real>(
    batch: &Batch<'_, T>,
    spline: SplineShape,
    gradient: &[T],
    of_x: &mut [T],
    of_theta: &mut [T],
) {
    let rows = spline.n_params();
    let lengths = (gradient.len(), of_theta.len());
    assert_eq!(lengths, (2 * of_x.len(), rows * of_x.len()), "spline: lengths of the gradients");
    if of_x.is_empty() {
        return;
    }
    let (set, constants) = (InstructionSet::detect(), Constants::new::<T>(spline));
    let n = batch.n_dims * together(batch.n_dims);
    let (of_z, of_log) = gradient.split_at(of_x.len());
    let outputs = of_x.par_chunks_mut(n).zip(of_theta.par_chunks_mut(rows * n)).enumerate();
    for_each_with(
        outputs,
        BACKWARD.times(n * spline.n_bins),
        || Scratch::new(spline.n_bins),
        |scratch, (task, (of_x, of_theta))| {
            let first = task * n;
            let own = first..first + of_x.len();
            let (of_z, of_log) = (&of_z[own.clone()], &of_log[own]);
            let batch = *batch;
            let kernel =
                Backward { constants, batch, first, of_z, of_log, of_x, of_theta, scratch };
            set.dispatch(kernel);
        },
    );
}
