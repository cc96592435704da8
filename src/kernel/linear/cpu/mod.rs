//! The operation on slices.
//!
//! # Algorithm
//! Works on blocks of rows. The blocks depend only on the shape, so results do not depend on the
//! number of threads. The gradients of weights and bias are summed over each block, then over the
//! blocks in order. Layers with few inputs or few outputs do not use matrix products.

mod blocks;
mod narrow;
mod product;

use crate::kernel::cpu::scratch::Scratch;
pub use blocks::{Gradients, Linear, Tape};

impl Linear {
    /// `y` from `x`. All of it is written.
    ///
    /// # Panics
    /// If the lengths do not match, here and below.
    pub fn forward<T: Scratch>(&self, x: &[T], weight: &[T], bias: &[T], y: &mut [T]) {
        self.check(x.len(), weight.len(), bias.len(), y.len());
        if y.is_empty() {
            return;
        }
        if self.is_narrow() {
            narrow::forward(self, x, weight, bias, y);
        } else {
            product::forward(self, x, weight, bias, y);
        }
    }

    /// Gradients from the gradient of `y`, and from `y` itself.
    pub fn backward<T: Scratch>(&self, tape: Tape<'_, T>, gradients: Gradients<'_, T>) {
        self.check(tape.x.len(), tape.weight.len(), self.outputs, tape.y.len());
        let of_x = gradients.x.as_ref().map_or(tape.x.len(), |of_x| of_x.len());
        self.check(of_x, gradients.weight.len(), gradients.bias.len(), tape.gradient.len());
        gradients.weight.fill(T::zero());
        gradients.bias.fill(T::zero());
        if tape.y.is_empty() {
            gradients.x.into_iter().for_each(|of_x| of_x.fill(T::zero()));
            return;
        }
        if self.is_narrow() {
            narrow::backward(self, tape, gradients);
        } else {
            product::backward(self, tape, gradients);
        }
    }

    fn check(&self, x: usize, weight: usize, bias: usize, y: usize) {
        let Self { rows, inputs, outputs, .. } = *self;
        let fits =
            [x, weight, bias, y] == [rows * inputs, inputs * outputs, outputs, rows * outputs];
        assert!(
            fits,
            "linear: x has {x} elements, the weights {weight}, the bias {bias}, y {y}, for {self:?}"
        );
    }
}
