//! The operation in plain tensor operations: its definition, and its form without a kernel.

use burn::tensor::{Tensor, s};

use super::check_heads;
use crate::kernel::operands::operands;

/// Most scores in one buffer, 64 MiB in f32: a larger batch is processed in groups of examples.
/// WebGPU promises buffers of 128 MiB and no more.
const MAX_SCORES: usize = 1 << 24;

/// [`forward`](super::forward), with the scores in memory.
///
/// # Panics
/// Those of [`forward`](super::forward).
pub fn forward(projected: Tensor<4>, heads: usize) -> Tensor<4> {
    let [_, channels, h, w] = projected.dims();
    check_heads(&operands!("attention", projected), channels, heads);
    if projected.dims().contains(&0) {
        // No scores, and none to divide the batch by.
        return projected.slice(s![.., ..channels / 3]);
    }
    let together = (MAX_SCORES / (heads * (h * w).pow(2))).max(1);
    let parts = projected.split(together, 0).into_iter().map(|part| attend(part, heads)).collect();
    Tensor::cat(parts, 0)
}

/// Attention of some examples: `[B, 3F, H, W]` to `[B, F, H, W]`.
fn attend(projected: Tensor<4>, heads: usize) -> Tensor<4> {
    let [b, channels, h, w] = projected.dims();
    let (f, positions) = (channels / 3, h * w);
    let d = f / heads;
    let part =
        |index: usize| projected.clone().narrow(1, index * f, f).reshape([b, heads, d, positions]);
    let query = part(0).swap_dims(2, 3).mul_scalar((d as f64).powf(-0.5));
    let scores = query.matmul(part(1));
    // softmax(s)·v = (e·v)/(e·1) with e = exp(s − max s). A division after the product takes d
    // elements per position, not H·W. The sum is at least 1, the exponential of the largest score.
    let exponentials = (scores.clone() - scores.detach().max_dim(3)).exp();
    let values = part(2).swap_dims(2, 3);
    let ones = values.clone().narrow(3, 0, 1).detach().ones_like();
    let sums = exponentials.matmul(Tensor::cat(vec![values, ones], 3));
    let mixed = sums.clone().narrow(3, 0, d) / sums.narrow(3, d, 1);
    mixed.swap_dims(2, 3).reshape([b, f, h, w])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[test]
    fn nothing_attends_to_nothing() {
        for shape in [[0, 6, 2, 3], [2, 6, 0, 3], [2, 6, 3, 0]] {
            let y = forward(Tensor::zeros(shape, &Device::flex()), 2);
            assert_eq!(y.dims(), [shape[0], 2, shape[2], shape[3]]);
        }
    }

    #[test]
    fn groups_attend_as_the_whole_does() {
        let heads = 2;
        // 2^17 scores per example, so 128 examples per group and three groups.
        let x =
            Tensor::<4>::random([260, 6, 16, 16], Distribution::Normal(0.0, 1.0), &Device::flex());
        assert!(260 * heads * 256 * 256 > 2 * MAX_SCORES);
        let grouped = forward(x.clone(), heads);
        let difference = (grouped - attend(x, heads)).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-6, "{difference}");
    }
}
