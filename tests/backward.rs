//! The three policies of the backward pass: one gradient, less memory.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use flowkit::bijector::replay::{DriftGuard, Replay};
use flowkit::conditioner::Mixing;
use flowkit::flow::likelihood::{Exact, OneSampleBound};
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlus, FlowPlusPlusConfig, NoiseMixing,
    Resolution, StageConfig, VariationalConfig,
};
use flowkit::model::glow::{Glow, GlowConfig};
use flowkit::reshape::Pattern;
use flowkit::testing::parameters::parameters;
use flowkit::train::{
    Checkpoint, EmaDecay, NegativeLogLikelihood, NonFinitePlace, Objective, Precision, TrainError,
    Trainer, TrainerConfig, Update,
};
use flowkit::{
    Bijector, BitsPerDim, ConfigError, Context, ConvStyle, Density, Flow, GradientMemory,
    ShapeError, ShapeMap, StandardNormal, Uninit,
};

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;
#[path = "common/gradient.rs"]
mod gradient;

use crate::build::layer;
use crate::draws::turn;
use gradient::{agree, device, gradient, relative};

const POLICIES: [GradientMemory; 3] =
    [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE];

fn levels(batch: usize) -> Tensor<4, Int> {
    let data: Vec<i64> = (0..batch as i64 * 192).map(|i| (i * 37 + i / 7) % 256).collect();
    Tensor::from_data(TensorData::new(data, [batch, 3, 8, 8]), &device())
}

/// Flow++ of a few thousand parameters, its noise from a conditional flow.
fn flow_plus_plus(dropout: f64) -> FlowPlusPlus {
    device().seed(3);
    uninit(dropout).initialize(levels(8)).unwrap()
}

fn uninit(dropout: f64) -> Uninit<FlowPlusPlus> {
    let pattern = Pattern::Checkerboard;
    let noise = VariationalConfig {
        pattern,
        n_couplings: 2,
        n_filters: 8,
        n_blocks: 1,
        n_context: 4,
        mixing: NoiseMixing::AsFlow,
        n_encoder_blocks: 2,
        encoder_block: EncoderBlock::Conv,
    };
    let stages = vec![
        StageConfig { resolution: Resolution::Squeeze, pattern: Pattern::Channels, n_couplings: 2 },
        StageConfig { resolution: Resolution::Keep, pattern, n_couplings: 3 },
    ];
    FlowPlusPlusConfig::new([3, 8, 8], stages, DequantizationConfig::Variational(noise))
        .with_law(CouplingLaw::mix_log_cdf(3))
        .with_n_filters(8)
        .with_n_blocks(1)
        .with_mixing(Mixing::Attention { heads: 2 })
        .with_style(ConvStyle::new().with_dropout(dropout))
        .with_variance_floor(1e-2)
        .build(&device())
        .unwrap()
}

fn glow() -> Glow {
    device().seed(4);
    GlowConfig::new([3, 8, 8], 2, 3)
        .with_n_filters(8)
        .build(&device())
        .unwrap()
        .initialize(levels(8))
        .unwrap()
}

fn config(backward: GradientMemory) -> TrainerConfig {
    TrainerConfig::new().with_gradient_memory(backward).with_warm_up(1).with_max_norm(f64::MAX)
}

fn objective(batch: usize) -> NegativeLogLikelihood<Tensor<4, Int>> {
    NegativeLogLikelihood::new(levels(batch))
}

/// Updates of a model, and where its parameters end.
type Trained<P> = (Vec<Update<BitsPerDim<P>>>, Vec<Vec<f64>>);

fn trained<M: Module, O: Objective<M>>(
    model: M,
    backward: GradientMemory,
    steps: usize,
    objective: &O,
) -> Trained<O::Provenance> {
    let mut trainer = Trainer::new(model, config(backward)).unwrap();
    let updates = (0..steps).map(|_| trainer.update_on(&device(), objective).unwrap()).collect();
    (updates, parameters(trainer.model()).into_iter().map(|parameter| parameter.values).collect())
}

#[test]
fn policies_agree_on_whole_models() {
    let _turn = turn();
    agree("Flow++", &flow_plus_plus(0.0), &objective(4), false);
    agree("Glow", &glow(), &objective(4), true);
}

#[test]
fn policies_agree_after_training() {
    let _turn = turn();
    let mut trainer = Trainer::new(flow_plus_plus(0.0), config(GradientMemory::Store)).unwrap();
    for _ in 0..30 {
        trainer.update_on(&device(), &objective(8)).unwrap();
    }
    agree("Flow++ after 30 updates", trainer.model(), &objective(4), false);
}

/// What one draws in dropout, the other draws too; and it is drawn.
#[test]
fn recomputing_and_rebuilding_drop_the_same() {
    let _turn = turn();
    let (model, objective) = (flow_plus_plus(0.3), objective(4));
    let (loss, expected) = gradient(&model, &objective, Some(Replay::recomputing(5)));
    let (rebuilt, found) = gradient(&model, &objective, Some(Replay::new(5)));
    assert_eq!(loss, rebuilt);
    assert!(relative(&found, &expected) < 1e-3, "{}", relative(&found, &expected));
    assert_ne!(gradient(&model, &objective, Some(Replay::recomputing(6))).0, loss);
}

#[test]
fn trainers_take_the_same_way_under_every_policy() {
    let _turn = turn();
    let [store, recompute, reversible] =
        POLICIES.map(|policy| trained(flow_plus_plus(0.0), policy, 5, &objective(4)));
    let off = |(_, a): &Trained<OneSampleBound>, (_, b): &Trained<OneSampleBound>| {
        relative(&a.concat(), &b.concat())
    };
    assert!(off(&recompute, &store) < 1e-4 && off(&reversible, &store) < 1e-2);
    assert!(store.0.iter().all(|update| update.drift.is_none()));
    let drifts: Vec<f64> = reversible.0.iter().map(|update| update.drift.unwrap()).collect();
    assert!(
        drifts.iter().all(|&drift| drift <= 1e-4) && drifts.iter().any(|&drift| drift > 0.0),
        "{drifts:?}"
    );
}

/// The mean over a batch is that of its parts by their sizes.
#[test]
fn parts_of_a_batch_are_the_batch() {
    let _turn = turn();
    let x: Vec<f32> = (0..14).map(|i| (i as f32 * 1.7).sin() * 2.0).collect();
    let x = Tensor::<2>::from_data(TensorData::new(x, [7, 2]), &device());
    let model = || {
        device().seed(1);
        Flow::build(
            &flowkit::model::RealNvpConfig::plane(),
            StandardNormal::new(),
            [1, 2],
            &device(),
        )
        .unwrap()
        .initialize(x.clone())
        .unwrap()
    };
    for policy in POLICIES {
        let (mut whole, mut parts) = (
            Trainer::new(model(), config(policy)).unwrap(),
            Trainer::new(model(), config(policy)).unwrap(),
        );
        let part = |start, n| NegativeLogLikelihood::new(x.clone().narrow(0, start, n));
        let expected = whole.update_on(&device(), &part(0, 7)).unwrap();
        let found =
            parts.update_on_parts(&device(), &[part(0, 3), part(3, 3), part(6, 1)]).unwrap();
        assert!((found.loss - expected.loss).abs() < 1e-5, "{policy:?}: {found:?} {expected:?}");
        assert!((found.gradient_norm / expected.gradient_norm - 1.0).abs() < 1e-4, "{policy:?}");
        let values = |trainer: &Trainer<_>| -> Vec<f64> {
            parameters(trainer.model()).into_iter().flat_map(|parameter| parameter.values).collect()
        };
        assert!(relative(&values(&parts), &values(&whole)) < 1e-3, "{policy:?}");
        let none: [NegativeLogLikelihood<Tensor<2>>; 0] = [];
        assert!(matches!(parts.update_on_parts(&device(), &none), Err(TrainError::NoBatch)));
    }
}

/// An inverse that forgets digits, in front of a good layer.
#[derive(Module, Debug)]
struct Coarse {
    /// What it rounds to in the inverse.
    grid: f64,
}

impl ShapeMap<2> for Coarse {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        Ok(shape)
    }
}

impl<C: Context> Bijector<2, C> for Coarse {
    type Driver = flowkit::Leaf;

    fn forward(&self, x: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        let log_det = flowkit::tensor::per_example::zero_log_det(&x);
        (x, log_det)
    }
    fn inverse(&self, z: Tensor<2>, _: &C) -> Tensor<2> {
        z.div_scalar(self.grid).round().mul_scalar(self.grid)
    }
}

type Stack = Flow<(Vec<flowkit::ActNorm<2>>, Coarse, Vec<flowkit::ActNorm<2>>), StandardNormal, 2>;

fn stack(grid: f64) -> (Uninit<Stack>, Tensor<2>) {
    stack_behind(20, grid)
}

/// With so many good layers before the coarse one.
fn stack_behind(n: usize, grid: f64) -> (Uninit<Stack>, Tensor<2>) {
    // Each by itself: `vec![norm; 20]` would be 20 clones, which are one parameter.
    let norms = |n| {
        (0..n).map(|_| layer(&flowkit::ActNormConfig::new(), [1, 2], &device())).collect::<Vec<_>>()
    };
    let x = Tensor::<2>::from_data([[0.3, -1.2], [0.77, 2.1], [-0.5, 0.1]], &device());
    (Flow::new((norms(n), Coarse { grid }, norms(20)), StandardNormal::new(), [1, 2]).unwrap(), x)
}

#[test]
fn a_coarse_inverse_is_found_named_and_not_used() {
    let _turn = turn();
    let (flow, x) = stack(0.25);
    let objective = NegativeLogLikelihood::new(x.clone());
    let flow = flow.initialize(x.clone()).unwrap();
    let (_, expected) = gradient(&flow, &objective, None);
    assert!(
        relative(&gradient(&flow, &objective, Some(Replay::new(5))).1, &expected) > 1e-2,
        "it must matter"
    );
    let (store, _) = trained(flow.clone(), GradientMemory::Store, 20, &objective);
    let mut trainer = Trainer::new(flow.clone(), config(GradientMemory::REVERSIBLE)).unwrap();
    for expected in store {
        let found = trainer.update_on(&device(), &objective).unwrap();
        assert!((found.loss - expected.loss).abs() < 1e-4, "{found:?} {expected:?}");
        assert!(found.drift.unwrap() <= 1e-4);
    }
    let layers: Vec<_> = trainer.guard().unwrap().recomputed().collect();
    assert_eq!(layers.len(), 1, "{layers:?}");
    assert_eq!((layers[0].path.as_str(), layers[0].layer.as_str()), ("bijector.1", "Coarse"));
    assert!(layers[0].drift.unwrap() > 1e-2);
    // A diagnosis names it beforehand.
    let diagnosis = flow.diagnose(x).unwrap();
    let named: Vec<_> = diagnosis.recomputed(1e-4).map(|layer| layer.path.as_str()).collect();
    assert_eq!(named, ["bijector.1"]);
    // A run that goes on under another policy forgets.
    assert_eq!(trainer.with_gradient_memory(GradientMemory::Recompute).unwrap().guard(), None);
}

/// In most updates no input below the failing layer is compared: the gradient shows it, and is
/// found again.
#[test]
fn an_inverse_that_fails_between_checkpoints_is_found() {
    let _turn = turn();
    let (flow, x) = stack_behind(2, f64::NAN);
    let objective = NegativeLogLikelihood::new(x.clone());
    let flow = flow.initialize(x).unwrap();
    let (store, _) = trained(flow.clone(), GradientMemory::Store, 20, &objective);
    for parts in [1, 2] {
        let objectives = vec![objective.clone(); parts];
        // In the first update the input of the first layer is compared, so that one is stored.
        let mut trainer = Trainer::new(flow.clone(), config(GradientMemory::Store)).unwrap();
        trainer.update_on_parts(&device(), &objectives).unwrap();
        trainer = trainer.with_gradient_memory(GradientMemory::REVERSIBLE).unwrap();
        for expected in &store[1..] {
            let found = trainer.update_on_parts(&device(), &objectives).unwrap();
            assert!((found.loss - expected.loss).abs() < 1e-4, "{found:?} {expected:?}");
        }
        let layers: Vec<_> = trainer.guard().unwrap().recomputed().collect();
        let [layer] = layers[..] else { panic!("{layers:?}") };
        assert_eq!(
            (layer.path.as_str(), layer.layer.as_str(), layer.drift),
            ("bijector.1", "Coarse", None)
        );
    }
}

#[test]
fn a_run_goes_on_from_its_checkpoint_under_every_policy() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    for policy in POLICIES {
        let (flow, x) = stack(0.25);
        let objective = NegativeLogLikelihood::new(x.clone());
        let model = flow.initialize(x).unwrap();
        let config = config(policy).with_ema(EmaDecay::Constant(0.5));
        let mut trainer = Trainer::new(model, config).unwrap();
        let path = folder.path().join("run.safetensors");
        for _ in 0..7 {
            trainer.update_on(&device(), &objective).unwrap();
        }
        trainer.save(&path, BTreeMap::new()).unwrap();
        let checkpoint = Checkpoint::load(&path).unwrap();
        let mut resumed = Trainer::resume(&checkpoint, stack(0.25).0).unwrap();
        assert_eq!(resumed.config().gradient_memory, policy);
        assert_eq!(resumed.guard(), trainer.guard());
        for _ in 0..20 {
            let (one, other) = (
                trainer.update_on(&device(), &objective).unwrap(),
                resumed.update_on(&device(), &objective).unwrap(),
            );
            assert_eq!(one, other, "{policy:?}");
        }
        assert!(matches!(policy, GradientMemory::Reversible { .. }) == resumed.guard().is_some());
    }
}

/// A checkpoint of a version without policies goes on as it was made: storing.
#[test]
fn a_run_without_a_policy_stores() {
    let _turn = turn();
    let (flow, x) = stack(0.25);
    let trainer =
        Trainer::new(flow.initialize(x).unwrap(), config(GradientMemory::REVERSIBLE)).unwrap();
    let new = trainer.checkpoint(BTreeMap::new()).unwrap();
    let without = |key: &str, fields: &[&str]| {
        let mut value: serde_json::Value =
            serde_json::from_str(new.metadata(key).unwrap()).unwrap();
        for field in fields {
            assert!(value.as_object_mut().unwrap().remove(*field).is_some(), "{key} has {field}");
        }
        (key.to_owned(), value.to_string())
    };
    let metadata = [
        without("trainer", &["gradient_memory", "precision"]),
        without("progress", &["guard", "scale"]),
    ];
    let mut old = Checkpoint::new(metadata.into()).unwrap();
    old.insert("model", trainer.model()).unwrap();
    old.insert("average", trainer.average()).unwrap();
    old.insert_bytes("optimizer", new.bytes("optimizer").unwrap().to_vec()).unwrap();
    let resumed = Trainer::resume(&old, stack(0.25).0).unwrap();
    assert_eq!(
        (resumed.config().gradient_memory, resumed.config().precision),
        (GradientMemory::Store, Precision::Full)
    );
    assert!(resumed.guard().is_none());
}

/// A loss without a replay.
struct Closed;

impl<M> Objective<M> for Closed {
    type Provenance = Exact;
    fn provenance(&self) -> Exact {
        Exact
    }
    fn dims(&self, _: &M) -> usize {
        1
    }
    fn loss(&self, _: &M) -> Tensor<1> {
        Tensor::zeros([1], &device())
    }
    fn examples(&self, _: &M) -> usize {
        1
    }
    fn fault(&self, _: &M) -> Option<NonFinitePlace> {
        None
    }
    fn gradient_fault(&self, _: &M) -> Option<NonFinitePlace> {
        None
    }
}

#[test]
fn what_a_policy_cannot_do_is_an_error() {
    let _turn = turn();
    for tolerance in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error =
            Trainer::new(glow(), config(GradientMemory::Reversible { tolerance })).err().unwrap();
        assert!(
            matches!(
                error,
                TrainError::Config(ConfigError::OutOfRange {
                    field: "gradient_memory.tolerance",
                    ..
                })
            ),
            "{error}"
        );
    }
    let mut trainer = Trainer::new(glow(), config(GradientMemory::Recompute)).unwrap();
    let before = parameters(trainer.model())
        .into_iter()
        .flat_map(|parameter| parameter.values)
        .collect::<Vec<_>>();
    for error in [
        trainer.update(&device(), |model| model.loss(levels(2))).unwrap_err(),
        trainer.update_on(&device(), &Closed).unwrap_err(),
    ] {
        assert!(
            matches!(error, TrainError::NoReplay { gradient_memory: GradientMemory::Recompute }),
            "{error}"
        );
        assert!(
            error.to_string().contains("Recompute")
                && error.to_string().contains("GradientMemory::Store"),
            "{error}"
        );
    }
    let after = parameters(trainer.model())
        .into_iter()
        .flat_map(|parameter| parameter.values)
        .collect::<Vec<_>>();
    assert_eq!((before, trainer.step_count()), (after, 0));
    // Without a graph there is no gradient.
    let plain = glow().valid();
    let mut trainer = Trainer::new(plain, config(GradientMemory::REVERSIBLE)).unwrap();
    assert_eq!(trainer.update_on(&device(), &objective(2)), Err(TrainError::NoGraph));
}

/// What a device says is passed on with the policy that needs less memory.
#[test]
fn a_device_that_gave_nothing_names_what_to_try() {
    let said = |gradient_memory| {
        TrainError::Device { reason: "out of memory".into(), gradient_memory }.to_string()
    };
    assert!(said(Some(GradientMemory::Store)).ends_with("resume under Recompute"));
    assert!(said(Some(GradientMemory::Recompute)).contains("resume under Reversible"));
    assert!(said(Some(GradientMemory::REVERSIBLE)).ends_with("smaller micro-batches"));
    assert_eq!(said(None), "the device returned no result: out of memory");
}

#[test]
fn a_guard_begins_without_layers() {
    let guard = DriftGuard::new(1e-4);
    assert_eq!((guard.spacing(), guard.recomputed().count()), (16, 0));
}
