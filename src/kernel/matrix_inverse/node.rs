//! The nodes of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use super::MatrixInverseOps;
use crate::kernel::exact_product::ExactProductOps;
use crate::kernel::node::{backward, constant};

#[derive(Debug)]
struct LogAbsDet;

#[derive(Debug)]
struct Inverse;

/// The transposes of matrices `[G, n, n]`.
fn transposed<B: Backend>(matrices: FloatTensor<B>) -> FloatTensor<B> {
    B::float_swap_dims(matrices, 1, 2)
}

impl<B: Backend> Backward<B, 1> for LogAbsDet {
    /// The inverses.
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 1>(ops, gradients, |inverses, gradient, _| {
            let groups = gradient.shape()[0];
            let gradient = B::float_reshape(gradient, [groups, 1, 1].into());
            [Some(B::float_mul(transposed::<B>(inverses), gradient))]
        });
    }
}

impl<B: ExactProductOps> Backward<B, 1> for Inverse {
    /// The inverses.
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 1>(ops, gradients, |inverses, gradient, _| {
            let shape = gradient.shape();
            let [groups, n, _] = shape.dims();
            let columns = |tensor| B::float_reshape(tensor, [1, groups, n, n].into());
            let transposed = transposed::<B>(inverses);
            let right = B::exact_product(gradient, columns(transposed.clone()));
            let both = B::exact_product(transposed, right);
            [Some(B::float_neg(B::float_reshape(both, shape)))]
        });
    }
}

impl<B: MatrixInverseOps + ExactProductOps, C: CheckpointStrategy> MatrixInverseOps
    for Autodiff<B, C>
{
    fn inverse_and_log_abs_det(
        matrices: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (inverses, log_dets) = B::inverse_and_log_abs_det(matrices.into_primitive());
        (constant::<B, C>(inverses), constant::<B, C>(log_dets))
    }

    fn inverse_of(matrices: FloatTensor<Self>, inverses: FloatTensor<Self>) -> FloatTensor<Self> {
        let (_, of_matrices) = matrices.into_parts();
        let inverses = inverses.into_primitive();
        match Inverse.prepare::<C>([of_matrices]).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish(inverses.clone(), inverses),
            OpsKind::UnTracked(node) => node.finish(inverses),
        }
    }

    fn log_abs_det_of(
        matrices: FloatTensor<Self>,
        inverses: FloatTensor<Self>,
        log_dets: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (_, of_matrices) = matrices.into_parts();
        let (inverses, log_dets) = (inverses.into_primitive(), log_dets.into_primitive());
        match LogAbsDet.prepare::<C>([of_matrices]).compute_bound().stateful() {
            OpsKind::Tracked(node) => node.finish(inverses, log_dets),
            OpsKind::UnTracked(node) => node.finish(log_dets),
        }
    }
}
