//! Shapes are what `output_shape` and `input_shape` say, log-determinants are `[batch]`, and examples do not see each other.

use burn::module::Module;
use burn::tensor::{DType, Tensor};
use flowkit::Bijector;

use crate::table::numbers::{distance, largest, numbers};
use crate::table::tolerance::{Kind, tolerance};
use crate::table::{Condition, Draw, Entry, Property, check_all, within};

struct Shapes;

impl Property for Shapes {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let dtype = DType::F32;
        let bijector = entry.build(1, dtype);
        for batch in [1, 3] {
            let (x, context) = (entry.draw(Draw::Ordinary, 2, batch, dtype), entry.condition(3, batch, dtype));
            let (z, log_det) = bijector.forward(x.clone(), &context);
            let (back, inverse_log_det) = bijector.inverse_with_log_det(z.clone(), &context);
            let shapes = [
                bijector.output_shape(x.dims()) == Ok(z.dims()),
                bijector.input_shape(z.dims()) == Ok(x.dims()),
                back.dims() == x.dims(),
                bijector.inverse(z.clone(), &context).dims() == x.dims(),
                log_det.dims() == [batch],
                inverse_log_det.dims() == [batch],
                z.dtype() == dtype && log_det.dtype() == dtype,
            ];
            if shapes != [true; 7] {
                return Err(format!("batch {batch}: {shapes:?} of x {:?}, z {:?}", x.dims(), z.dims()));
            }
        }
        Ok(())
    }
}

#[test]
fn shapes_are_as_announced() {
    check_all(&Shapes);
}

/// A batch of three is its examples one by one, whatever the others hold.
struct Independent;

impl Independent {
    fn compare<const D: usize, C: Condition>(
        batch: (Tensor<D>, Tensor<1>),
        one: impl Fn(usize) -> (Tensor<D>, Tensor<1>),
        dtype: DType,
    ) -> Result<(), String> {
        for index in 0..3 {
            let (x, log_det) = one(index);
            let own = numbers(&batch.0.clone().narrow(0, index, 1));
            let bound = tolerance(Kind::Regrouped, dtype);
            let scale = 1.0 + largest(&own);
            within("value", distance(&own, &numbers(&x)), bound * scale)?;
            let own = numbers(&batch.1.clone().narrow(0, index, 1));
            within("log_det", distance(&own, &numbers(&log_det)), bound * (scale + largest(&own)))?;
        }
        Ok(())
    }
}

impl Property for Independent {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let dtype = DType::F64;
        let bijector = entry.build(1, dtype).valid();
        let part = |draw, seed| entry.draw(draw, seed, 1, dtype).inner();
        let x = vec![part(Draw::Ordinary, 2), part(Draw::Extreme, 3), part(Draw::Ordinary, 4)];
        let context = entry.condition(3, 3, dtype).plain();
        let (z, log_det) = bijector.forward(Tensor::cat(x.clone(), 0), &context);
        let forward = |index: usize| bijector.forward(x[index].clone(), &context.example(index));
        Self::compare::<D, C>((z.clone(), log_det), forward, dtype).map_err(|e| format!("forward {e}"))?;
        let back = |index: usize| bijector.inverse_with_log_det(z.clone().narrow(0, index, 1), &context.example(index));
        let batch = bijector.inverse_with_log_det(z.clone(), &context);
        Self::compare::<D, C>(batch, back, dtype).map_err(|e| format!("inverse {e}"))
    }
}

#[test]
fn examples_do_not_see_each_other() {
    check_all(&Independent);
}
