//! The model on the device that `BURN_DEVICE` names, against the CPU.

use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use flowkit::bijector::replay::Replay;
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlus, FlowPlusPlusConfig, NoiseMixing,
    Resolution, StageConfig, VariationalConfig,
};
use flowkit::random::Seeded;
use flowkit::train::{NegativeLogLikelihood, TrainError, Trainer, TrainerConfig};
use flowkit::{
    Density, FlowError, Mixing, Pattern, Surjection, UniformDequantization,
    UniformDequantizationConfig,
};

#[path = "common/draws.rs"]
mod draws;

use draws::turn;

fn config() -> FlowPlusPlusConfig {
    let pattern = Pattern::Stripes;
    let noise = VariationalConfig {
        pattern,
        n_couplings: 1,
        n_filters: 4,
        n_blocks: 1,
        n_context: 4,
        mixing: NoiseMixing::AsFlow,
        n_encoder_blocks: 3,
        encoder_block: EncoderBlock::Conv,
    };
    let stages = vec![
        StageConfig { resolution: Resolution::Keep, pattern, n_couplings: 1 },
        StageConfig { resolution: Resolution::Squeeze, pattern: Pattern::Channels, n_couplings: 1 },
    ];
    FlowPlusPlusConfig::new([1, 4, 4], stages, DequantizationConfig::Variational(noise))
        .with_law(CouplingLaw::mix_log_cdf(2))
        .with_n_filters(4)
        .with_n_blocks(1)
        .with_mixing(Mixing::Attention { heads: 2 })
}

fn levels(device: &Device) -> Tensor<4, Int> {
    let values: Vec<i64> = (0..8 * 16).map(|i| (i * 53 + i * i * 7) % 256).collect();
    Tensor::from_data(TensorData::new(values, [8, 1, 4, 4]), device)
}

/// The device under test, or a line that says by name that there is none.
fn device() -> Option<Device> {
    let name = std::env::var("BURN_DEVICE").unwrap_or_else(|_| "flex".into());
    let probe = || {
        let device = Device::default();
        Tensor::<1>::ones([2], &device).sum().into_scalar::<f32>();
        device
    };
    match std::panic::catch_unwind(probe) {
        Ok(device) => Some(device),
        Err(_) => {
            assert!(
                std::env::var_os("FLOWKIT_REQUIRE_DEVICE").is_none(),
                "BURN_DEVICE={name} finds no adapter"
            );
            println!("skipped: BURN_DEVICE={name} finds no adapter");
            None
        }
    }
}

fn noise(device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..8 * 16).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect();
    Tensor::from_data(TensorData::new(values, [8, 1, 4, 4]), device)
}

fn bound(model: &FlowPlusPlus, device: &Device) -> Vec<f32> {
    model.log_weight(levels(device), noise(device)).into_data().iter::<f32>().collect()
}

#[test]
fn bound_round_trip_and_samples_are_those_of_the_cpu() {
    let _turn = turn();
    let Some(device) = device() else { return };
    device.seed(1);
    let cpu = Device::flex();
    let model = config().build(&cpu).unwrap().initialize(levels(&cpu)).unwrap();
    let moved = model.clone().to_device(&device);
    for (a, b) in bound(&model, &cpu).into_iter().zip(bound(&moved, &device)) {
        assert!((a - b).abs() < 1e-3 * a.abs().max(1.0), "{a} {b}");
    }
    let (back, error) = moved.round_trip(levels(&device)).unwrap();
    assert!(error < 1e-5, "{error}");
    assert_eq!(back.dims(), [8, 1, 4, 4]);
    assert_eq!(moved.sample(2).unwrap().dims(), [2, 1, 4, 4]);
}

#[test]
fn three_updates_change_the_loss() {
    let _turn = turn();
    let Some(device) = device() else { return };
    let device = device.autodiff();
    device.seed(2);
    let model = config().build(&device).unwrap().initialize(levels(&device)).unwrap();
    let config = TrainerConfig::new().with_warm_up(1).with_learning_rate(1e-2);
    let mut trainer = Trainer::new(model, config).unwrap();
    let loss = |trainer: &Trainer<FlowPlusPlus>| -> f32 {
        let plain = device.clone().inner();
        bound(&trainer.model().valid(), &plain).iter().sum()
    };
    let before = loss(&trainer);
    for _ in 0..3 {
        trainer
            .update(&device, |model| model.log_weight(levels(&device), noise(&device)).mean().neg())
            .unwrap();
    }
    let after = loss(&trainer);
    assert!(after > before + 1.0, "{before} {after}");
}

/// The key of the stream reaches the host with the loss of an update, and by itself at the end of a
/// scope: it is the same one.
#[test]
fn what_follows_an_update_is_what_follows_a_scope() {
    let _turn = turn();
    let Some(plain) = device() else { return };
    let device = plain.clone().autodiff();
    device.seed(4);
    let model = config().build(&device).unwrap().initialize(levels(&device)).unwrap();
    let after = |before: u64, step: &dyn Fn()| -> Vec<f32> {
        plain.seed(before);
        step();
        let drawn = Tensor::<1>::random([6], Distribution::Default, &plain);
        drawn.into_data().iter().collect()
    };
    let scope = || drop(Seeded::new(&plain, 7));
    let update = |seed: u64| {
        let config = TrainerConfig::new().with_seed(seed);
        let mut trainer = Trainer::new(model.clone(), config).unwrap();
        trainer.update_on(&device, &NegativeLogLikelihood::new(levels(&device))).unwrap();
    };
    let expected = after(1, &scope);
    assert_eq!(after(1, &|| update(0)), expected);
    assert_eq!(after(1, &|| update(5)), expected);
    assert_ne!(after(2, &|| update(0)), expected);
    assert_eq!(after(2, &|| update(0)), after(2, &scope));
}

/// The levels with one that is outside the range, in the fourth image.
fn outside(level: i64, device: &Device) -> Tensor<4, Int> {
    let mut values: Vec<i64> = levels(device).into_data().iter().collect();
    values[3 * 16 + 5] = level;
    Tensor::from_data(TensorData::new(values, [8, 1, 4, 4]), device)
}

/// A kernel may lose a NaN, or a comparison with one: the levels are compared as numbers.
#[test]
fn levels_outside_the_range_have_no_log_weight_and_are_refused() {
    let _turn = turn();
    let Some(plain) = device() else { return };
    let device = plain.clone().autodiff();
    device.seed(3);
    let model = config().build(&device).unwrap().initialize(levels(&device)).unwrap();
    let uniform: UniformDequantization = UniformDequantizationConfig::new().build().unwrap();
    let mut trainer = Trainer::new(model.clone(), TrainerConfig::new()).unwrap();
    for level in [256, -1, i64::from(i32::MIN), i64::from(i32::MAX)] {
        let x = || outside(level, &device);
        let only_the_fourth = |log_weight: Tensor<1>| {
            let values: Vec<f32> = log_weight.into_data().iter().collect();
            for (example, value) in values.iter().enumerate() {
                assert_eq!(value.is_nan(), example == 3, "{level}: {values:?}");
            }
        };
        only_the_fourth(uniform.lift(x(), noise(&device)).1);
        only_the_fourth(model.surjection.lift(x(), noise(&device)).1);
        let mut replay = Replay::new(0);
        only_the_fourth(model.surjection.replay_lift(x(), noise(&device), &mut replay).1);
        let error = trainer.update_on(&device, &NegativeLogLikelihood::new(x())).unwrap_err();
        let expected = FlowError::Level { example: 3, found: level.into(), levels: 256 };
        assert_eq!(error, TrainError::Batch(expected));
    }
    let update = trainer.update_on(&device, &NegativeLogLikelihood::new(levels(&device)));
    assert_eq!(update.unwrap().step, 1);
}
