//! The stages after the sums: a bias and a ReLU.

use crate::kernel::cpu::simd::{InstructionSet, Kernel, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};
use crate::kernel::cpu::tasks::{for_each, items_per_task};
use crate::kernel::epilogue::Epilogue;

/// Of an element of [`mask`], which reads two and writes one: by `k.moving_average` of
/// `benches/kernel/cost.rs`, which does too.
const MASK: Cost = Cost::picoseconds(240);

/// The bias that is added to the sums.
#[derive(Debug, Clone, Copy)]
pub enum Bias<'a, T> {
    /// No bias.
    Nothing,
    /// A value for each output, `[O]`.
    Outputs(&'a [T]),
    /// A value for each output and pixel, in the order of the results.
    Pixels(&'a [T]),
}

/// `max(h, 0)`; NaN stays NaN.
#[inline(always)]
pub fn rectified<T: Real>(h: T) -> T {
    if h < T::zero() { T::zero() } else { h }
}

/// Adds the bias to planes of results and applies the epilogue.
///
/// This is a pass after the products. If the products were added to the bias instead, each of them
/// would have to read the result, which the first one can otherwise overwrite.
pub struct BiasAndEpilogue<'a, T> {
    /// Planes of `pixels` elements.
    pub y: &'a mut [T],
    /// The bias of these planes.
    pub bias: Bias<'a, T>,
    pub pixels: usize,
    pub epilogue: Epilogue,
}

impl<'a, T> Bias<'a, T> {
    /// The bias of some outputs with planes of `pixels` pixels.
    pub fn of(self, outputs: std::ops::Range<usize>, pixels: usize) -> Self {
        match self {
            Self::Nothing => Self::Nothing,
            Self::Outputs(bias) => Self::Outputs(&bias[outputs]),
            Self::Pixels(bias) => Self::Pixels(&bias[outputs.start * pixels..outputs.end * pixels]),
        }
    }
}

impl<T: Real> Kernel for BiasAndEpilogue<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        let Self { y, bias, pixels, epilogue } = self;
        match bias {
            Bias::Nothing => {}
            Bias::Outputs(bias) => {
                for (y, &bias) in y.chunks_exact_mut(pixels).zip(bias) {
                    y.iter_mut().for_each(|y| *y += bias);
                }
            }
            Bias::Pixels(bias) => y.iter_mut().zip(bias).for_each(|(y, &bias)| *y += bias),
        }
        if epilogue == Epilogue::Relu {
            y.iter_mut().for_each(|y| *y = rectified(*y));
        }
    }
}

/// The gradient of a ReLU's input from the gradient of its result `y`: 0 where `y` is 0.
///
/// # Panics
/// If the lengths differ.
pub fn mask<T: Real>(set: InstructionSet, y: &[T], gradient: &mut [T]) {
    assert_eq!(y.len(), gradient.len(), "conv2d: length of the gradient");
    let n = items_per_task(MASK);
    let tasks = gradient.par_chunks_mut(n).zip(y.par_chunks(n));
    for_each(tasks, MASK.times(n), |(gradient, y)| {
        set.dispatch(Mask { y, gradient });
    });
}

struct Mask<'a, T> {
    y: &'a [T],
    gradient: &'a mut [T],
}

impl<T: Real> Kernel for Mask<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        for (gradient, &y) in self.gradient.iter_mut().zip(self.y) {
            *gradient = if y <= T::zero() { T::zero() } else { *gradient };
        }
    }
}
