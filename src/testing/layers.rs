//! Visits of the layers, one at a time.

use std::collections::BTreeSet;

use burn::tensor::{DType, Tensor};

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, elements, largest};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::parameters::parameters;
use super::tolerance::{Kind, tolerance};
use crate::bijector::Bijector;
use crate::bijector::visit::{Layer, LayerPath, LayerVisitor, Visit};

/// Visiting the layers one at a time computes the forward pass. Log-determinants add up, every
/// layer can be inverted, and the paths of the layers together with the names of their parameters
/// are the names in the whole bijector. In float64.
///
/// # Errors
/// The first value or name that differs.
pub fn layers<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    Check::Layers
        .under([Setting::new(DType::F64, Region::Ordinary, 2, 91)], |setting| visited(of, setting))
}

#[derive(Default)]
struct Seen {
    /// A member may run twice in a composition, with the same path.
    paths: BTreeSet<String>,
    log_det: Vec<f64>,
    parameters: Vec<(String, Vec<f64>)>,
    num_params: usize,
    round_trip: Option<Fault>,
}

impl<const D: usize> LayerVisitor<D> for Seen {
    fn layer(&mut self, path: &LayerPath, layer: &dyn Layer<D>, x: Tensor<D>) -> Tensor<D> {
        let (z, log_det) = layer.forward(x.clone());
        let part = elements(&log_det);
        self.log_det.resize(part.len(), 0.0);
        self.log_det.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        let back = Elements::of(&layer.inverse(z.clone()));
        let x = Elements::of(&x);
        let allowed = tolerance(Kind::Replay, DType::F64) * (1.0 + largest(&x.values));
        let off = back.near(&format!("x -> z -> x of layer `{path}`"), &x, |_| allowed).err();
        self.round_trip = self.round_trip.take().or(off);
        if !self.paths.insert(path.to_string()) {
            return z;
        }
        self.num_params += layer.num_params();
        layer.parameters(&mut |name, value| {
            let root = path.to_string();
            let parts: Vec<&str> =
                [root.as_str(), name].into_iter().filter(|part| !part.is_empty()).collect();
            self.parameters.push((parts.join("."), elements(&value)));
        });
        z
    }
}

fn visited<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let bijector = of.build(seed, dtype);
    let (x, context) =
        (of.sample(region, seed + 1, batch, dtype), of.sample_context(seed + 2, batch, dtype));
    let (z, log_det) = bijector.forward(x.clone(), &context);
    let mut seen = Seen::default();
    let visited = bijector.visit_layers(x, &context, &mut Visit::new(&mut seen));
    Elements::of(&visited).near(
        "z of visit_layers, against forward,",
        &Elements::of(&z),
        |_| 0.0,
    )?;
    seen.log_det.resize(batch, 0.0);
    let log_det = Elements::of(&log_det);
    let allowed = tolerance(Kind::Replay, dtype) * (1.0 + largest(&log_det.values));
    let sum = Elements::list(seen.log_det).near(
        "sum of the layers' log_dets, against forward,",
        &log_det,
        |_| allowed,
    )?;
    if let Some(fault) = seen.round_trip {
        return Err(fault);
    }
    let mut all: Vec<_> =
        parameters(&bijector).into_iter().map(|own| (own.path, own.values)).collect();
    // The members of an inverted bijector are visited last to first.
    let by_name = |a: &(String, Vec<f64>), b: &(String, Vec<f64>)| a.0.cmp(&b.0);
    all.sort_by(by_name);
    seen.parameters.sort_by(by_name);
    let count: usize = all.iter().map(|(_, values)| values.len()).sum();
    if seen.parameters == all && seen.num_params == count {
        return Ok(sum);
    }
    let names = |list: Vec<(String, Vec<f64>)>| list.into_iter().map(|(name, _)| name).collect();
    Err(Fault::Layers { found: names(seen.parameters), expected: names(all) })
}
