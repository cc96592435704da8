//! Updates that are not made: of models of which nothing is trained, and such as would make numbers
//! that are not finite.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::collections::BTreeMap;
use std::fs;

use crate::build::layer;
use crate::draws::turn;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::testing::parameters::parameters;
use flowkit::train::{
    Checkpoint, CheckpointError, EmaDecay, NegativeLogLikelihood, NonFinite, OptimizerConfig,
    TrainError, Trainer, TrainerConfig, UpdateOutcome,
};
use flowkit::{
    ActNormConfig, BoxBijector, CouplingConfig, Flow, GradientMemory, LayerConfig, MlpConfig,
    Sigmoid, Site, StandardNormal, Swap, Uninit,
};

fn device() -> Device {
    Device::flex().autodiff()
}

const POLICIES: [GradientMemory; 3] =
    [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE];

type Model = Flow<Vec<BoxBijector<2>>, StandardNormal, 2>;

fn uninit() -> Uninit<Model> {
    let mut layers = Vec::new();
    for _ in 0..2 {
        let coupling =
            CouplingConfig::new(AffineConfig::new(AffineForm::Bounded), MlpConfig::new([4]));
        let coupling = coupling.build(&Site::new([1, 2], &device())).unwrap();
        layers.push(BoxBijector::new(layer(&ActNormConfig::new(), [1, 2], &device())));
        layers.push(BoxBijector::new(coupling));
        layers.push(BoxBijector::new(Swap::new()));
    }
    Flow::new(layers, StandardNormal::new(), [1, 2]).unwrap()
}

fn model() -> Model {
    device().seed(2);
    uninit().initialize(points().x).unwrap()
}

fn points() -> NegativeLogLikelihood<Tensor<2>> {
    let rows = [[0.5, -1.0], [2.0, 0.25], [-1.5, 3.0], [0.1, 0.2]];
    NegativeLogLikelihood::new(Tensor::from_data(rows, &device()))
}

fn config(backward: GradientMemory) -> TrainerConfig {
    TrainerConfig::new().with_gradient_memory(backward).with_warm_up(1).with_learning_rate(0.01)
}

/// Freezes the parameters whose path begins like this.
fn frozen<M: Module>(model: M, prefix: &str) -> M {
    struct Freeze<'a>(Vec<String>, &'a str);
    impl ModuleMapper for Freeze<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let within = self.0.join(".").starts_with(self.1);
            if within { param.set_require_grad(false) } else { param }
        }
    }
    model.map(&mut Freeze(Vec::new(), prefix))
}

/// The values of each parameter by its path.
fn numbers<M: Module>(model: &M) -> BTreeMap<String, Vec<f64>> {
    parameters(model).into_iter().map(|parameter| (parameter.path, parameter.values)).collect()
}

fn saved<M: Module>(trainer: &Trainer<M>) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    trainer.checkpoint(BTreeMap::new()).unwrap().save(file.path()).unwrap();
    fs::read(file.path()).unwrap()
}

/// A loss that is not finite has no gradients, which is no lack of trained parameters.
#[test]
fn a_loss_that_is_not_finite_is_named_under_every_policy() {
    let _turn = turn();
    for backward in POLICIES {
        let mut trainer = Trainer::new(model(), config(backward)).unwrap();
        let x = Tensor::from_data([[0.5, f32::NAN], [2.0, 0.25]], &device());
        let error = trainer.update_on(&device(), &NegativeLogLikelihood::new(x)).unwrap_err();
        let TrainError::NonFiniteLoss { step: 1, fault: Some(fault), .. } = &error else {
            panic!("{backward:?}: {error}")
        };
        assert_eq!(fault.path, "x", "{backward:?}");
        assert_eq!(trainer.update_on(&device(), &points()).unwrap().step, 1);
    }
}

#[test]
fn a_model_of_which_nothing_is_trained_is_refused() {
    let _turn = turn();
    for backward in POLICIES {
        let error = Trainer::new(frozen(model(), ""), config(backward)).err().unwrap();
        assert_eq!(error, TrainError::NothingTrained);
        assert!(error.to_string().contains("no parameter is trained"), "{error}");
        let none = Flow::new(Sigmoid::new(), StandardNormal::new(), [1, 2]).unwrap().without_data();
        assert_eq!(Trainer::new(none, config(backward)).err(), Some(TrainError::NothingTrained));
    }
    // A loss of what is frozen alone.
    let layer = || layer(&ActNormConfig::new(), [1, 2], &device());
    let mut trainer =
        Trainer::new((frozen(layer(), ""), layer()), config(GradientMemory::Store)).unwrap();
    let error = trainer.update(&device(), |model| model.0.bias.val().sum()).unwrap_err();
    assert_eq!(error, TrainError::NothingTrained);

    // Nor does a run go on from such a file.
    let start = Trainer::new(model(), config(GradientMemory::Store)).unwrap();
    let checkpoint = start.checkpoint(BTreeMap::new()).unwrap();
    let keys = ["trainer", "progress"]
        .map(|key| (key.to_owned(), checkpoint.metadata(key).unwrap().to_owned()));
    let mut other = Checkpoint::new(keys.into()).unwrap();
    other.insert("model", &frozen(model(), "")).unwrap();
    other.insert("average", start.average()).unwrap();
    other.insert_bytes("optimizer", checkpoint.bytes("optimizer").unwrap().to_vec()).unwrap();
    let error = Trainer::resume(&other, uninit()).err().unwrap();
    assert!(
        matches!(error, CheckpointError::Training { source: TrainError::NothingTrained }),
        "{error}"
    );
}

/// What is frozen stays where it is and all else moves, under every policy, and after a resume into
/// a model of which nothing is frozen.
#[test]
fn frozen_parameters_stay_frozen() {
    let _turn = turn();
    for backward in POLICIES {
        for prefix in ["bijector.0", "bijector.1", "bijector.4", "bijector.3.log"] {
            let mut trainer = Trainer::new(frozen(model(), prefix), config(backward)).unwrap();
            let mut before = numbers(trainer.model());
            let mut check = |trainer: &mut Trainer<Model>| {
                (0..3).for_each(|_| drop(trainer.update_on(&device(), &points()).unwrap()));
                let after = numbers(trainer.model());
                for (path, values) in &after {
                    assert_eq!(
                        path.starts_with(prefix),
                        *values == before[path],
                        "{backward:?}: {path}"
                    );
                }
                before = after;
            };
            check(&mut trainer);
            let checkpoint = trainer.checkpoint(BTreeMap::new()).unwrap();
            let mut resumed = Trainer::resume(&checkpoint, uninit()).unwrap();
            check(&mut resumed);
            // The other way round, what was trained is trained.
            let all =
                Trainer::resume(&checkpoint, uninit().map(|model| frozen(model, ""))).unwrap();
            (saved(&all) == saved(&trainer)).then_some(()).expect("it is the run that was saved");
        }
    }
}

#[test]
fn an_update_that_overflows_is_not_made() {
    let _turn = turn();
    for backward in POLICIES {
        for optimizer in [OptimizerConfig::Adam, OptimizerConfig::Adamax { beta_2: 0.999 }] {
            let config = config(backward).with_optimizer(optimizer);
            let mut trainer = Trainer::new(model(), config).unwrap();
            trainer.update_on(&device(), &points()).unwrap();
            for rate in [1e300, 1e200, 1e41] {
                let mut trainer = trainer.clone().with_learning_rate(rate).unwrap();
                let before = saved(&trainer);
                let error = trainer.update_on(&device(), &points()).unwrap_err();
                let text = error.to_string();
                assert!(
                    matches!(error, TrainError::NonFiniteUpdate { what: "weights", .. }),
                    "{text}"
                );
                assert!(
                    text.contains("update 2")
                        && text.contains("bijector.")
                        && text.contains(&format!("{rate:e}")),
                    "{text}"
                );
                assert!(
                    saved(&trainer) == before,
                    "{backward:?} {optimizer:?}: an update that was refused changed the trainer"
                );
                // At a usual rate it is the run that never had the other.
                let mut other = trainer.clone().with_learning_rate(0.01).unwrap();
                let mut never = self::trainer(backward, optimizer);
                never.update_on(&device(), &points()).unwrap();
                let expected = never.update_on(&device(), &points()).unwrap();
                assert_eq!(other.update_on(&device(), &points()).unwrap(), expected);
                assert_eq!(numbers(other.model()), numbers(never.model()));
            }
        }
    }
}

fn trainer(backward: GradientMemory, optimizer: OptimizerConfig) -> Trainer<Model> {
    Trainer::new(model(), config(backward).with_optimizer(optimizer)).unwrap()
}

#[test]
fn the_policy_decides_about_an_update_that_overflows() {
    let _turn = turn();
    for policy in [NonFinite::Skip { at_most: 2 }, NonFinite::Restore { at_most: 2 }] {
        let mut trainer =
            Trainer::new(model(), config(GradientMemory::Store).with_non_finite(policy)).unwrap();
        trainer.update_on(&device(), &points()).unwrap();
        trainer.mark_saved();
        let mut trainer = trainer.with_learning_rate(1e300).unwrap();
        let before = numbers(trainer.model());
        for step in [2, 3] {
            let update = trainer.update_on(&device(), &points()).unwrap();
            let (UpdateOutcome::Skipped(reason) | UpdateOutcome::Restored(reason)) =
                &update.outcome
            else {
                panic!("{update:?}")
            };
            assert!(
                matches!(
                    reason,
                    TrainError::NonFiniteUpdate { step: Some(found), .. } if *found == step
                ),
                "{reason}"
            );
            assert_eq!((update.step, trainer.step_count()), (step, step));
            assert_eq!(numbers(trainer.model()), before);
        }
        let error = trainer.update_on(&device(), &points()).unwrap_err();
        assert!(
            matches!(&error, TrainError::GaveUp { failures: 2, last } if last.is_non_finite()),
            "{error}"
        );
    }
}

/// 1e25² is beyond float32: the second moment would be infinite, and its parameter stand still for
/// ever.
#[test]
fn moments_are_looked_at_too() {
    let _turn = turn();
    let layer = Param::<Tensor<1>>::from_data([1.0, -2.0], &device());
    let config = TrainerConfig::new().with_warm_up(1).with_max_norm(f64::MAX);
    let mut trainer = Trainer::new(layer, config).unwrap();
    let before = saved(&trainer);
    let error = trainer.update(&device(), |layer| layer.val().mul_scalar(1e25).sum()).unwrap_err();
    assert!(matches!(error, TrainError::NonFiniteUpdate { what: "moments", .. }), "{error}");
    assert!(saved(&trainer) == before);
    assert_eq!(
        trainer.update(&device(), |layer| layer.val().mul_scalar(1e15).sum()).unwrap().outcome,
        UpdateOutcome::Done
    );
}

/// Weights in float64 go beyond float32, and those in half types have less room: `ε = 1e-8` is 0 in
/// float16, so that a gradient of 0 is 0/0.
#[test]
fn each_type_has_its_own_range() {
    let _turn = turn();
    let weights = |dtype| {
        let values = Tensor::<1>::from_data([1.0, -2.0], &device()).cast(dtype).detach();
        Param::from_tensor(values)
    };
    let config = |rate| {
        TrainerConfig::new()
            .with_warm_up(1)
            .with_learning_rate(rate)
            .with_ema(EmaDecay::Constant(0.5))
    };
    // A gradient of 1 and one of 0.
    let update = |dtype, rate| {
        let mut trainer = Trainer::new(weights(dtype), config(rate)).unwrap();
        let before = trainer.model().val().into_data();
        let result =
            trainer.update(&device(), |weights| weights.val().narrow(0, 0, 1).cast(DType::F32));
        if result.is_err() {
            assert_eq!(trainer.model().val().into_data(), before);
        }
        let moved = trainer.model().val().into_data().iter::<f64>().next().unwrap();
        (result.map(|update| update.outcome), moved)
    };
    let refused = |found: (Result<UpdateOutcome, TrainError>, f64)| {
        assert!(
            matches!(found.0, Err(TrainError::NonFiniteUpdate { what: "weights", .. })),
            "{found:?}"
        );
    };
    // The first step of Adam is the rate.
    let (outcome, moved) = update(DType::F64, 1e50);
    assert_eq!(outcome, Ok(UpdateOutcome::Done));
    assert!((moved / -1e50 - 1.0).abs() < 1e-6, "{moved}");
    refused(update(DType::F32, 1e50));
    let (outcome, moved) = update(DType::BF16, 0.5);
    assert_eq!(outcome, Ok(UpdateOutcome::Done));
    assert!((moved - 0.5).abs() < 0.01, "{moved}");
    refused(update(DType::BF16, 1e50));
    refused(update(DType::F16, 0.5));
}
