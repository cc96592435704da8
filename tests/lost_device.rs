//! A device that gives nothing back in the middle of an update: the update is an error that names
//! the policy to try, or the device's own panic, and the trainer is what it was.

#[path = "common/build.rs"]
mod build;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::build::layer;
use burn::tensor::{Device, Distribution, Tensor};
use flowkit::bijector::replay::Replay;
use flowkit::flow::likelihood::Exact;
use flowkit::kernel::global_norm;
use flowkit::train::{
    NegativeLogLikelihood, NonFinitePlace, Objective, TrainError, Trainer, TrainerConfig,
};
use flowkit::{ActNorm, ActNormConfig, Flow, GradientMemory, StandardNormal};

type Model = Flow<ActNorm<2>, StandardNormal, 2>;

/// A likelihood on whose way something happens to the device.
struct Mishap<F> {
    likelihood: NegativeLogLikelihood<Tensor<2>>,
    happens: F,
}

impl<F: Fn(Tensor<1>) -> Tensor<1>> Objective<Model> for Mishap<F> {
    type Provenance = Exact;

    fn provenance(&self) -> Exact {
        Exact
    }

    fn dims(&self, model: &Model) -> usize {
        self.likelihood.dims(model)
    }

    fn loss(&self, model: &Model) -> Tensor<1> {
        (self.happens)(self.likelihood.loss(model))
    }

    fn replay(&self, model: &Model, replay: &mut Replay<()>) -> Option<Tensor<1>> {
        self.likelihood.replay(model, replay).map(&self.happens)
    }

    fn examples(&self, model: &Model) -> usize {
        self.likelihood.examples(model)
    }

    fn fault(&self, model: &Model) -> Option<NonFinitePlace> {
        self.likelihood.fault(model)
    }

    fn gradient_fault(&self, model: &Model) -> Option<NonFinitePlace> {
        self.likelihood.gradient_fault(model)
    }
}

fn likelihood(device: &Device) -> NegativeLogLikelihood<Tensor<2>> {
    NegativeLogLikelihood::new(Tensor::from_data([[0.5, -1.0], [2.0, 0.25], [-1.5, 3.0]], device))
}

fn trainer(device: &Device, backward: GradientMemory) -> Trainer<Model> {
    let flow =
        Flow::new(layer(&ActNormConfig::new(), [1, 2], device), StandardNormal::new(), [1, 2])
            .unwrap();
    let model = flow.initialize(likelihood(device).x).unwrap();
    let mut trainer =
        Trainer::new(model, TrainerConfig::new().with_gradient_memory(backward)).unwrap();
    trainer.update_on(device, &likelihood(device)).unwrap();
    trainer
}

/// Everything that a trainer is.
fn saved(trainer: &Trainer<Model>) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    trainer.checkpoint(BTreeMap::new()).unwrap().save(file.path()).unwrap();
    fs::read(file.path()).unwrap()
}

const POLICIES: [(GradientMemory, &str); 3] = [
    (GradientMemory::Store, "resume under Recompute"),
    (GradientMemory::Recompute, "resume under Reversible"),
    (GradientMemory::REVERSIBLE, "resume with smaller micro-batches"),
];

/// A panic means that nobody knows what is lost: it reaches the program, which may catch it and go
/// on as if the update had never begun.
#[test]
fn a_panic_on_the_way_is_not_swallowed_and_changes_nothing() {
    let device = Device::flex().autodiff();
    for (backward, _) in POLICIES {
        let mut trainer = trainer(&device, backward);
        let before = saved(&trainer);
        let lost =
            Mishap { likelihood: likelihood(&device), happens: |_| panic!("the device is lost") };
        let payload =
            catch_unwind(AssertUnwindSafe(|| trainer.update_on(&device, &lost))).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"the device is lost"), "{backward:?}");
        assert!(saved(&trainer) == before, "{backward:?}: a panic changed the trainer");
        assert_eq!(
            trainer.update_on(&device, &likelihood(&device)).unwrap().step,
            2,
            "{backward:?}"
        );
    }
}

/// Needs a GPU: there an allocation that fails is found out when the loss is read. On the CPU it
/// ends the process, see `out_of_memory.rs`.
#[test]
fn a_device_without_memory_names_what_to_try_and_changes_nothing() {
    let name = std::env::var("BURN_DEVICE").unwrap_or_else(|_| "flex".into());
    if name == "flex" {
        assert!(std::env::var_os("FLOWKIT_REQUIRE_DEVICE").is_none(), "BURN_DEVICE names no GPU");
        println!("skipped: BURN_DEVICE names no GPU");
        return;
    }
    let device = Device::default().autodiff();
    for (backward, advice) in POLICIES {
        let mut trainer = trainer(&device, backward);
        let before = saved(&trainer);
        // Four terabytes, of which one number is asked for.
        let exhaust = |loss: Tensor<1>| {
            let much = Tensor::<1>::random([1_usize << 40], Distribution::Default, &loss.device());
            loss + much.narrow(0, 0, 1)
        };
        let error = trainer
            .update_on(&device, &Mishap { likelihood: likelihood(&device), happens: exhaust })
            .unwrap_err();
        println!("{error}");
        assert!(matches!(error, TrainError::Device { .. }), "{backward:?}: {error}");
        assert!(error.to_string().contains("can't allocate"), "{backward:?}: {error}");
        assert!(error.to_string().contains(advice), "{backward:?}: {error}");
        assert!(
            saved(&trainer) == before,
            "{backward:?}: an update that failed changed the trainer"
        );
        assert_eq!(
            trainer.update_on(&device, &likelihood(&device)).unwrap().step,
            2,
            "{backward:?}"
        );
    }
}

/// Needs a GPU. A launch that reads what was never written is skipped, and so must be all that
/// follows from it: the norm of more tensors than one launch takes, of which one of the first has
/// no memory, is an error and no number.
#[test]
fn the_norm_of_what_was_never_written_is_an_error() {
    let name = std::env::var("BURN_DEVICE").unwrap_or_else(|_| "flex".into());
    if name == "flex" {
        assert!(std::env::var_os("FLOWKIT_REQUIRE_DEVICE").is_none(), "BURN_DEVICE names no GPU");
        println!("skipped: BURN_DEVICE names no GPU");
        return;
    }
    let device = Device::default();
    let norm = |first: Tensor<1>| {
        let rest = (0..400).map(|i| Tensor::<1>::full([1 + i % 5], 0.5, &device));
        let all = std::iter::once(first).chain(rest).map(Tensor::into_dispatch).collect();
        let [norm] = global_norm::norms(all).try_into().expect("one device and type");
        norm.try_into_data()
    };
    assert!(norm(Tensor::ones([3], &device)).is_ok());
    let much = Tensor::<1>::random([1_usize << 40], Distribution::Default, &device);
    assert!(norm(much.narrow(0, 0, 1)).is_err());
    // The device goes on.
    assert!(norm(Tensor::ones([3], &device)).is_ok());
}
