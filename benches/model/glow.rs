//! Glow with 3 scales of 8 steps and 128 filters, on 16 images of 3x32x32.
//!
//! The peers' model where they agree: PLU, affine couplings `(x + t)·σ(s + 2)`, a standard normal
//! prior. Ours does more inside of its networks, as Glow's released code does: a norm behind each
//! convolution and a channel that marks the border (1,652,160 parameters, the peers' 1,611,648).
//! And its training step does more: it draws uniform noise, clips the gradient and keeps a moving
//! average.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use flowkit::Density;
use flowkit::model::glow::{Glow, GlowConfig, GlowCoupling, GlowPrior};
use flowkit::train::{GradientUnit, NegativeLogLikelihood, Trainer, TrainerConfig};

use super::repeatable;
use crate::bench::{Item, Work};

const BATCH: usize = 16;

pub fn images(device: &Device) -> Tensor<4, Int> {
    Tensor::<4>::random([BATCH, 3, 32, 32], Distribution::Uniform(0.0, 256.0), device).int()
}

pub fn model(device: &Device) -> Glow {
    device.seed(1);
    let config =
        GlowConfig::small().with_coupling(GlowCoupling::Affine).with_prior(GlowPrior::Standard);
    config
        .build(device)
        .expect("a valid configuration")
        .initialize(images(device))
        .expect("images of this shape")
}

fn trainer(device: &Device) -> Trainer<Glow> {
    // The peers' rate, from the first step on.
    let config = TrainerConfig::new()
        .with_learning_rate(1e-3)
        .with_warm_up(1)
        .with_norm_unit(GradientUnit::BitsPerDim);
    Trainer::new(model(device), config).expect("a valid configuration")
}

fn check_training(device: &Device) -> f64 {
    let device = device.clone().autodiff();
    let objective = NegativeLogLikelihood::new(images(&device));
    repeatable(|| trainer(&device), &objective, &device);
    0.0
}

fn check_evaluation(device: &Device) -> f64 {
    let (model, x) = (model(device), images(device));
    let evaluate = || {
        device.seed(2);
        model.evaluate(x.clone()).expect("finite likelihoods").bits_per_dim().value()
    };
    let bits = evaluate();
    assert_eq!(bits, evaluate(), "the same noise");
    assert!((8.0..10.0).contains(&bits), "{bits} bits/dim");
    0.0
}

/// The largest difference of an image that went to the latents and back, in steps of a pixel.
fn check_samples(device: &Device) -> f64 {
    let (model, x) = (model(device), images(device));
    let (_, difference) = model.round_trip(x).expect("every element has an inverse");
    let steps = 256.0 * difference;
    assert!(steps < 0.01, "{steps} steps of a pixel");
    model.sample(BATCH).expect("finite samples");
    steps
}

pub fn items() -> Vec<Item> {
    let train = |device: &Device| {
        let device = device.clone().autodiff();
        let objective = NegativeLogLikelihood::new(images(&device));
        let mut trainer = trainer(&device);
        let parameters = trainer.model().num_params();
        Work::new(move || drop(trainer.update_on(&device, &objective).expect("an update")))
            .note("params", parameters)
            .note("batch", BATCH)
    };
    let evaluate = |device: &Device| {
        let (model, x) = (model(device), images(device));
        Work::new(move || drop(model.evaluate(x.clone()).expect("finite likelihoods")))
            .note("batch", BATCH)
    };
    let sample = |device: &Device| {
        let model = model(device);
        Work::new(move || drop(model.sample(BATCH).expect("finite samples"))).note("batch", BATCH)
    };
    vec![
        Item::new("d.glow.train", check_training, train),
        Item::new("d.glow.eval", check_evaluation, evaluate),
        Item::new("d.glow.sample", check_samples, sample),
    ]
}
