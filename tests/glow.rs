//! Glow: size, start, priors, classes, and what training does to it.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Distribution, Int, Tensor};
use flowkit::data::{Batches, photographs};
use flowkit::model::glow::{
    ClassGlow, Glow, GlowClassifierConfig, GlowConfig, GlowCoupling, GlowPermutation, GlowPreset,
    GlowPrior, TopPrior,
};
use flowkit::train::{
    Checkpoint, NegativeLogLikelihood, OptimizerConfig, Precision, Trainer, TrainerConfig,
};
use flowkit::{Bijector, BitDepth, Density, Surjection};

#[path = "common/draws.rs"]
mod draws;

use draws::{seeded, turn};

/// A model of a few thousand parameters.
fn minute() -> GlowConfig {
    GlowConfig::new([3, 8, 8], 2, 2).with_n_filters(12)
}

const CLASSES: GlowPrior = GlowPrior::Classes { n_classes: 3 };

/// Corners of the photographs, `[n, 3, 8, 8]`.
fn corners(n: usize, device: &Device) -> Tensor<4, Int> {
    let images = photographs().train;
    let whole = images.batch(&(0..n).map(|i| i * 7).collect::<Vec<_>>(), device);
    whole.narrow(2, 0, 8).narrow(3, 0, 8)
}

fn started(config: GlowConfig, device: &Device) -> Glow {
    config.build(device).unwrap().initialize(corners(64, device)).unwrap()
}

/// Three classes in turn, from a first one on, one-hot.
fn classes(first: i64, n: i64, device: &Device) -> Tensor<2> {
    Tensor::<1, Int>::arange(first..first + n, device).remainder_scalar(3).one_hot::<2>(3).float()
}

/// Levels that are uniform, `[n, 3, 8, 8]`.
fn noise(n: usize, device: &Device) -> Tensor<4, Int> {
    Tensor::<4>::random([n, 3, 8, 8], Distribution::Uniform(0.0, 256.0), device).int()
}

/// A model started from noise, every parameter then moved.
fn trained(config: GlowConfig, device: &Device) -> Glow {
    moved(config.build(device).unwrap().initialize(noise(64, device)).unwrap())
}

/// Every parameter moved by noise.
fn moved<M: Module>(module: M) -> M {
    struct Move;
    impl burn::module::ModuleMapper for Move {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| {
                let noise = value.random_like(Distribution::Normal(0.0, 0.05));
                (value.clone().detach() + noise.detach()).set_require_grad(value.is_require_grad())
            })
        }
    }
    module.map(&mut Move)
}

fn scalar<const D: usize>(x: Tensor<D>) -> f64 {
    f64::from(x.sum().into_scalar::<f32>())
}

#[test]
fn every_affine_step_starts_at_sigma_of_two() {
    let device = Device::default();
    let _guard = seeded(&device, 1);
    for (coupling, each) in [(GlowCoupling::Affine, -0.126_928), (GlowCoupling::Additive, 0.0)] {
        let model = started(minute().with_coupling(coupling), &device);
        let levels = &model.bijector.1.levels;
        // 12 channels at 4x4, then 24 at 2x2: half of them changes in every step.
        for (level, (c, side)) in levels.iter().zip([(12, 4), (24, 2)]) {
            let x =
                Tensor::<4>::random([2, c, side, side], Distribution::Normal(0.0, 1.0), &device);
            for (_, _, step) in &level.1 {
                let (z, log_det) = step.forward(x.clone(), &());
                let changed = (c / 2 * side * side) as f64;
                let found = scalar(log_det) / 2.0 / changed;
                assert!((found - each).abs() < 1e-6, "{found}");
                let (x, z) = (x.clone().narrow(1, c / 2, c / 2), z.narrow(1, c / 2, c / 2));
                assert!(scalar((z - x.mul_scalar(each.exp())).abs().max()) < 1e-5);
            }
        }
    }
}

#[test]
fn a_start_normalises_every_step() {
    let device = Device::default();
    let _guard = seeded(&device, 2);
    for permutation in [GlowPermutation::Matrix, GlowPermutation::Plu] {
        let model = started(minute().with_permutation(permutation), &device);
        let x = corners(64, &device);
        let noise = model.surjection.noise(&x, DType::F32);
        let (y, _) = model.surjection.lift(x, noise);
        let (z, log_det) = model.bijector.forward(y.clone(), &());
        let variance = scalar(z.clone().square().mean());
        // Between the first norm and the end lie rotations and couplings that multiply half of the
        // numbers by 0.88.
        assert!((0.6..1.1).contains(&variance), "{variance}");
        let (back, inverse) = model.bijector.inverse_with_log_det(z, &());
        assert!(scalar((back - y).abs().max()) < 1e-5);
        assert!(scalar((inverse + log_det).abs().max()) < 1e-2);
    }
}

#[test]
fn a_prior_is_a_normal_density() {
    let device = Device::flex();
    let _guard = seeded(&device, 3);
    let model = trained(minute(), &device);
    let x = Tensor::<4>::random([3, 3, 8, 8], Distribution::Uniform(0.0, 1.0), &device);
    let found = model.continuous().log_prob(x.clone());
    // The same sum, with each half that leaves scored by N(mean, exp(2·log-deviation)).
    let layers = &model.bijector;
    let log_normal = |x: Tensor<4>, mean: Tensor<4>, log_deviation: Tensor<4>| {
        let n = x.dims()[1..].iter().product::<usize>() as f64;
        let squares = ((x - mean) * log_deviation.clone().neg().exp()).square().mul_scalar(0.5)
            + log_deviation;
        squares
            .sum_dims(&[1, 2, 3])
            .reshape([3])
            .neg()
            .sub_scalar(n * 0.5 * (2.0 * std::f64::consts::PI).ln())
    };
    let (first, deepest) = (&layers.1.levels[0], &layers.1.levels[1]);
    let (h, a) = (&layers.0, &first.0, &first.1).0.forward(x, &());
    let (h, b) = (first.0.clone(), first.1.clone()).forward(h, &());
    let (kept, left) = (h.clone().narrow(1, 0, 6), h.narrow(1, 6, 6));
    let theta = first.2.as_ref().unwrap().conditioner.net.convolve(kept.clone());
    let mut expected =
        a + b + log_normal(left, theta.clone().narrow(1, 6, 6), theta.narrow(1, 0, 6));
    let (h, c) = (deepest.0.clone(), deepest.1.clone()).forward(kept, &());
    let both = deepest.3.as_ref().unwrap().conv.of_zeros([2, 2]);
    let [mean, log_deviation] =
        [0, 24].map(|from| both.clone().narrow(1, from, 24).expand(h.dims()));
    expected = expected + c + log_normal(h, mean, log_deviation);
    assert!(scalar((found.clone() - expected).abs().max()) < 1e-4 * scalar(found.abs().max()));
    // The ring makes the corner another place than the middle, at 4x4 where there is a middle.
    let of_zeros = deepest.3.as_ref().unwrap().conv.of_zeros([4, 4]);
    let at = |row: usize| of_zeros.clone().narrow(2, row, 1).narrow(3, row, 1);
    assert!(
        scalar((at(1) - at(2)).abs().max()) == 0.0 && scalar((at(0) - at(1)).abs().max()) > 1e-2
    );
}

#[test]
fn one_temperature_scales_the_latents_of_every_scale() {
    let device = Device::flex();
    let _guard = seeded(&device, 4);
    let model = trained(minute(), &device);
    let samples = model.sample_at(3, 0.7).unwrap();
    assert_eq!(samples.dims(), [3, 3, 8, 8]);
    assert!(
        model
            .evaluate(samples)
            .unwrap()
            .bits_per_dim()
            .to_string()
            .ends_with("bits/dim (one-sample bound)")
    );
    // Without spread all samples are the one whose halves are the priors' means.
    let still = model.continuous().sample_at(2, 0.0).unwrap();
    assert_eq!(
        scalar((still.clone().narrow(0, 0, 1) - still.clone().narrow(0, 1, 1)).abs().max()),
        0.0
    );
    let draw = |temperature| {
        device.seed(5);
        let x = model.continuous().sample_at(2, temperature).unwrap();
        let z = model.bijector.forward(x, &()).0;
        model.bijector.1.latents(z, &()).unwrap().levels
    };
    for (whole, half) in draw(1.0).into_iter().zip(draw(0.5)) {
        assert!(scalar((whole.mul_scalar(0.5) - half).abs().max()) < 1e-3);
    }
}

#[test]
fn training_learns_and_a_checkpoint_goes_on_bit_for_bit() {
    let device = Device::flex().autodiff();
    let _guard = seeded(&device, 6);
    let optimizer = OptimizerConfig::Adamax { beta_2: 0.95 };
    let config = TrainerConfig::new()
        .with_warm_up(5)
        .with_learning_rate(1e-2)
        .with_seed(9)
        .with_optimizer(optimizer);
    let batches = Batches::new(200, 8, 9).unwrap();
    let images = photographs().train;
    let batch = |step: u64| {
        images.batch(&batches.indices(step as usize), &device).narrow(2, 0, 8).narrow(3, 0, 8)
    };
    let run = |trainer: &mut Trainer<Glow>, steps: u64| -> Vec<f64> {
        let update = |_| {
            let x = batch(trainer.step_count());
            trainer.update_on(&device, &NegativeLogLikelihood::new(x)).unwrap().bits_per_dim.value()
        };
        (0..steps).map(update).collect()
    };
    let mut whole = Trainer::new(started(minute(), &device), config).unwrap();
    let first = run(&mut whole, 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    whole.save(&path, BTreeMap::new()).unwrap();
    let last = run(&mut whole, 30);
    let mean = |bits: &[f64]| bits.iter().sum::<f64>() / bits.len() as f64;
    assert!(mean(&last[20..]) < mean(&first[..3]) - 0.3, "{first:?} {last:?}");
    let mut resumed =
        Trainer::resume(&Checkpoint::load(&path).unwrap(), minute().build(&device).unwrap())
            .unwrap();
    assert_eq!(run(&mut resumed, 30), last);
}

#[test]
fn classes_have_priors_of_their_own() {
    let device = Device::flex();
    let _guard = seeded(&device, 7);
    let (x, class) = (noise(6, &device), classes(0, 6, &device));
    let model = minute()
        .with_prior(CLASSES)
        .build_classes(&device)
        .unwrap()
        .initialize_given(x.clone(), &class)
        .unwrap();
    let u = model.surjection.noise(&x, DType::F32);
    let bound =
        |model: &ClassGlow, class: &Tensor<2>| model.given(class).log_weight(x.clone(), u.clone());
    let other = classes(1, 6, &device);
    // At the start no class is told from another.
    assert_eq!(scalar((bound(&model, &class) - bound(&model, &other)).abs().max()), 0.0);
    let model = moved(model);
    assert!(scalar((bound(&model, &class) - bound(&model, &other)).abs().min()) > 1e-3);
    assert_eq!(model.given(&class).sample_at(6, 0.8).unwrap().dims(), [6, 3, 8, 8]);
}

#[test]
fn the_classifier_sees_what_the_class_has_not_touched() {
    let device = Device::flex();
    let _guard = seeded(&device, 8);
    let config = minute().with_prior(CLASSES);
    let (x, class) = (noise(6, &device), classes(0, 6, &device));
    let model = config.build_classes(&device).unwrap().initialize_given(x.clone(), &class).unwrap();
    let classifier = GlowClassifierConfig::for_model(&config).unwrap().build(&device).unwrap();
    // Logits of 0: three classes, so ln 3 nats.
    let loss =
        |model: &ClassGlow, classifier: &flowkit::model::glow::GlowClassifier, weight: f64| {
            device.seed(9);
            scalar(classifier.loss(model, x.clone(), &class, weight))
        };
    let found = loss(&model, &classifier, 0.01) - loss(&model, &classifier, 0.0);
    assert!((found - 0.01 * 192.0 * 3f64.ln()).abs() < 1e-3, "{found}");
    device.seed(9);
    let alone = scalar(model.given(&class).loss(x.clone()));
    assert!((loss(&model, &classifier, 0.0) - alone).abs() < 1e-3 * alone.abs());

    let (model, classifier) = (moved(model), moved(classifier));
    let y = Tensor::<4>::random([6, 3, 8, 8], Distribution::Uniform(0.0, 1.0), &device);
    let layers = &model.bijector;
    let logits = |class: &Tensor<2>| {
        let z = layers.forward(y.clone(), class).0;
        classifier.logits(layers, z, class).unwrap()
    };
    let (one, other) = (logits(&class), logits(&classes(1, 6, &device)));
    assert_eq!(one.dims(), [6, 3]);
    assert!(scalar(one.clone().abs().min()) > 0.0);
    assert!(scalar((one - other).abs().max()) < 1e-5);
}

#[test]
fn the_classifier_learns() {
    let device = Device::flex().autodiff();
    let _guard = seeded(&device, 10);
    let config = minute().with_prior(CLASSES);
    // Three brightnesses.
    let x = classes(0, 12, &device)
        .argmax(1)
        .reshape([12, 1, 1, 1])
        .mul_scalar(100)
        .expand([12, 3, 8, 8]);
    let class = classes(0, 12, &device);
    let model = config.build_classes(&device).unwrap().initialize_given(x.clone(), &class).unwrap();
    let classifier = GlowClassifierConfig::for_model(&config).unwrap().build(&device).unwrap();
    let training = TrainerConfig::new().with_learning_rate(2e-3).with_warm_up(10);
    let mut trainer = Trainer::new((model, classifier), training).unwrap();
    for _ in 0..200 {
        let update = |(model, classifier): &(ClassGlow, _)| -> Tensor<1> {
            let classifier: &flowkit::model::glow::GlowClassifier = classifier;
            classifier.loss(model, x.clone(), &class, 0.1)
        };
        trainer.update(&device, update).unwrap();
    }
    let (model, classifier) = trainer.model().valid();
    let y = x.inner().float().add_scalar(0.5).div_scalar(256.0);
    let class = class.inner();
    let z = model.bijector.forward(y, &class).0;
    let found = classifier.logits(&model.bijector, z, &class).unwrap().argmax(1);
    assert_eq!(found.into_data(), class.argmax(1).into_data());
}

#[test]
fn fewer_bits_are_fewer_levels() {
    let device = Device::flex();
    let _guard = seeded(&device, 11);
    let depth = BitDepth::new(5).unwrap();
    let x = corners(16, &device);
    let model = minute()
        .with_n_levels(32)
        .build(&device)
        .unwrap()
        .initialize(depth.reduce(x.clone()))
        .unwrap();
    // 8 bits are refused, not scaled.
    let error = model.evaluate(x.clone()).unwrap_err();
    assert!(error.to_string().contains("expected levels in 0..=31"), "{error}");
    let bits = |model: &Glow, x: Tensor<4, Int>| model.evaluate(x).unwrap().bits_per_dim().value();
    assert!(bits(&model, depth.reduce(x.clone())) < bits(&started(minute(), &device), x) - 1.0);
    let images = depth.restore(model.sample(4).unwrap());
    let levels: Vec<i64> = images.into_data().iter::<i64>().collect();
    assert!(levels.iter().all(|level| (0..=248).contains(level) && level % 8 == 0));
    // Noise-free zero has the density of −½ + noise: the objective starts at −D ln 32.
    let log_weight = scalar(
        model
            .surjection
            .lift(depth.reduce(corners(1, &device)), Tensor::zeros([1, 3, 8, 8], &device))
            .1,
    );
    assert!((log_weight + 192.0 * 5.0 * LN_2).abs() < 1e-3, "{log_weight}");
}

#[test]
fn presets_are_found_by_name() {
    for preset in GlowPreset::ALL {
        assert_eq!(preset.to_string().parse::<GlowPreset>().unwrap(), preset);
        preset.model().validate().unwrap();
        let training = preset.training();
        training.validate().unwrap();
        // What a checkpoint holds is what is read.
        let json = serde_json::to_string(&(training.clone(), preset.model())).unwrap();
        assert_eq!(
            serde_json::from_str::<(TrainerConfig, GlowConfig)>(&json).unwrap(),
            (training, preset.model())
        );
    }
    assert_eq!(
        GlowPreset::Cifar10.training().optimizer,
        OptimizerConfig::Adamax { beta_2: 1.0 - 1.0 / 782.0 }
    );
    let error = "huge".parse::<GlowPreset>().unwrap_err().to_string();
    assert!(
        error.starts_with(
            "no preset is named `huge`; there are tiny, small, cifar10, cifar10-additive,"
        ),
        "{error}"
    );
}

/// Only a type check: the prior is a bijector without and with classes.
#[test]
fn a_top_prior_serves_both_conditions() {
    fn bijector<B: Bijector<4> + Bijector<4, Tensor<2>>>() {}
    bijector::<TopPrior>();
}

#[test]
fn a_model_of_classes_makes_round_trips() {
    let device = Device::default();
    let _guard = seeded(&device, 21);
    let (x, class) = (noise(6, &device), classes(0, 6, &device));
    let model = minute()
        .with_prior(CLASSES)
        .build_classes(&device)
        .unwrap()
        .initialize_given(x.clone(), &class)
        .unwrap();
    let (back, error) = model.given(&class).round_trip(x.clone()).unwrap();
    assert!(error < 1e-4, "{error}");
    assert_eq!(scalar((back - x.clone()).abs().float()), 0.0);
    assert!(model.given(&classes(0, 5, &device)).round_trip(x).is_err());
}

/// Logits of one class against classes of three would be a loss of 0.
#[test]
#[should_panic(expected = "GlowClassifier: expected a condition of shape [6, 1], found [6, 3]")]
fn a_classifier_refuses_other_classes() {
    let _turn = turn();
    let device = Device::default();
    let (x, class) = (Tensor::<4, Int>::zeros([6, 3, 8, 8], &device), classes(0, 6, &device));
    let model = minute().with_prior(CLASSES).build_classes(&device).unwrap().without_data();
    let other =
        GlowClassifierConfig::for_model(&minute().with_prior(GlowPrior::Classes { n_classes: 1 }))
            .unwrap();
    other.build(&device).unwrap().loss(&model, x, &class, 0.01);
}

/// The convolution of the learned prior is a network, too: bfloat16 stores it, and the gradient
/// comes back through it. The weights of the classes, of which there are few, stay wide.
#[test]
fn the_top_priors_convolution_is_trained_in_half_precision() {
    let device = Device::default().autodiff();
    if !device.supports_dtype(DType::BF16) {
        return println!("the device has no bfloat16");
    }
    let _guard = seeded(&device, 31);
    let prior = |model: &ClassGlow| model.bijector.1.levels[1].3.clone().unwrap();
    let build = |device| minute().with_prior(CLASSES).build_classes(device).unwrap().without_data();
    let narrow = prior(&Precision::BF16.working_copy(&build(&device)));
    assert_eq!(narrow.conv.weight.val().dtype(), DType::BF16);
    assert_eq!(narrow.conv.bias.val().dtype(), DType::BF16);
    assert_eq!(narrow.classes.as_ref().unwrap().weight.val().dtype(), DType::F32);
    let input = |device: &Device| (Tensor::<4>::ones([6, 24, 2, 2], device), classes(0, 6, device));
    let (z, class) = input(&device);
    let gradients = narrow.forward(z, &class).1.sum().backward();
    let gradient = narrow.conv.bias.val().grad(&gradients).unwrap();
    assert!(gradient.cast(DType::F32).abs().max().into_scalar::<f32>() > 0.0);
    // Rounded weights give other numbers, and not far off.
    let device = Device::default();
    let model = moved(build(&device));
    let (z, class) = input(&device);
    let wide = prior(&model).forward(z.clone(), &class);
    let narrow = prior(&Precision::BF16.working_copy(&model)).forward(z, &class);
    assert_eq!(narrow.0.dtype(), DType::F32);
    let off = (wide.1.clone() - narrow.1).abs().max().into_scalar::<f32>();
    assert!(off > 0.0 && off < 0.02 * (1.0 + wide.1.abs().max().into_scalar::<f32>()), "{off}");
}
