//! burn's Learner with flows: two epochs, a stop and a resumption, metrics, early stopping, and a
//! step that fails.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::path::Path;
use std::sync::Arc;

use crate::build::{fixed, fixed_image, layer};
use crate::draws::turn;
use burn::data::dataloader::DataLoader;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::module::{Module, ModuleMapper, Param};
use burn::optim::AdamConfig;
use burn::tensor::{Device, Distribution, Int, Tensor};
use burn::train::checkpoint::KeepLastNCheckpoints;
use burn::train::metric::store::{Aggregate, Direction, Split};
use burn::train::{
    InferenceStep, Learner, LearningResult, MetricEarlyStoppingStrategy, StoppingCondition,
    SupervisedTraining, TrainStep,
};
use flowkit::data::{ImageBatcher, Images, Loader, LoaderConfig, Pass};
use flowkit::flow::likelihood::{Exact, OneSampleBound};
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::train::learner::{EpochLog, LikelihoodMetric, MaximumLikelihood, SeededLoader};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, BoxBijector, ChannelOrder, Conv1x1Config, ConvStyle,
    CouplingConfig, Density, Flow, GatedNetConfig, LayerConfig, LogitConfig, Mixing, Site,
    SqueezeConfig, StandardNormal, UniformDequantization, UniformDequantizationConfig, Uninit,
};

type Model = Flow<Vec<BoxBijector<4>>, StandardNormal, 4, (), UniformDequantization>;

/// Everything that could get lost between a model and its record: boxes, parameters that are made
/// when first asked for, frozen signs and permutations, data-dependent starts.
fn uninit(device: &Device) -> Uninit<Model> {
    let net = GatedNetConfig::new(8, 1)
        .with_mixing(Some(Mixing::Attention { heads: 2 }))
        .with_style(ConvStyle::new().with_dropout(0.1));
    let coupling = CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), net);
    let coupling = coupling.build(&Site::new([1, 8, 2, 2], device)).unwrap();
    let layers = vec![
        BoxBijector::new(fixed(&LogitConfig::new())),
        BoxBijector::new(fixed_image(&SqueezeConfig::new(ChannelOrder::ChannelMajor))),
        BoxBijector::new(layer(&ActNormConfig::new(), [1, 8, 1, 1], device)),
        BoxBijector::new(layer(&Conv1x1Config::new(), [1, 8], device)),
        BoxBijector::new(coupling),
    ];
    Flow::new(layers, StandardNormal::new(), [1, 2, 4, 4])
        .unwrap()
        .behind(UniformDequantizationConfig::new().build().unwrap())
}

/// Images of `[2, 4, 4]`, smooth and a little random.
fn images(n: usize) -> Images {
    let level = |i: usize, j: usize| (100 + 40 * (i % 3) + 3 * j + (i * 37 + j * 11) % 17) as u8;
    Images::new((0..n).flat_map(|i| (0..32).map(move |j| level(i, j))).collect(), [2, 4, 4])
        .unwrap()
}

fn batch(n: usize) -> Tensor<4, Int> {
    images(n).batch(&(0..n).collect::<Vec<_>>(), &Device::default())
}

fn loader(n: usize, order: Pass, epoch: usize) -> Arc<dyn DataLoader<Tensor<4, Int>>> {
    let config = LoaderConfig::new(8).with_pass(order).with_seed(4);
    Arc::new(
        Loader::new(images(n), ImageBatcher, config, &Device::default())
            .unwrap()
            .starting_at_epoch(epoch),
    )
}

/// A run in a folder, whose epochs so far are `from`.
fn training(
    folder: &Path,
    from: usize,
    until: usize,
) -> SupervisedTraining<MaximumLikelihood<Model>> {
    let train = SeededLoader::training(loader(40, Pass::Shuffled, from), 4, from);
    let valid = SeededLoader::evaluation(loader(20, Pass::Sequential, 0), 4);
    let training = SupervisedTraining::new(folder, Arc::new(train), Arc::new(valid))
        .metrics((
            LikelihoodMetric::bits_per_dim(OneSampleBound),
            LikelihoodMetric::nats(OneSampleBound),
        ))
        .with_application_logger(None)
        .with_checkpointing_strategy(KeepLastNCheckpoints::new(2))
        .with_default_checkpointers()
        .renderer(Box::new(EpochLog::new()))
        .num_epochs(until);
    if from == 0 { training } else { training.checkpoint(from) }
}

fn launch(
    training: SupervisedTraining<MaximumLikelihood<Model>>,
    model: MaximumLikelihood<Model>,
) -> LearningResult<MaximumLikelihood<Model>> {
    // The rate changes at every step, so a scheduler that starts again is noticed.
    let rate = LinearLrSchedulerConfig::new(1e-3, 2e-2, 20).init().unwrap();
    let training = training.with_interrupter(model.interrupter());
    training.launch(Learner::new(model, AdamConfig::new().with_epsilon(1e-8).init(), rate))
}

fn started(seed: u64) -> MaximumLikelihood<Model> {
    let device = Device::default().autodiff();
    device.seed(seed);
    MaximumLikelihood::new(uninit(&device).initialize(batch(40)).unwrap())
}

/// Log-likelihoods with given noise.
fn nats(model: &Model) -> Vec<f64> {
    Device::default().seed(77);
    model.evaluate(batch(20)).unwrap().nats().to_vec()
}

fn logged(folder: &Path, split: &str, epoch: usize, metric: &str) -> f64 {
    let path = folder.join(format!("{split}/epoch-{epoch}/{metric}.log"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let last = text.lines().last().unwrap();
    assert!(last.ends_with(",final"), "{last}");
    last.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn a_resumed_run_is_the_run_that_did_not_stop() {
    let _turn = turn();
    let (whole, halves) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = launch(training(whole.path(), 0, 4), started(1));
    assert!(
        expected.error.is_none()
            && expected.interrupted.is_none()
            && expected.model.failure().is_none()
    );

    let first = launch(training(halves.path(), 0, 2), started(1));
    assert_ne!(nats(&first.model.model), nats(&expected.model.model));
    // A model that never saw data and starts from other draws: all that counts comes from the
    // checkpoint.
    let device = Device::default().autodiff();
    device.seed(2);
    let blank = MaximumLikelihood::new(uninit(&device).without_data());
    let second = launch(training(halves.path(), 2, 4), blank);
    assert!(second.error.is_none() && second.interrupted.is_none());
    assert_eq!(nats(&second.model.model), nats(&expected.model.model));

    for epoch in 1..=4 {
        for metric in
            ["Bits_per_dim_(one-sample_bound)", "Log-likelihood_in_nats_(one-sample_bound)"]
        {
            for split in ["train", "valid"] {
                let value = |folder: &Path| logged(folder, split, epoch, metric);
                assert_eq!(
                    value(halves.path()),
                    value(whole.path()),
                    "{metric}, {split}, epoch {epoch}"
                );
            }
        }
    }
    let (bits, nats) =
        ("Bits_per_dim_(one-sample_bound)", "Log-likelihood_in_nats_(one-sample_bound)");
    let valid = |epoch, metric| logged(whole.path(), "valid", epoch, metric);
    assert!(
        valid(4, bits) < valid(1, bits) - 0.05,
        "it learns: {} then {}",
        valid(1, bits),
        valid(4, bits)
    );
    let from_nats = -valid(4, nats) / (32.0 * std::f64::consts::LN_2);
    assert!((valid(4, bits) - from_nats).abs() < 1e-12);
}

/// The metric is the mean over examples, although the last of the batches is smaller.
#[test]
fn the_metric_is_the_evaluation() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let result = launch(training(folder.path(), 0, 1), started(1));
    let model = result.model.model;
    let (valid, mut all) =
        (SeededLoader::evaluation(loader(20, Pass::Sequential, 0), 4), Vec::new());
    for data in valid.iter() {
        all.extend_from_slice(model.evaluate(data.unwrap()).unwrap().nats());
    }
    assert_eq!(all.len(), 20);
    let bits = -all.iter().sum::<f64>() / (20.0 * 32.0 * std::f64::consts::LN_2);
    let found = logged(folder.path(), "valid", 1, "Bits_per_dim_(one-sample_bound)");
    assert!((found - bits).abs() < 1e-12, "{found} {bits}");
}

#[test]
fn training_stops_early_when_nothing_improves() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let early = MetricEarlyStoppingStrategy::new(
        &LikelihoodMetric::bits_per_dim(OneSampleBound),
        Aggregate::Mean,
        // Nothing is worse than the start, so no epoch counts as better than the first.
        Direction::Highest,
        Split::Valid,
        StoppingCondition::NoImprovementSince { n_epochs: 2 },
    );
    let result = launch(training(folder.path(), 0, 50).early_stopping(early), started(1));
    assert!(result.error.is_none());
    let epoch = |epoch: usize| folder.path().join(format!("valid/epoch-{epoch}")).exists();
    assert!(epoch(3) && !epoch(4), "the first epoch and two more");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_changes_nothing() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut model = started(1);
    model = model.map(&mut Overflow);
    let before = bits(&model);
    let result = launch(training(folder.path(), 0, 3), model);
    let reason = result.model.failure().expect("with a reason");
    assert_eq!(result.interrupted.expect("stopped").reason.as_ref(), Some(&reason));
    assert!(
        reason.contains("changed nothing") && (reason.contains("inf") || reason.contains("NaN")),
        "{reason}"
    );
    assert!(reason.contains("first not finite at `"), "{reason}");
    assert_eq!(bits(&result.model), before);
    // Another training may be given it.
    assert!(!result.model.interrupter().should_stop());
}

/// All parameters, bit for bit.
fn bits(model: &MaximumLikelihood<Model>) -> Vec<u8> {
    model.clone().into_record().into_bytes().unwrap().to_vec()
}

/// Puts parameters where every loss overflows float32.
struct Overflow;

impl ModuleMapper for Overflow {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| {
            let trained = value.is_require_grad();
            let huge = Tensor::from_inner(value.inner().add_scalar(1e30));
            if trained { huge.require_grad() } else { huge }
        })
    }
}

/// A flow of continuous data has its own steps, and a batch of another shape is named.
#[test]
fn a_flow_without_a_bound_is_exact() {
    let device = Device::default().autodiff();
    let flow =
        Flow::new(layer(&ActNormConfig::new(), [1, 2], &device), StandardNormal::new(), [1, 2])
            .unwrap();
    let x = Tensor::<2>::from_data([[1.0, 5.0], [3.0, 9.0], [2.0, 6.0]], &device);
    let model = MaximumLikelihood::new(flow.initialize(x.clone()).unwrap());
    let expected = model.model.evaluate(x.clone()).unwrap();
    let trained = TrainStep::step(&model, x.clone());
    let valid = InferenceStep::step(&model.valid(), x.inner());
    assert!(!trained.grads.is_empty());
    for step in [trained.item, valid] {
        assert_eq!((step.dims(), step.provenance()), (2, Exact));
        assert_eq!(step.nats().into_data().iter::<f64>().collect::<Vec<_>>(), expected.nats());
    }
    assert!(model.clone().with_max_norm(0.0).is_err());
    let wrong = Tensor::<2>::ones([3, 5], &device);
    let step = std::panic::AssertUnwindSafe(|| TrainStep::step(&model, wrong));
    let panic = std::panic::catch_unwind(step).err().expect("a wrong shape");
    assert!(panic.downcast_ref::<String>().unwrap().contains('5'));
}

/// A step that must not be made changes nothing and says why; places of one parameter are moved
/// together.
#[test]
fn a_step_that_makes_no_sense_stops_the_run() {
    let device = Device::default().autodiff();
    let x = Tensor::<2>::from_data([[1.0, 5.0], [3.0, 9.0], [2.0, 6.0]], &device);
    type Norm = ActNorm<2>;
    let norm =
        |x: &Tensor<2>| layer(&ActNormConfig::new(), [1, 2], &device).initialize(x.clone(), &()).0;
    let model = |layers: (Norm, Norm)| {
        MaximumLikelihood::new(
            Flow::new(layers, StandardNormal::new(), [1, 2]).unwrap().without_data(),
        )
    };
    let values = |layer: &Norm| {
        let both = Tensor::cat(vec![layer.bias.val().inner(), layer.log_scale.val().inner()], 0);
        both.into_data().iter::<f32>().collect::<Vec<_>>()
    };
    let shared = norm(&x);
    let apart = shared.clone().initialize(x.clone().mul_scalar(3.0), &()).0;
    for (layers, reason) in [
        ((shared.clone(), apart), "have the same parameter id"),
        ((shared.clone().no_grad(), norm(&x).no_grad()), "no parameter is trained"),
    ] {
        let model = model(layers);
        let step = TrainStep::step(&model, x.clone());
        assert!(step.grads.is_empty());
        let failure = model.failure().expect("a reason");
        assert!(failure.contains(reason), "{failure}");
    }
    let tied = model((shared.clone(), shared.clone()));
    let grads = TrainStep::step(&tied, x.clone()).grads;
    let moved = TrainStep::optimize(tied, &mut AdamConfig::new().init(), 0.1.into(), grads);
    let (first, second) = &moved.model.bijector;
    assert_eq!(values(first), values(second));
    assert!(values(first).iter().zip(values(&shared)).all(|(moved, before)| *moved != before));
    assert_eq!(moved.failure(), None);

    let grads = TrainStep::step(&moved, x).grads;
    let before = values(first);
    let stopped =
        TrainStep::optimize(moved.clone(), &mut AdamConfig::new().init(), 1e300.into(), grads);
    assert_eq!(values(&stopped.model.bijector.1), before);
    let failure = stopped.failure().expect("a reason");
    assert!(
        failure.contains("would make the weights of `model.bijector.0.")
            && failure.contains("NaN or infinite"),
        "{failure}"
    );
}

/// What is drawn after an epoch, however it ended, depends on the device's state before it, and not
/// on the run or on what was drawn within.
#[test]
fn an_epoch_gives_the_devices_stream_back() {
    let _turn = turn();
    let draw = || Tensor::<1>::random([4], Distribution::Default, &Device::default()).into_data();
    let after = |before: u64, batches: usize, seeded: SeededLoader<Tensor<4, Int>>| {
        Device::default().seed(before);
        let mut noise = Vec::new();
        for batch in seeded.iter().take(batches) {
            batch.unwrap();
            noise.push(draw());
        }
        (noise, draw())
    };
    let train = |run| SeededLoader::training(loader(40, Pass::Shuffled, 0), run, 3);
    let (noise, expected) = after(1, 5, train(4));
    assert_eq!(
        (noise.len(), after(2, 5, train(4)).0),
        (5, noise.clone()),
        "within: the run's seed"
    );
    assert_ne!(after(2, 5, train(4)).1, expected);
    assert_ne!(after(1, 5, train(5)).0, noise);
    for (batches, seeded) in [(5, train(5)), (2, train(4)), (0, train(4))] {
        assert_eq!(after(1, batches, seeded).1, expected);
    }
    let valid = || SeededLoader::evaluation(loader(20, Pass::Sequential, 0), 4);
    assert_eq!(after(1, 9, valid()).1, expected);

    let trained = |seed| {
        let folder = tempfile::tempdir().unwrap();
        drop(launch(training(folder.path(), 0, 1), started(seed)));
        draw()
    };
    assert_ne!(trained(1), trained(2));
}
