//! The small Flow++ on 16 images of CIFAR-10's shape and of MNIST's.
//!
//! The model is the peers', layer by layer, with as many parameters. A training step is the
//! trainer's, and more than the peers': noise, loss, gradients, clip at 1 of the loss in bits/dim,
//! Adam, and the moving average of the weights, which the peers do not keep. Samples are solved to
//! rounding level, the peers' to 1e-6, and include the draws and the check for numbers that are not
//! finite.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use flowkit::Density;
use flowkit::model::flow_plus_plus::{FlowPlusPlus, FlowPlusPlusConfig};
use flowkit::train::{GradientUnit, NegativeLogLikelihood, Trainer, TrainerConfig};

use super::repeatable;
use crate::bench::{Item, Work};

const BATCH: usize = 16;

#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    image: [usize; 3],
    /// Parameters of the peers' model.
    parameters: usize,
}

pub const CASES: [Case; 2] = [
    Case { name: "cifar", image: [3, 32, 32], parameters: 1_716_336 },
    Case { name: "mnist", image: [1, 28, 28], parameters: 1_242_736 },
];

impl Case {
    /// Images of noise, as the peers' are.
    pub fn images(self, device: &Device) -> Tensor<4, Int> {
        let [c, h, w] = self.image;
        Tensor::<4>::random([BATCH, c, h, w], Distribution::Uniform(0.0, 256.0), device).int()
    }

    pub fn model(self, device: &Device) -> FlowPlusPlus {
        device.seed(1);
        let config = FlowPlusPlusConfig { image: self.image, ..FlowPlusPlusConfig::small() };
        let model = config
            .build(device)
            .expect("a valid configuration")
            .initialize(self.images(device))
            .expect("images of this shape");
        assert_eq!(model.num_params(), self.parameters, "parameters of the peers' model");
        model
    }

    fn trainer(self, device: &Device) -> Trainer<FlowPlusPlus> {
        // The peers' rate, from the first step on.
        let config = TrainerConfig::new()
            .with_learning_rate(3e-4)
            .with_warm_up(1)
            .with_norm_unit(GradientUnit::BitsPerDim);
        Trainer::new(self.model(device), config).expect("a valid configuration")
    }
}

fn check_training(case: Case, device: &Device) -> f64 {
    let device = device.clone().autodiff();
    let objective = NegativeLogLikelihood::new(case.images(&device));
    repeatable(|| case.trainer(&device), &objective, &device);
    0.0
}

fn check_evaluation(case: Case, device: &Device) -> f64 {
    let (model, x) = (case.model(device), case.images(device));
    let evaluate = || {
        device.seed(2);
        model.evaluate(x.clone()).expect("finite likelihoods").bits_per_dim().value()
    };
    let bits = evaluate();
    assert_eq!(bits, evaluate(), "the same noise");
    // Noise has 8 bits/dim; a model that was only started has somewhat more.
    assert!((8.0..10.0).contains(&bits), "{bits} bits/dim");
    0.0
}

/// The largest difference of an image that went to the latents and back, in steps of a pixel.
fn check_samples(case: Case, device: &Device) -> f64 {
    let (model, x) = (case.model(device), case.images(device));
    let (_, difference) = model.round_trip(x).expect("every element has an inverse");
    let steps = 256.0 * difference;
    assert!(steps < 0.01, "{steps} steps of a pixel");
    model.sample(BATCH).expect("finite samples");
    steps
}

pub fn items() -> Vec<Item> {
    let mut items = Vec::new();
    for case in CASES {
        let name = |what: &str| format!("c.flowpp.{what}.{}", case.name);
        let train = move |device: &Device| {
            let device = device.clone().autodiff();
            let objective = NegativeLogLikelihood::new(case.images(&device));
            let mut trainer = case.trainer(&device);
            Work::new(move || drop(trainer.update_on(&device, &objective).expect("an update")))
                .note("params", case.parameters)
                .note("batch", BATCH)
        };
        let evaluate = move |device: &Device| {
            let (model, x) = (case.model(device), case.images(device));
            Work::new(move || drop(model.evaluate(x.clone()).expect("finite likelihoods")))
                .note("params", case.parameters)
                .note("batch", BATCH)
        };
        let sample = move |device: &Device| {
            let model = case.model(device);
            Work::new(move || drop(model.sample(BATCH).expect("finite samples")))
                .note("batch", BATCH)
        };
        items.push(Item::new(name("train"), move |device| check_training(case, device), train));
        items.push(Item::new(name("eval"), move |device| check_evaluation(case, device), evaluate));
        items.push(Item::new(
            name("sample_newton"),
            move |device| check_samples(case, device),
            sample,
        ));
    }
    items
}
