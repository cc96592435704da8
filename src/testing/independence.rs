//! The examples of a batch are independent of each other.

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, largest};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::tolerance::{Kind, roughness, tolerance};
use crate::bijector::Bijector;

/// A batch of three examples, one of them extreme, gives the same results as its examples one by
/// one: values and log-determinants, forward and inverse. In float32 and float64, within
/// [`Kind::Regrouped`] of the largest value.
///
/// # Errors
/// The first value that depends on the other examples.
pub fn independence<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let settings = [DType::F64, DType::F32].map(|dtype| Setting::new(dtype, Region::Extreme, 3, 1));
    Check::Independence.under(settings, |setting| rows(of, setting))
}

fn rows<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, batch, seed, .. } = setting;
    let bijector = of.build(seed, dtype).valid();
    let part = |region, seed| of.sample(region, seed, 1, dtype).inner();
    let x = vec![
        part(Region::Ordinary, seed + 1),
        part(Region::Extreme, seed + 2),
        part(Region::Ordinary, seed + 3),
    ];
    let x = Tensor::cat(x, 0);
    let context = of.sample_context(seed + 2, batch, dtype).plain();
    let bound = tolerance(Kind::Regrouped, dtype) * roughness(&of.device_for(dtype));
    let compare = |names: [&str; 2],
                   whole: (Tensor<D>, Tensor<1>),
                   one: &dyn Fn(usize) -> (Tensor<D>, Tensor<1>)| {
        let (values, log_dets): (Vec<_>, Vec<_>) = (0..batch).map(one).unzip();
        let rows = (Elements::of(&Tensor::cat(values, 0)), Elements::of(&Tensor::cat(log_dets, 0)));
        let whole = (Elements::of(&whole.0), Elements::of(&whole.1));
        let scale = |example: usize| 1.0 + largest(rows.0.example(example));
        let values = whole.0.near(names[0], &rows.0, |example| bound * scale(example))?;
        let sum = |example: usize| scale(example) + largest(rows.1.example(example));
        let log_dets = whole.1.near(names[1], &rows.1, |example| bound * sum(example))?;
        Ok::<f64, Fault>(values.max(log_dets))
    };
    let row = |tensor: &Tensor<D>, example: usize| tensor.clone().narrow(0, example, 1);
    let (z, log_det) = bijector.forward(x.clone(), &context);
    let ahead = compare(
        [
            "z in a batch, against the example alone,",
            "log_det of forward in a batch, against the example alone,",
        ],
        (z.clone(), log_det),
        &|example| bijector.forward(row(&x, example), &context.example(example)),
    )?;
    let behind = compare(
        [
            "x in a batch, against the example alone,",
            "log_det of inverse in a batch, against the example alone,",
        ],
        bijector.inverse_with_log_det(z.clone(), &context),
        &|example| bijector.inverse_with_log_det(row(&z, example), &context.example(example)),
    )?;
    Ok(ahead.max(behind))
}
