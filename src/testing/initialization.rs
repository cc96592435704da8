//! Data-dependent initialisation.

use burn::tensor::DType;

use super::check::{Check, Outcome};
use super::conformance::Conformance;
use super::context::SampleContext;
use super::elements::{Elements, largest};
use super::failure::{Failure, Fault, Setting};
use super::inputs::Region;
use super::parameters::{gradients, parameters};
use super::tolerance::{Kind, tolerance};
use crate::bijector::Bijector;
use crate::bijector::boxed::BoxBijector;

/// `initialize` returns the image of the batch under the initialised bijector, detached from the
/// graph. The initialised bijector can be inverted, and its parameters keep their names and ids, so
/// an optimizer still knows them.
///
/// # Errors
/// The first value that differs, or what changed.
pub fn initialization<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
) -> Result<Outcome, Failure> {
    Check::Initialization.under([Setting::new(DType::F64, Region::Ordinary, 8, 91)], |setting| {
        initialised(of, setting)
    })
}

fn initialised<const D: usize, C: SampleContext>(
    of: &Conformance<D, C>,
    setting: Setting,
) -> Result<f64, Fault> {
    let Setting { dtype, region, batch, seed } = setting;
    let bijector = of.build(seed, dtype);
    let known = |bijector: &BoxBijector<D, C>| -> Vec<_> {
        parameters(bijector).into_iter().map(|p| (p.path, p.id, p.trained)).collect()
    };
    let before = known(&bijector);
    let (x, context) =
        (of.sample(region, seed + 1, batch, dtype), of.sample_context(seed + 2, batch, dtype));
    let (initialised, passed) = bijector.initialize(x.clone(), &context);
    if known(&initialised) != before {
        return Err(Fault::Changed {
            how: "initialize",
            what: "names or ids of parameters, or which of them are trained",
        });
    }
    let z = Elements::of(&initialised.forward(x.clone(), &context).0);
    // The initialisation may scale outputs where forward scales weights: the same value by another
    // order of operations.
    let allowed = tolerance(Kind::Replay, dtype) * (1.0 + largest(&z.values));
    let used =
        Elements::of(&passed).near("output of initialize, against forward,", &z, |_| allowed)?;
    let back = initialised.inverse(passed.clone(), &context);
    let back =
        Elements::of(&back)
            .near("x -> z -> x after initialisation", &Elements::of(&x), |_| allowed)?;
    // A leaf makes the sum differentiable even if nothing else in it is.
    let leaf = passed.zeros_like().require_grad();
    let found = (passed + leaf).sum().backward();
    if gradients(&initialised, &found).iter().any(Option::is_some) {
        return Err(Fault::OnGraph("output of initialize"));
    }
    Ok(used.max(back))
}
