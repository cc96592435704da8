//! Backward pass. It uses only the arguments of the forward pass.

use super::packed_weights::{Out, PackedWeights};
use super::{Border, Conv2d, ConvShape, PreActivation, SUMMING};
use crate::kernel::concat_elu::cpu::ApplySlopes;
use crate::kernel::cpu::remainder::lane_sum;
use crate::kernel::cpu::scratch::{Scratch, cut};
use crate::kernel::cpu::simd::{Kernel, MultiplyAdd, Real};
use crate::kernel::cpu::tasks::{IndexedParallelIterator, ParallelSlice, ParallelSliceMut};
use crate::kernel::cpu::tasks::{for_each, items_per_task};

/// The slices for the gradients. Only those that are given are computed.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// Gradient of `x`.
    pub x: Option<&'a mut [T]>,
    /// Gradient of the weights.
    pub weight: Option<&'a mut [T]>,
    /// Gradient of the bias.
    pub bias: Option<&'a mut [T]>,
}

impl Conv2d {
    /// Gradients from the gradient of the sums. [`mask`](super::mask) computes it from the gradient
    /// of the result of a ReLU.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn backward<T: Scratch>(&self, x: &[T], w: &[T], gy: &[T], gradients: Gradients<'_, T>) {
        self.check(x.len(), w.len(), gy.len());
        let lengths = |gradient: &Option<&mut [T]>, length| {
            gradient.as_ref().is_none_or(|g| g.len() == length)
        };
        let fits = lengths(&gradients.x, x.len()) && lengths(&gradients.weight, w.len());
        assert!(
            fits && lengths(&gradients.bias, self.shape.outputs),
            "conv2d: lengths of the gradients"
        );
        let Gradients { x: gx, weight: mut gw, bias: gb } = gradients;
        if let Some(gx) = gx {
            if self.is_empty() {
                gx.fill(T::zero());
            } else if self.suits_winograd() {
                self.winograd_input_gradient(x, w, gy, gx);
            } else {
                self.input_gradient(x, w, gy, gx);
            }
        }
        if let Some(gw) = &mut gw {
            if self.is_empty() {
                gw.fill(T::zero());
            } else if self.suits_winograd() {
                self.winograd_weight_gradient(x, gy, gw);
            } else {
                self.weight_gradient(x, gy, gw);
            }
        }
        match (self.stages.border, gb) {
            (Border::Channel, gb) => self.border_gradient(gy, gb, gw),
            (Border::Zeros, Some(gb)) => self.bias_gradient(gy, gb),
            (Border::Zeros, None) => {}
        }
    }

    fn input_gradient<T: Scratch>(&self, x: &[T], w: &[T], gy: &[T], gx: &mut [T]) {
        let ConvShape { inputs, outputs, width, .. } = self.shape;
        let packed = PackedWeights::backward(self, w);
        let (pixels, factor) = (self.pixels(), self.stages.before.factor());
        // Channels of `x`.
        let block = self.outputs_per_task(inputs).div_ceil(factor);
        let tile = match self.stages.before {
            PreActivation::Identity => 0,
            PreActivation::ConcatElu => factor * block * packed.tile_rows() * width,
        };
        let examples =
            gx.par_chunks_mut(self.example_length()).zip(x.par_chunks(self.example_length()));
        let examples = examples.zip(gy.par_chunks(outputs * pixels));
        let cost = self.cost().part(inputs.div_ceil(block * factor));
        for_each(examples, self.cost(), |((gx, x), gy)| {
            let blocks = gx.par_chunks_mut(block * pixels).zip(x.par_chunks(block * pixels));
            for_each(blocks.enumerate(), cost, |(index, (gx, x))| {
                let first = index * block * factor;
                let places = first..first + gx.len() / pixels * factor;
                T::with_scratch(packed.scratch() + tile, |mut scratch| {
                    let tile = cut(&mut scratch, tile);
                    for rows in self.tiles(packed.tile_rows()) {
                        let within = rows.start * width..rows.end * width;
                        if self.stages.before == PreActivation::Identity {
                            let out = Out { data: &mut gx[within.start..], stride: pixels };
                            packed.run(gy, places.clone(), rows, scratch, out);
                            continue;
                        }
                        let stride = within.len();
                        packed.run(
                            gy,
                            places.clone(),
                            rows,
                            scratch,
                            Out { data: &mut *tile, stride },
                        );
                        let channels = gx.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels));
                        for ((gx, x), g) in channels.zip(tile.chunks_exact(2 * stride)) {
                            let (positive, negative) = g.split_at(stride);
                            let (x, gx) = (&x[within.clone()], &mut gx[within.clone()]);
                            self.set.dispatch(ApplySlopes { x, positive, negative, gx });
                        }
                    }
                });
            });
        });
    }

    fn bias_gradient<T: Real>(&self, gy: &[T], gb: &mut [T]) {
        gb.fill(T::zero());
        if gy.is_empty() {
            return;
        }
        let (pixels, length) = (self.pixels(), gb.len() * self.pixels());
        let cost = SUMMING.times(self.shape.batch * pixels);
        let outputs = items_per_task(cost);
        for_each(gb.par_chunks_mut(outputs).enumerate(), cost.times(outputs), |(index, gb)| {
            let gy = &gy[index * outputs * pixels..];
            self.set.dispatch(BiasGradient { gy, length, gb, pixels });
        });
    }
}

/// `gb[o] = Σ_{b, p} gy[b, o, p]` for some outputs.
struct BiasGradient<'a, T> {
    /// Starts at the first of these outputs; an example has `length` elements.
    gy: &'a [T],
    length: usize,
    gb: &'a mut [T],
    pixels: usize,
}

impl<T: Real> Kernel for BiasGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<M: MultiplyAdd>(self) {
        for example in self.gy.chunks(self.length) {
            for (sum, gy) in self.gb.iter_mut().zip(example.chunks_exact(self.pixels)) {
                *sum += lane_sum(gy);
            }
        }
    }
}
