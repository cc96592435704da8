//! The memory-saving pass gives the gradients of plain autodiff.

use burn::tensor::{DType, Tensor};

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, device_rng, largest, normal, tensor};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::parameters::{gradients, gradients_by_id, parameters};
use super::tolerance::{Kind, tolerance};
use crate::bijector::Bijector;
use crate::bijector::boxed::BoxBijector;
use crate::bijector::replay::{Cotangent, DriftGuard, Replay};

/// `replay_forward` computes the same as `forward`. `replay_back` rebuilds the input and gives the
/// gradients of plain autodiff: of input, condition and every parameter. In float64, within
/// [`Kind::Replay`]; within [`Kind::Regrouped`] where inputs are kept instead of rebuilt.
///
/// # Errors
/// The first value that differs.
pub fn replay<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    Check::Replay.under([Setting::new(DType::F64, Region::Ordinary, 2, 51)], |setting| {
        there_and_back(of, setting)
    })
}

fn there_and_back<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let (bijector, device) = (of.build(seed, dtype), of.device_for(dtype));
    let (x, context) =
        (of.sample(region, seed + 1, batch, dtype), of.sample_context(seed + 2, batch, dtype));

    let (leaf, condition) = (x.clone().require_grad(), context.leaf(&device));
    let (z, log_det) = bijector.forward(leaf.clone(), &condition);
    let plain = device.inner();
    let grad_z: Tensor<D> =
        tensor(normal(seed + 3, z.dims().iter().product(), 1.0), z.dims(), dtype, &plain);
    let grad_log_det: Tensor<1> = tensor(normal(seed + 4, batch, 1.0), [batch], dtype, &plain);
    let loss = (z.clone() * Tensor::from_inner(grad_z.clone())).sum()
        + (log_det.clone() * Tensor::from_inner(grad_log_det.clone())).sum();
    let found = loss.backward();

    // The passes seed the device.
    let _guard = device_rng();
    let expected = Expected {
        z: Elements::of(&z),
        log_det: Elements::of(&log_det),
        x: Elements::of(&x),
        // The output of the identity need not depend on the leaf.
        grad_x: leaf
            .grad(&found)
            .map_or_else(|| Elements::of(&x.zeros_like()), |gradient| Elements::of(&gradient)),
        parameters: gradients(&bijector, &found),
        condition: condition.gradient(&found),
    };
    // A guarded pass continues from the kept inputs of its checkpoints. Its verdict is not used
    // here.
    let strict = DriftGuard::new(f64::MIN_POSITIVE);
    let replays = [
        (Replay::new(seed + 5), Kind::Replay, "x of replay_back"),
        (Replay::recomputing(seed + 5), Kind::Regrouped, "x passed to replay_back"),
        (Replay::guarded(seed + 5, strict, 0), Kind::Replay, "x of a guarded replay_back"),
    ];
    let mut used = 0.0f64;
    for (mut replay, kind, name) in replays {
        let (replayed, replayed_log_det) =
            bijector.replay_forward(x.clone().inner(), &context, &mut replay);
        Elements::of(&replayed).near(
            "z of replay_forward, against forward,",
            &expected.z,
            |_| 0.0,
        )?;
        Elements::of(&replayed_log_det).near(
            "log_det of replay_forward, against forward,",
            &expected.log_det,
            |_| 0.0,
        )?;
        let back =
            Cotangent { z: replayed, grad_z: grad_z.clone(), grad_log_det: grad_log_det.clone() };
        let back = bijector.replay_back(back, &context, &mut replay);
        used = used.max(expected.compare(&bijector, back, replay, tolerance(kind, dtype), name)?);
    }
    Ok(used)
}

/// The results of plain autodiff.
struct Expected {
    z: Elements,
    log_det: Elements,
    x: Elements,
    grad_x: Elements,
    parameters: Vec<Option<Vec<f64>>>,
    condition: Option<Vec<f64>>,
}

impl Expected {
    /// The share of the tolerance that the pass used.
    fn compare<const D: usize, C: SampleContext>(
        &self,
        bijector: &BoxBijector<D, C>,
        back: Cotangent<D>,
        replay: Replay<C>,
        tolerance: f64,
        name: &str,
    ) -> Result<f64, Fault> {
        let near = |what: &str, found: &Elements, expected: &Elements| {
            let allowed = tolerance * (1.0 + largest(&expected.values));
            found.near(what, expected, |_| allowed)
        };
        let mut used =
            near(&format!("{name}, against the input,"), &Elements::of(&back.z), &self.x)?;
        used = used.max(near(
            "gradient of the input by replay_back",
            &Elements::of(&back.grad_z),
            &self.grad_x,
        )?);
        let replayed = gradients_by_id(bijector, &replay.parameters);
        let paths = parameters(bijector).into_iter().map(|parameter| parameter.path);
        let mut pairs: Vec<_> =
            paths.zip(self.parameters.clone().into_iter().zip(replayed)).collect();
        pairs.push((
            "the condition".to_owned(),
            (self.condition.clone(), C::collected(replay.context)),
        ));
        for (path, (expected, found)) in pairs {
            match (expected, found) {
                (Some(expected), Some(found)) => {
                    let what = format!("gradient of {path} by replay_back");
                    used =
                        used.max(near(&what, &Elements::list(found), &Elements::list(expected))?);
                }
                (None, None) => {}
                (Some(_), None) => {
                    return Err(one_sided(path, "by plain autodiff", "by replay_back"));
                }
                (None, Some(_)) => {
                    return Err(one_sided(path, "by replay_back", "by plain autodiff"));
                }
            }
        }
        Ok(used)
    }
}

fn one_sided(of: String, there: &'static str, missing: &'static str) -> Fault {
    Fault::OneSided { of, there, missing }
}
