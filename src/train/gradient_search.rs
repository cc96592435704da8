//! Search for the layer at which a gradient stops being finite: the way back of a batch, one layer at a time.
//! ```text
//! forward     x_i leaf,  (z_i, ln|det|_i) = layer_i(x_i)          each layer has a graph of its own
//! back        g_i = ∂/∂x_i [ ⟨g_{i+1}, z_i⟩ − mean ln|det|_i ]     last to first; the first g_i that is not finite names layer i
//! ```
//! What a composition does between its layers (splits, joins) goes back through the graph that it has.
//!
//! Numerics: the log-determinants of a variational dequantization enter the loss with the other sign, which makes no difference to what is
//! finite. Cost: about that of an update, and the memory of one.

use burn::tensor::{Gradients, Tensor};

use super::fault::Fault;
use crate::finite::all_finite;
use crate::layer::{Layer, LayerPath, LayerVisitor};

/// A layer on the way forward.
struct Stage<const D: usize> {
    path: String,
    what: &'static str,
    /// What came in, with the graph of what the composition did to it.
    input: Tensor<D>,
    /// The same, where this layer's graph begins.
    leaf: Tensor<D>,
    z: Tensor<D>,
    log_det: Tensor<1>,
    /// What went out, where the next graph begins.
    output: Tensor<D>,
    /// Of the loss by what went out.
    gradient: Option<Tensor<D>>,
}

/// Remembers the layers of one visit.
#[derive(Default)]
pub(super) struct GradientSearch<const D: usize> {
    stages: Vec<Stage<D>>,
}

impl<const D: usize> LayerVisitor<D> for GradientSearch<D> {
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D> {
        let leaf = x.clone().detach().require_grad();
        let (z, log_det) = layer.forward(leaf.clone());
        let output = z.clone().detach().require_grad();
        let (path, what) = (path.to_string(), layer.name());
        self.stages.push(Stage { path, what, input: x, leaf, z, log_det, output: output.clone(), gradient: None });
        output
    }
}

impl<const D: usize> GradientSearch<D> {
    /// The layer, after a visit whose result has this loss; `prior` is the path of what made it of the latents.
    pub(super) fn fault(mut self, loss: Tensor<1>, prior: &str) -> Option<Fault> {
        if !loss.is_tracked() {
            return None;
        }
        let gradients = loss.backward();
        let n_stages = self.stages.len();
        if !self.spread(&gradients, n_stages) {
            return Some(Fault { path: prior.into(), what: "log-density" });
        }
        for i in (0..n_stages).rev() {
            let Stage { leaf, z, log_det, input, gradient, .. } = &self.stages[i];
            let mut part = log_det.clone().mean().neg();
            if let Some(gradient) = gradient {
                part = part + (z.clone() * gradient.clone()).sum();
            }
            let Some(gradient) = leaf.grad(&part.backward()) else { continue };
            let glue = input.is_tracked().then(|| (input.clone() * gradient.clone()).sum());
            let finite = all_finite(&gradient);
            if !finite || glue.is_some_and(|glue| !self.spread(&glue.backward(), i)) {
                let Stage { path, what, .. } = self.stages.swap_remove(i);
                return Some(Fault { path, what });
            }
        }
        None
    }

    /// Adds what reached the outputs of the first `n` layers; whether all of it is finite.
    fn spread(&mut self, gradients: &Gradients, n: usize) -> bool {
        let mut finite = true;
        for stage in &mut self.stages[..n] {
            let Some(more) = stage.output.grad(gradients) else { continue };
            finite &= all_finite(&more);
            stage.gradient = Some(match stage.gradient.take() {
                Some(gradient) => gradient + more,
                None => more,
            });
        }
        finite
    }
}
