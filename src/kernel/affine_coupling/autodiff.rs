//! The nodes on the graph.

use std::ops::Range;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::AffineForm;
use crate::kernel::NetworkOps;
use crate::kernel::node::backward;

/// `z`.
#[derive(Debug)]
struct AffineCoupling;

impl<B: NetworkOps> Backward<B, 2> for AffineCoupling {
    /// `x` and `theta`.
    type State = (FloatTensor<B>, FloatTensor<B>, AffineForm, Range<usize>);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 2>(ops, gradients, |(x, theta, form, range), gradient, _| {
            let (x, theta) = B::affine_coupling_backward(x, theta, gradient, form, range);
            [x, theta]
        });
    }
}

pub fn coupling<B: NetworkOps, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    theta: FloatTensor<Autodiff<B, C>>,
    form: AffineForm,
    range: Range<usize>,
) -> FloatTensor<Autodiff<B, C>> {
    let ((x, x_node), (theta, theta_node)) = (x.into_parts(), theta.into_parts());
    match AffineCoupling.prepare::<C>([x_node, theta_node]).compute_bound().stateful() {
        OpsKind::Tracked(node) => {
            let output = B::affine_coupling(x.clone(), theta.clone(), form, range.clone());
            node.finish((x, theta, form, range), output)
        }
        OpsKind::UnTracked(node) => node.finish(B::affine_coupling(x, theta, form, range)),
    }
}

/// The log-determinant.
#[derive(Debug)]
struct AffineLogDet;

impl<B: NetworkOps> Backward<B, 1> for AffineLogDet {
    /// `theta`.
    type State = (FloatTensor<B>, AffineForm);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 1>(ops, gradients, |(theta, form), gradient, _| {
            [B::affine_log_det_backward(theta, gradient, form)]
        });
    }
}

pub fn log_det<B: NetworkOps, C: CheckpointStrategy>(
    theta: FloatTensor<Autodiff<B, C>>,
    form: AffineForm,
) -> FloatTensor<Autodiff<B, C>> {
    let (theta, node) = theta.into_parts();
    match AffineLogDet.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(node) => {
            let output = B::affine_log_det(theta.clone(), form);
            node.finish((theta, form), output)
        }
        OpsKind::UnTracked(node) => node.finish(B::affine_log_det(theta, form)),
    }
}
