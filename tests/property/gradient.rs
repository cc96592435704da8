//! Gradients meet differences. With `g` the gradient and `v` a direction, `E(h) = L(p + h·v) − L(p) − h·⟨g, v⟩` shrinks as `h²` where `g` is
//! right and as `h` where it is not.

use burn::module::Module;
use burn::tensor::DType;
use flowkit::{Bijector, BoxBijector};

use crate::roughness::roughness;
use crate::table::numbers::{distance, dot, largest, normal, numbers, rng, tensor};
use crate::table::parameters::{change, gradients, parameters};
use crate::table::{Condition, Draw, Entry, Property, check_all, device};

const BATCH: usize = 2;

/// Coefficients of the loss `L = ⟨a, z⟩ + ⟨b, log_det⟩`.
struct Loss {
    a: Vec<f64>,
    b: Vec<f64>,
}

/// What the loss depends on. The last are the parameters, in the order of visits.
struct Point<const D: usize, C: Condition> {
    bijector: BoxBijector<D, C>,
    shape: [usize; D],
    x: Vec<f64>,
    context: C,
}

impl<const D: usize, C: Condition> Point<D, C> {
    /// `L` and the sum of the sizes of its terms, with block `block` moved by `h·direction`.
    fn loss(&self, loss: &Loss, block: usize, direction: &[f64], h: f64) -> (f64, f64) {
        let moved = |old: Vec<f64>| -> Vec<f64> { old.iter().zip(direction).map(|(old, v)| old + h * v).collect() };
        let x = if block == 0 { moved(self.x.clone()) } else { self.x.clone() };
        let mut values = self.context.values();
        if block == 1 {
            values = moved(values);
        }
        let context = self.context.with(&mut &values[..]).plain();
        let bijector = self.bijector.clone().valid();
        let bijector = change(bijector, DType::F64, |index, old| if index + 2 == block { moved(old) } else { old });
        let x = tensor(x, self.shape, DType::F64, &device().inner());
        let (z, log_det) = bijector.forward(x, &context);
        let (z, log_det) = (numbers(&z), numbers(&log_det));
        let size = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum::<f64>();
        (dot(&loss.a, &z) + dot(&loss.b, &log_det), size(&loss.a, &z) + size(&loss.b, &log_det))
    }

    /// Gradients of all blocks.
    fn gradients(&self, loss: &Loss) -> Vec<Option<Vec<f64>>> {
        let x = tensor(self.x.clone(), self.shape, DType::F64, &device()).require_grad();
        let context = self.context.leaf(&device());
        let (z, log_det) = self.bijector.forward(x.clone(), &context);
        let a = tensor(loss.a.clone(), z.dims(), DType::F64, &device());
        let b = tensor(loss.b.clone(), [BATCH], DType::F64, &device());
        let found = ((z * a).sum() + (log_det * b).sum()).backward();
        let mut all = vec![x.grad(&found).map(|gradient| numbers(&gradient)), context.gradient(&found)];
        all.extend(gradients(&self.bijector, &found));
        all
    }
}

impl<const D: usize, C: Condition> Point<D, C> {
    /// Power of the step with which the first-order model's error shrinks; `None` where the model is exact, up to the roundings of the
    /// loss. A gradient that is off by 1e-7 is not let through.
    fn order(&self, loss: &Loss, block: usize, gradient: &[f64], direction: &[f64]) -> Option<f64> {
        let (start, size) = self.loss(loss, block, direction, 0.0);
        let slope = dot(gradient, direction);
        let [wide, narrow] = STEPS.map(|h| (self.loss(loss, block, direction, h).0 - start - h * slope).abs());
        let exact = wide <= 1e4 * f64::EPSILON * (1.0 + size);
        (!exact).then(|| (wide / narrow).log2())
    }
}

/// Steps of the differences: small against the numbers of the table (about 1), large against the cube root of float64's spacing.
const STEPS: [f64; 2] = [1e-3, 5e-4];

struct Slopes;

impl Property for Slopes {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let bijector = entry.build(21, DType::F64);
        let x = numbers(&entry.draw(Draw::Ordinary, 22, BATCH, DType::F64));
        let context = entry.condition(23, BATCH, DType::F64);
        let mut names = vec!["input".to_owned(), "context".to_owned()];
        names.extend(parameters(&bijector).into_iter().map(|parameter| parameter.path));
        let mut rng = rng(24);
        let (a, b) = (normal(&mut rng, x.len(), 1.0), normal(&mut rng, BATCH, 1.0));
        let point = Point { bijector, shape: entry.batch(BATCH), x, context };
        let none = |values: &[f64]| vec![0.0; values.len()];
        let losses = [
            ("z", Loss { a: a.clone(), b: none(&b) }),
            ("log_det", Loss { a: none(&a), b: b.clone() }),
            ("both", Loss { a, b }),
        ];
        for (through, loss) in &losses {
            for (block, gradient) in point.gradients(loss).into_iter().enumerate() {
                let sizes = [point.x.len(), point.context.values().len()];
                let n =
                    sizes.get(block).copied().unwrap_or_else(|| parameters(&point.bijector)[block - 2].values.len());
                let gradient = gradient.unwrap_or_else(|| vec![0.0; n]);
                // A direction along which the second derivative happens to be small shows nothing.
                let mut orders = Vec::new();
                let shown = (0..4).any(|_| {
                    let direction = normal(&mut rng, n, 1.0 / (n.max(1) as f64).sqrt());
                    let order = point.order(loss, block, &gradient, &direction);
                    orders.extend(order);
                    order.is_none_or(|order| (1.8..=2.2).contains(&order))
                });
                if !shown {
                    return Err(format!("{} through {through}: slopes {orders:.2?}", names[block]));
                }
            }
        }
        Ok(())
    }
}

#[test]
fn gradients_are_those_of_differences() {
    check_all(&Slopes);
}

struct EveryParameter;

impl Property for EveryParameter {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        let bijector = entry.build(31, DType::F64);
        let x = numbers(&entry.draw(Draw::Ordinary, 32, BATCH, DType::F64));
        let context = entry.condition(33, BATCH, DType::F64);
        let mut rng = rng(34);
        let loss = Loss { a: normal(&mut rng, x.len(), 1.0), b: normal(&mut rng, BATCH, 1.0) };
        let point = Point { bijector, shape: entry.batch(BATCH), x, context };
        let found = point.gradients(&loss).split_off(2);
        for (parameter, gradient) in parameters(&point.bijector).into_iter().zip(found) {
            let size = gradient.map(|gradient| largest(&gradient));
            if !parameter.trained || size.is_none_or(|size| size <= 0.0 || !size.is_finite()) {
                return Err(format!("{}: trained {}, gradient {size:?}", parameter.path, parameter.trained));
            }
        }
        Ok(())
    }
}

#[test]
fn every_parameter_is_trained() {
    check_all(&EveryParameter);
}

/// The module for evaluation computes the same without a graph: bit for bit on the CPU, while a GPU may fuse other operations there.
struct Valid;

impl Property for Valid {
    fn check<const D: usize, C: Condition>(&self, entry: &Entry<D, C>) -> Result<(), String> {
        for dtype in [DType::F32, DType::F64] {
            let bijector = entry.build(41, dtype);
            let (x, context) = (entry.draw(Draw::Ordinary, 42, 2, dtype), entry.condition(43, 2, dtype));
            let on_graph = bijector.forward(x.clone(), &context);
            let plain = bijector.valid().forward(x.inner(), &context.plain());
            let difference = distance(&numbers(&on_graph.0), &numbers(&plain.0));
            let log_det = distance(&numbers(&on_graph.1), &numbers(&plain.1));
            let fused = if dtype == DType::F32 { 1e-6 * (roughness() - 1.0) } else { 0.0 };
            if difference.max(log_det) > fused || plain.0.is_autodiff() {
                return Err(format!("{dtype:?}: {difference:.1e}, log_det {log_det:.1e}"));
            }
        }
        Ok(())
    }
}

#[test]
fn valid_modules_compute_the_same() {
    check_all(&Valid);
}
