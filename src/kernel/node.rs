//! Code that the nodes of a graph share.

use burn::backend::Backend;
use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::Ops;
use burn::backend::tensor::FloatTensor;

/// A tensor through which no gradient flows.
pub fn constant<B: Backend, C: CheckpointStrategy>(
    tensor: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    <Autodiff<B, C> as burn::backend::AutodiffBackend>::from_inner(tensor)
}

/// Registers the gradients of the operands of a node. `of` computes them from the state of the
/// node, the gradient of its result, and which operands need one; those of others it may leave out.
/// It is burn's `unary` for any number of operands.
pub fn backward<B: Backend, S, const N: usize>(
    ops: Ops<S, N>,
    gradients: &mut Gradients,
    of: impl FnOnce(S, FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N],
) {
    let gradient = gradients.consume::<B>(&ops.node);
    let wanted = std::array::from_fn(|index| ops.parents[index].is_some());
    for (node, gradient) in ops.parents.into_iter().zip(of(ops.state, gradient, wanted)) {
        if let Some(node) = node {
            let gradient = gradient.expect("a gradient of each operand that needs one");
            gradients.register::<B>(node.id, gradient);
        }
    }
}
