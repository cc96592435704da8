//! The policies of the backward pass on the paper's CIFAR-10 model, 31 million parameters: one
//! gradient, before training and after it.
//!
//! Minutes, so it runs when asked for: `cargo test --release --test backward_cifar -- --ignored
//! --nocapture`.

use burn::tensor::{Int, Tensor};
use flowkit::data::photographs;
use flowkit::model::flow_plus_plus::FlowPlusPlusConfig;
use flowkit::train::{NegativeLogLikelihood, Trainer, TrainerConfig};

#[path = "common/gradient.rs"]
mod gradient;

use gradient::{agree, device};

const UPDATES: usize = 100;

/// Replays here keep nothing and compare nothing: a guard could only bring the rebuilt inputs
/// nearer.
#[test]
#[ignore = "minutes"]
fn policies_agree_on_the_cifar10_model() {
    let data = photographs().train;
    let images = |first: usize, n: usize| -> Tensor<4, Int> {
        let indices: Vec<usize> = (first..first + n).map(|index| index % data.len()).collect();
        data.batch(&indices, &device())
    };
    device().seed(1);
    // A stored graph draws masks in another order than a replay, which draws them layer by layer.
    let config =
        FlowPlusPlusConfig::cifar10().with_style(flowkit::ConvStyle::new().with_dropout(0.0));
    let model = config.build(&device()).unwrap().initialize(images(0, 16)).unwrap();
    let objective = NegativeLogLikelihood::new(images(0, 4));
    agree("at the start", &model, &objective, false);
    let settings = TrainerConfig::new().with_learning_rate(1e-3).with_warm_up(50);
    let mut trainer = Trainer::new(model, settings).unwrap();
    for update in 0..UPDATES {
        let batch = NegativeLogLikelihood::new(images(8 * update, 8));
        let loss = trainer.update_on(&device(), &batch).unwrap().loss;
        if update % 20 == 0 || update + 1 == UPDATES {
            println!("update {update}: {:.3} bits/dim", loss / 3072.0 / std::f64::consts::LN_2);
        }
    }
    agree("after training", trainer.model(), &objective, false);
}
