//! The memory-saving walk gives the gradients of plain autodiff.

use burn::tensor::{DType, Tensor};
use flowkit::{Bijector, Cotangent, Walk};

use crate::table::numbers::{device_rng, distance, largest, normal, numbers, rng, tensor};
use crate::table::parameters::{gradients, gradients_by_id, parameters};
use crate::table::tolerance::{Kind, tolerance};
use crate::table::{Condition, Draw, Entry, Property, check_all, device, within};

struct Walks;

impl Property for Walks {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let (dtype, batch) = (DType::F64, 2);
        let bijector = entry.build(51, dtype);
        let (x, context) = (entry.draw(Draw::Ordinary, 52, batch, dtype), entry.condition(53, batch, dtype));

        let (leaf, condition) = (x.clone().require_grad(), context.leaf(&device()));
        let (z, log_det) = bijector.forward(leaf.clone(), &condition);
        let mut rng = rng(54);
        let plain = device().inner();
        let grad_z: Tensor<D> = tensor(normal(&mut rng, numbers(&z).len(), 1.0), z.dims(), dtype, &plain);
        let grad_log_det: Tensor<1> = tensor(normal(&mut rng, batch, 1.0), [batch], dtype, &plain);
        let loss = (z.clone() * Tensor::from_inner(grad_z.clone())).sum()
            + (log_det.clone() * Tensor::from_inner(grad_log_det.clone())).sum();
        let found = loss.backward();

        // Walks seed the device.
        let _guard = device_rng();
        let mut walk = Walk::new(55);
        let (walked, walked_log_det) = bijector.walk_forward(x.clone().inner(), &context, &mut walk);
        within("z", distance(&numbers(&walked), &numbers(&z)), 0.0)?;
        within("log_det", distance(&numbers(&walked_log_det), &numbers(&log_det)), 0.0)?;
        let back = bijector.walk_back(Cotangent { z: walked, grad_z, grad_log_det }, &context, &mut walk);
        let compare = |what: &str, expected: Option<Vec<f64>>, found: Option<Vec<f64>>| match (expected, found) {
            (Some(expected), Some(found)) => {
                let bound = tolerance(Kind::Walk, dtype) * (1.0 + largest(&expected));
                within(what, distance(&found, &expected), bound)
            }
            (None, None) => Ok(()),
            (expected, found) => Err(format!("{what}: plain {}, walked {}", expected.is_some(), found.is_some())),
        };
        compare("x", Some(numbers(&x)), Some(numbers(&back.z)))?;
        // A map that moves nothing need not touch the graph.
        let zero = || Some(vec![0.0; numbers(&x).len()]);
        let expected = leaf.grad(&found).map(|gradient| numbers(&gradient)).or_else(zero);
        compare("input", expected, Some(numbers(&back.grad_z)))?;
        compare("context", condition.gradient(&found), C::collected(walk.context))?;
        let expected = gradients(&bijector, &found);
        let walked = gradients_by_id(&bijector, &walk.parameters);
        for ((parameter, expected), walked) in parameters(&bijector).iter().zip(expected).zip(walked) {
            compare(&parameter.path, expected, walked)?;
        }
        Ok(())
    }
}

#[test]
fn walks_give_the_gradients_of_plain_autodiff() {
    check_all(&Walks);
}
