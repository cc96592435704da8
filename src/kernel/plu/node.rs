//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};

use super::{PluGradient, PluOps};
use crate::kernel::node::{backward, constant};

#[derive(Debug)]
struct Plu;

impl<B: PluOps + PluGradient> Backward<B, 3> for Plu {
    /// The factors and the permutation.
    type State = ([FloatTensor<B>; 3], IntTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 3>(ops, gradients, |(factors, permutation), gradient, _| {
            let [lower, upper, diagonal] = factors;
            let (lower, upper, diagonal) =
                B::plu_matrix_backward(lower, upper, diagonal, permutation, gradient);
            [Some(lower), Some(upper), Some(diagonal)]
        });
    }
}

impl<B: PluOps + PluGradient, C: CheckpointStrategy> PluOps for Autodiff<B, C> {
    fn plu_matrix(
        lower: FloatTensor<Self>,
        upper: FloatTensor<Self>,
        diagonal: FloatTensor<Self>,
        permutation: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        let ((lower, of_lower), (upper, of_upper)) = (lower.into_parts(), upper.into_parts());
        let (diagonal, of_diagonal) = diagonal.into_parts();
        match Plu.prepare::<C>([of_lower, of_upper, of_diagonal]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let factors = [lower.clone(), upper.clone(), diagonal.clone()];
                let output = B::plu_matrix(lower, upper, diagonal, permutation.clone());
                node.finish((factors, permutation), output)
            }
            OpsKind::UnTracked(node) => {
                node.finish(B::plu_matrix(lower, upper, diagonal, permutation))
            }
        }
    }

    fn plu_inverses(
        lower: FloatTensor<Self>,
        upper: FloatTensor<Self>,
        diagonal: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [lower, upper, diagonal] =
            [lower, upper, diagonal].map(|tensor| tensor.into_primitive());
        let (lower, upper) = B::plu_inverses(lower, upper, diagonal);
        (constant::<B, C>(lower), constant::<B, C>(upper))
    }
}
