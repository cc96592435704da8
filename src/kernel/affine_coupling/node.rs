//! The nodes of the graph.

use std::ops::Range;

use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;

use super::AffineForm;
use super::{AffineCouplingGradient, AffineCouplingOps};
use crate::kernel::node::{backward, constant};

/// `z`.
#[derive(Debug)]
struct AffineCoupling;

impl<B: AffineCouplingOps + AffineCouplingGradient> Backward<B, 2> for AffineCoupling {
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
            [Some(x), Some(theta)]
        });
    }
}

/// The log-determinant.
#[derive(Debug)]
struct AffineLogDet;

impl<B: AffineCouplingOps + AffineCouplingGradient> Backward<B, 1> for AffineLogDet {
    /// `theta`.
    type State = (FloatTensor<B>, AffineForm);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        backward::<B, _, 1>(ops, gradients, |(theta, form), gradient, _| {
            [Some(B::affine_log_det_backward(theta, gradient, form))]
        });
    }
}

impl<B: AffineCouplingOps + AffineCouplingGradient, C: CheckpointStrategy> AffineCouplingOps
    for Autodiff<B, C>
{
    fn affine_coupling(
        x: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        let ((x, x_node), (theta, theta_node)) = (x.into_parts(), theta.into_parts());
        match AffineCoupling.prepare::<C>([x_node, theta_node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::affine_coupling(x.clone(), theta.clone(), form, range.clone());
                node.finish((x, theta, form, range), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::affine_coupling(x, theta, form, range)),
        }
    }

    fn affine_coupling_inverse(
        z: FloatTensor<Self>,
        theta: FloatTensor<Self>,
        form: AffineForm,
        range: Range<usize>,
    ) -> FloatTensor<Self> {
        // Callers that need its gradient use the plain operations.
        constant::<B, C>(B::affine_coupling_inverse(
            z.into_primitive(),
            theta.into_primitive(),
            form,
            range,
        ))
    }

    fn affine_log_det(theta: FloatTensor<Self>, form: AffineForm) -> FloatTensor<Self> {
        let (theta, node) = theta.into_parts();
        match AffineLogDet.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(node) => {
                let output = B::affine_log_det(theta.clone(), form);
                node.finish((theta, form), output)
            }
            OpsKind::UnTracked(node) => node.finish(B::affine_log_det(theta, form)),
        }
    }
}
