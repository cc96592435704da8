//! What a backend implements, and the node of the graph.

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn::tensor::Shape;

use super::SplineShape;
use crate::kernel::node::{backward, constant};

/// [The operation](super) on a backend's tensors.
///
/// # Panics
/// Every method, before it computes anything, if shapes or types of its tensors are not the
/// documented ones. The message names the operand, what was expected, and all operands found.
#[backend_extension(Cube, Fusion, Autodiff)]
pub trait SplineOps: Backend {
    /// [`forward`](super::forward) maps `x [batch, dims]` and `theta [batch, 3K − 1, dims]` to `z`
    /// and the log-derivative, `[2, batch, dims]`.
    #[fusion(dtype = x, shape = both(x))]
    fn spline(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self>;

    /// [`inverse`](super::inverse) maps `z [batch, dims]` to `x [batch, dims]`. It is a constant of
    /// the graph.
    #[fusion(dtype = z, shape = z)]
    fn spline_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self>;
}

/// The gradients of [the operation](super). Only the node of the graph calls these methods, on
/// tensors of the backend below autodiff.
///
/// # Panics
/// As in [`SplineOps`].
#[backend_extension(Cube, Fusion)]
pub trait SplineGradient: Backend {
    /// Gradients of `x` and `theta` from those of both outputs, `gradient [2, batch, dims]`.
    #[fusion(meta = |x, theta, _gradient, _spline| (x.clone(), theta.clone()))]
    fn spline_backward(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        spline: SplineShape,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The shape of both outputs.
fn both(x: &Shape) -> Shape {
    [2, x[0], x[1]].into()
}

/// `z` and the log-derivative, stacked in one node, since a node of burn has one output.
#[derive(Debug)]
struct Spline;

impl<B: SplineOps + SplineGradient> Backward<B, 2> for Spline {
    /// `x` and `theta`; everything else is recomputed.
    type State = (FloatTensor<B>, FloatTensor<B>, SplineShape);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 2>(ops, gradients, |(x, theta, spline), gradient, _| {
            let (x, theta) = B::spline_backward(x, theta, gradient, spline);
            [Some(x), Some(theta)]
        });
    }
}

impl<B: SplineOps + SplineGradient, C: CheckpointStrategy> SplineOps for Autodiff<B, C> {
    fn spline(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (theta, theta_node)) = (x.into_parts(), theta.into_parts());
        match Spline.prepare::<C>([x_node, theta_node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::spline(x.clone(), theta.clone(), spline);
                node.finish((x, theta, spline), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::spline(x, theta, spline)),
        }
    }

    fn spline_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        spline: SplineShape,
    ) -> FloatTensor<Self> {
        // The gradient of the solution is that of `forward` there, which callers attach.
        constant::<B, C>(B::spline_inverse(z.into_primitive(), theta.into_primitive(), spline))
    }
}
