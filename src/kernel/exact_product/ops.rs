//! What a backend implements, and the node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::Shape;

use crate::kernel::node::backward;

/// [The operation](super) on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(Cube, Fusion, Autodiff)]
pub trait ExactProductOps: Backend {
    /// `matrices [G, m, k]` and `columns [B, G, k, P]` to `[B, G, m, P]`.
    #[fusion(dtype = columns, shape = product(matrices, columns))]
    fn exact_product(matrices: FloatTensor<Self>, columns: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The gradients of [the operation](super). Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`ExactProductOps`].
#[backend_extension(Cube, Fusion)]
pub trait ExactProductGradient: Backend {
    /// Gradient of `columns`.
    #[fusion(dtype = columns, shape = columns)]
    fn exact_product_backward_of_columns(
        matrices: FloatTensor<Self>,
        columns: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Gradient of `matrices`.
    #[fusion(dtype = matrices, shape = matrices)]
    fn exact_product_backward_of_matrices(
        matrices: FloatTensor<Self>,
        columns: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The shape of the products.
fn product(matrices: &Shape, columns: &Shape) -> Shape {
    [columns[0], columns[1], matrices[1], columns[3]].into()
}

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
