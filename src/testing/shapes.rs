//! Shapes are those that `output_shape` and `input_shape` announce, and shapes that they refuse are
//! refused.

use burn::tensor::{DType, Tensor};

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::panic::catch;
use crate::bijector::boxed::BoxBijector;
use crate::bijector::{Bijector, ShapeMap};

/// `output_shape` and `input_shape` agree with forward and inverse, log-determinants are `[batch]`,
/// and the outputs have the type of the input.
///
/// Other lengths along each axis are tried as well: a shape that is announced to be an error must
/// panic, and a shape that is announced to work must work. A condition whose shape does not fit the
/// other length is an error of `output_shape_given`.
///
/// # Errors
/// The first shape that is not as announced.
pub fn shapes<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    let settings = [1, 3].map(|batch| Setting::new(DType::F32, Region::Ordinary, batch, 1));
    Check::Shapes.under(settings, |setting| {
        announced(of, setting)?;
        for axis in 1..D {
            for length in other_lengths(of.batch(1)[axis]) {
                let mut shape = of.batch(setting.batch);
                shape[axis] = length;
                other(of, setting, shape)?;
            }
        }
        Ok(0.0)
    })
}

/// Shorter, longer, twice as long.
fn other_lengths(length: usize) -> impl Iterator<Item = usize> {
    [1, length + 1, 2 * length].into_iter().filter(move |&other| other != length)
}

fn same<const D: usize>(what: &str, found: [usize; D], expected: [usize; D]) -> Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    Err(Fault::Shape { what: what.to_owned(), found: found.to_vec(), expected: expected.to_vec() })
}

fn announced<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<(), Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let bijector = of.build(seed, dtype);
    let (x, context) =
        (of.sample(region, seed + 1, batch, dtype), of.sample_context(seed + 2, batch, dtype));
    let output = bijector
        .output_shape(x.dims())
        .map_err(|error| Fault::Refused { what: "output_shape", error })?;
    let (z, log_det) = bijector.forward(x.clone(), &context);
    same("z of forward, against output_shape,", z.dims(), output)?;
    same("log_det of forward", log_det.dims(), [batch])?;
    kept("z", z.dtype(), dtype)?;
    kept("log_det of forward", log_det.dtype(), dtype)?;
    let input = bijector
        .input_shape(z.dims())
        .map_err(|error| Fault::Refused { what: "input_shape", error })?;
    same("input_shape of z", input, x.dims())?;
    let (back, inverse_log_det) = bijector.inverse_with_log_det(z.clone(), &context);
    same("x of inverse", bijector.inverse(z.clone(), &context).dims(), x.dims())?;
    same("x of inverse_with_log_det", back.dims(), x.dims())?;
    same("log_det of inverse", inverse_log_det.dims(), [batch])?;
    kept("x of inverse", back.dtype(), dtype)?;
    kept("log_det of inverse", inverse_log_det.dtype(), dtype)
}

/// The type of the elements is that of the input.
fn kept(what: &str, found: DType, expected: DType) -> Result<(), Fault> {
    if found == expected {
        Ok(())
    } else {
        Err(Fault::Type { what: what.to_owned(), found, expected })
    }
}

/// Forward and inverse at a shape that the bijector is not made for.
fn other<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
    shape: [usize; D],
) -> Result<(), Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let bijector: BoxBijector<D, C> = of.build(seed, dtype);
    let context = of.sample_context(seed + 2, batch, dtype);
    let x = of.sample_shape(region, seed + 1, shape, dtype);
    let (output, input) =
        (bijector.output_shape_given(shape, &context), bijector.input_shape(shape));
    let forward = || {
        let (z, log_det) = bijector.forward(x.clone(), &context);
        (z, Some(log_det))
    };
    // The output of forward must be a valid input of the inverse.
    if let Some(z) = tried("forward", shape, output.ok(), forward)? {
        tried("inverse", z.dims(), Some(shape), || (bijector.inverse(z.clone(), &context), None))?;
    }
    if input.is_err() {
        tried("inverse", shape, None, || (bijector.inverse(x.clone(), &context), None))?;
    }
    Ok(())
}

fn tried<const D: usize>(
    what: &'static str,
    shape: [usize; D],
    announced: Option<[usize; D]>,
    map: impl FnOnce() -> (Tensor<D>, Option<Tensor<1>>),
) -> Result<Option<Tensor<D>>, Fault> {
    match (announced, catch(map)) {
        (None, Ok(_)) => Err(Fault::Taken { what, shape: shape.to_vec() }),
        (None, Err(_)) => Ok(None),
        (Some(_), Err(message)) => {
            Err(Fault::Misannounced { what, shape: shape.to_vec(), message })
        }
        (Some(expected), Ok((found, log_det))) => {
            same(&format!("output of {what} at shape {shape:?}"), found.dims(), expected)?;
            if let Some(log_det) = log_det {
                same(&format!("log_det of {what} at shape {shape:?}"), log_det.dims(), [shape[0]])?;
            }
            Ok(Some(found))
        }
    }
}
