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
use flowkit::{Flow, StandardNormal};

use super::repeatable;
use crate::bench::{Item, Work};

const BATCH: usize = 4096;

/// Parameters of the peers' model.
const PARAMETERS: usize = 35_344;

fn points(device: &Device) -> Tensor<2> {
    TwoMoons::new(BATCH, 0.1, 0).points(device)
}

fn trainer(device: &Device) -> Trainer<RealNvp> {
    device.seed(1);
    let flow = Flow::build(&RealNvpConfig::plane(), StandardNormal::new(), [1, 2], device)
        .unwrap()
        .initialize(points(device))
        .expect("points of a plane");
    assert_eq!(flow.num_params(), PARAMETERS, "parameters of the peers' model");
    Trainer::new(flow, TrainerConfig::new().with_warm_up(1)).expect("a valid configuration")
}

fn check(device: &Device) -> f64 {
    let device = device.clone().autodiff();
    let objective = NegativeLogLikelihood::new(points(&device));
    repeatable(|| trainer(&device), &objective, &device);
    0.0
}

pub fn items() -> Vec<Item> {
    let train = |device: &Device| {
        let device = device.clone().autodiff();
        let objective = NegativeLogLikelihood::new(points(&device));
        let mut trainer = trainer(&device);
        Work::new(move || drop(trainer.update_on(&device, &objective).expect("an update")))
            .note("params", PARAMETERS)
    };
    vec![Item::new("e.toy2d.train", check, train)]
}
