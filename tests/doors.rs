//! The door of a flow: types of data and conditions, and one condition for many examples.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::build::{fixed, layer};
use crate::draws::turn;
use burn::module::Module;
use burn::tensor::{DType, Device, FloatDType, Int, IntDType, Tensor, TensorData};
use flowkit::flow::diagnose::diagnose;
use flowkit::law::MixLogCdfConfig;
use flowkit::model::glow::{GlowClassifierConfig, GlowConfig, GlowPrior};
use flowkit::testing::elements::{elements, normal, tensor};
use flowkit::testing::parameters::{change, parameters};
use flowkit::train::{NegativeLogLikelihood, TrainError, Trainer, TrainerConfig};
use flowkit::{
    ActNorm, ActNormConfig, Context, ContextShape, Coupling, CouplingConfig, Density,
    DiagnosisConfig, Features, Flow, FlowError, GatedNet, GatedNetConfig, GradientMemory,
    LayerConfig, LogitConfig, Mlp, MlpConfig, NormalMixtureConfig, PriorConfig, Site,
    StandardNormal, UniformDequantization, UniformDequantizationConfig, Uninit,
};

fn plain() -> Device {
    Device::flex()
}

/// Numbers of `N(0, 1)` on a device with autodiff.
fn draw<const D: usize>(seed: u64, shape: [usize; D], dtype: DType) -> Tensor<D> {
    tensor(normal(seed, shape.iter().product(), 1.0), shape, dtype, &plain().autodiff())
}

fn moved<M: Module>(module: M, dtype: DType) -> M {
    change(module, dtype, |index, old| {
        old.iter()
            .zip(normal(50 + index as u64, old.len(), 0.2))
            .map(|(old, noise)| old + noise)
            .collect()
    })
}

type Vectors<C> = Flow<(ActNorm<2>, Coupling<flowkit::law::MixLogCdf, Mlp>), StandardNormal, 2, C>;

/// A flow on four numbers with a condition of three.
fn uninit<C: Features<2>>(dtype: DType) -> Uninit<Vectors<C>> {
    let device = plain().autodiff();
    device.seed(8);
    let coupling = CouplingConfig::new(MixLogCdfConfig::new(2), MlpConfig::new([64, 64]));
    let site = Site::<2>::described([1, 4], ContextShape::vector(Some(3)), &device);
    let layers = (layer(&ActNormConfig::new(), [1, 4], &device), coupling.build(&site).unwrap());
    Flow::<_, _, 2, C>::new_given(moved(layers, dtype), StandardNormal::new(), [1, 4]).unwrap()
}

fn vectors<C: Features<2>>(dtype: DType) -> Vectors<C> {
    uninit::<C>(dtype).without_data()
}

type Maps<C> = Flow<
    (flowkit::Logit, Coupling<flowkit::law::MixLogCdf, GatedNet>),
    StandardNormal,
    4,
    C,
    UniformDequantization,
>;

/// A model of images `[2, 4, 4]` with a condition of three maps.
fn maps<C: Features<4>>() -> Maps<C> {
    let device = plain().autodiff();
    device.seed(8);
    let coupling = CouplingConfig::new(MixLogCdfConfig::new(2), GatedNetConfig::new(8, 1));
    let site = Site::<4>::described([1, 2, 4, 4], ContextShape::vector(Some(3)), &device);
    let layers = (fixed(&LogitConfig::new()), coupling.build(&site).unwrap());
    let dequantization = UniformDequantizationConfig::new().build().unwrap();
    let flow = Flow::<_, _, 4, C>::new_given(
        moved(layers, DType::F32),
        StandardNormal::new(),
        [1, 2, 4, 4],
    )
    .map(|flow| flow.behind(dequantization));
    flow.unwrap().without_data()
}

fn levels(n: usize) -> Tensor<4, Int> {
    let values: Vec<i64> = (0..n as i64 * 32).map(|i| (i * 53 + i * i * 7) % 256).collect();
    Tensor::from_data(TensorData::new(values, [n, 2, 4, 4]), &plain())
}

#[track_caller]
fn refused<T>(result: Result<T, FlowError>, what: &str, expected: DType, found: DType) {
    let error = result.err().expect("elements of another type were taken");
    let text = format!("{what}: expected elements of type {expected:?}, found {found:?}");
    assert_eq!(error.to_string(), text);
    let named = FlowError::Type {
        what: if what == "data" { "data" } else { "condition" },
        expected,
        found,
    };
    assert!(error == named || what == "latents", "{error:?}");
}

/// Text of a panic.
#[track_caller]
fn panics<T>(run: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).err().expect("went through");
    panic.downcast_ref::<String>().expect("a panic with a text").clone()
}

const OTHERS: [DType; 3] = [DType::F64, DType::F16, DType::BF16];

/// A float32 layer has no float64 latents. A network computes in a type of its own.
#[test]
fn layers_and_prior_of_two_types_are_refused() {
    let _turn = turn();
    let site = || Site::<2>::new([1, 4], &plain());
    let prior = |dtype| moved(NormalMixtureConfig::new(2).build(&site()).unwrap(), dtype);
    let norm = |dtype| moved(layer(&ActNormConfig::new(), [1, 4], &plain()), dtype);
    let x = draw(3, [5, 4], DType::F64).inner();
    for (of_layers, of_prior, what) in
        [(DType::F32, DType::F64, "layers"), (DType::F64, DType::F32, "prior")]
    {
        let flow = Flow::new(norm(of_layers), prior(of_prior), [1, 4]).unwrap().without_data();
        let named = FlowError::Type { what, expected: DType::F64, found: DType::F32 };
        assert_eq!(flow.evaluate(x.clone()).unwrap_err(), named);
        assert_eq!(flow.sample(3).unwrap_err(), named);
    }
    let coupling = CouplingConfig::new(MixLogCdfConfig::new(2), MlpConfig::new([8, 8]));
    let coupling = moved(coupling.build(&site()).unwrap(), DType::F32);
    let flow = Flow::new(coupling, prior(DType::F64), [1, 4]).unwrap().without_data();
    assert_eq!(flow.evaluate(x).unwrap().nats().len(), 5);
}

#[test]
fn data_and_conditions_of_another_type_are_refused() {
    let _turn = turn();
    for own in [DType::F32, DType::F64] {
        let (x, context) = (draw(1, [5, 4], own), draw(2, [5, 3], own));
        let flow = vectors::<Tensor<2>>(own);
        flow.given(&context).evaluate(x.clone()).unwrap();
        for other in OTHERS.into_iter().chain([DType::F32]).filter(|&other| other != own) {
            let (bad_x, bad) = (x.clone().cast(other), context.clone().cast(other));
            assert_eq!((bad_x.dtype(), bad.dtype()), (other, other));
            let config = DiagnosisConfig::new();
            refused(flow.given(&context).evaluate(bad_x.clone()), "data", own, other);
            refused(flow.given(&bad).evaluate(bad_x.clone()), "data", own, other);
            refused(flow.given(&context).evaluate_rows(bad_x.clone()), "data", own, other);
            refused(flow.given(&context).diagnose_with(&config, bad_x.clone()), "data", own, other);
            refused(diagnose(&config, &flow.bijector, bad_x.clone(), &context), "data", own, other);
            refused(
                uninit::<Tensor<2>>(own).initialize_given(bad_x.clone(), &context),
                "data",
                own,
                other,
            );
            refused(flow.given(&bad).evaluate(x.clone()), "condition", own, other);
            refused(flow.given(&bad).evaluate_rows(x.clone()), "condition", own, other);
            refused(flow.given(&bad).diagnose_with(&config, x.clone()), "condition", own, other);
            refused(
                uninit::<Tensor<2>>(own).initialize_given(x.clone(), &bad),
                "condition",
                own,
                other,
            );
            refused(flow.given(&bad).sample(5), "condition", own, other);
            refused(flow.given(&bad).sample_with_log_prob(5), "condition", own, other);
            refused(flow.given(&bad).sample_rows(5), "condition", own, other);
            let pair = (context.clone().narrow(1, 0, 1), bad.clone().narrow(1, 1, 2));
            let paired = vectors::<(Tensor<2>, Tensor<2>)>(own);
            refused(paired.given(&pair).evaluate(x.clone()), "condition", own, other);
            let text = panics(|| flow.given(&context).log_prob(bad_x.clone()));
            assert_eq!(text, format!("data: expected elements of type {own:?}, found {other:?}"));
            let text = panics(|| flow.given(&bad).log_prob(x.clone()));
            assert_eq!(
                text,
                format!("condition: expected elements of type {own:?}, found {other:?}")
            );
        }
    }
}

#[test]
fn an_update_on_another_type_or_shape_changes_nothing() {
    let _turn = turn();
    let (x, context) = (draw(1, [6, 4], DType::F32), draw(2, [6, 3], DType::F32));
    for backward in [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE] {
        let config = TrainerConfig::new().with_gradient_memory(backward);
        let mut trainer = Trainer::new(vectors::<Tensor<2>>(DType::F32), config).unwrap();
        let before =
            parameters(trainer.model()).into_iter().flat_map(|p| p.values).collect::<Vec<_>>();
        let bad = [
            (
                x.clone().cast(DType::F64),
                context.clone(),
                "data: expected elements of type F32, found F64",
            ),
            (
                x.clone(),
                context.clone().cast(DType::F64),
                "condition: expected elements of type F32, found F64",
            ),
            (
                x.clone(),
                context.clone().cast(DType::BF16),
                "condition: expected elements of type F32, found BF16",
            ),
            (
                x.clone().narrow(1, 0, 3),
                context.clone(),
                "Flow: expected length 4 along axis 1, found shape [6, 3]",
            ),
            (
                x.clone(),
                context.clone().narrow(0, 0, 4),
                "expected a condition of shape [6, 3], found [4, 3]",
            ),
        ];
        for (x, context, text) in bad {
            let batch = NegativeLogLikelihood::given(x, context);
            let error = trainer.update_on(&plain().autodiff(), &batch).unwrap_err();
            assert!(
                matches!(error, TrainError::Batch(_)) && error.to_string().contains(text),
                "{error}"
            );
        }
        let after =
            parameters(trainer.model()).into_iter().flat_map(|p| p.values).collect::<Vec<_>>();
        assert_eq!((before, trainer.step_count()), (after, 0));
    }
}

#[test]
fn bounds_check_conditions_and_noise() {
    let _turn = turn();
    let (x, own, other) = (levels(4), DType::F32, DType::F64);
    let model = maps::<Tensor<4>>();
    let context = draw(3, [4, 3, 4, 4], own);
    let bad = context.clone().cast(other);
    refused(model.given(&bad).evaluate(x.clone()), "condition", own, other);
    refused(model.given(&bad).evaluate_importance_weighted(x.clone(), 3), "condition", own, other);
    refused(model.given(&bad).round_trip(x.clone()), "condition", own, other);
    refused(model.given(&bad).diagnose(x.clone()), "condition", own, other);
    refused(model.given(&bad).sample(4), "condition", own, other);
    refused(model.given(&bad).sample_rows(4), "condition", own, other);
    let noise = draw(4, [4, 2, 4, 4], other);
    let text = panics(|| model.given(&context).log_weight(x.clone(), noise));
    assert_eq!(text, "noise: expected elements of type F32, found F64");
    assert_eq!(
        panics(|| model.given(&bad).loss(x.clone())),
        "condition: expected elements of type F32, found F64"
    );

    // Levels of every integer type are levels.
    let nats = |x: Tensor<4, Int>| {
        plain().seed(7);
        model.given(&context).evaluate(x).unwrap().nats().to_vec()
    };
    let expected = nats(x.clone());
    for dtype in [IntDType::I64, IntDType::I32, IntDType::U32, IntDType::I16, IntDType::U8] {
        assert_eq!(nats(x.clone().cast(dtype)), expected, "{dtype:?}");
    }
}

#[test]
fn a_classifier_checks_latents_and_classes() {
    let _turn = turn();
    let config = GlowConfig::new([2, 4, 4], 1, 1)
        .with_n_filters(4)
        .with_prior(GlowPrior::Classes { n_classes: 3 });
    let class = Tensor::<2>::from_data([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], &plain());
    let glow = config.build_classes(&plain()).unwrap().initialize_given(levels(2), &class).unwrap();
    let classifier = GlowClassifierConfig::for_model(&config).unwrap().build(&plain()).unwrap();
    let z = draw(5, [2, 2, 4, 4], DType::F32).inner();
    let logits = |z: Tensor<4>, class: Tensor<2>| classifier.logits(&glow.bijector, z, &class);
    refused(logits(z.clone().cast(DType::F64), class.clone()), "latents", DType::F32, DType::F64);
    refused(logits(z.clone(), class.clone().cast(DType::F64)), "condition", DType::F32, DType::F64);
    assert!(matches!(logits(z.clone(), class.clone().narrow(1, 0, 2)), Err(FlowError::Shape(_))));
    let one = class.clone().narrow(0, 0, 1);
    let (found, expected) =
        (logits(z.clone(), one.clone()).unwrap(), logits(z, one.repeat_dim(0, 2)).unwrap());
    assert_eq!(elements(&found), elements(&expected));
}

/// Without parameters there is no type but the data's.
#[test]
fn a_flow_without_parameters_works_in_both_types() {
    let flow = Flow::new(fixed(&LogitConfig::new()), StandardNormal::new(), [1, 2])
        .unwrap()
        .without_data();
    let x = |dtype: FloatDType| Tensor::<2>::from_data([[0.25, 0.5]], &plain()).cast(dtype);
    let found = |dtype| flow.evaluate(x(dtype)).unwrap().nats()[0];
    let p = |x: f64| 0.05 + 0.9 * x;
    let one = |x: f64| {
        let z = (p(x) / (1.0 - p(x))).ln();
        -0.5 * z * z - 0.5 * (2.0 * std::f64::consts::PI).ln() + 0.9f64.ln()
            - (p(x) * (1.0 - p(x))).ln()
    };
    let expected = one(0.25) + one(0.5);
    assert!((found(FloatDType::F64) - expected).abs() < 1e-13);
    assert!((found(FloatDType::F32) - expected).abs() < 1e-5);
    refused(flow.evaluate(x(FloatDType::F16)), "data", DType::F32, DType::F16);
}

/// What a flow on vectors makes of a batch of one as condition is what it makes of its repeats.
fn one_vector_for_many<C: Features<2>>(one: C, many: C) {
    let (n, device) = (11, plain().autodiff());
    let x = draw(6, [n, 4], DType::F32);
    let flow = vectors::<C>(DType::F32);
    let nats = |context: &C| flow.given(context).evaluate(x.clone()).unwrap().nats().to_vec();
    assert_eq!(nats(&one), nats(&many));
    assert_eq!(
        flow.given(&one).evaluate_rows(x.clone()),
        flow.given(&many).evaluate_rows(x.clone())
    );
    assert_eq!(elements(&flow.given(&one).log_prob(x.clone())), nats(&many));
    let sample = |context: &C| {
        device.seed(9);
        elements(&flow.given(context).sample_at(n, 0.8).unwrap())
    };
    assert_eq!(sample(&one), sample(&many));
    let config = DiagnosisConfig::new();
    let log_det =
        |context: &C| flow.given(context).diagnose_with(&config, x.clone()).unwrap().log_det();
    assert_eq!(log_det(&one), log_det(&many));
    let started =
        |context: &C| uninit::<C>(DType::F32).initialize_given(x.clone(), context).unwrap();
    let values =
        |flow: &Vectors<C>| parameters(flow).into_iter().flat_map(|p| p.values).collect::<Vec<_>>();
    assert!(values(&started(&one)) == values(&started(&many)), "the starts differ");
    for backward in [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE] {
        let trained = |context: &C| {
            let training = TrainerConfig::new().with_gradient_memory(backward).with_warm_up(0);
            let mut trainer = Trainer::new(vectors::<C>(DType::F32), training).unwrap();
            let batch = NegativeLogLikelihood::given(x.clone(), context.clone());
            (0..2).for_each(|_| drop(trainer.update_on(&device, &batch).unwrap()));
            values(trainer.model())
        };
        assert!(trained(&one) == trained(&many), "trainings under {backward:?} differ");
    }
    // Neither one row nor one for each example.
    let two = many.rows(0..2);
    assert!(matches!(flow.given(&two).evaluate(x.clone()), Err(FlowError::Shape(_))));
    assert!(matches!(flow.given(&two).sample(n), Err(FlowError::Shape(_))));
}

/// The same for a model of images.
fn one_map_for_many<C: Features<4>>(one: C, many: C) {
    let (x, model) = (levels(11), maps::<C>());
    let seeded = || plain().seed(10);
    let bound = |context: &C| {
        seeded();
        let one_sample = model.given(context).evaluate(x.clone()).unwrap().nats().to_vec();
        let weighted = model
            .given(context)
            .evaluate_importance_weighted(x.clone(), 3)
            .unwrap()
            .nats()
            .to_vec();
        let back = model.given(context).round_trip(x.clone()).unwrap().1;
        (one_sample, weighted, back, elements(&model.given(context).loss(x.clone())))
    };
    assert_eq!(bound(&one), bound(&many));
    let sample = |context: &C| {
        seeded();
        model.given(context).sample_at(11, 0.7).unwrap().into_data()
    };
    assert_eq!(sample(&one), sample(&many));
}

#[test]
fn one_condition_serves_many_examples() {
    let _turn = turn();
    let row = |seed, width| draw(seed, [1, width], DType::F32);
    let many = |one: &Tensor<2>| one.clone().repeat_dim(0, 11);
    let (three, one, two) = (row(11, 3), row(12, 1), row(13, 2));
    one_vector_for_many(three.clone(), many(&three));
    one_vector_for_many((one.clone(), two.clone()), (many(&one), many(&two)));
    // One of a pair may be a single row beside rows for each example.
    let flow = vectors::<(Tensor<2>, Tensor<2>)>(DType::F32);
    let (x, each) = (draw(14, [11, 4], DType::F32), draw(15, [11, 1], DType::F32));
    let nats = |two: Tensor<2>| {
        flow.given(&(each.clone(), two)).evaluate(x.clone()).unwrap().nats().to_vec()
    };
    assert_eq!(nats(two.clone()), nats(many(&two)));

    let map = draw(16, [1, 3, 4, 4], DType::F32);
    one_map_for_many(map.clone(), map.clone().repeat_dim(0, 11));
    let part = map.narrow(1, 0, 1);
    one_map_for_many((part.clone(), two.clone()), (part.repeat_dim(0, 11), many(&two)));
    one_map_for_many(three.clone(), many(&three));
}

/// A flow whose layers ignore the condition still counts its rows.
#[test]
fn rows_of_a_condition_are_counted_where_nobody_reads_it() {
    let layer = layer(&ActNormConfig::new(), [1, 4], &plain());
    let flow = Flow::<_, _, 2, Tensor<2>>::new_given(layer, StandardNormal::new(), [1, 4])
        .unwrap()
        .without_data();
    let (x, context) = (draw(17, [5, 4], DType::F32), draw(18, [3, 2], DType::F32));
    let error = flow.given(&context).evaluate(x).unwrap_err();
    let text = "Flow: expected a condition of shape [5, 2], found [3, 2]; it has one row for each \
                example, or one row for all of them";
    assert_eq!(error.to_string(), text);
}

/// Rows of a condition by number and by range.
#[test]
fn rows_of_a_condition() {
    let context = (draw(19, [6, 2], DType::F32).require_grad(), draw(20, [6, 1, 2, 2], DType::F64));
    let (a, b) = (elements(&context.0), elements(&context.1));
    let picked = context.select(&[4, 1]);
    assert_eq!(elements(&picked.0), [a[8], a[9], a[2], a[3]]);
    assert_eq!(elements(&picked.1), [&b[16..20], &b[4..8]].concat());
    let range = context.rows(2..5);
    assert_eq!((elements(&range.0), elements(&range.1)), (a[4..10].to_vec(), b[8..20].to_vec()));
    let plain = context.plain();
    assert!(!plain.0.is_autodiff() && !plain.1.is_autodiff() && elements(&plain.0) == a);
    assert_eq!(panics(|| context.select(&[6])), "expected a row of the condition in 0..6, found 6");
    assert_eq!(
        panics(|| context.rows(4..7)),
        "expected rows of the condition within 0..6, found 4..7"
    );
    let parts = context.parts();
    assert_eq!((parts[0].shape.clone(), parts[1].dtype), (vec![6, 2], DType::F64));
}
