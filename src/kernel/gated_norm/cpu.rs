//! The operation on slices, one example at a time: intermediate results stay in the cache and never
//! become tensors.
//!
//! # Numerics
//! Those of the parts. The gradients of parameters are summed over each block of examples, then
//! over the blocks in order. The blocks depend only on the shape.

use crate::kernel::channel_norm::cpu as channel_norm;
use crate::kernel::channel_norm::cpu::ChannelNorm;
use crate::kernel::conv2d::cpu as conv2d;
use crate::kernel::conv2d::cpu::Conv2d;
use crate::kernel::cpu::scratch::{Scratch, cut};
use crate::kernel::cpu::simd::InstructionSet;
use crate::kernel::cpu::tasks::{Cost, IndexedParallelIterator, ParallelSlice, ParallelSliceMut};
use crate::kernel::cpu::tasks::{for_each, items_per_sum};
use crate::kernel::gated_residual::cpu as gated_residual;

/// The parts of the operation, for one example.
#[derive(Debug, Clone, Copy)]
pub struct GatedNorm {
    /// The convolution from `c` to the gate.
    pub conv: Conv2d,
    pub norm: ChannelNorm,
    /// Number of elements of `x`.
    pub length: usize,
    /// Number of elements of `c`.
    pub c_length: usize,
    pub set: InstructionSet,
}

/// The operands except the shift.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a, T> {
    pub x: &'a [T],
    pub c: &'a [T],
    pub weight: &'a [T],
    pub bias: &'a [T],
    pub gain: &'a [T],
}

/// The slices for the gradients. All of them are written in full.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    pub x: &'a mut [T],
    pub c: &'a mut [T],
    pub weight: &'a mut [T],
    pub bias: &'a mut [T],
    pub gain: &'a mut [T],
    pub shift: &'a mut [T],
}

impl GatedNorm {
    /// `y` of a batch.
    ///
    /// # Panics
    /// If the lengths do not match, here and below.
    pub fn forward<T: Scratch>(&self, operands: Operands<'_, T>, shift: &[T], y: &mut [T]) {
        let Operands { x, c, weight, bias, gain } = operands;
        self.check(x.len(), c.len(), y.len());
        let Self { conv, norm, length, c_length, set } = *self;
        if y.is_empty() {
            return;
        }
        let examples =
            y.par_chunks_mut(length).zip(x.par_chunks(length)).zip(c.par_chunks(c_length));
        for_each(examples, self.forward_cost(), |((y, x), c)| {
            T::with_scratch(3 * length, |mut scratch| {
                let (h, sum) = (cut(&mut scratch, 2 * length), cut(&mut scratch, length));
                conv.forward(c, weight, Some(bias), h);
                gated_residual::forward(set, length, x, h, sum);
                norm.forward(sum, gain, shift, y);
            });
        });
    }

    /// Of an example, from its parts: here and below.
    fn forward_cost(&self) -> Cost {
        let each = gated_residual::FORWARD.plus(channel_norm::FORWARD);
        self.conv.cost().plus(each.times(self.length))
    }

    fn backward_cost(&self) -> Cost {
        let each =
            gated_residual::FORWARD.plus(channel_norm::BACKWARD).plus(gated_residual::BACKWARD);
        self.conv.cost().times(3).plus(each.times(self.length))
    }

    fn check(&self, x: usize, c: usize, y: usize) {
        let fits = y == x
            && x * self.c_length == c * self.length
            && (x == 0 || x.is_multiple_of(self.length));
        assert!(fits, "gated_norm: x has {x} elements, c {c}, the result {y}, for {self:?}");
    }

    /// Gradients from the gradient of `y`.
    pub fn backward<T: Scratch>(
        &self,
        operands: Operands<'_, T>,
        gradient: &[T],
        gradients: Gradients<'_, T>,
    ) {
        let Operands { x, c, weight, bias, gain } = operands;
        let Self { conv, norm, length, c_length, set } = *self;
        self.check(x.len(), c.len(), gradient.len());
        self.check(gradients.x.len(), gradients.c.len(), x.len());
        let sizes = [weight.len(), bias.len(), gain.len(), gain.len()];
        let results = [&gradients.weight, &gradients.bias, &gradients.gain, &gradients.shift]
            .map(|of| of.len());
        assert_eq!(results, sizes, "gated_norm: gradients of weights, bias, gain and shift");
        let size: usize = sizes.iter().sum();
        let mut totals = [gradients.weight, gradients.bias, gradients.gain, gradients.shift];
        totals.iter_mut().for_each(|total| total.fill(T::zero()));
        if x.is_empty() {
            return;
        }
        let cost = self.backward_cost();
        let examples = items_per_sum(x.len() / length, cost, size);
        let (block, c_block) = (examples * length, examples * c_length);
        let mut sums = vec![T::zero(); x.len().div_ceil(block) * size];
        let inputs = x.par_chunks(block).zip(c.par_chunks(c_block)).zip(gradient.par_chunks(block));
        let outputs = gradients.x.par_chunks_mut(block).zip(gradients.c.par_chunks_mut(c_block));
        let blocks = inputs.zip(outputs).zip(sums.par_chunks_mut(size));
        for_each(blocks, cost.times(examples), |((((x, c), gradient), (of_x, of_c)), sums)| {
            T::with_scratch(5 * length + size, |mut scratch| {
                let (h, of_h) = (cut(&mut scratch, 2 * length), cut(&mut scratch, 2 * length));
                let (sum, part) = (cut(&mut scratch, length), scratch);
                let examples = x
                    .chunks_exact(length)
                    .zip(c.chunks_exact(c_length))
                    .zip(gradient.chunks_exact(length));
                let outputs = of_x.chunks_exact_mut(length).zip(of_c.chunks_exact_mut(c_length));
                for (((x, c), gradient), (of_x, of_c)) in examples.zip(outputs) {
                    conv.forward(c, weight, Some(bias), h);
                    gated_residual::forward(set, length, x, h, sum);
                    let mut rest = &mut part[..];
                    let [weight_part, bias_part, gain_part, shift_part] =
                        sizes.map(|size| cut(&mut rest, size));
                    let of_norm =
                        channel_norm::Gradients { x: of_x, gain: gain_part, shift: shift_part };
                    norm.backward(sum, gain, gradient, of_norm);
                    gated_residual::backward(set, length, h, of_x, of_h);
                    let of_conv = conv2d::Gradients {
                        x: Some(of_c),
                        weight: Some(weight_part),
                        bias: Some(bias_part),
                    };
                    conv.backward(c, weight, of_h, of_conv);
                    for (sum, &part) in sums.iter_mut().zip(&*part) {
                        *sum += part;
                    }
                }
            });
        });
        for sums in sums.chunks_exact(size) {
            for (total, &sum) in totals.iter_mut().flat_map(|total| total.iter_mut()).zip(sums) {
                *total += sum;
            }
        }
    }
}
