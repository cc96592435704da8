//! Mixed precision: what is in a half type and what is not, a training in each type, and loss
//! scales with overflow, skip and resumption.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::collections::BTreeMap;

use crate::build::{fixed, fixed_image, layer};
use crate::draws::turn;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use flowkit::Density;
use flowkit::flow::likelihood::OneSampleBound;
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::model::flow_plus_plus::FlowPlusPlusPreset;
use flowkit::train::{
    Checkpoint, LossScale, NegativeLogLikelihood, Precision, TrainError, Trainer, TrainerConfig,
    Update, UpdateOutcome,
};
use flowkit::*;

/// Images of the training, eight batches.
const N_IMAGES: usize = 256;

const F16: Precision = Precision::F16(LossScale::Dynamic { exponent: 16, growth: 2000 });

/// The half types that the device has; Flex has both.
fn halves() -> Vec<Precision> {
    let device = Device::default();
    let known: Vec<_> = [Precision::BF16, F16]
        .into_iter()
        .filter(|half| device.supports_dtype(half.dtype().unwrap()))
        .collect();
    if known.len() < 2 {
        eprintln!("{device:?} has {known:?} of the half types");
    }
    known
}

type Model = Flow<Vec<BoxBijector<4>>, StandardNormal, 4, (), UniformDequantization>;

fn uninit(device: &Device) -> Uninit<Model> {
    let mut layers = vec![
        BoxBijector::new(fixed(&LogitConfig::new())),
        BoxBijector::new(fixed_image(&SqueezeConfig::new(ChannelOrder::ChannelMajor))),
    ];
    for _ in 0..2 {
        let net = GatedNetConfig::new(8, 1).with_mixing(Some(Mixing::Attention { heads: 2 }));
        let coupling = CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), net);
        layers.push(BoxBijector::new(layer(&ActNormConfig::new(), [1, 8, 1, 1], device)));
        layers.push(BoxBijector::new(layer(&Conv1x1Config::new(), [1, 8], device)));
        layers.push(BoxBijector::new(coupling.build(&Site::new([1, 8, 2, 2], device)).unwrap()));
        layers.push(BoxBijector::new(Swap::new()));
    }
    Flow::new(layers, StandardNormal::new(), [1, 2, 4, 4])
        .unwrap()
        .behind(UniformDequantizationConfig::new().build().unwrap())
}

/// Images of `[2, 4, 4]`: a few patterns and noise of some twenty levels, so that there is
/// something that cannot be learned.
fn images(n: usize, device: &Device) -> Tensor<4, Int> {
    let mut state = 12345u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i32 % 11
    };
    let mut level =
        |i: usize, j: usize| 60 + 30 * (i % 3) as i32 + 3 * j as i32 + noise() + noise();
    let levels: Vec<i32> = (0..n * 32).map(|k| level(k / 32, k % 32)).collect();
    Tensor::from_data(TensorData::new(levels, [n, 2, 4, 4]), device)
}

fn trainer(precision: Precision, seed: u64) -> Trainer<Model> {
    let device = Device::default().autodiff();
    device.seed(1 + seed);
    let model = uninit(&device).initialize(images(N_IMAGES, &device)).unwrap();
    let config = TrainerConfig::new().with_learning_rate(1e-2).with_warm_up(20).with_seed(3 + seed);
    Trainer::new(model, config.with_precision(precision)).unwrap()
}

fn update(trainer: &mut Trainer<Model>) -> Update<BitsPerDim<OneSampleBound>> {
    let device = Device::default().autodiff();
    let start = trainer.step_count() as usize % (N_IMAGES / 32) * 32;
    let x = images(N_IMAGES, &device).narrow(0, start, 32);
    trainer.update_on(&device, &NegativeLogLikelihood::new(x)).unwrap()
}

fn bits_per_dim(model: &Model) -> f64 {
    let device = Device::default();
    device.seed(77);
    model.evaluate(images(N_IMAGES, &device)).unwrap().bits_per_dim().value()
}

fn weights<M: Module>(model: &M) -> Vec<(String, DType, Vec<f64>)> {
    #[derive(Default)]
    struct Weights(Vec<String>, Vec<(String, DType, Vec<f64>)>);
    impl ModuleVisitor for Weights {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            self.1.push((
                self.0.join("."),
                value.dtype(),
                value.into_data().iter::<f64>().collect(),
            ));
        }
    }
    let mut visitor = Weights::default();
    model.visit(&mut visitor);
    visitor.1
}

/// Within networks all but norms, outside of them nothing; identities stay.
#[test]
fn networks_are_cast_and_nothing_else_is() {
    let _turn = turn();
    let device = Device::default().autodiff();
    let model = FlowPlusPlusPreset::Tiny.model().build(&device).unwrap().without_data();
    for half in halves() {
        let (mut narrow, mut wide) = (0, 0);
        for (path, dtype, _) in weights(&half.working_copy(&model)) {
            // A step of Flow++ is (norm, channel matrix, coupling, swap): its network is
            // `conditioner` of the third.
            let network = path.contains("conditioner.") || path.contains("encoder.");
            let expected =
                if network && !path.contains("norm.") { half.dtype().unwrap() } else { DType::F32 };
            assert_eq!(dtype, expected, "{path}");
            if expected == DType::F32 { wide += 1 } else { narrow += 1 }
        }
        assert!(narrow > 20 && wide > 20, "{narrow} in the half type, {wide} in float32");
        assert_eq!(half.working_copy(&model).num_params(), model.num_params());
    }
    let same = weights(&Precision::Full.working_copy(&model));
    assert_eq!(same, weights(&model));
}

/// A flow with a network in a half type is a flow: its inverse is as exact as in float32, its
/// log-determinant is in float32 and that of its own map, and both are close to what float32 gives.
fn check_bijector<const D: usize, B: Bijector<D>>(name: &str, bijector: B, x: Tensor<D>) {
    let (expected, expected_log_det) = bijector.forward(x.clone(), &());
    for half in halves() {
        let working = half.working_copy(&bijector);
        let (z, log_det) = working.forward(x.clone(), &());
        assert_eq!((z.dtype(), log_det.dtype()), (DType::F32, DType::F32), "{name} {half:?}");
        let (back, inverse_log_det) = working.inverse_with_log_det(z.clone(), &());
        assert!(largest(back - x.clone()) < 1e-4, "{name} {half:?}: not inverted");
        assert!(
            largest(inverse_log_det + log_det.clone()) < 1e-3,
            "{name} {half:?}: two log-determinants"
        );
        // Some twenty roundings of 2^-9 or 2^-12 that a network makes of numbers about 1.
        let bound = if half == Precision::BF16 { 20.0 / 512.0 } else { 20.0 / 4096.0 };
        let (off, log_off) =
            (largest(z - expected.clone()), largest(log_det - expected_log_det.clone()));
        assert!(off > 0.0, "{name} {half:?}: nothing was rounded");
        assert!(off < bound * (1.0 + largest(expected.clone())), "{name} {half:?}: z off by {off}");
        let size = 1.0 + largest(expected_log_det.clone());
        assert!(
            log_off < 2.0 * bound * size,
            "{name} {half:?}: log_det off by {log_off} of {size}"
        );
    }
}

fn largest<const D: usize>(x: Tensor<D>) -> f64 {
    x.inner().abs().max().into_scalar::<f32>().into()
}

/// Networks start at theta = 0, where nothing is rounded.
fn shaken<M: Module>(module: M) -> M {
    struct Shake;
    impl burn::module::ModuleMapper for Shake {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| {
                let noise = Tensor::random(
                    value.dims(),
                    Distribution::Normal(0.0, 0.05),
                    &value.device().inner(),
                );
                let (graph, trained) = (value.is_autodiff(), value.is_require_grad());
                let value = value.inner() + noise;
                if graph { Tensor::from_inner(value).set_require_grad(trained) } else { value }
            })
        }
    }
    module.map(&mut Shake)
}

#[test]
fn every_network_makes_a_flow_in_half_precision() {
    let _turn = turn();
    let device = Device::default();
    device.seed(5);
    let law = || AffineConfig::new(AffineForm::Exponential);
    let site = Site::new([1, 6], &device);
    let vectors = Tensor::<2>::random([5, 6], Distribution::Normal(0.0, 1.0), &device);
    let coupling = CouplingConfig::new(law(), MlpConfig::new([8])).build(&site).unwrap();
    check_bijector("Mlp", shaken(coupling), vectors.clone());
    let coupling =
        CouplingConfig::new(law(), ResNetConfig::new().with_d_hidden(8)).build(&site).unwrap();
    check_bijector("ResNet", shaken(coupling), vectors.clone());
    let layer = MaskedAutoregressiveConfig::new(law(), MadeConfig::new([12])).build(&site).unwrap();
    check_bijector("Made", shaken(layer), vectors);
    let maps = Tensor::<4>::random([3, 4, 4, 4], Distribution::Normal(0.0, 1.0), &device);
    let site = Site::new([1, 4, 4, 4], &device);
    let net = ConvResNetConfig::new().with_n_filters(8).with_n_blocks(1);
    check_bijector(
        "ConvResNet",
        shaken(CouplingConfig::new(law(), net).build(&site).unwrap()),
        maps.clone(),
    );
    let net = GlowNetConfig::new().with_n_filters(8);
    check_bijector(
        "GlowNet",
        shaken(CouplingConfig::new(law(), net).build(&site).unwrap()),
        maps.clone(),
    );
    let net = GatedNetConfig::new(8, 1).with_mixing(Some(Mixing::Attention { heads: 2 }));
    check_bijector("GatedNet", shaken(CouplingConfig::new(law(), net).build(&site).unwrap()), maps);
}

/// All of it at once: mixtures of logistics, their inverse, a variational dequantization,
/// attention.
#[test]
fn flow_plus_plus_in_half_precision_gives_images_back() {
    let _turn = turn();
    let device = Device::default();
    device.seed(8);
    let levels = Tensor::<4>::random([4, 3, 32, 32], Distribution::Uniform(0.0, 255.99), &device);
    let images: Tensor<4, Int> = levels.int();
    let model = FlowPlusPlusPreset::Tiny
        .model()
        .build(&device)
        .unwrap()
        .initialize(images.clone())
        .unwrap();
    let bits = |model: &model::flow_plus_plus::FlowPlusPlus| {
        Device::default().seed(21);
        model.evaluate(images.clone()).unwrap().bits_per_dim().value()
    };
    let expected = bits(&model);
    for half in halves() {
        let working = half.working_copy(&model);
        let found = bits(&working);
        println!("{half:?}: {found:.4} bits/dim, {expected:.4} in float32");
        assert!(
            found != expected && (found - expected).abs() < 0.02,
            "{half:?}: {found}, in float32 {expected}"
        );
        let (back, error) = working.round_trip(images.clone()).unwrap();
        // Noise next to a level's end may cross it by a rounding, as it may in float32.
        let off = (back - images.clone()).abs().max().into_data().iter::<i64>().sum::<i64>();
        assert!(off <= 1, "{half:?}: a level is off by {off}");
        // In steps of a level. What an inverse rebuilds to a rounding of float32 may round to a
        // neighbour in the half type in the next network.
        assert!(error < 4e-3, "{half:?}: {error}");
    }
}

/// In float16 the squares of these numbers are infinite, and in bfloat16 their variance is 0 or 16.
#[test]
fn layer_norms_take_their_sums_in_float32() {
    let _turn = turn();
    let device = Device::default();
    let values: Vec<f32> = (0..16).map(|i| 1000.0 + 8.0 * i as f32).collect();
    let x = Tensor::<4>::from_data(TensorData::new(values, [1, 16, 1, 1]), &device);
    let norm = conditioner::layer::ChannelNormConfig::new(16).build(&device).unwrap();
    let expected = norm.forward(x.clone());
    for half in halves() {
        let dtype = half.dtype().unwrap();
        let y = norm.forward(x.clone().cast(dtype));
        assert_eq!(y.dtype(), dtype);
        let off = largest(y.cast(DType::F32) - expected.clone());
        assert!(off < 1e-2, "{half:?}: {off}");
    }
}

/// Trained in each type from the same starts, with the same batches and noise. Means, since a run's
/// end moves by 0.02 with roundings alone.
#[test]
fn bits_per_dim_of_a_trained_model_are_those_of_float32() {
    const RUNS: u64 = 4;
    let _turn = turn();
    let run = |precision, seed| {
        let mut trainer = trainer(precision, seed);
        let start = bits_per_dim(trainer.model());
        let done = (0..400).filter(|_| update(&mut trainer).outcome == UpdateOutcome::Done).count();
        // The first loss scale is a guess from above.
        assert!(done >= if precision == F16 { 390 } else { 400 }, "{precision:?}: {done} updates");
        assert!(
            weights(trainer.model()).iter().all(|(_, dtype, _)| *dtype == DType::F32),
            "masters are in float32"
        );
        let end = bits_per_dim(trainer.average());
        // The same weights as an update computes with them.
        let working = bits_per_dim(&precision.working_copy(trainer.average()));
        println!("{precision:?}: {start:.4} to {end:.4} bits/dim, {working:.4} in its own type");
        assert!(end < start - 0.3, "{precision:?} learned: {start} to {end}");
        [end, working]
    };
    let mean = |precision| {
        let ends = (0..RUNS).map(|seed| run(precision, seed));
        ends.fold([0.0; 2], |[end, working], found| {
            [end + found[0] / RUNS as f64, working + found[1] / RUNS as f64]
        })
    };
    let [expected, _] = mean(Precision::Full);
    for half in halves() {
        for found in mean(half) {
            assert!(
                (found - expected).abs() < 0.02,
                "{half:?}: {found} bits/dim, float32: {expected}"
            );
        }
    }
}

#[test]
fn an_overflow_halves_the_scale_and_changes_nothing() {
    if !halves().contains(&F16) {
        return;
    }
    let _turn = turn();
    let mut trainer = trainer(Precision::F16(LossScale::Dynamic { exponent: 40, growth: 3 }), 0);
    let before = weights(trainer.model());
    let (mut overflows, mut scale) = (0, 40f64.exp2());
    loop {
        let update = update(&mut trainer);
        assert_eq!((update.step, update.loss_scale), (overflows + 1, scale));
        if update.outcome == UpdateOutcome::Done {
            assert!(update.gradient_norm.is_finite() && update.loss.is_finite());
            break;
        }
        assert_eq!(update.outcome, UpdateOutcome::Overflowed);
        assert!(update.gradient_norm.is_nan());
        assert_eq!(weights(trainer.model()), before);
        (overflows, scale) = (overflows + 1, scale / 2.0);
    }
    assert!((10..40).contains(&overflows), "{overflows} overflows");
    assert_ne!(weights(trainer.model()), before);
    // Two more good ones, and it doubles.
    let scales = [(); 3].map(|()| update(&mut trainer).loss_scale);
    assert_eq!(scales, [scale, scale, 2.0 * scale]);
}

/// A gradient does not know by how much its loss was multiplied.
#[test]
fn a_power_of_two_changes_no_gradient() {
    if !halves().contains(&F16) {
        return;
    }
    let _turn = turn();
    let norm = |exponent| {
        let update = update(&mut trainer(Precision::F16(LossScale::Fixed { exponent }), 0));
        assert_eq!(
            (update.outcome, update.loss_scale),
            (UpdateOutcome::Done, f64::from(exponent).exp2())
        );
        update.gradient_norm
    };
    let (one, more) = (norm(3), norm(7));
    assert!((one - more).abs() < 1e-3 * one, "{one} and {more}");
}

/// Fixed: the scale is not to blame, and the policy, to stop, decides.
#[test]
fn a_fixed_scale_leaves_an_overflow_to_the_policy() {
    if !halves().contains(&F16) {
        return;
    }
    let _turn = turn();
    let mut trainer = trainer(Precision::F16(LossScale::Fixed { exponent: 40 }), 0);
    let device = Device::default().autodiff();
    let objective = NegativeLogLikelihood::new(images(8, &device));
    let error = trainer.update_on(&device, &objective).unwrap_err();
    assert!(matches!(error, TrainError::NonFiniteGradient { .. }), "{error}");
    assert_eq!(trainer.step_count(), 0);
}

#[test]
fn a_resumed_run_keeps_its_scale() {
    if !halves().contains(&F16) {
        return;
    }
    let _turn = turn();
    let precision = Precision::F16(LossScale::Dynamic { exponent: 24, growth: 4 });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut whole = trainer(precision, 0);
    let mut expected: Vec<Update<BitsPerDim<OneSampleBound>>> =
        (0..30).map(|_| update(&mut whole)).collect();
    assert!(expected.iter().any(|update| update.outcome == UpdateOutcome::Overflowed));
    let mut first = trainer(precision, 0);
    for _ in 0..14 {
        update(&mut first);
    }
    first.save(&path, BTreeMap::new()).unwrap();
    let device = Device::default().autodiff();
    let mut second = Trainer::resume(&Checkpoint::load(&path).unwrap(), uninit(&device)).unwrap();
    assert_eq!(second.config().precision, precision);
    let found: Vec<Update<BitsPerDim<OneSampleBound>>> =
        (14..30).map(|_| update(&mut second)).collect();
    // NaN, of updates that were passed over, is not equal to itself.
    let tell = |updates: Vec<Update<BitsPerDim<OneSampleBound>>>| {
        updates.iter().map(|update| format!("{update:?}")).collect::<Vec<_>>()
    };
    assert_eq!(tell(found), tell(expected.split_off(14)));
    assert_eq!(weights(second.average()), weights(whole.average()));
}

/// burn's WGSL has no bfloat16.
#[test]
fn a_device_without_the_type_is_an_error() {
    let _turn = turn();
    let device = Device::default().autodiff();
    for precision in [Precision::BF16, F16] {
        let model = uninit(&device).without_data();
        let built = Trainer::new(model, TrainerConfig::new().with_precision(precision));
        let dtype = precision.dtype().unwrap();
        match built {
            Ok(_) => assert!(device.supports_dtype(dtype)),
            Err(error) => {
                assert!(!device.supports_dtype(dtype));
                assert!(error.to_string().contains(&format!("{dtype:?}")), "{error}");
            }
        }
    }
    let broken =
        TrainerConfig::new().with_precision(Precision::F16(LossScale::Fixed { exponent: 99 }));
    assert!(matches!(broken.validate(), Err(ConfigError::TooLarge { field: "exponent", .. })));
}

/// The factor on the loss is applied and removed under every policy, and a replay's gradients are
/// those of the half networks.
#[test]
fn half_precision_goes_with_every_policy() {
    let _turn = turn();
    let mild =
        |half| if half == F16 { Precision::F16(LossScale::Fixed { exponent: 8 }) } else { half };
    for half in halves().into_iter().map(mild) {
        let found = [GradientMemory::Store, GradientMemory::Recompute, GradientMemory::REVERSIBLE]
            .map(|backward| {
                let update = update(&mut trainer(half, 0).with_gradient_memory(backward).unwrap());
                assert_eq!(update.outcome, UpdateOutcome::Done);
                [update.loss, update.gradient_norm]
            });
        // A rebuilt input may round to a neighbour in the half type.
        let near = |index: usize, most: f64| {
            found.iter().all(|v| (v[index] / found[0][index] - 1.0).abs() < most)
        };
        assert!(near(0, 1e-5) && near(1, 1e-2), "{half:?}: {found:?}");
    }
}
