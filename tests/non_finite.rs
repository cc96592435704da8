//! Losses and gradients that are not finite: who is named, and what is left of them.

#[path = "common/build.rs"]
mod build;

use std::collections::BTreeMap;

use crate::build::layer;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlus, FlowPlusPlusConfig, NoiseMixing,
    Resolution, StageConfig, VariationalConfig,
};
use flowkit::train::{
    CheckpointError, NegativeLogLikelihood, NonFinite, NonFinitePlace, Objective, Schedule,
    TrainError, Trainer, TrainerConfig, UpdateOutcome,
};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, Context, ConvStyle, Density, Flow, Mixing, MultiScale,
    Pattern, ShapeError, ShapeMap, StandardNormal, Uninit,
};

fn device() -> Device {
    Device::flex().autodiff()
}

/// The float parameters by name, as they are in memory.
fn weights<M: Module>(model: &M) -> BTreeMap<String, Vec<u32>> {
    struct Reader(Vec<String>, BTreeMap<String, Vec<u32>>);
    impl ModuleVisitor for Reader {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
            let values = param.val().inner().into_data();
            self.1.insert(self.0.join("."), values.iter::<f32>().map(f32::to_bits).collect());
        }
    }
    let mut reader = Reader(Vec::new(), BTreeMap::new());
    model.visit(&mut reader);
    reader.1
}

/// Fills one parameter with a number.
fn spoil<M: Module>(model: M, parameter: &str, value: f32) -> M {
    struct Writer<'a>(Vec<String>, &'a str, f32, bool);
    impl ModuleMapper for Writer<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.into());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn map_float<const R: usize>(&mut self, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
            if self.0.join(".") != self.1 {
                return param;
            }
            self.3 = true;
            param.map(|old| old.full_like(self.2).detach().require_grad())
        }
    }
    let mut writer = Writer(Vec::new(), parameter, value, false);
    let model = model.map(&mut writer);
    assert!(writer.3, "there is no {parameter}");
    model
}

/// Flow++ with a few thousand parameters and dropout.
fn minute() -> Uninit<FlowPlusPlus> {
    let pattern = Pattern::Checkerboard;
    let noise = VariationalConfig {
        pattern,
        n_couplings: 2,
        n_filters: 8,
        n_blocks: 1,
        n_context: 4,
        mixing: NoiseMixing::AsFlow,
        n_encoder_blocks: 3,
        encoder_block: EncoderBlock::Conv,
    };
    let stages = vec![
        StageConfig { resolution: Resolution::Squeeze, pattern: Pattern::Channels, n_couplings: 2 },
        StageConfig { resolution: Resolution::Keep, pattern, n_couplings: 2 },
    ];
    FlowPlusPlusConfig::new([3, 8, 8], stages, DequantizationConfig::Variational(noise))
        .with_law(CouplingLaw::mix_log_cdf(3))
        .with_n_filters(8)
        .with_n_blocks(1)
        .with_mixing(Mixing::Attention { heads: 2 })
        .with_style(ConvStyle::new().with_dropout(0.1))
        .with_variance_floor(1e-2)
        .build(&device())
        .unwrap()
}

fn levels() -> Tensor<4, Int> {
    let data: Vec<i64> = (0..4 * 192).map(|i| (i * 37 + i / 7) % 256).collect();
    Tensor::from_data(TensorData::new(data, [4, 3, 8, 8]), &device())
}

#[test]
fn an_overflow_is_traced_to_the_layer_that_made_it() {
    let started = minute().initialize(levels()).unwrap();
    let cases = [
        ("bijector.1.1.steps.0.0.log_scale", 100.0, "bijector.1.1.steps.0.0", "PositionNorm"),
        (
            "bijector.1.0.steps.1.2.conditioner.net.output.conv.weight",
            3e38,
            "bijector.1.0.steps.1.2.conditioner",
            "Coupling",
        ),
        (
            "surjection.Variational.flow.1.1.1.matrices",
            f32::NAN,
            "surjection.Variational.flow.1.1.1",
            "ChannelMatrix",
        ),
        (
            "surjection.Variational.encoder.net.input.conv.bias",
            f32::INFINITY,
            "surjection.Variational.encoder",
            "network",
        ),
        // Finite all the way, but its square is not.
        ("bijector.1.1.steps.1.0.log_scale", 60.0, "prior", "log-density"),
    ];
    for (parameter, value, path, what) in cases {
        let broken = spoil(started.clone(), parameter, value);
        let before = weights(&broken);
        let mut trainer = Trainer::new(broken, TrainerConfig::new()).unwrap();
        let error =
            trainer.update_on(&device(), &NegativeLogLikelihood::new(levels())).unwrap_err();
        let TrainError::NonFiniteLoss { step: 1, fault: Some(fault), .. } = &error else {
            panic!("{parameter}: {error}")
        };
        assert_eq!(*fault, NonFinitePlace { path: path.into(), what: what.into() }, "{parameter}");
        assert!(
            error.to_string().ends_with(&format!("first not finite at `{path}` ({what})")),
            "{error}"
        );
        assert_eq!(trainer.step_count(), 0);
        assert_eq!(weights(trainer.model()), before);
    }
}

#[test]
fn levels_of_a_multi_scale_stack_are_told_apart() {
    let norms =
        [4, 2, 1].map(|channels| layer(&ActNormConfig::new(), [1, channels, 1, 1], &device()));
    let flow = Flow::new(MultiScale::new(norms.into()), StandardNormal::new(), [1, 4, 2, 2])
        .unwrap()
        .without_data();
    let broken = spoil(flow, "bijector.levels.1.log_scale", 100.0);
    let x = Tensor::<4>::full([2, 4, 2, 2], 0.5, &device());
    let fault = NegativeLogLikelihood::new(x).fault(&broken);
    assert_eq!(
        fault,
        Some(NonFinitePlace { path: "bijector.levels.1".into(), what: "ActNorm".into() })
    );
}

/// The identity, with a gradient that is infinite.
#[derive(Module, Debug)]
struct Kink {}

impl<const D: usize> ShapeMap<D> for Kink {
    fn output_shape(&self, shape: [usize; D]) -> Result<[usize; D], ShapeError> {
        Ok(shape)
    }
}

impl<const D: usize, C: Context> Bijector<D, C> for Kink {
    type Driver = flowkit::Leaf;

    fn forward(&self, x: Tensor<D>, _: &C) -> (Tensor<D>, Tensor<1>) {
        let zero = x.clone() - x.clone().detach();
        let log_det = Tensor::zeros([x.dims()[0]], &x.device());
        (x + zero.sqrt(), log_det)
    }
    fn inverse(&self, z: Tensor<D>, _: &C) -> Tensor<D> {
        z
    }
}

#[test]
fn a_gradient_is_traced_to_where_the_way_back_began_to_fail() {
    let norm = || layer(&ActNormConfig::new(), [1, 2], &device());
    let layers = (vec![norm(), norm()], Kink {}, norm());
    let flow = Flow::new(layers, StandardNormal::new(), [1, 2]).unwrap().without_data();
    let mut trainer = Trainer::new(flow, TrainerConfig::new()).unwrap();
    let before = weights(trainer.model());
    let x = Tensor::from_data([[0.5, -1.0], [2.0, 0.1]], &device());
    let error = trainer.update_on(&device(), &NegativeLogLikelihood::new(x)).unwrap_err();
    // The kink has no parameters: those before it are named, and the search names it. Not
    // bijector.2, which lies behind it.
    let fault = Some(NonFinitePlace { path: "bijector.1".into(), what: "Kink".into() });
    let expected = TrainError::NonFiniteGradient {
        step: Some(1),
        parameter: "bijector.0.1.log_scale".into(),
        fault,
    };
    assert_eq!(error, expected);
    assert_eq!((trainer.step_count(), weights(trainer.model())), (0, before));
}

type Norm = Flow<ActNorm<2>, StandardNormal, 2>;

/// A trainer that sees a batch of ordinary numbers, or of such as overflow, and the device.
struct Run {
    trainer: Trainer<Norm>,
    device: Device,
}

fn norm() -> Uninit<Norm> {
    Flow::new(layer(&ActNormConfig::new(), [1, 2], &device()), StandardNormal::new(), [1, 2])
        .unwrap()
}

impl Run {
    fn new(policy: NonFinite) -> Self {
        let config =
            TrainerConfig::new().with_learning_rate(0.1).with_warm_up(0).with_non_finite(policy);
        Self { trainer: Trainer::new(norm().without_data(), config).unwrap(), device: device() }
    }

    /// One update for each letter: an ordinary batch, or one that overflows.
    fn updates(&mut self, batches: &str) -> Vec<UpdateOutcome> {
        let update = |letter: char| {
            let size = if letter == 'x' { 1e30 } else { 1.0 + self.trainer.step_count() as f32 };
            let x = Tensor::<2>::from_data([[0.3 * size, -size], [size, 0.1]], &self.device);
            self.trainer.update_on(&self.device, &NegativeLogLikelihood::new(x)).unwrap().outcome
        };
        batches.chars().map(update).collect()
    }

    fn weights(&self) -> [BTreeMap<String, Vec<u32>>; 2] {
        [weights(self.trainer.model()), weights(self.trainer.average())]
    }
}

#[test]
fn a_batch_that_is_skipped_counts_and_changes_nothing() {
    let mut run = Run::new(NonFinite::Skip { at_most: 2 });
    run.updates("..");
    let before = run.weights();
    let outcomes = run.updates("xx");
    assert!(
        outcomes.iter().all(
            |outcome| matches!(outcome, UpdateOutcome::Skipped(error) if error.is_non_finite())
        )
    );
    assert!(matches!(
        &outcomes[0],
        UpdateOutcome::Skipped(TrainError::NonFiniteLoss { fault: Some(fault), .. })
            if fault.path == "prior"
    ));
    assert_eq!((run.trainer.step_count(), run.weights()), (4, before.clone()));
    // A good one between: the count starts again.
    assert_eq!(run.updates("."), [UpdateOutcome::Done]);
    run.updates("xx");
    let before = run.weights();
    let x = Tensor::<2>::full([2, 2], 1e30, &run.device);
    let error = run.trainer.update_on(&run.device, &NegativeLogLikelihood::new(x)).unwrap_err();
    assert!(
        matches!(&error, TrainError::GaveUp { failures: 2, last } if last.is_non_finite()),
        "{error}"
    );
    assert_eq!((run.trainer.step_count(), run.weights()), (7, before));
}

#[test]
fn restoring_goes_back_to_the_last_checkpoint() {
    let mut run = Run::new(NonFinite::Restore { at_most: 2 });
    let start = run.weights();
    run.updates(".");
    assert!(matches!(run.updates("x")[..], [UpdateOutcome::Restored(_)]));
    assert_eq!(
        (run.trainer.step_count(), run.weights()),
        (2, start),
        "no checkpoint yet: the start"
    );
    run.updates("..");
    let saved = run.weights();
    let checkpoint = run.trainer.checkpoint(BTreeMap::new()).unwrap();
    run.trainer.mark_saved();
    run.updates("..");
    assert_ne!(run.weights(), saved);
    assert!(matches!(run.updates("x")[..], [UpdateOutcome::Restored(_)]));
    assert_eq!(run.weights(), saved);
    let rest = ".x..";
    run.updates(rest);

    // A process that was killed after the checkpoint sees the same.
    let trainer = Trainer::resume(&checkpoint, norm()).unwrap();
    let mut resumed = Run { trainer, device: device() };
    resumed.updates("..x");
    resumed.updates(rest);
    assert_eq!(resumed.weights(), run.weights());
    assert_eq!(resumed.trainer.step_count(), run.trainer.step_count());
}

/// Good updates between the failures do not help a run that never gets to its next checkpoint, and
/// a failed save is none.
#[test]
fn restoring_ends_when_a_run_gets_nowhere() {
    let mut run = Run::new(NonFinite::Restore { at_most: 2 });
    run.updates(".x.x.");
    let nowhere = std::path::Path::new("/nowhere at all/file");
    run.trainer.save(nowhere, BTreeMap::new()).unwrap_err();
    let x = Tensor::<2>::full([2, 2], 1e30, &run.device);
    let batch = NegativeLogLikelihood::new(x);
    let error = run.trainer.update_on(&run.device, &batch).unwrap_err();
    assert!(matches!(error, TrainError::GaveUp { failures: 2, .. }), "{error}");
    // Once it is saved, the count begins again, here as in a run that is resumed.
    let folder = tempfile::tempdir().unwrap();
    run.trainer.save(folder.path().join("saved"), BTreeMap::new()).unwrap();
    run.updates("x.x");
    // Infinite weights are never gone back to.
    let mut broken = run.trainer.with_learning_rate(f64::MAX).unwrap();
    let ordinary =
        NegativeLogLikelihood::new(Tensor::from_data([[0.3, -1.0], [1.0, 0.1]], &run.device));
    let error = broken.update_on(&run.device, &ordinary).unwrap_err();
    assert!(
        matches!(
            &error,
            TrainError::GaveUp { last, .. }
                if matches!(**last, TrainError::NonFiniteUpdate { what: "weights", .. })
        ),
        "{error}"
    );
    let spoilt = spoil(broken.model().clone(), "bijector.bias", f32::INFINITY);
    let error = Trainer::new(spoilt, TrainerConfig::new())
        .unwrap()
        .checkpoint(BTreeMap::new())
        .unwrap_err();
    assert!(
        matches!(
            &error,
            CheckpointError::NonFiniteWeights { name } if name.starts_with("model.bijector.")
        ),
        "{error}"
    );
}

/// The batch that stopped a run comes again when it is resumed; under another policy the run gets
/// past it.
#[test]
fn a_run_that_stopped_can_go_on_under_another_policy() {
    let mut run = Run::new(NonFinite::Stop);
    run.updates("..");
    let checkpoint = run.trainer.checkpoint(BTreeMap::new()).unwrap();
    let batch = NegativeLogLikelihood::new(Tensor::<2>::full([2, 2], 1e30, &run.device));
    let again = || Trainer::resume(&checkpoint, norm()).unwrap();
    assert!(again().update_on(&run.device, &batch).unwrap_err().is_non_finite());
    let trainer =
        again().with_non_finite(NonFinite::Skip { at_most: 1 }).with_learning_rate(0.01).unwrap();
    let mut run = Run { trainer, device: device() };
    assert!(matches!(run.updates("x")[..], [UpdateOutcome::Skipped(_)]));
    let trainer = run.trainer.with_non_finite(NonFinite::Restore { at_most: 1 });
    let mut run = Run { trainer, device: device() };
    assert!(matches!(
        run.updates("x..")[..],
        [UpdateOutcome::Restored(_), UpdateOutcome::Done, UpdateOutcome::Done]
    ));
    assert_eq!((run.trainer.step_count(), run.trainer.config().learning_rate), (6, 0.01));
}

/// How many failures came before is a part of the checkpoint, and so is how often the average
/// moved.
#[test]
fn a_resumed_run_remembers_its_failures() {
    let mut run = Run::new(NonFinite::Skip { at_most: 1 });
    run.updates("..x");
    let checkpoint = run.trainer.checkpoint(BTreeMap::new()).unwrap();
    let mut resumed =
        Run { trainer: Trainer::resume(&checkpoint, norm()).unwrap(), device: device() };
    let x = Tensor::<2>::full([2, 2], 1e30, &resumed.device);
    let error =
        resumed.trainer.update_on(&resumed.device, &NegativeLogLikelihood::new(x)).unwrap_err();
    assert!(matches!(error, TrainError::GaveUp { failures: 1, .. }), "{error}");
    for run in [&mut run, &mut resumed] {
        run.updates("...");
    }
    assert_eq!(resumed.weights(), run.weights());
}

#[test]
fn data_that_is_not_finite_is_no_fault_of_the_model() {
    let x = Tensor::<2>::from_data([[0.0, f32::NAN]], &device());
    let fault = NegativeLogLikelihood::new(x).fault(&norm().without_data());
    assert_eq!(fault, Some(NonFinitePlace { path: "x".into(), what: "data".into() }));
}

#[test]
fn the_rate_follows_its_schedule() {
    let config = TrainerConfig::new().with_learning_rate(0.5).with_warm_up(2);
    let config = config.with_schedule(Schedule::Exponential { start: 3, decay: 0.5, floor: 0.2 });
    let mut trainer = Trainer::new(norm().without_data(), config).unwrap();
    let x = Tensor::<2>::from_data([[0.3, -1.0], [1.0, 0.1]], &device());
    let mut rate = || {
        trainer
            .update(&device(), |model| model.log_prob(x.clone()).mean().neg())
            .unwrap()
            .learning_rate
    };
    assert_eq!([(); 6].map(|()| rate()), [0.25, 0.5, 0.5, 0.25, 0.125, 0.1]);
    for (schedule, message) in [
        (
            Schedule::Cosine { start: 5, end: 5, floor: 0.0 },
            "`start` = 5 must be less than `end` = 5",
        ),
        (
            Schedule::Cosine { start: 0, end: 5, floor: 1.5 },
            "`floor` must lie in [0, 1], found 1.5",
        ),
        (
            Schedule::Exponential { start: 0, decay: 0.0, floor: 0.0 },
            "`decay` must lie in (0, 1], found 0",
        ),
        (
            Schedule::Exponential { start: 0, decay: f64::NAN, floor: 0.0 },
            "`decay` must lie in (0, 1], found NaN",
        ),
        (
            Schedule::Exponential { start: 0, decay: 0.5, floor: -0.1 },
            "`floor` must lie in [0, 1], found -0.1",
        ),
    ] {
        let error = TrainerConfig::new().with_schedule(schedule).validate().unwrap_err();
        assert_eq!(error.to_string(), format!("Schedule: {message}"));
    }
}
