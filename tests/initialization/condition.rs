//! A condition that is not finite is refused at every door, by a name and a row of its own.

use burn::tensor::{Device, Tensor};
use flowkit::flow::diagnose::diagnose;
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::model::glow::{ClassGlow, GlowConfig, GlowPrior};
use flowkit::model::{RealNvp, RealNvpConfig};
use flowkit::train::{
    NegativeLogLikelihood, NonFinite, TrainError, Trainer, TrainerConfig, UpdateOutcome,
};
use flowkit::{
    Context, CouplingConfig, Density, DiagnosisConfig, Flow, FlowError, LayerConfig, MlpConfig,
    NonFiniteContext, Site, StandardNormal,
};

use super::{around, device, levels, scattered, tensor};

const ROWS: usize = 6;

/// One number in a row is not finite, and another in a later one.
fn spoiled(row: usize, value: f32) -> Tensor<2> {
    let mut values = around(9, ROWS * 2, 0.0, 1.0);
    (values[2 * row + 1], values[2 * ROWS - 1]) = (value, f32::NAN);
    tensor(values, [ROWS, 2])
}

fn whole() -> Tensor<2> {
    tensor(around(10, ROWS * 2, 0.0, 1.0), [ROWS, 2])
}

fn x() -> Tensor<2> {
    tensor(around(11, ROWS * 3, 0.0, 1.0), [ROWS, 3])
}

fn refused<T>(result: Result<T, FlowError>, path: &str, row: usize) {
    let expected = NonFiniteContext { path: path.into(), row: Some(row) };
    match result.map(drop) {
        Err(FlowError::NonFiniteContext(found)) => assert_eq!(found, expected),
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("went through"),
    }
}

fn vectors() -> RealNvp<Tensor<2>> {
    Flow::build_given(
        &RealNvpConfig::new(8),
        StandardNormal::new(),
        [1, 3],
        &Tensor::<2>::ones([1, 2], &device()),
        &device(),
    )
    .unwrap()
    .initialize_given(x(), &whole())
    .unwrap()
}

#[test]
fn flows_refuse_it() {
    let flow = vectors();
    for (row, value) in [(0, f32::NAN), (3, f32::INFINITY), (5, f32::NEG_INFINITY)] {
        let bad = spoiled(row, value);
        refused(flow.given(&bad).evaluate(x()), "condition", row);
        refused(flow.given(&bad).sample(ROWS), "condition", row);
        refused(flow.given(&bad).diagnose(x()), "condition", row);
        refused(diagnose(&DiagnosisConfig::new(), &flow.bijector, x(), &bad), "condition", row);
        let uninit = Flow::build_given(
            &RealNvpConfig::new(8),
            StandardNormal::new(),
            [1, 3],
            &Tensor::<2>::ones([1, 2], &device()),
            &device(),
        )
        .unwrap();
        refused(uninit.initialize_given(x(), &bad), "condition", row);
    }
    let error = flow.given(&spoiled(2, f32::NAN)).evaluate(x()).unwrap_err().to_string();
    assert_eq!(error, "the condition is not finite: the first such element is in row 2");
    // Large is finite.
    let large = whole().mul_scalar(1e20);
    assert!(flow.given(&large).evaluate(x()).is_ok());
    let uninit = Flow::build_given(
        &RealNvpConfig::new(8),
        StandardNormal::new(),
        [1, 3],
        &Tensor::<2>::ones([1, 2], &device()),
        &device(),
    )
    .unwrap();
    assert!(uninit.initialize_given(x(), &large).is_ok());
}

#[test]
fn a_part_of_a_pair_is_named() {
    let coupling =
        CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), MlpConfig::new([64, 64]));
    let example = (whole(), (whole(), whole()));
    let coupling = coupling.build(&Site::given([1, 3], &example, &device())).unwrap();
    type Three = (Tensor<2>, (Tensor<2>, Tensor<2>));
    let flow = Flow::<_, _, 2, Three>::new_given(coupling, StandardNormal::new(), [1, 3]);
    let flow = flow.unwrap().initialize_given(x(), &(whole(), (whole(), whole()))).unwrap();
    let bad = || spoiled(1, f32::NAN);
    refused(flow.given(&(bad(), (whole(), bad()))).evaluate(x()), "condition.0", 1);
    refused(flow.given(&(whole(), (bad(), whole()))).evaluate(x()), "condition.1.0", 1);
    refused(flow.given(&(whole(), (whole(), bad()))).sample_at(ROWS, 0.5), "condition.1.1", 1);
    // Maps have rows too, and nothing holds nothing that is not finite.
    let map = bad().reshape([ROWS, 1, 1, 2]);
    assert_eq!(
        Context::non_finite(&map),
        Some(NonFiniteContext { path: "condition".into(), row: Some(1) })
    );
    assert_eq!(Context::non_finite(&()), None);
    assert_eq!(Context::non_finite(&Tensor::<2>::zeros([0, 2], &Device::flex())), None);
}

/// A condition of a user's own, which says whether it is finite and no more.
#[test]
fn a_condition_of_ones_own_may_name_no_row() {
    use burn::tensor::Gradients;
    use flowkit::context::ContextPart;
    #[derive(Clone, Debug)]
    struct Own(bool);
    impl Context for Own {
        type Gradient = ();
        fn leaf(&self, _: &Device) -> Self {
            self.clone()
        }
        fn constant(&self, _: &Device) -> Self {
            self.clone()
        }
        fn plain(&self) -> Self {
            self.clone()
        }
        fn cast(&self, _: burn::tensor::DType) -> Self {
            self.clone()
        }
        fn select(&self, _: &[usize]) -> Self {
            self.clone()
        }
        fn for_batch(&self, _: usize) -> Self {
            self.clone()
        }
        fn parts(&self) -> Vec<ContextPart> {
            Vec::new()
        }
        fn is_finite(&self) -> bool {
            self.0
        }
        fn collect(_: &Self, _: &mut Gradients, _: &mut ()) {}
        fn pair(&self, (): ()) -> Option<Tensor<1>> {
            None
        }
    }
    let flow = Flow::<_, _, 2, Own>::new_given(flowkit::Swap::new(), StandardNormal::new(), [1, 2])
        .unwrap();
    let flow = flow.without_data();
    let z = Tensor::<2>::zeros([2, 2], &device());
    assert!(flow.given(&Own(true)).evaluate(z.clone()).is_ok());
    let error = flow.given(&Own(false)).evaluate(z).unwrap_err();
    assert_eq!(error.to_string(), "the condition is not finite");
}

fn glow() -> (GlowConfig, ClassGlow) {
    let config = GlowConfig::new([3, 4, 4], 1, 1)
        .with_n_filters(4)
        .with_prior(GlowPrior::Classes { n_classes: 2 });
    let model = config
        .build_classes(&device())
        .unwrap()
        .initialize_given(levels([ROWS, 3, 4, 4], scattered), &whole())
        .unwrap();
    (config, model)
}

#[test]
fn bounds_refuse_it() {
    let (config, model) = glow();
    let x = || levels([ROWS, 3, 4, 4], scattered);
    let bad = spoiled(4, f32::INFINITY);
    refused(model.given(&bad).evaluate(x()), "condition", 4);
    refused(model.given(&bad).evaluate_importance_weighted(x(), 2), "condition", 4);
    refused(model.given(&bad).round_trip(x()), "condition", 4);
    refused(model.given(&bad).sample(ROWS), "condition", 4);
    refused(model.given(&bad).diagnose(x()), "condition", 4);
    refused(config.build_classes(&device()).unwrap().initialize_given(x(), &bad), "condition", 4);
}

#[test]
fn training_refuses_it() {
    let condition = NonFiniteContext { path: "condition".into(), row: Some(2) };
    let bad = || spoiled(2, f32::NEG_INFINITY);
    let batch = |context| NegativeLogLikelihood::given(x(), context);
    let mut trainer = Trainer::new(vectors(), TrainerConfig::new()).unwrap();
    let error = trainer.update_on(&device(), &batch(bad())).unwrap_err();
    assert_eq!(error, TrainError::NonFiniteContext { step: 1, condition: condition.clone() });
    assert!(error.is_non_finite());
    assert_eq!(trainer.step_count(), 0);
    assert_eq!(
        error.to_string(),
        "update 1: the condition is not finite: the first such element is in row 2"
    );
    trainer.update_on(&device(), &batch(whole())).unwrap();
    // In the second part of a batch too.
    let error = trainer.update_on_parts(&device(), &[batch(whole()), batch(bad())]).unwrap_err();
    assert_eq!(error, TrainError::NonFiniteContext { step: 2, condition: condition.clone() });
    // The policy for what is not finite decides.
    let mut trainer = trainer.with_non_finite(NonFinite::Skip { at_most: 1 });
    let passed = trainer.update_on(&device(), &batch(bad())).unwrap();
    assert_eq!(
        passed.outcome,
        UpdateOutcome::Skipped(TrainError::NonFiniteContext {
            step: 2,
            condition: condition.clone()
        })
    );

    let (_, model) = glow();
    let mut trainer = Trainer::new(model, TrainerConfig::new()).unwrap();
    let batch = NegativeLogLikelihood::given(levels([ROWS, 3, 4, 4], scattered), bad());
    let error = trainer.update_on(&device(), &batch).unwrap_err();
    assert_eq!(error, TrainError::NonFiniteContext { step: 1, condition });
}
