//! Gradients agree with finite differences. With `g` the gradient and `v` a direction,
//! `E(h) = L(p + h·v) − L(p) − h·⟨g, v⟩` shrinks as `h²` if `g` is right, and as `h` if it is not.

use burn::module::Module;
use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{dot, elements, normal, tensor};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::parameters::{self, change, parameters};
use crate::bijector::Bijector;
use crate::bijector::boxed::BoxBijector;

/// Steps of the differences: small compared with the values of the checks (about 1), large compared
/// with the cube root of the spacing of float64.
const STEPS: [f64; 2] = [1e-3, 5e-4];

/// Directions that are tried. A direction along which the second derivative happens to be small
/// shows nothing.
const DIRECTIONS: u64 = 4;

/// Gradients of input, condition and every parameter agree with differences, through `z`, through
/// `log_det` and through both: the error of the first-order model shrinks as a power of the step in
/// [1.8, 2.2], or is 0 up to rounding of the loss. In float64.
///
/// # Errors
/// The first gradient that is wrong.
pub fn gradients<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    Check::Gradients
        .under([Setting::new(DType::F64, Region::Ordinary, 2, 21)], |setting| slopes(of, setting))
}

/// Coefficients of the loss `L = ⟨a, z⟩ + ⟨b, log_det⟩`.
pub(super) struct Loss {
    pub(super) a: Vec<f64>,
    pub(super) b: Vec<f64>,
}

/// What the loss depends on: input, condition, and the parameters in the order of visits.
pub(super) struct Point<'a, const D: usize, C: SampleContext> {
    of: &'a Conformance<D, C>,
    pub(super) bijector: BoxBijector<D, C>,
    batch: usize,
    x: Vec<f64>,
    context: C,
}

impl<'a, const D: usize, C: SampleContext> Point<'a, D, C> {
    pub(super) fn new(of: &'a Conformance<D, C>, setting: Setting) -> Self {
        let Setting { dtype, region, batch, seed } = setting;
        let x = elements(&of.sample(region, seed + 1, batch, dtype));
        Self {
            of,
            bijector: of.build(seed, dtype),
            batch,
            x,
            context: of.sample_context(seed + 2, batch, dtype),
        }
    }

    /// `L` and the sum of the magnitudes of its terms, with block `block` moved by `h·direction`.
    fn loss(&self, loss: &Loss, block: usize, direction: &[f64], h: f64) -> (f64, f64) {
        let moved = |old: Vec<f64>| -> Vec<f64> {
            old.iter().zip(direction).map(|(old, v)| old + h * v).collect()
        };
        let x = if block == 0 { moved(self.x.clone()) } else { self.x.clone() };
        let mut values = self.context.values();
        if block == 1 {
            values = moved(values);
        }
        let context = self.context.with(&mut &values[..]).plain();
        let bijector = self.bijector.valid();
        let bijector =
            change(
                bijector,
                DType::F64,
                |index, old| if index + 2 == block { moved(old) } else { old },
            );
        let x = tensor(
            x,
            self.of.batch(self.batch),
            DType::F64,
            &self.of.device_for(DType::F64).inner(),
        );
        let (z, log_det) = bijector.forward(x, &context);
        let (z, log_det) = (elements(&z), elements(&log_det));
        let size = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum::<f64>();
        (dot(&loss.a, &z) + dot(&loss.b, &log_det), size(&loss.a, &z) + size(&loss.b, &log_det))
    }

    /// Gradients of all blocks.
    pub(super) fn gradients(&self, loss: &Loss) -> Vec<Option<Vec<f64>>> {
        let device = self.of.device_for(DType::F64);
        let x =
            tensor(self.x.clone(), self.of.batch(self.batch), DType::F64, &device).require_grad();
        let context = self.context.leaf(&device);
        let (z, log_det) = self.bijector.forward(x.clone(), &context);
        let a = tensor(loss.a.clone(), z.dims(), DType::F64, &device);
        let b = tensor(loss.b.clone(), [self.batch], DType::F64, &device);
        // Adding 0 times the input makes the loss differentiable where the log-determinant is a
        // constant.
        let found =
            ((z * a).sum() + (log_det * b).sum() + x.clone().mul_scalar(0.0).sum()).backward();
        let mut all =
            vec![x.grad(&found).map(|gradient| elements(&gradient)), context.gradient(&found)];
        all.extend(parameters::gradients(&self.bijector, &found));
        all
    }

    /// Power of the step with which the error of the first-order model shrinks; `None` if the model
    /// is exact up to rounding of the loss. A gradient that is off by 1e-7 does not pass as exact.
    fn order(&self, loss: &Loss, block: usize, gradient: &[f64], direction: &[f64]) -> Option<f64> {
        let (start, size) = self.loss(loss, block, direction, 0.0);
        let slope = dot(gradient, direction);
        let [wide, narrow] =
            STEPS.map(|h| (self.loss(loss, block, direction, h).0 - start - h * slope).abs());
        let exact = wide <= 1e4 * f64::EPSILON * (1.0 + size);
        (!exact).then(|| (wide / narrow).log2())
    }

    /// Name and size of every block; `None` for a parameter that is not trained and so receives no
    /// gradient.
    fn blocks(&self) -> Vec<Option<(String, usize)>> {
        let mut blocks = vec![
            Some(("the input".to_owned(), self.x.len())),
            Some(("the condition".to_owned(), self.context.values().len())),
        ];
        blocks.extend(
            parameters(&self.bijector)
                .into_iter()
                .map(|p| p.trained.then_some((p.path, p.values.len()))),
        );
        blocks
    }

    pub(super) fn coefficients(&self, seed: u64) -> Loss {
        Loss { a: normal(seed, self.x.len(), 1.0), b: normal(seed + 1, self.batch, 1.0) }
    }
}

fn slopes<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let point = Point::new(of, setting);
    let Loss { a, b } = point.coefficients(setting.seed + 3);
    let none = |values: &[f64]| vec![0.0; values.len()];
    let losses = [
        ("z", Loss { a: a.clone(), b: none(&b) }),
        ("log_det", Loss { a: none(&a), b: b.clone() }),
        ("both", Loss { a, b }),
    ];
    for (through, loss) in &losses {
        for (block, (named, gradient)) in
            point.blocks().into_iter().zip(point.gradients(loss)).enumerate()
        {
            let Some((name, n)) = named else { continue };
            let gradient = gradient.unwrap_or_else(|| vec![0.0; n]);
            let mut slopes = Vec::new();
            let shown = (0..DIRECTIONS).any(|try_| {
                let seed = setting.seed + 1000 * (1 + block as u64) + try_;
                let direction = normal(seed, n, 1.0 / (n.max(1) as f64).sqrt());
                let order = point.order(loss, block, &gradient, &direction);
                slopes.extend(order);
                order.is_none_or(|order| (1.8..=2.2).contains(&order))
            });
            if !shown {
                return Err(Fault::Slope { of: name, through, slopes });
            }
        }
    }
    Ok(0.0)
}
