//! Several devices on burn's own strategies: the update of one device with the joined batch, one
//! start, one average, one checkpoint, and a resumption with another number of devices.
//! `BURN_DEVICE` says which device is given several times.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::path::Path;
use std::sync::Arc;

use crate::build::{fixed_image, layer};
use crate::draws::turn;
use burn::data::dataloader::{DataLoader, split::split_dataloader};
use burn::data::dataset::DatasetError;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{AdamConfig, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Int, Tensor};
use burn::train::checkpoint::KeepLastNCheckpoints;
use burn::train::{
    ExecutionStrategy, Learner, LearningResult, MultiDeviceOptim, SupervisedTraining,
};
use flowkit::data::{DataError, ImageBatcher, Images, Loader, LoaderConfig};
use flowkit::flow::likelihood::Exact;
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::train::learner::{
    DataParallel, EpochLog, LikelihoodMetric, MaximumLikelihood, ShardedLoader,
};
use flowkit::train::{EmaDecay, LossScale, Precision, TrainError};
use flowkit::{
    ActNormConfig, BoxBijector, ChannelOrder, ConfigError, Conv1x1Config, CouplingConfig, Density,
    Flow, GatedNetConfig, LayerConfig, Mixing, Site, SqueezeConfig, StandardNormal, Uninit,
};

type Model = Flow<Vec<BoxBijector<4>>, StandardNormal, 4>;
type Parallel = DataParallel<Model>;

/// A flow of numbers, so that steps draw nothing and differ by rounding alone.
fn uninit(device: &Device) -> Uninit<Model> {
    let net = GatedNetConfig::new(8, 1).with_mixing(Some(Mixing::Attention { heads: 2 }));
    let coupling = CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), net);
    let coupling = coupling.build(&Site::new([1, 8, 2, 2], device)).unwrap();
    let layers = vec![
        BoxBijector::new(fixed_image(&SqueezeConfig::new(ChannelOrder::ChannelMajor))),
        BoxBijector::new(layer(&ActNormConfig::new(), [1, 8, 1, 1], device)),
        BoxBijector::new(layer(&Conv1x1Config::new(), [1, 8], device)),
        BoxBijector::new(coupling),
    ];
    Flow::new(layers, StandardNormal::new(), [1, 2, 4, 4]).unwrap()
}

/// 48 examples, the same in every run.
fn numbers(device: &Device) -> Tensor<4> {
    let values: Vec<f32> =
        (0..48 * 32).map(|i| ((i * 37 + i / 32 * 11) % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::<1>::from_data(values.as_slice(), device).reshape([48, 2, 4, 4])
}

/// Batches of numbers by the numbers of the images that stand for them.
fn loader(n_parts: usize, epoch: usize) -> Arc<dyn DataLoader<Tensor<4>>> {
    struct Numbers;
    impl burn::data::dataloader::batcher::Batcher<flowkit::data::Image, Tensor<4>> for Numbers {
        fn batch(&self, items: Vec<flowkit::data::Image>, device: &Device) -> Tensor<4> {
            let device = device.clone().without_autodiff();
            let rows =
                items.iter().map(|item| numbers(&device).narrow(0, item.pixels[0].into(), 1));
            Tensor::cat(rows.collect(), 0)
        }
    }
    let images = Images::new((0..48).collect(), [1, 1, 1]).unwrap();
    let config = LoaderConfig::new(12).with_seed(4);
    let loader =
        Loader::new(images, Numbers, config, &Device::default()).unwrap().starting_at_epoch(epoch);
    Arc::new(ShardedLoader::new(Arc::new(loader), n_parts).unwrap())
}

fn devices(n: usize) -> Vec<Device> {
    vec![Device::default().autodiff(); n]
}

fn strategy(n: usize, optim: MultiDeviceOptim) -> ExecutionStrategy {
    if n == 1 {
        ExecutionStrategy::single(devices(1).remove(0))
    } else {
        ExecutionStrategy::multi(devices(n), optim)
    }
}

fn started(max_norm: f64) -> MaximumLikelihood<Model> {
    let device = Device::default().autodiff();
    device.seed(1);
    let flow = uninit(&device).initialize(numbers(&device)).unwrap();
    MaximumLikelihood::new(flow).with_max_norm(max_norm).unwrap()
}

fn parallel(n: usize, max_norm: f64) -> Parallel {
    DataParallel::new(started(max_norm), n, EmaDecay::Constant(0.8)).unwrap()
}

/// Epochs `from` to `until` on `n` devices, in a folder.
fn train(
    folder: &Path,
    model: Parallel,
    n: usize,
    [from, until]: [usize; 2],
    optim: MultiDeviceOptim,
) -> LearningResult<Parallel> {
    let adam = AdamConfig::new().with_epsilon(1e-8).init();
    train_by(adam, folder, model, n, [from, until], optim)
}

fn train_by(
    optimizer: ModuleOptimizer,
    folder: &Path,
    model: Parallel,
    n: usize,
    [from, until]: [usize; 2],
    optim: MultiDeviceOptim,
) -> LearningResult<Parallel> {
    let rate = LinearLrSchedulerConfig::new(1e-3, 1e-2, 20).init().unwrap();
    let mut training = SupervisedTraining::new(folder, loader(n, from), loader(1, 0))
        .with_interrupter(model.learned.interrupter())
        .with_training_strategy(strategy(n, optim).into())
        .metrics((LikelihoodMetric::bits_per_dim(Exact),))
        .with_application_logger(None)
        .with_checkpointing_strategy(KeepLastNCheckpoints::new(2))
        .with_default_checkpointers()
        .renderer(Box::new(EpochLog::new()))
        .num_epochs(until);
    if from > 0 {
        training = training.checkpoint(from);
    }
    training.launch(Learner::new(model, optimizer, rate))
}

fn run(optimizer: ModuleOptimizer, n: usize, max_norm: f64) -> Parallel {
    let folder = tempfile::tempdir().unwrap();
    let optim = MultiDeviceOptim::OptimMainDevice;
    let result = train_by(optimizer, folder.path(), parallel(n, max_norm), n, [0, 3], optim);
    assert!(result.error.is_none() && result.model.learned.failure().is_none());
    result.model
}

fn weights<M: Module>(model: &M) -> Vec<f64> {
    struct Weights(Vec<f64>);
    impl ModuleVisitor for Weights {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }
    let mut weights = Weights(Vec::new());
    model.visit(&mut weights);
    weights.0
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Weights and averages after twelve updates by plain descent, with a clip that is active and with
/// one that is not.
#[test]
fn several_devices_are_one_with_the_joined_batch() {
    let _turn = turn();
    for max_norm in [0.5, f64::INFINITY] {
        let one = run(SgdConfig::new().init(), 1, max_norm);
        let start = weights(&started(max_norm).model);
        assert!(distance(&weights(&one.learned), &start) > 1e-3, "it learned");
        assert!(
            distance(&weights(&one.learned), &weights(&one.average)) > 1e-4,
            "the average lags"
        );
        for n in [2, 3, 4] {
            let several = run(SgdConfig::new().init(), n, max_norm);
            let off = distance(&weights(&several), &weights(&one));
            println!("{n} devices, norm {max_norm}: {off:.1e} from one");
            assert!(off < 5e-6, "{n} devices, norm {max_norm}: {off}");
            assert_eq!(several.updates.val().into_data().iter::<i64>().collect::<Vec<_>>(), [12]);
        }
    }
}

/// By Adam, which divides by the root of a square: it makes a step of a rounding where a gradient
/// is 0, as that of the bias of attention's keys is. Such weights change nothing, so what is
/// compared is the likelihood.
#[test]
fn several_devices_learn_by_adam_what_one_does() {
    let _turn = turn();
    let adam = || AdamConfig::new().with_epsilon(1e-8).init();
    let one = run(adam(), 1, 0.5);
    for n in [2, 3, 4] {
        let several = run(adam(), n, 0.5);
        for (found, expected) in
            [(&several.learned.model, &one.learned.model), (&several.average, &one.average)]
        {
            let off = (bits(found) - bits(expected)).abs();
            println!("{n} devices: {off:.1e} bits/dim from one");
            assert!(off < 1e-4, "{n} devices: {off} bits/dim");
        }
    }
}

fn bits(model: &Model) -> f64 {
    model.evaluate(numbers(&Device::default())).unwrap().bits_per_dim().value()
}

/// burn's other strategy, which leaves parts of the model to each device, makes the same update.
#[test]
fn sharded_optimizers_make_the_same_update() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let sharded = train(folder.path(), parallel(2, 0.5), 2, [0, 3], MultiDeviceOptim::OptimSharded);
    let one = run(AdamConfig::new().with_epsilon(1e-8).init(), 1, 0.5);
    assert!((bits(&sharded.model.average) - bits(&one.average)).abs() < 1e-4);
}

/// What this crate corrects: burn-train 0.22.1 adds gradients up, so that a step of plain descent
/// is as many times too long.
#[test]
fn burn_adds_gradients_up() {
    let _turn = turn();
    let model = MaximumLikelihood::new(started(1.0).model).with_max_norm(f64::INFINITY).unwrap();
    let step = |n: usize| {
        let start = weights(&model);
        let folder = tempfile::tempdir().unwrap();
        let training = SupervisedTraining::new(folder.path(), loader(n, 0), loader(1, 0))
            .with_training_strategy(strategy(n, MultiDeviceOptim::OptimMainDevice).into())
            .metrics((LikelihoodMetric::bits_per_dim(Exact),))
            .with_application_logger(None)
            .renderer(Box::new(EpochLog::new()))
            .num_epochs(1);
        // So short that four steps are one.
        let result = training.launch(Learner::new(model.clone(), SgdConfig::new().init(), 1e-7));
        distance(&weights(&result.model), &start)
    };
    let ratio = step(3) / step(1);
    assert!((2.8..3.2).contains(&ratio), "{ratio}");
}

/// Two epochs on two devices, one on four, one on one; the checkpoint is burn's.
#[test]
fn a_run_goes_on_with_another_number_of_devices() {
    let _turn = turn();
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let optim = MultiDeviceOptim::OptimMainDevice;
    let expected = train(whole.path(), parallel(1, 0.5), 1, [0, 4], optim);
    let first = train(parts.path(), parallel(2, 0.5), 2, [0, 2], optim);
    assert!(distance(&weights(&first.model), &weights(&expected.model)) > 1e-2);
    let files: Vec<_> = std::fs::read_dir(parts.path().join("checkpoint")).unwrap().collect();
    assert_eq!(
        files.len(),
        6,
        "model, optimizer and rate of two epochs, written by one: {files:?}"
    );
    let mut last = None;
    for (n, epochs) in [(4, [2, 3]), (1, [3, 4])] {
        // A model that never saw data and starts from other draws: all that counts comes from the
        // checkpoint.
        let device = Device::default().autodiff();
        device.seed(9);
        let blank =
            MaximumLikelihood::new(uninit(&device).without_data()).with_max_norm(0.5).unwrap();
        let blank = DataParallel::new(blank, n, EmaDecay::Constant(0.8)).unwrap();
        last = Some(train(parts.path(), blank, n, epochs, optim).model);
    }
    let last = last.unwrap();
    for (found, expected) in [
        (&last.learned.model, &expected.model.learned.model),
        (&last.average, &expected.model.average),
    ] {
        assert!((bits(found) - bits(expected)).abs() < 1e-4);
    }
    assert_eq!(last.updates.val().into_data().iter::<i64>().collect::<Vec<_>>(), [16]);
}

/// A part that fails stops the run, and the other parts move nothing.
#[test]
fn a_part_that_is_not_finite_moves_nothing() {
    let _turn = turn();
    let model = parallel(2, 0.5);
    let start = weights(&model);
    let poisoned = |device: &Device| {
        let x = numbers(device).narrow(0, 0, 4);
        Tensor::cat(vec![x.clone().narrow(0, 0, 3), x.narrow(0, 3, 1).mul_scalar(f64::INFINITY)], 0)
    };
    struct Batches(Arc<dyn Fn(&Device) -> Tensor<4> + Send + Sync>, Device);
    impl DataLoader<Tensor<4>> for Batches {
        fn iter<'a>(
            &'a self,
        ) -> Box<dyn burn::data::dataloader::DataLoaderIterator<Tensor<4>> + 'a> {
            Box::new(Once(Some((self.0)(&self.1))))
        }
        fn num_items(&self) -> usize {
            4
        }
        fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<Tensor<4>>> {
            Arc::new(Self(self.0.clone(), device.clone().without_autodiff()))
        }
        fn slice(&self, _: usize, _: usize) -> Arc<dyn DataLoader<Tensor<4>>> {
            self.to_device(&self.1)
        }
    }
    struct Once(Option<Tensor<4>>);
    impl Iterator for Once {
        type Item = Result<Tensor<4>, DatasetError>;
        fn next(&mut self) -> Option<Self::Item> {
            self.0.take().map(Ok)
        }
    }
    impl burn::data::dataloader::DataLoaderIterator<Tensor<4>> for Once {
        fn progress(&self) -> burn::data::dataloader::Progress {
            burn::data::dataloader::Progress::new(4, 4, None)
        }
    }
    let batches = Batches(Arc::new(poisoned), Device::default());
    let batches = ShardedLoader::new(Arc::new(batches), 2).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let training = SupervisedTraining::new(folder.path(), Arc::new(batches), loader(1, 0))
        .with_interrupter(model.learned.interrupter())
        .with_training_strategy(strategy(2, MultiDeviceOptim::OptimMainDevice).into())
        .metrics((LikelihoodMetric::bits_per_dim(Exact),))
        .with_application_logger(None)
        .renderer(Box::new(EpochLog::new()));
    let result = training.launch(Learner::new(model, AdamConfig::new().init(), 1e-2));
    assert!(
        result.model.learned.failure().is_some_and(|reason| reason.contains("changed nothing"))
    );
    assert_eq!(weights(&result.model), start);
}

/// Parts of the batches that one device would see, in order, whatever the number of devices.
#[test]
fn loaders_cut_batches_and_not_the_data() {
    let images = || Images::new((0..24).collect(), [1, 1, 1]).unwrap();
    let new = |batch| -> Arc<dyn DataLoader<Tensor<4, Int>>> {
        let config = LoaderConfig::new(batch).with_seed(3);
        Arc::new(Loader::new(images(), ImageBatcher, config, &Device::default()).unwrap())
    };
    let all = |loader: &Arc<dyn DataLoader<Tensor<4, Int>>>| -> Vec<Vec<i64>> {
        loader.iter().map(|batch| batch.unwrap().into_data().iter::<i64>().collect()).collect()
    };
    let devices = |n| vec![Device::default(); n];
    let whole = all(&new(6));
    assert_eq!(whole.len(), 4);
    for n in [2, 3, 6] {
        let parts = split_dataloader(Arc::new(ShardedLoader::new(new(6), n).unwrap()), &devices(n));
        assert!(parts.iter().all(|part| part.num_items() == 24 / n));
        let parts: Vec<_> = parts.iter().map(&all).collect();
        let joined: Vec<Vec<i64>> =
            (0..4).map(|step| parts.iter().flat_map(|part| part[step].clone()).collect()).collect();
        assert_eq!(joined, whole, "{n} devices");
    }
    let uneven = split_dataloader(Arc::new(ShardedLoader::new(new(6), 4).unwrap()), &devices(4));
    let error = uneven[0].iter().next().unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("UnequalParts"), "{error:?}");
    for n in [0, 25] {
        assert!(
            matches!(ShardedLoader::new(new(6), n), Err(DataError::Parts { n_items: 24, .. })),
            "{n}"
        );
    }
    let other = std::panic::AssertUnwindSafe(|| {
        split_dataloader(Arc::new(ShardedLoader::new(new(6), 2).unwrap()), &devices(3))
    });
    assert!(std::panic::catch_unwind(other).is_err(), "made for two devices, given to three");
}

/// The masters and the sum over devices are in float32, whatever the workers compute in.
#[test]
fn workers_may_be_in_half_precision() {
    let _turn = turn();
    if !Device::default().supports_dtype(burn::tensor::DType::BF16) {
        return;
    }
    let run = |n| {
        let model = started(0.5).with_precision(Precision::BF16).unwrap();
        let model = DataParallel::new(model, n, EmaDecay::Constant(0.8)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), model, n, [0, 1], MultiDeviceOptim::OptimMainDevice).model
    };
    let (one, two, full) = (run(1), run(2), {
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), parallel(1, 0.5), 1, [0, 1], MultiDeviceOptim::OptimMainDevice).model
    });
    assert!(distance(&weights(&one), &weights(&full)) > 0.0, "it is another precision");
    let values = [bits(&one.learned.model), bits(&two.learned.model), bits(&full.learned.model)];
    assert!(values.iter().all(|value| (value - values[2]).abs() < 0.02), "{values:?} bits/dim");
    let error = started(0.5).with_precision(Precision::F16(LossScale::default())).unwrap_err();
    assert!(matches!(error, TrainError::Config(ConfigError::Choice { field: "precision", .. })));
    let error = DataParallel::new(started(0.5), 0, EmaDecay::Constant(0.8)).err().unwrap();
    assert!(
        matches!(error, TrainError::Config(ConfigError::Zero { field: "n_parts", .. })),
        "{error}"
    );
}
