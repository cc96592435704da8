//! The operation on slices.

mod kernels;
mod scale;
mod sizes;
mod tile;

use crate::kernel::affine_coupling::AffineForm;
use crate::kernel::cpu::simd::Real;
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};
use crate::kernel::cpu::tasks::{for_each, items_per_task};
use kernels::{Backward, Forward, Inverse, LogDet, LogDetBackward};
use scale::{Bounded, Exponential, Normal, Sigmoid};
pub use sizes::AffineCoupling;

/// Of a transformed element, by `k.affine_coupling` of `benches/kernel/cost.rs`: the most that a
/// form takes.
const MAP: Cost = Cost::picoseconds(1_400);
const BACKWARD: Cost = Cost::picoseconds(2_200);
const LOG_DET: Cost = Cost::picoseconds(2_700);

/// Runs the kernel for the form.
macro_rules! dispatch {
    ($coupling:expr, $kernel:ident $fields:tt) => {
        match $coupling.form {
            AffineForm::Exponential => {
                $coupling.set.dispatch(dispatch!(@ $kernel, Exponential, $fields))
            }
            AffineForm::Sigmoid => $coupling.set.dispatch(dispatch!(@ $kernel, Sigmoid, $fields)),
            AffineForm::Bounded => $coupling.set.dispatch(dispatch!(@ $kernel, Bounded, $fields)),
            AffineForm::Normal => $coupling.set.dispatch(dispatch!(@ $kernel, Normal, $fields)),
            AffineForm::Additive => unreachable!("the additive form has no kernel"),
        }
    };
    (@ $kernel:ident, $form:ident, { $($field:ident),* }) => {
        $kernel { $($field,)* form: std::marker::PhantomData::<$form> }
    };
}

impl AffineCoupling {
    /// Computes `z` in place: at the start, `z` holds `x`.
    ///
    /// # Panics
    /// If the lengths do not match, here and below.
    pub fn forward<T: Real>(&self, theta: &[T], z: &mut [T]) {
        self.check(theta.len(), [z.len()]);
        if self.dims == 0 || z.is_empty() {
            return;
        }
        let at = *self;
        let block = Block::new(self, MAP);
        let blocks = z.par_chunks_mut(block.elements).zip(theta.par_chunks(block.parameters));
        for_each(blocks, block.cost, |(z, theta)| dispatch!(self, Forward { at, theta, z }));
    }

    /// Computes `x` in place: at the start, `x` holds `z`.
    pub fn inverse<T: Real>(&self, theta: &[T], x: &mut [T]) {
        self.check(theta.len(), [x.len()]);
        if self.dims == 0 || x.is_empty() {
            return;
        }
        let at = *self;
        let block = Block::new(self, MAP);
        let blocks = x.par_chunks_mut(block.elements).zip(theta.par_chunks(block.parameters));
        for_each(blocks, block.cost, |(x, theta)| dispatch!(self, Inverse { at, theta, x }));
    }

    /// Computes the gradients of `x` and `theta`. At the start, `of_x` holds the gradient of `z`.
    pub fn backward<T: Real>(&self, x: &[T], theta: &[T], of_x: &mut [T], of_theta: &mut [T]) {
        self.check(theta.len(), [x.len(), of_x.len()]);
        assert_eq!(of_theta.len(), theta.len(), "affine_coupling: length of the gradient of theta");
        if self.dims == 0 || x.is_empty() {
            return;
        }
        let at = *self;
        let Block { elements, parameters, cost, .. } = Block::new(self, BACKWARD);
        let read = x.par_chunks(elements).zip(theta.par_chunks(parameters));
        let written = of_x.par_chunks_mut(elements).zip(of_theta.par_chunks_mut(parameters));
        for_each(read.zip(written), cost, |((x, theta), (of_x, of_theta))| {
            dispatch!(self, Backward { at, x, theta, of_x, of_theta });
        });
    }

    /// Adds the sums of the log-scales to `sums`.
    pub fn log_det<T: Real>(&self, theta: &[T], sums: &mut [T]) {
        assert_eq!(
            theta.len(),
            sums.len() * 2 * self.dims,
            "affine_coupling: lengths of theta and of the sums"
        );
        if self.dims == 0 {
            return;
        }
        let at = *self;
        let block = Block::new(self, LOG_DET);
        let blocks = theta.par_chunks(block.parameters).zip(sums.par_chunks_mut(block.examples));
        for_each(blocks, block.cost, |(theta, sums)| dispatch!(self, LogDet { at, theta, sums }));
    }

    /// Writes the gradient of `s` into `of_theta`, whose half for `t` keeps its zeros.
    pub fn log_det_backward<T: Real>(&self, theta: &[T], gradient: &[T], of_theta: &mut [T]) {
        let lengths = [theta.len(), of_theta.len()];
        assert_eq!(
            lengths,
            [gradient.len() * 2 * self.dims; 2],
            "affine_coupling: lengths of theta and its gradient"
        );
        if self.dims == 0 {
            return;
        }
        let at = *self;
        let Block { examples, parameters, cost, .. } = Block::new(self, LOG_DET);
        let blocks = theta
            .par_chunks(parameters)
            .zip(gradient.par_chunks(examples))
            .zip(of_theta.par_chunks_mut(parameters));
        for_each(blocks, cost, |((theta, gradient), of_theta)| {
            dispatch!(self, LogDetBackward { at, theta, gradient, of_theta });
        });
    }

    /// Asserts that slices of the lengths in `elements` have as many examples as `theta`.
    fn check<const N: usize>(&self, theta: usize, elements: [usize; N]) {
        for length in elements {
            // `theta` has 2·dims elements for each example.
            let fits = length * 2 * self.dims == theta * self.example
                && self.start + self.dims <= self.example;
            assert!(fits, "affine_coupling: {length} elements and {theta} of theta for {self:?}");
        }
    }
}

/// Examples of a task.
struct Block {
    examples: usize,
    /// Number of elements and of parameters of these examples.
    elements: usize,
    parameters: usize,
    cost: Cost,
}

impl Block {
    /// A block of a coupling, from the cost of an element.
    fn new(coupling: &AffineCoupling, element: Cost) -> Self {
        let AffineCoupling { example, dims, .. } = *coupling;
        let cost = element.times(dims);
        let examples = items_per_task(cost);
        Self {
            examples,
            elements: examples * example,
            parameters: examples * 2 * dims,
            cost: cost.times(examples),
        }
    }
}
