//! What is drawn from a device after a step, a replay or a check depends on what was there before
//! it, and not on the step.

#[path = "../common/build.rs"]
mod build;
#[path = "../common/draws.rs"]
mod draws;
mod replays;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::build::layer;
use crate::draws::turn;
use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use flowkit::bijector::replay::{Cotangent, Replay};
use flowkit::bijector::visit::Visit;
use flowkit::bijector::{Direction, Drive};
use flowkit::model::RealNvp;
use flowkit::model::real_nvp::RealNvpConfig;
use flowkit::random::Seeded;
use flowkit::testing::parameters::parameters;
use flowkit::testing::{Conformance, Inputs};
use flowkit::train::{
    Checkpoint, LossScale, NegativeLogLikelihood, NonFinite, Precision, Trainer, TrainerConfig,
    UpdateOutcome,
};
use flowkit::{
    ActNormConfig, Bijector, Context, ConvStyle, CouplingConfig, Density, Flow, GatedNetConfig,
    GradientMemory, LayerConfig, Leaf, Mixing, ShapeError, ShapeMap, Site, StandardNormal, Swap,
    UniformDequantization, UniformDequantizationConfig,
};

fn device() -> Device {
    Device::flex().autodiff()
}

fn draw() -> Vec<f32> {
    Tensor::<1>::random([6], Distribution::Default, &Device::flex()).into_data().iter().collect()
}

/// What is drawn after `step` where the device was seeded with `before` first.
fn after(before: u64, step: impl FnOnce()) -> Vec<f32> {
    device().seed(before);
    step();
    draw()
}

fn weights<M: Module>(model: &M) -> Vec<f64> {
    parameters(model).into_iter().flat_map(|parameter| parameter.values).collect()
}

/// All are different, and none is nearly another.
fn distinct(lists: &[Vec<f64>]) {
    for (index, a) in lists.iter().enumerate() {
        for b in &lists[..index] {
            assert!(
                a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() > 1e-3 * a.len() as f64
            );
        }
    }
}

fn points(n: usize) -> Tensor<2> {
    let values: Vec<f32> =
        (0..3 * n).map(|i| (1.7 * i as f32).sin() + 0.1 * i as f32 / n as f32).collect();
    Tensor::<1>::from_data(values.as_slice(), &device()).reshape([n, 3])
}

fn real_nvp() -> RealNvp {
    Flow::build(
        &RealNvpConfig::new(3).with_hidden(vec![8]),
        StandardNormal::new(),
        [1, 3],
        &device(),
    )
    .unwrap()
    .initialize(points(16))
    .unwrap()
}

fn likelihood(n: usize) -> NegativeLogLikelihood<Tensor<2>> {
    NegativeLogLikelihood::new(points(n))
}

#[test]
fn members_of_an_ensemble_are_different_models() {
    let _turn = turn();
    device().seed(5);
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut trainer = Trainer::new(real_nvp(), TrainerConfig::new()).unwrap();
        starts.push(weights(trainer.model()));
        for _ in 0..10 {
            trainer.update_on(&device(), &likelihood(16)).unwrap();
        }
        ends.push(weights(trainer.model()));
    }
    distinct(&starts);
    distinct(&ends);
}

/// One layer that drops activations and is drawn at random, behind noise.
type Dropping = Flow<Vec<flowkit::BoxBijector<4>>, StandardNormal, 4, (), UniformDequantization>;

fn dropping() -> Dropping {
    let net = GatedNetConfig::new(4, 1)
        .with_mixing(Some(Mixing::Attention { heads: 2 }))
        .with_style(ConvStyle::new().with_dropout(0.4));
    let law = flowkit::law::AffineConfig::new(flowkit::law::AffineForm::Exponential);
    let config = CouplingConfig::new(law, net);
    let coupling = || config.build(&Site::new([1, 2, 2, 2], &device())).unwrap();
    let layers = vec![
        flowkit::BoxBijector::new(layer(&ActNormConfig::new(), [1, 2, 1, 1], &device())),
        flowkit::BoxBijector::new((coupling(), Swap::new(), coupling())),
    ];
    let surjection = UniformDequantizationConfig::new().build().unwrap();
    Flow::new(layers, StandardNormal::new(), [1, 2, 2, 2])
        .unwrap()
        .behind(surjection)
        .initialize(levels(12))
        .unwrap()
}

fn levels(n: usize) -> Tensor<4, Int> {
    let values: Vec<i32> = (0..8 * n as i32).map(|i| (i * 37 + i * i * 11) % 256).collect();
    Tensor::<1, Int>::from_data(values.as_slice(), &device()).reshape([n, 2, 2, 2])
}

fn images(n: usize) -> NegativeLogLikelihood<Tensor<4, Int>> {
    NegativeLogLikelihood::new(levels(n))
}

fn config(seed: u64, backward: GradientMemory) -> TrainerConfig {
    TrainerConfig::new().with_seed(seed).with_gradient_memory(backward).with_warm_up(0)
}

const POLICIES: [GradientMemory; 3] =
    [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE];

/// Every kind of update, from one state of the device: all leave the same behind, from another
/// state something else.
#[test]
fn what_follows_an_update_depends_on_the_state_before_it_alone() {
    let _turn = turn();
    device().seed(1);
    let model = dropping();
    let updated =
        |before: u64, seed: u64, backward: GradientMemory, steps: u64, parts: &[usize]| {
            let mut trainer = Trainer::new(model.clone(), config(seed, backward)).unwrap();
            let parts: Vec<_> = parts.iter().map(|&n| images(n)).collect();
            after(before, || {
                (0..steps).for_each(|_| drop(trainer.update_on_parts(&device(), &parts).unwrap()))
            })
        };
    let expected = updated(1, 0, GradientMemory::Store, 1, &[12]);
    assert_ne!(updated(2, 0, GradientMemory::Store, 1, &[12]), expected);
    assert_ne!(updated(1, 0, GradientMemory::Store, 2, &[12]), expected, "the stream goes on");
    // Under the last, an update is tried several times.
    for backward in POLICIES.into_iter().chain([GradientMemory::Reversible { tolerance: 1e-12 }]) {
        for (seed, parts) in [(0, vec![12]), (9, vec![12]), (9, vec![4]), (3, vec![3, 2, 5])] {
            assert_eq!(
                updated(1, seed, backward, 1, &parts),
                expected,
                "{backward:?}, seed {seed}, {parts:?}"
            );
        }
    }
    // In float16 the first loss scale overflows.
    for precision in
        [Precision::BF16, Precision::F16(LossScale::Dynamic { exponent: 60, growth: 9 })]
    {
        let mut trainer =
            Trainer::new(model.clone(), config(3, GradientMemory::Store).with_precision(precision))
                .unwrap();
        assert_eq!(
            after(1, || drop(trainer.update_on(&device(), &images(4)).unwrap())),
            expected,
            "{precision:?}"
        );
    }
    let closure = |before: u64, draws: usize| {
        let mut trainer = Trainer::new(model.clone(), config(4, GradientMemory::Store)).unwrap();
        after(before, || {
            let loss = |model: &Dropping| {
                Tensor::<1>::random([draws], Distribution::Default, &device());
                model.loss(levels(3))
            };
            trainer.update(&device(), loss).unwrap();
        })
    };
    assert_eq!([closure(1, 1), closure(1, 1000)], [expected.clone(), expected.clone()]);
    assert_ne!(closure(2, 1), expected);
}

#[test]
fn updates_that_fail_give_the_stream_back_too() {
    let _turn = turn();
    device().seed(1);
    let model = dropping();
    let mut good = Trainer::new(model.clone(), config(0, GradientMemory::Store)).unwrap();
    let expected = after(1, || drop(good.update_on(&device(), &images(2)).unwrap()));
    let other = after(2, || drop(good.update_on(&device(), &images(2)).unwrap()));
    let nan = |model: &Dropping| model.loss(levels(2)).mul_scalar(f64::NAN);
    for (before, expected) in [(1, &expected), (2, &other)] {
        for backward in POLICIES {
            let mut trainer = Trainer::new(model.clone(), config(6, backward)).unwrap();
            // No batch; and a closure, which only `Store` takes.
            assert_eq!(
                &after(before, || assert!(
                    trainer
                        .update_on_parts::<NegativeLogLikelihood<Tensor<4, Int>>>(&device(), &[])
                        .is_err()
                )),
                expected
            );
            assert_eq!(
                &after(before, || assert!(trainer.update(&device(), nan).is_err())),
                expected
            );
        }
        let skipping =
            config(6, GradientMemory::Store).with_non_finite(NonFinite::Skip { at_most: 1 });
        let mut trainer = Trainer::new(model.clone(), skipping).unwrap();
        let skipped = || {
            assert!(matches!(
                trainer.update(&device(), nan).unwrap().outcome,
                UpdateOutcome::Skipped(_)
            ))
        };
        assert_eq!(&after(before, skipped), expected);
        let panics = || {
            let update = |_: &Dropping| -> Tensor<1> { panic!("the loss has none") };
            assert!(catch_unwind(AssertUnwindSafe(|| trainer.update(&device(), update))).is_err());
        };
        assert_eq!(&after(before, panics), expected);
    }
    // A fault is searched for with the noise of the step.
    let mut trainer = Trainer::new(real_nvp(), TrainerConfig::new()).unwrap();
    let spoilt = NegativeLogLikelihood::new(points(4).mul_scalar(f64::INFINITY));
    assert_eq!(after(1, || assert!(trainer.update_on(&device(), &spoilt).is_err())), expected);
    assert_eq!(after(2, || assert!(trainer.update_on(&device(), &spoilt).is_err())), other);
}

/// A training that draws each batch from the device: batches, losses and where the weights end.
fn drawn_batches(before: u64, seed: u64) -> (Vec<Vec<f64>>, Vec<f64>, Vec<f64>) {
    device().seed(before);
    let mut trainer = Trainer::new(real_nvp(), TrainerConfig::new().with_seed(seed)).unwrap();
    let (mut batches, mut losses) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let x = Tensor::<2>::random([8, 3], Distribution::Normal(0.0, 1.0), &device());
        batches.push(x.to_data().iter::<f64>().collect());
        losses.push(trainer.update_on(&device(), &NegativeLogLikelihood::new(x)).unwrap().loss);
    }
    (batches, losses, weights(trainer.model()))
}

#[test]
fn batches_drawn_between_updates_are_the_callers() {
    let _turn = turn();
    let run = drawn_batches(1, 0);
    assert_eq!(drawn_batches(1, 0), run, "the same seed is the same run");
    assert_eq!(drawn_batches(1, 8).0, run.0, "the run's seed is for what is within a step");
    distinct(&run.0);
    let other = drawn_batches(2, 0);
    for update in [2, 3, 10] {
        distinct(&[run.0[update - 1].clone(), other.0[update - 1].clone()]);
    }
    assert_ne!(other.2, run.2);
}

/// Noise and dropout of a step, from whatever state of the device.
#[test]
fn what_a_step_draws_follows_from_seed_and_step() {
    let _turn = turn();
    device().seed(1);
    let model = dropping();
    for backward in POLICIES {
        let losses = |before: u64, seed: u64| {
            let mut trainer = Trainer::new(model.clone(), config(seed, backward)).unwrap();
            device().seed(before);
            (0..4)
                .map(|_| trainer.update_on(&device(), &images(6)).unwrap().loss)
                .collect::<Vec<_>>()
        };
        assert_eq!(losses(2, 5), losses(1, 5), "{backward:?}");
        assert!(losses(1, 5).iter().zip(losses(1, 6)).all(|(a, b)| *a != b), "{backward:?}");
    }
}

#[test]
fn checks_diagnoses_and_evaluations_go_on_from_the_callers_stream() {
    let _turn = turn();
    device().seed(1);
    let (model, flow) = (dropping(), real_nvp());
    let check = || {
        let norm = Conformance::new("ActNorm", [1, 2], |device| {
            layer(&ActNormConfig::new(), [1, 2], device)
        });
        norm.inputs(Inputs::Real(10.0)).check().unwrap();
    };
    let diagnosis = || drop(flow.diagnose(points(8)).unwrap());
    let evaluation = || drop(model.evaluate(levels(3)).unwrap());
    let sample = || drop(model.sample(2).unwrap());
    for run in [&check as &dyn Fn(), &diagnosis, &evaluation, &sample] {
        assert_eq!(after(1, run), after(1, run));
        assert_ne!(after(1, run), after(2, run));
    }
}

/// Parameters draw once, where they are made.
#[test]
fn first_use_and_loading_draw_nothing() {
    let _turn = turn();
    let made = |config: &RealNvpConfig| {
        Flow::build(config, StandardNormal::new(), [1, 3], &device()).unwrap()
    };
    let config = RealNvpConfig::new(8);
    let unused = after(1, || drop(made(&config)));
    assert_eq!(after(1, || drop(weights(&made(&config).without_data()))), unused);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut trainer = Trainer::new(real_nvp(), TrainerConfig::new()).unwrap();
    trainer.save(&path, Default::default()).unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    let config = RealNvpConfig::new(3).with_hidden(vec![8]);
    let unused = after(1, || drop(made(&config)));
    assert_eq!(
        after(1, || drop(made(&config).load_section(&checkpoint, "model").unwrap())),
        unused
    );
    assert_eq!(after(1, || drop(Trainer::resume(&checkpoint, made(&config)).unwrap())), unused);
    assert_ne!(after(2, || drop(Trainer::resume(&checkpoint, made(&config)).unwrap())), unused);
}

#[test]
fn scopes_lie_within_each_other() {
    let _turn = turn();
    let nested = |before: u64, inner: u64| {
        let mut within = Vec::new();
        let after = after(before, || {
            let _outer = Seeded::new(&device(), 3);
            drop(Seeded::new(&device(), inner));
            within = draw();
        });
        (within, after)
    };
    assert_eq!(nested(1, 4), nested(1, 5));
    assert_eq!(nested(1, 4).0, nested(2, 4).0, "the outer scope's own stream goes on");
    assert_ne!(nested(1, 4).1, nested(2, 4).1);
}
