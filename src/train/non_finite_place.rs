//! NonFinitePlace: the first place of a model whose numbers are not finite.
//!
//! After a loss that is not finite, [`Objective::fault`](super::Objective::fault) runs the batch
//! again with the same draws, layer by layer ([`crate::bijector::visit`]), and stops being
//! surprised at the first layer whose output or log-determinant holds a NaN or an infinity: **first
//! in the order of forward**, from data to latents. A gradient is searched the other way round,
//! from the loss back to the data
//! ([`Objective::gradient_fault`](super::Objective::gradient_fault)).

use std::borrow::Cow;
use std::fmt::{Display, Formatter, Result as FmtResult};

use burn::tensor::Tensor;

use crate::bijector::visit::{Layer, LayerPath, LayerVisitor};
use crate::tensor::finite::all_finite;

/// Where numbers stopped being finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonFinitePlace {
    /// Path from the root of the model, as in the names of its parameters:
    /// `bijector.1.0.steps.3.2.conditioner`.
    pub path: String,
    /// What is there: the type of a layer, or the part's role.
    pub what: Cow<'static, str>,
}

impl Display for NonFinitePlace {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self { path, what } = self;
        write!(f, "`{path}` ({what})")
    }
}

/// Finds the first fault. Runs every layer, so that what comes after the fault keeps its shape.
#[derive(Debug, Default)]
pub(super) struct PlaceSearch {
    pub(super) fault: Option<NonFinitePlace>,
}

impl PlaceSearch {
    /// Notes a fault, unless there was an earlier one.
    pub(super) fn note(&mut self, path: String, what: impl Into<Cow<'static, str>>) {
        let what = what.into();
        self.fault.get_or_insert(NonFinitePlace { path, what });
    }
}

impl<const D: usize> LayerVisitor<D> for PlaceSearch {
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D> {
        let searching = self.fault.is_none();
        let (z, log_det) = layer.forward_observed(x, &mut |name, finite| {
            if searching && self.fault.is_none() && !finite() {
                self.note(format!("{path}.{name}"), layer.name());
            }
        });
        if self.fault.is_none() && !(all_finite(&z) && all_finite(&log_det)) {
            self.note(path.to_string(), layer.name());
        }
        // One layer's graph at a time.
        z.detach()
    }

    fn part(&mut self, path: &LayerPath, finite: &dyn Fn() -> bool) {
        if self.fault.is_none() && !finite() {
            self.note(path.to_string(), "network");
        }
    }
}
