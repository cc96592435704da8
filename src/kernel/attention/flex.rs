//! The operation on tensors of burn's CPU backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::{AttentionGradient, AttentionOps};
use super::{check, cpu};
use crate::kernel::cpu::flex_slices::{Contiguous, Number, dims, tensor, with_number};
use crate::kernel::cpu::uninitialised::uninitialised;
use crate::kernel::operands::operands;

fn forward<T: Number>(
    projected: &FloatTensor<Flex>,
    heads: usize,
) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
    let checked = check(operands!("self_attention", projected), heads);
    let [batch, channels, positions] = dims(projected);
    let shape @ [batch, filters, positions] = [batch, channels / 3, positions];
    let mut output = uninitialised(batch * filters * positions, &checked);
    let mut log_sums = vec![T::zero(); batch * heads * positions];
    cpu::forward::<T>(
        Contiguous::of(projected).elements(),
        shape,
        heads,
        &mut output,
        &mut log_sums,
    );
    (tensor(output, shape), tensor(log_sums, [batch, heads, positions]))
}

fn backward<T: Number>(
    projected: &FloatTensor<Flex>,
    output: &FloatTensor<Flex>,
    log_sums: &FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    heads: usize,
) -> FloatTensor<Flex> {
    let checked =
        check(operands!("self_attention_backward", projected, output, log_sums, gradient), heads);
    let shape: [usize; 3] = dims(projected);
    let mut of_projected = uninitialised(shape.iter().product(), &checked);
    let [projected, output, log_sums, gradient] =
        [projected, output, log_sums, gradient].map(Contiguous::of);
    let (projected, output): (&[T], &[T]) = (projected.elements(), output.elements());
    let (log_sums, gradient): (&[T], &[T]) = (log_sums.elements(), gradient.elements());
    let [batch, channels, positions] = shape;
    let filters = [batch, channels / 3, positions];
    cpu::backward::<T>(projected, filters, heads, output, log_sums, gradient, &mut of_projected);
    tensor(of_projected, shape)
}

impl AttentionOps for Flex {
    fn self_attention(
        projected: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        with_number!(projected, forward(&projected, heads))
    }
}

impl AttentionGradient for Flex {
    fn self_attention_backward(
        projected: FloatTensor<Self>,
        output: FloatTensor<Self>,
        log_sums: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        with_number!(projected, backward(&projected, &output, &log_sums, &gradient, heads))
    }
}
