//! Random layers sample the same values for the same seed, and sample nothing in evaluation.

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, device_rng, distance, dot, elements, largest, normal, tensor};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::parameters::{change, gradients_by_id, parameters};
use super::tolerance::{Kind, tolerance};
use crate::bijector::Bijector;
use crate::bijector::boxed::BoxBijector;
use crate::bijector::replay::{Cotangent, Replay};

/// Step of the differences, and their largest error: the error of central differences is the square
/// of the step times third derivatives of about ten.
const STEP: f64 = 1e-4;
const ALLOWED: f64 = 1e-5;

/// In evaluation nothing is sampled. In training, two memory-saving passes with one seed are equal,
/// bit for bit. Where another seed gives another result (dropout), the backward pass uses the
/// dropout masks of the forward pass: its gradients agree with finite differences.
///
/// # Errors
/// The first value that does not repeat.
pub fn repeats<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    Check::Repeats
        .under([Setting::new(DType::F64, Region::Ordinary, 3, 61)], |setting| again(of, setting))
}

struct Replayed {
    z: Elements,
    x: Elements,
    grad_x: Elements,
    parameters: Vec<Option<Vec<f64>>>,
    loss: f64,
}

/// Forward and backward pass with the loss `⟨a, z⟩ + Σ log_det`.
fn replayed<const D: usize, C: SampleContext>(
    bijector: &BoxBijector<D, C>,
    x: &Tensor<D>,
    context: &C,
    a: &[f64],
    seed: u64,
) -> Replayed {
    let mut replay = Replay::new(seed);
    let (z, log_det) = bijector.replay_forward(x.clone().inner(), context, &mut replay);
    let grad_z = tensor(a.to_vec(), z.dims(), DType::F64, &z.device());
    let loss = dot(a, &elements(&z)) + elements(&log_det).iter().sum::<f64>();
    let back = Cotangent { z: z.clone(), grad_z, grad_log_det: log_det.ones_like() };
    let back = bijector.replay_back(back, context, &mut replay);
    let parameters = gradients_by_id(bijector, &replay.parameters);
    Replayed {
        z: Elements::of(&z),
        x: Elements::of(&back.z),
        grad_x: Elements::of(&back.grad_z),
        parameters,
        loss,
    }
}

fn again<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let bijector = of.build_training(seed, dtype);
    let (x, context) =
        (of.sample(region, seed + 1, batch, dtype), of.sample_context(seed + 2, batch, dtype));
    let evaluated =
        || Elements::of(&bijector.valid().forward(x.clone().inner(), &context.plain()).0);
    evaluated().near("z of valid(), a second time,", &evaluated(), |_| 0.0)?;

    let a = normal(seed + 3, elements(&x).len(), 1.0);
    let _guard = device_rng();
    let first = replayed(&bijector, &x, &context, &a, seed + 4);
    let second = replayed(&bijector, &x, &context, &a, seed + 4);
    second.z.near("z of a second memory-saving pass", &first.z, |_| 0.0)?;
    second.grad_x.near(
        "gradient of the input by a second memory-saving pass",
        &first.grad_x,
        |_| 0.0,
    )?;
    if second.parameters != first.parameters {
        return Err(Fault::Changed {
            how: "a second memory-saving pass with the seed of the first",
            what: "gradients of parameters",
        });
    }
    let allowed = tolerance(Kind::Replay, dtype) * (1.0 + largest(&elements(&x)));
    let used =
        first.x.near("x of replay_back, against the input,", &Elements::of(&x), |_| allowed)?;
    let other = replayed(&bijector, &x, &context, &a, seed + 5);
    if distance(&first.z.values, &other.z.values) == 0.0 {
        return Ok(used);
    }
    // For a fixed seed the loss is a function of the parameters.
    for (block, parameter) in parameters(&bijector).into_iter().enumerate() {
        let n = parameter.values.len();
        let direction = normal(seed + 1000 + block as u64, n, 1.0 / (n as f64).sqrt());
        let [plus, minus] = [STEP, -STEP].map(|h| {
            let moved = change(bijector.clone(), dtype, |index, old| {
                if index != block {
                    return old;
                }
                old.iter().zip(&direction).map(|(old, v)| old + h * v).collect()
            });
            replayed(&moved, &x, &context, &a, seed + 4).loss
        });
        let what = format!("slope of the loss along {}, against differences,", parameter.path);
        let gradient = first.parameters[block].clone().unwrap_or_else(|| vec![0.0; n]);
        let slope = Elements::list(vec![dot(&gradient, &direction)]);
        let difference = Elements::list(vec![(plus - minus) / (2.0 * STEP)]);
        slope.near(&what, &difference, |_| ALLOWED * (1.0 + largest(&difference.values)))?;
    }
    Ok(used)
}
