//! A checkpoint of a trainer: whatever it holds, a run goes on from it or says why not.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use burn::tensor::{Device, Tensor};
use flowkit::model::{RealNvp, RealNvpConfig};
use flowkit::train::{Checkpoint, NegativeLogLikelihood, Precision, Trainer, TrainerConfig};
use flowkit::{Flow, StandardNormal, Uninit};

use super::stored::{Stored, edited, edits, read};
use super::target::{Input, Target, corpus, fuzz, named};

pub fn model(device: &Device) -> Uninit<RealNvp> {
    Flow::build(&RealNvpConfig::new(2).with_hidden(vec![3]), StandardNormal::new(), [1, 2], device)
        .unwrap()
}

fn batch(device: &Device) -> Tensor<2> {
    Tensor::from_data([[0.5, -1.0], [2.0, 0.5], [-0.5, 1.5], [1.0, 0.1]], device)
}

/// Files of trainers after one update.
pub static TRAINED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trained.safetensors");
    let config = TrainerConfig::new().with_warm_up(0);
    let half = config.clone().with_precision(Precision::default());
    [config, half]
        .map(|config| {
            let model = model(&device).initialize(batch(&device)).unwrap();
            let mut trainer = Trainer::new(model, config).unwrap();
            trainer.update_on(&device, &NegativeLogLikelihood::new(batch(&device))).unwrap();
            trainer.save(&path, BTreeMap::from([("name".into(), "moons".into())])).unwrap();
            std::fs::read(&path).unwrap()
        })
        .to_vec()
});

fn go_on(checkpoint: &Checkpoint) {
    let device = Device::flex().autodiff();
    named(Trainer::load_average(checkpoint, model(&device)));
    let Some(mut trainer) = named(Trainer::resume(checkpoint, model(&device))) else { return };
    let objective = NegativeLogLikelihood::new(batch(&device));
    if named(trainer.update_on(&device, &objective)).is_some() {
        named(trainer.checkpoint(BTreeMap::new()));
    }
}

#[test]
fn resumed_runs() {
    let mut seeds = TRAINED.clone();
    seeds.extend(corpus("checkpoint"));
    let files: Vec<Stored> = TRAINED.iter().map(|file| Stored::of(file)).collect();
    let target = Target { name: "resume", file: "0000000001.safetensors", expansion: 64 };
    fuzz(
        &target,
        &seeds,
        edits(),
        |edits| edited(&files, edits),
        |input: Input<'_>| {
            if let Some(checkpoint) = named(read(&input)) {
                go_on(&checkpoint);
            }
        },
    );
}
