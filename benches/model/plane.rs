//! RealNVP on points of a plane: eight affine couplings with two layers of 64 ReLUs, 4096 points.
//!
//! The peers' `x·exp(tanh s) + t` and their networks. The training step also clips the gradient and
//! keeps a moving average.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flowkit::data::TwoMoons;
use flowkit::model::RealNvpConfig;
use flowkit::model::real_nvp::RealNvp;
use flowkit::train::{NegativeLogLikelihood, Trainer, TrainerConfig};
use flowkit::{Density, Flow, StandardNormal};

use super::repeatable;
use crate::bench::{Item, Work};

const BATCH: usize = 4096;

const SAMPLES: usize = 16;

/// Parameters of the peers' model.
const PARAMETERS: usize = 35_344;

pub fn points(device: &Device) -> Tensor<2> {
    TwoMoons::new(BATCH, 0.1, 0).points(device)
}

pub fn model(device: &Device) -> RealNvp {
    device.seed(1);
    let flow = Flow::build(&RealNvpConfig::plane(), StandardNormal::new(), [1, 2], device)
        .unwrap()
        .initialize(points(device))
        .expect("points of a plane");
    assert_eq!(flow.num_params(), PARAMETERS, "parameters of the peers' model");
    flow
}

fn trainer(device: &Device) -> Trainer<RealNvp> {
    let config = TrainerConfig::new().with_warm_up(1);
    Trainer::new(model(device), config).expect("a valid configuration")
}

fn check_training(device: &Device) -> f64 {
    let device = device.clone().autodiff();
    let objective = NegativeLogLikelihood::new(points(&device));
    repeatable(|| trainer(&device), &objective, &device);
    0.0
}

/// The largest difference of a coordinate that went to the latents and back.
fn check_samples(device: &Device) -> f64 {
    let (model, x) = (model(device), points(device));
    let (_, difference) = model.round_trip(x).expect("every element has an inverse");
    assert!(difference < 1e-3, "{difference}");
    model.sample(SAMPLES).expect("finite samples");
    difference
}

fn check_evaluation(device: &Device) -> f64 {
    let (model, x) = (model(device), points(device));
    let nats = || model.evaluate(x.clone()).expect("finite likelihoods").nats().to_vec();
    assert_eq!(nats(), nats(), "the same points");
    0.0
}

pub fn items() -> Vec<Item> {
    let train = |device: &Device| {
        let device = device.clone().autodiff();
        let objective = NegativeLogLikelihood::new(points(&device));
        let mut trainer = trainer(&device);
        Work::new(move || drop(trainer.update_on(&device, &objective).expect("an update")))
            .note("params", PARAMETERS)
            .note("batch", BATCH)
    };
    let evaluate = |device: &Device| {
        let (model, x) = (model(device), points(device));
        Work::new(move || drop(model.evaluate(x.clone()).expect("finite likelihoods")))
            .note("batch", BATCH)
    };
    let sample = |device: &Device| {
        let model = model(device);
        Work::new(move || drop(model.sample(SAMPLES).expect("finite samples")))
            .note("batch", SAMPLES)
    };
    vec![
        Item::new("e.toy2d.train", check_training, train),
        Item::new("e.toy2d.eval", check_evaluation, evaluate),
        Item::new("e.toy2d.sample", check_samples, sample),
    ]
}
