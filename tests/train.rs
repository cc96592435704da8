//! Training pieces against closed forms and hand-computed numbers.

use std::collections::BTreeMap;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::flow::likelihood::{Exact, OneSampleBound};
use flowkit::train::{
    Adam, Checkpoint, Ema, EmaDecay, GradientUnit, NegativeLogLikelihood, NonFinite,
    OptimizerConfig, Purpose, Schedule, StepSeed, TrainError, Trainer, TrainerConfig, WarmUp,
    clip_global_norm, global_norm,
};
use flowkit::{
    ActNormConfig, BitsPerDim, ConfigError, Density, Flow, LayerConfig, Site, StandardNormal,
    UniformDequantizationConfig, Uninit,
};

#[derive(Module, Debug)]
struct Pair {
    first: Param<Tensor<1>>,
    second: Param<Tensor<2>>,
    count: Param<Tensor<1, Int>>,
}

fn pair(first: [f32; 2], second: f32, device: &Device) -> Pair {
    Pair {
        first: Param::from_data(first, device),
        second: Param::from_data([[second]], device),
        count: Param::initialized(burn::module::ParamId::new(), Tensor::from_data([3], device)),
    }
}

/// A loss whose gradient is `first` and `second`, whatever the parameters are.
fn gradients(model: &Pair, first: [f32; 2], second: f32) -> GradientsParams {
    let device = model.first.val().device();
    let loss = (model.first.val() * Tensor::<1>::from_data(first, &device)).sum()
        + (model.second.val() * Tensor::<2>::from_data([[second]], &device)).sum();
    GradientsParams::from_grads(loss.backward(), model)
}

fn values(model: &Pair, gradients: &GradientsParams) -> Vec<f32> {
    let first = gradients.get::<1>(model.first.id).unwrap().into_data();
    let second = gradients.get::<2>(model.second.id).unwrap().into_data();
    first.iter::<f32>().chain(second.iter::<f32>()).collect()
}

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 4.0 * f32::EPSILON * expected.abs(),
            "{found} is not {expected}"
        );
    }
}

#[test]
fn the_global_norm_bounds_all_tensors_together() {
    let device = Device::flex().autodiff();
    let model = pair([1.0, 1.0], 1.0, &device);
    let raw = gradients(&model, [3.0, 0.0], 4.0);
    assert_eq!(global_norm(&model, &raw).into_scalar::<f32>(), 5.0);

    let (clipped, norm) = clip_global_norm(raw, &model, 1.0).unwrap();
    assert_eq!(norm, 5.0);
    close(&values(&model, &clipped), &[0.6, 0.0, 0.8]);

    // burn's own clipping: every tensor gets the length 1, and the direction is lost.
    let clipping = GradientClippingConfig::Norm(1.0).init();
    let raw = gradients(&model, [3.0, 0.0], 4.0);
    let first = clipping.clip_gradient(raw.get::<1>(model.first.id).unwrap()).into_data();
    let second = clipping.clip_gradient(raw.get::<2>(model.second.id).unwrap()).into_data();
    close(&first.iter::<f32>().chain(second.iter::<f32>()).collect::<Vec<_>>(), &[1.0, 0.0, 1.0]);
}

#[test]
fn a_short_gradient_is_left_alone() {
    let device = Device::flex().autodiff();
    let model = pair([1.0, 1.0], 1.0, &device);
    for max_norm in [5.0, f64::INFINITY] {
        let (clipped, _) =
            clip_global_norm(gradients(&model, [3.0, 0.1], 3.9), &model, max_norm).unwrap();
        assert_eq!(values(&model, &clipped), [3.0, 0.1, 3.9]);
    }
    let (empty, norm) = clip_global_norm(GradientsParams::new(), &model, 1.0).unwrap();
    assert!(empty.is_empty());
    assert_eq!(norm, 0.0);
}

#[test]
fn a_gradient_that_is_not_finite_is_named() {
    let device = Device::flex().autodiff();
    let model = pair([1.0, 1.0], 1.0, &device);
    let cases = [
        ([f32::NAN, 0.0], 1.0, "first"),
        ([0.0, 1.0], f32::INFINITY, "second"),
        // The backward pass came from the end.
        ([f32::NAN, 1.0], f32::NAN, "second"),
    ];
    for (first, second, name) in cases {
        let error = clip_global_norm(gradients(&model, first, second), &model, 1.0).unwrap_err();
        assert!(
            matches!(
                &error,
                TrainError::NonFiniteGradient { step: None, parameter, fault: None }
                    if parameter == name
            ),
            "{error}"
        );
    }
    for max_norm in [0.0, -1.0, f64::NAN] {
        let error = clip_global_norm(GradientsParams::new(), &model, max_norm).unwrap_err();
        assert!(
            matches!(error, TrainError::Config(ConfigError::OutOfRange { field: "max_norm", .. })),
            "{error}"
        );
    }
}

/// 3e30² overflows f32, the gradient does not.
#[test]
fn a_huge_finite_gradient_is_clipped() {
    let device = Device::flex().autodiff();
    let model = pair([1.0, 1.0], 1.0, &device);
    let (clipped, norm) =
        clip_global_norm(gradients(&model, [3e30, 0.0], 4e30), &model, 1.0).unwrap();
    assert!((norm / 5e30 - 1.0).abs() < 1e-6, "{norm}");
    close(&values(&model, &clipped), &[0.6, 0.0, 0.8]);
}

/// With a constant parameter p and a start s, the average after n updates is p + (s − p)·Π d_t.
#[test]
fn the_average_has_a_closed_form() {
    let device = Device::flex().autodiff();
    for decay in [EmaDecay::Constant(0.9), EmaDecay::Warmed(0.5)] {
        let start = pair([1.0, -2.0], 0.5, &device);
        let mut ema = Ema::new(&start, decay).unwrap();
        let model = Pair {
            first: start
                .first
                .clone()
                .map(|_| Tensor::<1>::from_data([3.0, 4.0], &device).require_grad()),
            count: start.count.clone().map(|_| Tensor::from_data([8], &device)),
            ..start
        };
        let mut rest = 1.0;
        for update in 0..20 {
            rest *= decay.at(update);
            ema = ema.update(&model).unwrap();
        }
        assert_eq!(ema.updates(), 20);
        let average = ema.model();
        close(
            &average.first.val().into_data().iter::<f32>().collect::<Vec<_>>(),
            &[3.0 - 2.0 * rest as f32, 4.0 - 6.0 * rest as f32],
        );
        assert_eq!(
            average.second.val().into_scalar::<f32>(),
            0.5,
            "equal values stay equal bit for bit"
        );
        assert_eq!(average.count.val().into_scalar::<i32>(), 8, "integers are taken over");
        assert!(!average.first.val().is_autodiff());
        assert_eq!(average.first.id, model.first.id);
    }
}

#[test]
fn the_warmed_decay_grows() {
    let decays: Vec<f64> = [0, 1, 890, 8989, 8990].map(|t| EmaDecay::Warmed(0.999).at(t)).into();
    assert_eq!(decays, [0.1, 2.0 / 11.0, 0.99, 8990.0 / 8999.0, 0.999]);
    for decay in [1.0, -0.1, f64::NAN] {
        let model = pair([0.0; 2], 0.0, &Device::flex());
        assert!(matches!(
            Ema::new(&model, EmaDecay::Warmed(decay)),
            Err(TrainError::Config(ConfigError::OutOfRange { field: "decay", .. }))
        ));
    }
}

#[test]
fn the_average_rejects_another_model() {
    let device = Device::flex();
    let ema = Ema::new(&pair([0.0; 2], 0.0, &device), EmaDecay::Constant(0.9)).unwrap();
    let error = ema.update(&pair([0.0; 2], 0.0, &device)).unwrap_err();
    assert!(
        matches!(&error, TrainError::ForeignParameter { parameter } if parameter == "first"),
        "{error}"
    );
}

#[test]
fn a_lazy_model_and_its_average_start_alike() {
    let device = Device::flex().autodiff();
    let model: Linear = LinearConfig::new(4, 3).init(&device);
    let ema = Ema::new(&model, EmaDecay::Constant(0.9)).unwrap();
    assert_eq!(ema.model().weight.val().into_data(), model.weight.val().into_data());
    assert!(model.weight.val().is_require_grad());
}

/// Reference values of TensorFlow's Adam. Its ε stands beside the uncorrected √v, ours beside the
/// corrected one; at ε = 1e-8 that moves a step of 1e-3 by 6e-10, below the last digit of an f32
/// near 1.
#[test]
fn adam_is_adam_of_tensorflow() {
    let device = Device::flex().autodiff();
    let mut model: Param<Tensor<1>> = Param::from_data([1.0], &device);
    let mut optimizer = Adam::default().init();
    let expected = [0.9990000006324551, 0.9986543949875767, 0.9982750034220055];
    for (gradient, expected) in [0.5, -0.2, 0.1].into_iter().zip(expected) {
        let loss = (model.val() * gradient).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-3, model, gradients);
        let found = model.val().into_scalar::<f64>();
        assert!((found - expected).abs() < 1e-7, "{found} is not {expected}");
    }
}

#[test]
fn double_precision_gradients_keep_their_type() {
    let device = Device::flex().autodiff();
    let data = TensorData::new(vec![1.0f64, 2.0], [2]);
    let wide: Param<Tensor<1>> = Param::from_tensor(Tensor::from_data(data, (&device, DType::F64)));
    let narrow: Param<Tensor<1>> = Param::from_data([0.5], &device);
    let model = (narrow, wide);
    let mut gradients = GradientsParams::new();
    gradients.register(model.0.id, Tensor::<1>::from_data([4.0f32], &Device::flex()));
    let three = TensorData::new(vec![3.0f64, 0.0], [2]);
    gradients.register(model.1.id, Tensor::<1>::from_data(three, (&Device::flex(), DType::F64)));
    let (clipped, norm) = clip_global_norm(gradients, &model, 1.0).unwrap();
    assert_eq!(norm, 5.0);
    let wide = clipped.get::<1>(model.1.id).unwrap();
    assert_eq!(wide.dtype(), DType::F64);
    let first = wide.into_data().iter::<f64>().next().unwrap();
    assert!((first - 0.6).abs() < 1e-15);
}

/// Some steps of a small training: clip, warm-up, Adam, average, noise from the step.
struct Run {
    model: Linear,
    ema: Ema<Linear>,
    optimizer: burn::optim::ModuleOptimizer,
}

impl Run {
    fn start(device: &Device) -> Self {
        let model = LinearConfig::new(3, 2).init(device);
        let ema = Ema::new(&model, EmaDecay::Warmed(0.99)).unwrap();
        Self { model, ema, optimizer: AdamConfig::new().init() }
    }

    fn steps(mut self, steps: std::ops::Range<u64>, device: &Device) -> Self {
        for step in steps {
            // The noise comes from a host generator: the seed of the device is shared by all tests
            // of the process.
            let seed = StepSeed::new(3).seed(step, Purpose::Training);
            let noise: Vec<f32> =
                (0..6).map(|i| ((seed >> (8 * i)) & 255) as f32 / 256.0).collect();
            let input = Tensor::<2>::from_data(TensorData::new(noise, [2, 3]), device);
            let loss = self.model.forward(input).square().sum();
            let gradients = GradientsParams::from_grads(loss.backward(), &self.model);
            let (gradients, _) = clip_global_norm(gradients, &self.model, 0.5).unwrap();
            let lr = WarmUp { peak: 0.1, steps: 4 }.lr(step);
            self.model = self.optimizer.step(lr, self.model, gradients);
            self.ema = self.ema.update(&self.model).unwrap();
        }
        self
    }
}

#[test]
fn a_resumed_run_is_the_run_that_never_stopped() {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");

    let half = Run::start(&device).steps(0..5, &device);
    let updates = half.ema.updates().to_string();
    let mut checkpoint =
        Checkpoint::new(BTreeMap::from([("ema.updates".into(), updates)])).unwrap();
    checkpoint.insert("model", &half.model).unwrap();
    checkpoint.insert("ema", half.ema.model()).unwrap();
    checkpoint.insert_optimizer("optimizer", &half.optimizer, &half.model).unwrap();
    checkpoint.save(&path).unwrap();
    let whole = half.steps(5..10, &device);

    let checkpoint = Checkpoint::load(&path).unwrap();
    let fresh = Run::start(&device); // other values, other identities
    let model = checkpoint.resume("model", fresh.model).unwrap();
    let average = checkpoint.resume("ema", fresh.ema.into_model()).unwrap();
    let updates = checkpoint.metadata("ema.updates").unwrap().parse().unwrap();
    let ema = Ema::resume(average, EmaDecay::Warmed(0.99), updates).unwrap();
    let optimizer = checkpoint.optimizer("optimizer", fresh.optimizer, &model).unwrap();
    let resumed = Run { model, ema, optimizer }.steps(5..10, &device);

    assert_eq!(resumed.model.weight.val().into_data(), whole.model.weight.val().into_data());
    assert_eq!(
        resumed.ema.model().weight.val().into_data(),
        whole.ema.model().weight.val().into_data()
    );
    assert_eq!(resumed.ema.updates(), 10);
}

/// 1 − 1/98 is the decay of Glow's code for eight devices. A parser of JSON that is off by one
/// digit in the last place makes another run of a resumed one.
#[test]
fn a_configuration_comes_back_bit_for_bit() {
    let device = Device::flex().autodiff();
    let config = TrainerConfig::new()
        .with_optimizer(OptimizerConfig::Adamax { beta_2: 1.0 - 1.0 / 98.0 })
        .with_learning_rate(0.1 + 0.2)
        .with_ema(EmaDecay::Constant(1.0 - 1.0 / 98.0));
    let model: Linear = LinearConfig::new(1, 1).init(&device);
    let checkpoint =
        Trainer::new(model.clone(), config.clone()).unwrap().checkpoint(BTreeMap::new()).unwrap();
    let resumed = Trainer::resume(&checkpoint, Uninit::new(model)).unwrap();
    assert_eq!(*resumed.config(), config);
    // The text too: no two numbers are written alike.
    let again = resumed.checkpoint(BTreeMap::new()).unwrap();
    assert_eq!(again.metadata("trainer"), checkpoint.metadata("trainer"));
}

/// What `validate` admits can be written down and read again; what cannot be written is not
/// admitted.
#[test]
fn every_valid_configuration_survives_its_checkpoint() {
    let device = Device::flex().autodiff();
    let config = || TrainerConfig::new();
    let valid = [
        config().with_max_norm(f64::MAX).with_norm_unit(GradientUnit::BitsPerDim),
        config().with_max_norm(f64::MIN_POSITIVE).with_learning_rate(f64::MAX),
        config()
            .with_seed(u64::MAX)
            .with_warm_up(u64::MAX)
            .with_ema(EmaDecay::Constant(1.0 - f64::EPSILON)),
        config().with_schedule(Schedule::Exponential {
            start: u64::MAX,
            decay: 5e-324,
            floor: 0.0,
        }),
        config().with_schedule(Schedule::Cosine { start: 0, end: u64::MAX, floor: 0.1 + 0.2 }),
        config().with_non_finite(NonFinite::Skip { at_most: u64::MAX }),
        config().with_non_finite(NonFinite::Restore { at_most: 0 }).with_ema(EmaDecay::Warmed(0.0)),
    ];
    for config in valid {
        let model: Linear = LinearConfig::new(1, 1).init(&device);
        let checkpoint = Trainer::new(model.clone(), config.clone())
            .unwrap()
            .checkpoint(BTreeMap::new())
            .unwrap();
        let resumed = Trainer::resume(&checkpoint, Uninit::new(model)).unwrap();
        assert_eq!(*resumed.config(), config);
    }
    for max_norm in [f64::INFINITY, f64::NAN, 0.0, -1.0] {
        let error = config().with_max_norm(max_norm).validate().unwrap_err();
        assert!(matches!(error, ConfigError::OutOfRange { field: "max_norm", .. }), "{error}");
    }
    for rate in [f64::INFINITY, f64::NAN, 0.0] {
        let error = config().with_learning_rate(rate).validate().unwrap_err();
        assert!(matches!(error, ConfigError::OutOfRange { field: "learning_rate", .. }), "{error}");
    }
}

/// Checkpoints of other versions: a field that was not there has its default, one from the future
/// is named.
#[test]
fn fields_may_be_added_to_a_configuration() {
    let device = Device::flex().autodiff();
    let model: Linear = LinearConfig::new(1, 1).init(&device);
    let resume = |trainer: &str| {
        let start = Trainer::new(model.clone(), TrainerConfig::new()).unwrap();
        let saved = start.checkpoint(BTreeMap::new()).unwrap();
        let progress = saved.metadata("progress").unwrap().to_owned();
        let metadata =
            BTreeMap::from([("trainer".into(), trainer.into()), ("progress".into(), progress)]);
        let mut other = Checkpoint::new(metadata).unwrap();
        other.insert("model", &model).unwrap();
        other.insert("average", start.average()).unwrap();
        other.insert_bytes("optimizer", saved.bytes("optimizer").unwrap().to_vec()).unwrap();
        Trainer::resume(&other, Uninit::new(model.clone())).map(|trainer| trainer.config().clone())
    };
    let older = resume(r#"{"seed": 7}"#).unwrap();
    assert_eq!(older, TrainerConfig::new().with_seed(7));
    for (text, reason) in [
        (r#"{"seed": 3, "momentum": 1}"#, "unknown field `momentum`"),
        (r#"{"dims": 3}"#, "unknown field `dims`"),
        ("[]", "expected the fields of TrainerConfig"),
    ] {
        let error = resume(text).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

fn normal(device: &Device) -> Flow<flowkit::ActNorm<2>, StandardNormal, 2> {
    let norm = ActNormConfig::new().build(&Site::new([1, 3], device)).unwrap();
    Flow::new(norm, StandardNormal::new(), [1, 3]).unwrap().without_data()
}

/// The elements are those of the model, and the type says how the likelihood was found.
#[test]
fn an_update_has_bits_per_dim_with_their_provenance() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::from_data([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], &device);
    let mut trainer = Trainer::new(normal(&device), TrainerConfig::new()).unwrap();
    let expected = trainer.model().valid().evaluate(x.clone().inner()).unwrap().bits_per_dim();
    let update = trainer.update_on(&device, &NegativeLogLikelihood::new(x)).unwrap();
    let bits: BitsPerDim<Exact> = update.bits_per_dim;
    assert!((bits.value() - expected.value()).abs() < 1e-6, "{bits} {expected}");
    assert!((bits.value() * 3.0 * std::f64::consts::LN_2 - update.loss).abs() < 1e-12);

    let levels =
        Uninit::new(normal(&device)).behind(UniformDequantizationConfig::new().build().unwrap());
    let mut trainer = Trainer::new(levels.without_data(), TrainerConfig::new()).unwrap();
    let x = Tensor::<2, Int>::from_data([[0, 128, 255], [7, 9, 200]], &device);
    let update = trainer.update_on(&device, &NegativeLogLikelihood::new(x)).unwrap();
    let bits: BitsPerDim<OneSampleBound> = update.bits_per_dim;
    assert!(bits.to_string().ends_with("bits/dim (one-sample bound)"), "{bits}");
}

/// A bound on the norm in bits/dim is one in nats times `D ln 2`; a closure does not know `D`.
#[test]
fn the_norm_in_bits_per_dim_takes_the_elements_from_the_objective() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::from_data([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], &device);
    let config = TrainerConfig::new().with_norm_unit(GradientUnit::BitsPerDim);
    let mut bits = Trainer::new(normal(&device), config).unwrap();
    let mut nats = Trainer::new(normal(&device), TrainerConfig::new()).unwrap();
    let objective = NegativeLogLikelihood::new(x.clone());
    let norms = [&mut nats, &mut bits]
        .map(|trainer| trainer.update_on(&device, &objective).unwrap().gradient_norm);
    let expected = norms[0] / (3.0 * std::f64::consts::LN_2);
    assert!((norms[1] - expected).abs() < 1e-9, "{norms:?}");

    let error = bits.update(&device, |model| model.loss(x.clone())).unwrap_err();
    assert_eq!(error, TrainError::UnknownDims);
    assert!(error.to_string().contains("use `update_on`, or `GradientUnit::Nats`"), "{error}");
    assert_eq!(bits.step_count(), 1);
    assert!(nats.update(&device, |model| model.loss(x)).is_ok());
}
