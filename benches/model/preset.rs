//! Training steps of presets of Flow++ as the preset trains: the CIFAR-10 model on 64 images, and
//! the tiny one on two, which software that stands in for a GPU can do.
//!
//! The peers' models have as many parameters and as much dropout. A step does what those of
//! `flow_plus_plus` do.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use flowkit::model::flow_plus_plus::FlowPlusPlusPreset;
use flowkit::train::{NegativeLogLikelihood, Trainer};

use crate::bench::{Item, Work};

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    preset: FlowPlusPlusPreset,
    /// Images of the initialisation.
    first: usize,
    batch: usize,
    /// Parameters of the peers' model.
    parameters: usize,
}

const TINY: Case = Case {
    name: "tiny",
    preset: FlowPlusPlusPreset::Tiny,
    first: 16,
    batch: 2,
    parameters: 243_872,
};

const CIFAR10: Case = Case {
    name: "cifar10",
    preset: FlowPlusPlusPreset::Cifar10,
    first: 128,
    batch: 64,
    parameters: 31_443_440,
};

/// Images of noise, as the peers' are.
fn images(n: usize, device: &Device) -> Tensor<4, Int> {
    Tensor::<4>::random([n, 3, 32, 32], Distribution::Uniform(0.0, 256.0), device).int()
}

impl Case {
    /// What makes an update; its value is the bits/dim before it.
    fn step(self, device: &Device) -> impl FnMut() -> f64 + use<> {
        let device = device.clone().autodiff();
        device.seed(1);
        let model = self
            .preset
            .model()
            .build(&device)
            .expect("a valid configuration")
            .initialize(images(self.first, &device))
            .expect("images of this shape");
        assert_eq!(model.num_params(), self.parameters, "parameters of the peers' model");
        let mut trainer =
            Trainer::new(model, self.preset.training()).expect("a valid configuration");
        let objective = NegativeLogLikelihood::new(images(self.batch, &device));
        move || trainer.update_on(&device, &objective).expect("an update").bits_per_dim.value()
    }
}

/// Noise has 8 bits/dim; a model that was only started has somewhat more.
fn check(case: Case, device: &Device) -> f64 {
    let mut step = case.step(device);
    for bits in [step(), step()] {
        assert!((8.0..10.0).contains(&bits), "{bits} bits/dim");
    }
    0.0
}

pub fn items() -> Vec<Item> {
    let item = |case: Case| {
        let train = move |device: &Device| {
            let mut step = case.step(device);
            Work::new(move || _ = step()).note("params", case.parameters).note("batch", case.batch)
        };
        let name = format!("c.flowpp.train.{}_preset", case.name);
        Item::new(name, move |device| check(case, device), train)
    };
    vec![item(TINY), item(CIFAR10).large()]
}
