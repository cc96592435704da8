//! NonFinitePlace: the first place of a model whose values are not finite.
//!
//! After a loss that is not finite, [`Objective::fault`](super::Objective::fault) runs the batch
//! again with the same random draws, layer by layer ([`crate::bijector::visit`]). It reports the
//! first layer whose output or log-determinant contains NaN or an infinity: **first in the order of
//! `forward`**, from data to latents. A gradient is searched in the opposite order, from the loss
//! back to the data ([`Objective::gradient_fault`](super::Objective::gradient_fault)).

use std::borrow::Cow;
use std::fmt::{Display, Formatter, Result as FmtResult};

use burn::tensor::Tensor;

use crate::bijector::visit::{Layer, LayerPath, LayerVisitor};
use crate::tensor::finite::all_finite;

/// The place where values stopped being finite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonFinitePlace {
    /// Path from the root of the model, as in the names of its parameters:
    /// `bijector.1.0.steps.3.2.conditioner`.
    pub path: String,
    /// Type of the layer, or role of the part.
    pub what: Cow<'static, str>,
}

impl Display for NonFinitePlace {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let Self { path, what } = self;
        write!(f, "`{path}` ({what})")
    }
}

/// Finds the first fault. It runs every layer, so that the layers after the fault keep their
/// shapes.
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
        // Only one layer's graph exists at a time.
        z.detach()
    }

    fn part(&mut self, path: &LayerPath, finite: &dyn Fn() -> bool) {
        if self.fault.is_none() && !finite() {
            self.note(path.to_string(), "network");
        }
    }
}
