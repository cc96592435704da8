//! Forward and inverse undo each other, up to what one rounding in between costs.

use burn::module::Module;
use burn::tensor::{DType, Tensor};
use flowkit::Bijector;
use nalgebra::DMatrix;

use crate::table::numbers::{distance, largest, numbers};
use crate::table::tolerance::{Kind, tolerance};
use crate::table::{Condition, Draw, Entry, Property, check_all, jacobian, row_sum_norm, within};

struct RoundTrip {
    dtype: DType,
    draw: Draw,
    batch: usize,
}

/// What one rounding of the value in between does to the value that comes back, in units of the type's spacing.
fn conditioning(jacobian: &DMatrix<f64>, own: f64, between: f64) -> f64 {
    own + row_sum_norm(jacobian) * (1.0 + between)
}

impl Property for RoundTrip {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let Self { dtype, draw, batch } = *self;
        let precise = entry.build(5, DType::F64);
        let bijector = entry.build(5, dtype).valid();
        let x = entry.draw(draw, 6, batch, dtype);
        let context = entry.condition(7, batch, dtype);
        let plain = context.plain();
        let z = bijector.forward(x.clone().inner(), &plain).0;
        let back = bijector.inverse(z.clone(), &plain);
        let again = bijector.forward(back.clone(), &plain).0;
        let mut worst = 0.0f64;
        for index in 0..batch {
            let one = |tensor: &Tensor<D>| numbers(&tensor.clone().narrow(0, index, 1));
            let (x_one, z_one) = (one(&x), one(&z));
            let leaf = entry.draw(draw, 6, batch, DType::F64).narrow(0, index, 1);
            let condition = entry.condition(7, batch, DType::F64).example(index);
            let forward = jacobian(|x| precise.forward(x, &condition).0, &leaf);
            let inverse = forward.clone().try_inverse().ok_or("the Jacobian is singular")?;
            let bound = tolerance(Kind::RoundTrip, dtype);
            let (size_x, size_z) = (largest(&x_one), largest(&z_one));
            let cases = [
                ("x -> z -> x", distance(&x_one, &one(&back)), conditioning(&inverse, size_x, size_z)),
                ("z -> x -> z", distance(&z_one, &one(&again)), conditioning(&forward, size_z, size_x)),
            ];
            for (what, error, condition) in cases {
                worst = worst.max(error / (bound * condition));
                within(&format!("{what}, example {index}"), error, bound * condition)?;
            }
        }
        println!("{dtype:?} {draw:?} batch {batch}  {:<36} {worst:.1e} of the tolerance", entry.name);
        Ok(())
    }
}

fn round_trip(dtype: DType, draw: Draw) {
    for batch in [1, 3] {
        check_all(&RoundTrip { dtype, draw, batch });
    }
}

#[test]
fn ordinary_inputs_come_back_in_float32() {
    round_trip(DType::F32, Draw::Ordinary);
}

#[test]
fn ordinary_inputs_come_back_in_float64() {
    round_trip(DType::F64, Draw::Ordinary);
}

#[test]
fn extreme_inputs_come_back_in_float32() {
    round_trip(DType::F32, Draw::Extreme);
}

#[test]
fn extreme_inputs_come_back_in_float64() {
    round_trip(DType::F64, Draw::Extreme);
}
