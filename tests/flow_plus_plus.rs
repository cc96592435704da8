//! The whole model: size, start, and what training does to it.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::collections::BTreeMap;

use crate::build::fixed;
use crate::draws::seeded;
use approx::assert_relative_eq;
use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::data::{Batches, photographs};
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlus, FlowPlusPlusConfig, NoiseMixing,
    Resolution, StageConfig, VariationalConfig,
};
use flowkit::train::{
    Checkpoint, NegativeLogLikelihood, TrainError, Trainer, TrainerConfig, peak_rss_bytes,
};
use flowkit::{ConvStyle, Density, Mixing, Pattern};

/// A model of a few thousand parameters.
fn minute(image: [usize; 3]) -> FlowPlusPlusConfig {
    let pattern = Pattern::Checkerboard;
    let noise = VariationalConfig {
        pattern,
        n_couplings: 2,
        n_filters: 8,
        n_blocks: 1,
        n_context: 4,
        mixing: NoiseMixing::AsFlow,
        n_encoder_blocks: 3,
        encoder_block: EncoderBlock::Conv,
    };
    let stages = vec![
        StageConfig { resolution: Resolution::Squeeze, pattern: Pattern::Channels, n_couplings: 2 },
        StageConfig { resolution: Resolution::Keep, pattern, n_couplings: 2 },
    ];
    FlowPlusPlusConfig::new(image, stages, DequantizationConfig::Variational(noise))
        .with_law(CouplingLaw::mix_log_cdf(3))
        .with_n_filters(8)
        .with_n_blocks(1)
        .with_mixing(Mixing::Attention { heads: 2 })
        .with_style(ConvStyle::new().with_dropout(0.1))
        .with_variance_floor(1e-2)
}

/// Corners of the photographs, `[n, 3, 8, 8]`.
fn corners(n: usize, device: &Device) -> Tensor<4, Int> {
    let images = photographs().train;
    let whole = images.batch(&(0..n).map(|i| i * 7).collect::<Vec<_>>(), device);
    whole.narrow(2, 0, 8).narrow(3, 0, 8)
}

fn started(device: &Device) -> FlowPlusPlus {
    minute([3, 8, 8]).build(device).unwrap().initialize(corners(64, device)).unwrap()
}

#[test]
fn counting_needs_no_model_in_memory() {
    let Some(before) = peak_rss_bytes() else {
        return println!("skipped: peak memory is not known on this system");
    };
    // More than 40 GB of parameters if they were made.
    let config = FlowPlusPlusConfig::cifar10().with_n_filters(4096);
    assert!(config.num_params().unwrap() > 10_000_000_000);
    let after = peak_rss_bytes().unwrap();
    // Other tests of this binary run beside this one.
    assert!(after - before < 4_000_000_000, "{before} {after}");
}

#[test]
fn start_is_near_the_identity_and_makes_latents_standard() {
    let device = Device::default();
    let _guard = seeded(&device, 1);
    let model = started(&device);
    let x = corners(64, &device);
    let (y, _) = {
        use flowkit::Surjection;
        let noise = model.surjection.noise(&x, DType::F32);
        model.surjection.lift(x, noise)
    };
    use flowkit::Bijector;
    let (z, _) = model.bijector.forward(y, &());
    let mean = z.clone().mean().into_scalar::<f32>();
    let variance = (z.clone() - z.mean().unsqueeze()).square().mean().into_scalar::<f32>();
    assert!(mean.abs() < 0.1, "{mean}");
    assert!((0.7..1.4).contains(&variance), "{variance}");
}

#[test]
fn sampling_and_evaluation_agree_on_shapes_and_provenance() {
    let device = Device::default();
    let _guard = seeded(&device, 2);
    let model = started(&device);
    let samples = model.sample_at(5, 0.7).unwrap();
    assert_eq!(samples.dims(), [5, 3, 8, 8]);
    let one = model.evaluate(samples.clone()).unwrap();
    assert_eq!((one.nats().len(), one.dims()), (5, 192));
    assert!(one.bits_per_dim().to_string().ends_with("bits/dim (one-sample bound)"));
    let many = model.evaluate_importance_weighted(samples, 3).unwrap();
    assert!(many.bits_per_dim().to_string().ends_with("(importance-weighted bound, 3 samples)"));
}

#[test]
fn training_learns_and_a_checkpoint_goes_on_bit_for_bit() {
    let device = Device::flex().autodiff();
    let _guard = seeded(&device, 3);
    let config = TrainerConfig::new().with_warm_up(5).with_learning_rate(3e-3).with_seed(9);
    let batches = Batches::new(200, 8, 9).unwrap();
    let images = photographs().train;
    let batch = |step: u64| {
        images.batch(&batches.indices(step as usize), &device).narrow(2, 0, 8).narrow(3, 0, 8)
    };
    let run = |trainer: &mut Trainer<FlowPlusPlus>, steps: u64| -> Vec<f64> {
        let update = |_| {
            let x = batch(trainer.step_count());
            trainer.update_on(&device, &NegativeLogLikelihood::new(x)).unwrap().bits_per_dim.value()
        };
        (0..steps).map(update).collect()
    };
    let mut whole = Trainer::new(started(&device), config).unwrap();
    let first = run(&mut whole, 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    whole.save(&path, BTreeMap::new()).unwrap();
    let last = run(&mut whole, 30);
    let mean = |bits: &[f64]| bits.iter().sum::<f64>() / bits.len() as f64;
    assert!(mean(&last[20..]) < mean(&first[..3]) - 0.5, "{first:?} {last:?}");

    let checkpoint = Checkpoint::load(&path).unwrap();
    let mut resumed =
        Trainer::resume(&checkpoint, minute([3, 8, 8]).build(&device).unwrap()).unwrap();
    assert_eq!(resumed.step_count(), 10);
    assert_eq!(run(&mut resumed, 30), last);
    let noise = Tensor::<4>::zeros([2, 3, 8, 8], &Device::flex());
    let x = corners(2, &Device::flex());
    let bound = |model: &FlowPlusPlus| model.log_weight(x.clone(), noise.clone()).into_data();
    assert_eq!(bound(resumed.average()), bound(whole.average()));
    assert_eq!(bound(&resumed.model().valid()), bound(&whole.model().valid()));
}

#[test]
fn a_loss_that_is_not_finite_leaves_the_trainer_as_it_was() {
    let device = Device::flex().autodiff();
    let _guard = seeded(&device, 4);
    let mut trainer = Trainer::new(started(&device), TrainerConfig::new()).unwrap();
    let before = trainer.model().bijector.1[0].steps[0].0.bias.val().into_data();
    let result = trainer.update(&device, |model| model.loss(corners(2, &device)).div_scalar(0.0));
    assert!(matches!(result, Err(TrainError::NonFiniteLoss { step: 1, .. })), "{result:?}");
    // The loss is finite, a gradient is not: d√x/dx at 0.
    let result = trainer.update(&device, |model| {
        let loss = model.loss(corners(2, &device));
        loss.clone() + loss.mul_scalar(0.0).sqrt()
    });
    assert!(matches!(result, Err(TrainError::NonFiniteGradient { .. })), "{result:?}");
    assert_eq!(trainer.step_count(), 0);
    assert_eq!(trainer.model().bijector.1[0].steps[0].0.bias.val().into_data(), before);
}

#[test]
fn uniform_noise_on_one_pixel_is_the_closed_form() {
    // Level 100 with noise 1/4 through the logit alone: the number of the reference cases.
    let device = Device::flex();
    use flowkit::{Flow, LogitConfig, StandardNormal, UniformDequantizationConfig};
    let model = Flow::new(fixed(&LogitConfig::new()), StandardNormal::new(), [1, 1])
        .unwrap()
        .behind(UniformDequantizationConfig::new().build().unwrap())
        .without_data();
    let x = Tensor::<2, Int>::from_data(TensorData::new(vec![100i64], [1, 1]), &device);
    let nats = model.log_weight(x, Tensor::<2>::full([1, 1], 0.25, &device)).into_scalar::<f32>();
    assert_relative_eq!(
        -f64::from(nats) / std::f64::consts::LN_2,
        7.534474786841153,
        epsilon = 1e-5
    );
}

#[test]
fn every_way_of_checkpointing_trains() {
    let device = Device::flex().autodiff().gradient_checkpointing();
    let _guard = seeded(&device, 6);
    let mut trainer = Trainer::new(started(&device), TrainerConfig::new()).unwrap();
    let update = trainer.update(&device, |model| model.loss(corners(2, &device))).unwrap();
    assert!(update.loss.is_finite());
    // The replay back by inverses lifts to the same graphs.
    use flowkit::Bijector;
    use flowkit::bijector::replay::{Cotangent, Replay};
    let layers = &trainer.model().bijector;
    let mut replay = Replay::<()>::new(1);
    let x = Tensor::<4>::full([2, 3, 8, 8], 0.4, &device.clone().inner());
    let (z, _) = layers.replay_forward(x.clone(), &(), &mut replay);
    let back = Cotangent { grad_z: z.ones_like(), grad_log_det: Tensor::ones([2], &z.device()), z };
    let back = layers.replay_back(back, &(), &mut replay);
    assert!((back.z - x).abs().max().into_scalar::<f32>() < 1e-4);
    assert!(!replay.parameters.is_empty());
}

#[test]
fn a_model_without_a_graph_cannot_be_trained() {
    let device = Device::flex();
    let _guard = seeded(&device, 7);
    let mut trainer = Trainer::new(started(&device), TrainerConfig::new()).unwrap();
    let result = trainer.update(&device, |model| model.loss(corners(2, &device)));
    assert!(matches!(result, Err(TrainError::NoGraph)), "{result:?}");
}

#[test]
fn evaluation_drops_nothing() {
    let device = Device::flex().autodiff();
    let _guard = seeded(&device, 8);
    let model = started(&device);
    let mut bounds = Vec::new();
    for _ in 0..2 {
        device.seed(11);
        bounds.push(model.evaluate(corners(4, &device)).unwrap());
    }
    device.seed(11);
    bounds.push(model.valid().evaluate(corners(4, &device.clone().inner())).unwrap());
    assert_eq!(bounds[0], bounds[1]);
    assert_eq!(bounds[0], bounds[2]);
}
