//! Forward pass.

use super::bias_and_epilogue::{Bias, BiasAndEpilogue};
use super::packed_weights::{Out, PackedWeights};
use super::{Border, Conv2d, ConvShape, ConvStages};
use crate::kernel::cpu::scratch::Scratch;
use crate::kernel::cpu::tasks::{IndexedParallelIterator, ParallelSlice, ParallelSliceMut};
use crate::kernel::cpu::tasks::{for_each, items_per_task, pieces};

/// Fewest channels that a task computes: products of fewer rows are slow.
const CHANNELS: usize = 32;

impl Conv2d {
    /// `y` from `x`.
    ///
    /// # Panics
    /// If a slice does not have the length of its shape.
    pub fn forward<T: Scratch>(&self, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) {
        self.check(x.len(), w.len(), y.len());
        let ConvShape { outputs, .. } = self.shape;
        if let Some(bias) = bias {
            assert_eq!(bias.len(), outputs, "conv2d: length of the bias");
        }
        if y.is_empty() {
            return;
        }
        let winograd = self.suits_winograd() && !self.is_empty();
        match self.stages.border {
            Border::Zeros => self.forward_with(x, w, bias.map_or(Bias::Nothing, Bias::Outputs), y),
            Border::Channel => {
                let pitch = winograd.then(|| self.made().pitch());
                self.with_border_channel(w, bias, pitch, |bias| self.forward_with(x, w, bias, y));
            }
        }
    }

    /// The biases of pixels are `[P][pitch]` for Winograd's algorithm, and `[O][P]` otherwise.
    fn forward_with<T: Scratch>(&self, x: &[T], w: &[T], bias: Bias<'_, T>, y: &mut [T]) {
        let (ConvShape { outputs, .. }, ConvStages { epilogue, .. }) = (self.shape, self.stages);
        if self.is_empty() {
            // There is nothing to sum, but there may be something to write.
            y.fill(T::zero());
            for y in y.chunks_exact_mut((outputs * self.pixels()).max(1)) {
                self.set.dispatch(BiasAndEpilogue { y, bias, pixels: self.pixels(), epilogue });
            }
            return;
        }
        if self.suits_winograd() {
            return self.winograd_forward(x, w, bias, y);
        }
        let packed = PackedWeights::forward(self, w);
        let pixels = self.pixels();
        let block = self.outputs_per_task(outputs);
        let examples = y.par_chunks_mut(outputs * pixels).zip(x.par_chunks(self.example_length()));
        let cost = self.cost().part(outputs.div_ceil(block));
        for_each(examples, self.cost(), |(y, x)| {
            for_each(y.par_chunks_mut(block * pixels).enumerate(), cost, |(index, y)| {
                let channels = index * block..index * block + y.len() / pixels;
                let bias = bias.of(channels.clone(), pixels);
                T::with_scratch(packed.scratch(), |scratch| {
                    for rows in self.tiles(packed.tile_rows()) {
                        let data = &mut y[rows.start * self.shape.width..];
                        packed.run(
                            x,
                            channels.clone(),
                            rows,
                            scratch,
                            Out { data, stride: pixels },
                        );
                    }
                    self.set.dispatch(BiasAndEpilogue { y, bias, pixels, epilogue });
                });
            });
        });
    }

    /// Number of channels that a task computes, of a result with `channels` channels. Each task
    /// unrolls the input for itself, which pays only if there are few examples.
    pub(super) fn outputs_per_task(&self, channels: usize) -> usize {
        let worth = items_per_task(self.cost().part(channels)).max(CHANNELS);
        channels.div_ceil(pieces(self.shape.batch)).max(worth).min(channels)
    }
}
