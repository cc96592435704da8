//! The node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::{ExactProductGradient, ExactProductOps};
use crate::kernel::node::backward;

#[derive(Debug)]
struct ExactProduct;

impl<B: ExactProductOps + ExactProductGradient> Backward<B, 2> for ExactProduct {
    /// Matrices and columns.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 2>(ops, gradients, |(matrices, columns), gradient, wanted| {
            let [of_matrices, of_columns] = wanted;
            let operands = || (matrices.clone(), columns.clone(), gradient.clone());
            [
                of_matrices.then(|| {
                    let (matrices, columns, gradient) = operands();
                    B::exact_product_backward_of_matrices(matrices, columns, gradient)
                }),
                of_columns.then(|| {
                    let (matrices, columns, gradient) = operands();
                    B::exact_product_backward_of_columns(matrices, columns, gradient)
                }),
            ]
        });
    }
}

impl<B: ExactProductOps + ExactProductGradient, C: CheckpointStrategy> ExactProductOps
    for Autodiff<B, C>
{
    fn exact_product(matrices: FloatTensor<Self>, columns: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((matrices, of_matrices), (columns, of_columns)) =
            (matrices.into_parts(), columns.into_parts());
        match ExactProduct.prepare::<C>([of_matrices, of_columns]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::exact_product(matrices.clone(), columns.clone());
                node.finish((matrices, columns), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::exact_product(matrices, columns)),
        }
    }
}
