//! The memory-saving walk gives the gradients of plain autodiff.

use burn::tensor::{DType, Tensor};

use super::check::{Check, Outcome};
use super::condition::Condition;
use super::conformance::Conformance;
use super::failure::{Failure, Fault, Setting};
use super::inputs::Draw;
use super::numbers::{Numbers, device_rng, largest, normal, tensor};
use super::parameters::{gradients, gradients_by_id, parameters};
use super::tolerance::{Kind, tolerance};
use crate::bijector::{Bijector, Cotangent, Walk};

/// `walk_forward` computes what `forward` computes, and `walk_back` rebuilds the input and gives the gradients of plain autodiff: of
/// input, condition and every parameter. In float64, within [`Kind::Walk`].
///
/// # Errors
/// The first number that is off.
pub fn walk<const D: usize, C: Condition>(of: &Conformance<D, C>) -> Result<Outcome, Failure> {
    Check::Walk.under([Setting::new(DType::F64, Draw::Ordinary, 2, 51)], |setting| there_and_back(of, setting))
}

fn there_and_back<const D: usize, C: Condition>(of: &Conformance<D, C>, setting: Setting) -> Result<f64, Fault> {
    let Setting { dtype, draw, batch, seed } = setting;
    let (bijector, device) = (of.build(seed, dtype), of.device_for(dtype));
    let (x, context) = (of.draw(draw, seed + 1, batch, dtype), of.condition(seed + 2, batch, dtype));

    let (leaf, condition) = (x.clone().require_grad(), context.leaf(&device));
    let (z, log_det) = bijector.forward(leaf.clone(), &condition);
    let plain = device.inner();
    let grad_z: Tensor<D> = tensor(normal(seed + 3, z.dims().iter().product(), 1.0), z.dims(), dtype, &plain);
    let grad_log_det: Tensor<1> = tensor(normal(seed + 4, batch, 1.0), [batch], dtype, &plain);
    let loss = (z.clone() * Tensor::from_inner(grad_z.clone())).sum()
        + (log_det.clone() * Tensor::from_inner(grad_log_det.clone())).sum();
    let found = loss.backward();

    // Walks seed the device.
    let _guard = device_rng();
    let mut walk = Walk::new(seed + 5);
    let (walked, walked_log_det) = bijector.walk_forward(x.clone().inner(), &context, &mut walk);
    Numbers::of(&walked).near("z of walk_forward, against forward,", &Numbers::of(&z), |_| 0.0)?;
    Numbers::of(&walked_log_det).near("log_det of walk_forward, against forward,", &Numbers::of(&log_det), |_| 0.0)?;
    let back = bijector.walk_back(Cotangent { z: walked, grad_z, grad_log_det }, &context, &mut walk);

    let near = |what: &str, found: &Numbers, expected: &Numbers| {
        let allowed = tolerance(Kind::Walk, dtype) * (1.0 + largest(&expected.values));
        found.near(what, expected, |_| allowed)
    };
    let mut used = near("x of walk_back, against the input,", &Numbers::of(&back.z), &Numbers::of(&x))?;
    // A map that moves nothing need not touch the graph.
    let expected = leaf.grad(&found).map_or_else(|| Numbers::of(&x.zeros_like()), |gradient| Numbers::of(&gradient));
    used = used.max(near("gradient of the input by walk_back", &Numbers::of(&back.grad_z), &expected)?);

    let expected = gradients(&bijector, &found);
    let walked = gradients_by_id(&bijector, &walk.parameters);
    let paths = parameters(&bijector).into_iter().map(|parameter| parameter.path);
    let mut pairs: Vec<_> = paths.zip(expected.into_iter().zip(walked)).collect();
    pairs.push(("the condition".to_owned(), (condition.gradient(&found), C::collected(walk.context))));
    for (path, (expected, found)) in pairs {
        match (expected, found) {
            (Some(expected), Some(found)) => {
                let what = format!("gradient of {path} by walk_back");
                used = used.max(near(&what, &Numbers::list(found), &Numbers::list(expected))?);
            }
            (None, None) => {}
            (Some(_), None) => return Err(one_sided(path, "by plain autodiff", "by walk_back")),
            (None, Some(_)) => return Err(one_sided(path, "by walk_back", "by plain autodiff")),
        }
    }
    Ok(used)
}

fn one_sided(of: String, there: &'static str, missing: &'static str) -> Fault {
    Fault::OneSided { of, there, missing }
}
