//! What must not compile. Each line is a fact about types that the compiler checks when this
//! program is built: a method that needs a trait does not compile for a type without it.

use burn::tensor::Tensor;
use flowkit::flow::likelihood::{IsBound, IsExact};
use flowkit::model::glow::{ClassGlow, Glow};
use flowkit::train::NegativeLogLikelihood;
use flowkit::train::Objective;
use flowkit::train::fit::{FitData, FitFlow, FitInit};
use flowkit::{ActNorm, Density, Flow, Given, StandardNormal, Uninit};
use static_assertions::{assert_impl_all, assert_not_impl_any};

type Plain = Flow<ActNorm<2>, StandardNormal, 2>;
type Conditional = Flow<ActNorm<2>, StandardNormal, 2, Tensor<2>>;
type Provenance<F> = <F as Density>::Provenance;

// A conditional flow has no `sample`, `log_prob`, `loss` or `evaluate` without its condition.
assert_impl_all!(Plain: Density);
assert_impl_all!(Given<'static, Conditional, Tensor<2>>: Density);
assert_not_impl_any!(Conditional: Density);

// Neither has a class-conditional Glow without its classes.
assert_impl_all!(Glow: Density);
assert_impl_all!(Given<'static, ClassGlow, Tensor<2>>: Density);
assert_not_impl_any!(ClassGlow: Density);

// What is not initialised is not evaluated, sampled or trained, but can be fitted.
assert_not_impl_any!(Uninit<Plain>: Density, FitFlow);
assert_impl_all!(Uninit<Plain>: FitInit);

// `sample_with_log_prob` is for exact densities, `evaluate_importance_weighted` for bounds.
assert_impl_all!(Provenance<Plain>: IsExact);
assert_not_impl_any!(Provenance<Plain>: IsBound);
assert_impl_all!(Provenance<Glow>: IsBound);
assert_not_impl_any!(Provenance<Glow>: IsExact);

// A conditional flow is fitted to data with a condition, and a plain flow to data without one.
assert_impl_all!(Conditional: FitFlow<Context = Tensor<2>>);
assert_impl_all!((Tensor<2>, Tensor<2>): FitData<Context = Tensor<2>>);
assert_not_impl_any!(Tensor<2>: FitData<Context = Tensor<2>>);
assert_impl_all!(Plain: FitFlow<Context = ()>);
assert_not_impl_any!((Tensor<2>, Tensor<2>): FitData<Context = ()>);

// The same in a loop of one's own.
assert_impl_all!(NegativeLogLikelihood<Tensor<2>, Tensor<2>>: Objective<Conditional>);
assert_not_impl_any!(NegativeLogLikelihood<Tensor<2>>: Objective<Conditional>);
assert_not_impl_any!(NegativeLogLikelihood<Tensor<2>, Tensor<2>>: Objective<Plain>);

/// The checks above fail when this is compiled. This one sees that a check can fail.
#[test]
fn a_type_that_has_the_trait_is_told_from_one_that_has_not() {
    trait Otherwise {
        const IS_DENSITY: bool = false;
    }
    impl<T> Otherwise for T {}
    struct Asked<T>(std::marker::PhantomData<T>);
    #[allow(dead_code)]
    impl<T: Density> Asked<T> {
        const IS_DENSITY: bool = true;
    }
    assert_eq!(
        [
            Asked::<Plain>::IS_DENSITY,
            Asked::<Conditional>::IS_DENSITY,
            Asked::<Uninit<Plain>>::IS_DENSITY
        ],
        [true, false, false]
    );
}
