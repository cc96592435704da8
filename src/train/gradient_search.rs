//! Search for the layer at which a gradient stops being finite: one backward pass, with a probe at
//! the input of each layer.
//! ```text
//! forward     x_i + p_i,  p_i = 0 a leaf      into layer i;  z + p  into the prior
//! backward    ∂L/∂p_i = ∂L/∂x_i               the gradient at the input of layer i, whatever joins
//!                                             and splits follow
//! fault       the last i in the order of forward for which ∂L/∂p_i, or the gradient of a
//!             parameter of layer i, is not finite
//! ```
//! All layers lie on one graph, since their conditions may come from one part of the model: the
//! encoder of a variational dequantization has one output for all layers of its noise flow. The
//! condition and the batch of the caller are constants here, because the update has already
//! consumed the graph that they may belong to.
//!
//! # Numerics
//! The log-determinants of a variational dequantization enter the loss of the search with the same
//! sign as those of the flow. Which gradients are finite does not depend on that sign.
//!
//! # Cost
//! About the time of an update, and its memory with a second input for each layer.

use std::borrow::Cow;
use std::collections::HashSet;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::non_finite_place::NonFinitePlace;
use crate::bijector::replay::parameter_gradients;
use crate::bijector::visit::{Layer, LayerPath, LayerVisitor};
use crate::tensor::finite::all_finite;
use crate::tensor::graph::constant;
use crate::tensor::parameter_path::ParameterPath;
use crate::tensor::per_example::weighted_mean;

/// A layer or another part of the model, in the order of the forward pass.
struct Stage<const D: usize> {
    path: String,
    what: Cow<'static, str>,
    /// Zeros that were added to the input. A part that is not a layer has none.
    probe: Option<Tensor<D>>,
}

/// Remembers the layers of one visit.
pub(super) struct GradientSearch<const D: usize> {
    device: Device,
    stages: Vec<Stage<D>>,
    /// Sum of the log-determinants so far, `[batch]`.
    log_det: Option<Tensor<1>>,
}

impl<const D: usize> LayerVisitor<D> for GradientSearch<D> {
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D> {
        let x = self.begin(path.to_string(), layer.name(), x);
        let (z, log_det) = layer.forward(x);
        self.log_det = Some(match self.log_det.take() {
            Some(sum) => sum + log_det,
            None => log_det,
        });
        z
    }

    fn part(&mut self, path: &LayerPath, _: &dyn Fn() -> bool) {
        self.stages.push(Stage { path: path.to_string(), what: "network".into(), probe: None });
    }
}

impl<const D: usize> GradientSearch<D> {
    /// A search on the graphs of `device`, or `None` for a model outside any graph, which has no
    /// gradient to search.
    pub(super) fn new<M: Module>(model: &M, device: Device) -> Option<Self> {
        let on_graph = model.devices().iter().all(Device::is_autodiff);
        on_graph.then(|| Self { device, stages: Vec::new(), log_det: None })
    }

    /// `x` plus a probe, at the input of the stage that begins here.
    fn begin(
        &mut self,
        path: String,
        what: impl Into<Cow<'static, str>>,
        x: Tensor<D>,
    ) -> Tensor<D> {
        // The input of the first layer may lie on a graph of the caller, which the update has
        // consumed.
        let first = self.stages.iter().all(|stage| stage.probe.is_none());
        let x = if x.is_autodiff() && !first { x } else { constant(x, &self.device) };
        let probe = constant(x.clone().inner().zeros_like(), &self.device).require_grad();
        let what = what.into();
        self.stages.push(Stage { path, what, probe: Some(probe.clone()) });
        x + probe
    }

    /// The fault of a gradient, after a visit of the layers of `model` that ended in `z`. `prior`
    /// is the path of the module that computes the log-density of the latents, `weights` are those
    /// of the examples.
    pub(super) fn fault<M: Module>(
        mut self,
        model: &M,
        z: Tensor<D>,
        prior: &str,
        weights: Option<&[f64]>,
        log_density: impl FnOnce(Tensor<D>) -> Tensor<1>,
    ) -> Option<NonFinitePlace> {
        let z = self.begin(prior.into(), "log-density", z);
        let mut log_prob = log_density(z);
        if let Some(log_det) = self.log_det.take() {
            log_prob = log_prob + log_det;
        }
        let gradients = weighted_mean(log_prob, weights).neg().backward();
        let arrived =
            |probe: &Tensor<D>| probe.grad(&gradients).is_none_or(|found| all_finite(&found));
        let finite: Vec<bool> =
            self.stages.iter().map(|stage| stage.probe.as_ref().is_none_or(arrived)).collect();
        let gradients = parameter_gradients(model, gradients);
        let parameters = NonFiniteParameters::of(model, &gradients);
        let at_fault =
            |(stage, finite): &(Stage<D>, bool)| !finite || parameters.within(&stage.path);
        let (Stage { path, what, .. }, _) = self.stages.into_iter().zip(finite).rfind(at_fault)?;
        Some(NonFinitePlace { path, what })
    }
}

/// Paths of the parameters whose gradients are not finite.
struct NonFiniteParameters<'a> {
    gradients: &'a GradientsParams,
    path: ParameterPath,
    /// Only the first place of a parameter: the gradient is the sum over all its places.
    seen: HashSet<ParamId>,
    paths: Vec<String>,
}

impl<'a> NonFiniteParameters<'a> {
    fn of<M: Module>(model: &M, gradients: &'a GradientsParams) -> Self {
        let (path, seen, paths) = (ParameterPath::default(), HashSet::new(), Vec::new());
        let mut found = Self { gradients, path, seen, paths };
        model.visit(&mut found);
        found
    }

    /// Whether one of them belongs to the part of the model at `path`.
    fn within(&self, path: &str) -> bool {
        self.paths
            .iter()
            .filter_map(|found| found.strip_prefix(path))
            .any(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl ModuleVisitor for NonFiniteParameters<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
        let gradient = self.gradients.get::<R>(param.id).filter(|_| self.seen.insert(param.id));
        if gradient.is_some_and(|gradient| !all_finite(&gradient)) {
            self.paths.push(self.path.join());
        }
    }
}
