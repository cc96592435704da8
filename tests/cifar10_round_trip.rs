//! The paper's CIFAR-10 model in float32: what goes through it comes back.

use burn::tensor::Device;
use flowkit::Density;
use flowkit::data::{Batches, photographs};
use flowkit::model::flow_plus_plus::{FlowPlusPlusConfig, FlowPlusPlusPreset};
use flowkit::train::Trainer;

/// A hundredth of a step of a pixel: levels 0 to 255 lie 1/256 apart on [0, 1].
const LIMIT: f64 = 0.01 / 256.0;

#[test]
fn images_come_back_after_the_start_and_after_fifty_updates() {
    let device = Device::default().autodiff();
    device.seed(5);
    let images = photographs();
    let first = Batches::new(images.train.len(), 16, 5).unwrap().indices(0);
    let test = images.test.batch(&[3, 40], &device.clone().inner());
    let model = FlowPlusPlusConfig::cifar10()
        .build(&device)
        .unwrap()
        .initialize(images.train.batch(&first, &device))
        .unwrap();
    let (_, error) = model.round_trip(test.clone()).unwrap();
    println!("after the start: {:.2e} of a step of 255", error * 256.0);
    assert!(error < LIMIT, "{error}");

    // The warm-up is shortened so that fifty updates move the weights.
    let mut trainer =
        Trainer::new(model, FlowPlusPlusPreset::Cifar10.training().with_warm_up(10)).unwrap();
    let batches = Batches::new(images.train.len(), 1, 5).unwrap();
    for step in 0..50 {
        let x = images.train.batch(&batches.indices(step), &device);
        trainer.update(&device, |model| model.loss(x)).unwrap();
    }
    let (_, error) = trainer.model().round_trip(test).unwrap();
    println!("after 50 updates: {:.2e} of a step of 255", error * 256.0);
    assert!(error < LIMIT, "{error}");
}
