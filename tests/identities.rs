//! Parameters at several places, clones, and identities that no file has.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::collections::BTreeMap;
use std::fs;

use crate::draws::turn;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use flowkit::law::{Affine, AffineConfig, AffineForm};
use flowkit::testing::parameters::parameters;
use flowkit::train::{
    Checkpoint, CheckpointError, Ema, EmaDecay, NegativeLogLikelihood, OptimizerConfig, Precision,
    TrainError, Trainer, TrainerConfig,
};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, Context, Coupling, CouplingConfig, Flow, GradientMemory,
    LayerConfig, Mlp, MlpConfig, ShapeError, ShapeMap, Site, StandardNormal, Swap, Uninit,
};

fn device() -> Device {
    Device::flex().autodiff()
}

const POLICIES: [GradientMemory; 3] =
    [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE];

type Layer = (ActNorm<2>, Coupling<Affine, Mlp>, Swap);

/// A layer whose parameters are drawn from a seed.
fn layer(seed: u64) -> Layer {
    device().seed(seed);
    let coupling = CouplingConfig::new(AffineConfig::new(AffineForm::Bounded), MlpConfig::new([5]));
    let coupling = coupling.build(&Site::new([1, 2], &device())).unwrap();
    shaken((build::layer(&ActNormConfig::new(), [1, 2], &device()), coupling, Swap::new()), 0.05)
}

/// Every float parameter a little further up.
fn shaken<M: Module>(module: M, by: f64) -> M {
    struct Shake(f64);
    impl ModuleMapper for Shake {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value.detach().add_scalar(self.0).detach().require_grad())
        }
    }
    module.map(&mut Shake(by))
}

/// A layer that runs twice, without a parameter that occurs twice.
#[derive(Module, Debug)]
struct Twice {
    inner: Layer,
}

impl ShapeMap<2> for Twice
where
    Layer: ShapeMap<2>,
{
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        self.inner.output_shape(shape)
    }
}

impl<C: Context> Bijector<2, C> for Twice
where
    Layer: Bijector<2, C>,
{
    type Driver = flowkit::Leaf;

    fn forward(&self, x: Tensor<2>, context: &C) -> (Tensor<2>, Tensor<1>) {
        let (h, first) = self.inner.forward(x, context);
        let (z, second) = self.inner.forward(h, context);
        (z, first + second)
    }

    fn inverse(&self, z: Tensor<2>, context: &C) -> Tensor<2> {
        self.inner.inverse(self.inner.inverse(z, context), context)
    }
}

fn flow<B: Bijector<2>>(bijector: B) -> Uninit<Flow<B, StandardNormal, 2>> {
    Flow::new(bijector, StandardNormal::new(), [1, 2]).unwrap()
}

fn points(from: usize) -> NegativeLogLikelihood<Tensor<2>> {
    let values: Vec<[f32; 2]> =
        (from..from + 8).map(|i| [(i as f32).sin(), 0.5 + 2.0 * (3.0 * i as f32).cos()]).collect();
    let rows = values.into_iter().map(|row| Tensor::<1>::from_data(row, &device())).collect();
    NegativeLogLikelihood::new(Tensor::stack(rows, 0))
}

fn numbers<M: Module>(module: &M) -> Vec<Vec<f64>> {
    parameters(module).into_iter().map(|parameter| parameter.values).collect()
}

fn config(backward: GradientMemory) -> TrainerConfig {
    let ema = EmaDecay::Constant(0.9);
    TrainerConfig::new()
        .with_gradient_memory(backward)
        .with_warm_up(1)
        .with_learning_rate(0.01)
        .with_ema(ema)
}

fn near(found: &[Vec<f64>], expected: &[Vec<f64>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 2e-5, "{found} is not {expected}");
    }
}

/// Two places of a layer are trained as the layer that runs twice: the gradient is the sum, and
/// both places stay bit for bit equal, on to a file and back.
#[test]
fn places_of_a_parameter_are_trained_as_one() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    for backward in POLICIES {
        for optimizer in [OptimizerConfig::Adam, OptimizerConfig::Adamax { beta_2: 0.99 }] {
            let config = config(backward).with_optimizer(optimizer);
            let tied = || {
                let shared = layer(7);
                flow((shared.clone(), shared))
            };
            let mut twice =
                Trainer::new(flow(Twice { inner: layer(7) }).without_data(), config.clone())
                    .unwrap();
            let mut trainer = Trainer::new(tied().without_data(), config).unwrap();
            let before = numbers(trainer.model());
            let mut step = |trainer: &mut Trainer<_>, i: usize| {
                let parts = [points(8 * i), points(8 * i + 100)];
                twice.update_on_parts(&device(), &parts).unwrap();
                trainer.update_on_parts(&device(), &parts).unwrap();
                for (found, expected) in
                    [(trainer.model(), twice.model()), (trainer.average(), twice.average())]
                {
                    let (found, expected) = (numbers(found), numbers(expected));
                    let (first, second) = found.split_at(found.len() / 2);
                    assert_eq!(first, second, "{backward:?}");
                    near(first, &expected);
                }
            };
            (0..6).for_each(|i| step(&mut trainer, i));
            assert_ne!(before, numbers(trainer.model()));
            let path = folder.path().join("tied");
            trainer.save(&path, BTreeMap::new()).unwrap();
            let mut resumed = Trainer::resume(&Checkpoint::load(&path).unwrap(), tied()).unwrap();
            assert_eq!(numbers(resumed.model()), numbers(trainer.model()));
            (6..10).for_each(|i| step(&mut resumed, i));
        }
    }
}

#[test]
fn places_stay_equal_in_a_half_type() {
    let _turn = turn();
    let shared = layer(3);
    let config = config(GradientMemory::Store).with_precision(Precision::BF16);
    let mut trainer = Trainer::new(flow((shared.clone(), shared)).without_data(), config).unwrap();
    for i in 0..4 {
        trainer.update_on(&device(), &points(i)).unwrap();
        let found = numbers(trainer.model());
        let (first, second) = found.split_at(found.len() / 2);
        assert_eq!(first, second);
    }
}

/// A clone that went its own way has an identity that is not its own: training would move one of
/// the two.
#[test]
fn clones_that_differ_are_refused() {
    let _turn = turn();
    let original = layer(5);
    let clones = || (original.clone(), shaken(original.clone(), 0.25));
    for backward in POLICIES {
        let error = Trainer::new(flow(clones()).without_data(), config(backward)).err().unwrap();
        let text = error.to_string();
        let TrainError::Clones { first, second, .. } = error else { panic!("{text}") };
        assert!(
            first.starts_with("bijector.0.0.") && second.starts_with("bijector.1.0."),
            "{text}"
        );
        assert!(
            text.contains(&first) && text.contains(&second) && text.contains("different values"),
            "{text}"
        );
    }
    // One of them frozen: neither one parameter nor two.
    let frozen = (original.clone(), original.clone().no_grad());
    let error =
        Trainer::new(flow(frozen).without_data(), config(GradientMemory::Store)).err().unwrap();
    assert!(error.to_string().contains("only one of them is trained"), "{error}");

    // An average follows each place by itself.
    let average = Ema::new(&(original.clone(), original.clone()), EmaDecay::Constant(0.5)).unwrap();
    let found = numbers(average.update(&clones()).unwrap().model());
    let (first, second) = found.split_at(found.len() / 2);
    near(first, &numbers(&original));
    near(second, &numbers(&shaken(original.clone(), 0.125)));
}

/// 0 and −0 are one number.
#[test]
fn clones_that_differ_in_the_sign_of_zero_are_tied() {
    let _turn = turn();
    struct Zero(f64);
    impl ModuleMapper for Zero {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| value.zeros_like().mul_scalar(self.0).detach().require_grad())
        }
    }
    let original = layer(5);
    let clones = (original.clone().map(&mut Zero(1.0)), original.map(&mut Zero(-1.0)));
    let values: Vec<f64> = numbers(&clones).concat();
    let (first, second) = values.split_at(values.len() / 2);
    assert!(
        first.iter().all(|value| value.is_sign_positive())
            && second.iter().all(|value| value.is_sign_negative())
    );
    Trainer::new(flow(clones).without_data(), config(GradientMemory::Store)).unwrap();
}

/// Two layers of a checkpoint do not become one, nor one two.
#[test]
fn a_run_goes_on_with_the_same_ties() {
    let _turn = turn();
    let shared = || {
        let shared = layer(1);
        (shared.clone(), shared)
    };
    let two = || (layer(1), layer(2));
    let saved = |model| {
        Trainer::new(model, config(GradientMemory::Store))
            .unwrap()
            .checkpoint(BTreeMap::new())
            .unwrap()
    };
    let cases = [
        (saved(flow(two()).without_data()), shared(), false),
        (saved(flow(shared()).without_data()), two(), true),
    ];
    for (checkpoint, model, expected) in cases {
        let error = Trainer::resume(&checkpoint, flow(model)).err().unwrap();
        let text = error.to_string();
        let CheckpointError::OtherTies { first, second, in_file } = error else { panic!("{text}") };
        assert_eq!(in_file, expected);
        assert!(first.contains("bijector.0.0.") && second.contains("bijector.1.0."), "{text}");
        assert!(text.contains(&first) && text.contains(&second), "{text}");
    }
}

/// Models that come from one file are no clones of each other: both are trained.
#[test]
fn two_models_of_one_file_are_two() {
    let _turn = turn();
    let checkpoint =
        Trainer::new(flow(layer(1)).without_data(), config(GradientMemory::Store)).unwrap();
    let checkpoint = checkpoint.checkpoint(BTreeMap::new()).unwrap();
    let resumed = || checkpoint.resume("model", flow(layer(2)).without_data()).unwrap().bijector;
    let mut trainer =
        Trainer::new(flow((resumed(), resumed())).without_data(), config(GradientMemory::Store))
            .unwrap();
    let before = numbers(trainer.model());
    trainer.update_on(&device(), &points(0)).unwrap();
    let after = numbers(trainer.model());
    assert!(
        before.iter().zip(&after).all(|(before, after)| before != after),
        "a parameter stood still"
    );
    let (first, second) = after.split_at(after.len() / 2);
    assert_ne!(first, second, "they have gradients of their own");
}

/// Identities are random in every process and for every module; no byte of a file depends on them.
#[test]
fn equal_runs_write_equal_files() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    for backward in POLICIES {
        let write = |name: &str| {
            let shared = layer(4);
            let model = flow((shared.clone(), layer(9), shared)).without_data();
            let mut trainer = Trainer::new(model, config(backward)).unwrap();
            (0..3).for_each(|i| drop(trainer.update_on(&device(), &points(i)).unwrap()));
            let path = folder.path().join(name);
            trainer.save(&path, BTreeMap::new()).unwrap();
            fs::read(path).unwrap()
        };
        let first = write("first");
        assert!(first == write("second"), "{backward:?}");
        // Nor does one that was resumed write another.
        let checkpoint = Checkpoint::load(folder.path().join("first")).unwrap();
        let shared = layer(6);
        let resumed = Trainer::resume(&checkpoint, flow((shared.clone(), layer(8), shared)));
        let again = folder.path().join("again");
        resumed.unwrap().save(&again, BTreeMap::new()).unwrap();
        assert!(first == fs::read(again).unwrap(), "{backward:?}");
    }
}
