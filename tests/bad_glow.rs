//! What a user can get wrong with Glow and the multi-scale container: each an error that names what
//! and where.

#[path = "common/build.rs"]
mod build;

use crate::build::{fixed_image, layer};
use burn::tensor::{Device, Int, Tensor};
use flowkit::conditioner::layer::ZeroLinearConfig;
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::model::glow::{GlowClassifierConfig, GlowConfig, GlowPrior};
use flowkit::train::{OptimizerConfig, TrainerConfig};
use flowkit::{
    ActNormConfig, BitDepth, ChannelMatrixConfig, ChannelOrder, ConfigError, Conv1x1,
    Conv1x1Config, CouplingConfig, Density, Flow, GlowNetConfig, Half, Latents, LayerConfig,
    MatrixInit, MultiScale, NetConfig, NetSite, Site, Squeeze, SqueezeConfig, StandardNormal,
    ZeroConvConfig,
};

const CLASSES: GlowPrior = GlowPrior::Classes { n_classes: 3 };

/// Why there is no network of these channels, `n_params` parameters for each element.
fn net<N: NetConfig<4>>(
    [identity, transformed, n_params]: [usize; 3],
    config: N,
) -> Result<(), ConfigError> {
    let shape = |channels| [1, channels, 2, 2];
    let site =
        NetSite::new(shape(identity), shape(transformed), vec![0.0; n_params], &Device::flex());
    config.num_params(&site).map(|_| ())
}

fn minute() -> GlowConfig {
    GlowConfig::new([3, 8, 8], 2, 1).with_n_filters(4)
}

#[test]
fn configurations_say_what_is_wrong() {
    let cases: Vec<(Result<(), ConfigError>, &str)> = vec![
        (minute().with_n_levels(1).validate(), "`n_levels` must lie in [2, ∞), found 1"),
        (minute().with_n_levels(1 << 17).validate(), "`n_levels` must be at most 65536 in F32"),
        (GlowConfig::new([3, 8, 8], 0, 1).validate(), "GlowConfig: `n_scales` must be at least 1"),
        (GlowConfig::new([3, 8, 8], 2, 0).validate(), "GlowConfig: `n_steps` must be at least 1"),
        (GlowConfig::new([0, 8, 8], 2, 1).validate(), "`image[0]`"),
        (GlowConfig::new([3, 8, 12], 3, 1).validate(), "Glow: axis 3 must be a multiple of 8"),
        (GlowConfig::new([3, 8, 8], 4, 1).validate(), "Glow: axis 2 must be a multiple of 16"),
        (GlowConfig::new([3, 8, 8], 200, 1).validate(), "Glow: axis 2 must be a multiple of"),
        (minute().with_n_filters(0).validate(), "`n_filters`"),
        (minute().with_prior(GlowPrior::Classes { n_classes: 0 }).validate(), "`n_classes`"),
        (
            GlowClassifierConfig::for_model(&minute()).map(|_| ()),
            "GlowClassifierConfig: `n_classes`",
        ),
        (GlowClassifierConfig::for_model(&minute().with_n_levels(1)).map(|_| ()), "`n_levels`"),
        (
            GlowClassifierConfig { n_channels: 0, n_classes: 2 }.validate(),
            "GlowClassifierConfig: `n_channels`",
        ),
        (net([0, 2, 2], GlowNetConfig::new()), "GlowNetConfig: `identity`"),
        (net([2, 2, 2], GlowNetConfig::new().with_n_filters(0)), "GlowNetConfig: `n_filters`"),
        (net([2, 0, 2], ZeroConvConfig::new()), "ZeroConvConfig: `transformed`"),
        (net([2, 2, 0], ZeroConvConfig::new()), "ZeroConvConfig: `n_params`"),
        (ZeroLinearConfig::new(0, 2).validate(), "ZeroLinearConfig: `n_inputs`"),
        (ZeroLinearConfig::new(2, 0).validate(), "ZeroLinearConfig: `n_outputs`"),
        (
            ActNormConfig::new().with_log_scale_factor(0.0).validate(),
            "`log_scale_factor` must lie in [1e-3, 1e3], found 0",
        ),
        (
            ActNormConfig::new().with_log_scale_factor(1e300).validate(),
            "`log_scale_factor` must lie in [1e-3, 1e3], found 1000",
        ),
        (ActNormConfig::new().with_log_scale_factor(f64::NAN).validate(), "found NaN"),
        (
            ChannelMatrixConfig::new()
                .with_init(MatrixInit::NearIdentity { noise: 0.2 })
                .validate(),
            "`noise` must lie in [0, 0.1], found 0.2",
        ),
        (minute().check_images([3, 8, 4]).map_err(ConfigError::from), "[3, 8, 8]"),
        (BitDepth::new(16).map(|_| ()), "`n_bits` must lie in [1, 8], found 16"),
    ];
    for (result, expected) in cases {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}

#[test]
fn trainings_say_what_is_wrong() {
    let config = TrainerConfig::new();
    let cases: Vec<(Result<(), ConfigError>, &str)> = vec![
        (
            config.clone().with_optimizer(OptimizerConfig::Adamax { beta_2: 1.0 }).validate(),
            "[0, 1), found 1",
        ),
        (
            config.clone().with_optimizer(OptimizerConfig::Adamax { beta_2: f64::NAN }).validate(),
            "found NaN",
        ),
    ];
    for (result, expected) in cases {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}

fn level(c: usize, device: &Device) -> (Squeeze, Conv1x1) {
    (
        fixed_image(&SqueezeConfig::new(ChannelOrder::ChannelMajor)),
        layer(&Conv1x1Config::new(), [1, c], device),
    )
}

#[test]
fn levels_that_do_not_fit_are_named() {
    let device = Device::flex();
    let check = |levels: Vec<(Squeeze, Conv1x1)>, shape: [usize; 4], expected: &str| {
        let message = Flow::new(MultiScale::new(levels), StandardNormal::new(), shape)
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    };
    check(
        vec![level(4, &device), level(8, &device)],
        [1, 1, 6, 8],
        "Squeeze: axis 2 must be a multiple of 2",
    );
    check(
        vec![level(4, &device), level(12, &device)],
        [1, 1, 8, 8],
        "Conv1x1: expected length 12 along axis 1",
    );
    let message = |levels: Vec<Conv1x1>, shape| {
        Flow::new(MultiScale::new(levels), StandardNormal::new(), shape).unwrap_err().to_string()
    };
    let odd = vec![
        layer(&Conv1x1Config::new(), [1, 3], &device),
        layer(&Conv1x1Config::new(), [1, 1], &device),
    ];
    assert!(message(odd, [1, 3, 2, 2]).contains("MultiScale: axis 1 must be a multiple of 2"));
    // A level that changes the shape in another way than a squeeze.
    let unsqueeze =
        flowkit::Invert::new(fixed_image(&SqueezeConfig::new(ChannelOrder::ChannelMajor)));
    let error = Flow::new(MultiScale::new(vec![unsqueeze]), StandardNormal::new(), [1, 4, 2, 2])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "MultiScale: each level must keep the shape or squeeze it, found one that maps \
         [1, 4, 2, 2] to [1, 1, 4, 4]"
    );
}

#[test]
fn latents_that_do_not_fit_are_named() {
    let device = Device::flex();
    let scales = MultiScale::new(vec![level(4, &device), level(8, &device)]);
    let zeros = |shapes: &[[usize; 4]]| Latents {
        levels: shapes.iter().map(|shape| Tensor::zeros(*shape, &device)).collect(),
    };
    let good = [[2, 2, 2, 2], [2, 8, 1, 1]];
    assert_eq!(scales.pack(zeros(&good), &()).unwrap().dims(), [2, 1, 4, 4]);
    for (shapes, expected) in [
        (vec![], "expected latents of 2 levels, found 0"),
        (vec![good[0]], "expected latents of 2 levels, found 1"),
        (vec![good[0], good[1], good[1]], "expected latents of 2 levels, found 3"),
        (vec![[2, 2, 4, 2], good[1]], "expected length 2 along axis 2"),
        (vec![[3, 2, 2, 2], good[1]], "expected length 2 along axis 0"),
        (vec![good[0], [2, 7, 1, 1]], "Conv1x1: expected length 8 along axis 1"),
    ] {
        let message = scales.pack(zeros(&shapes), &()).unwrap_err().to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
    let message =
        scales.latents(Tensor::zeros([1, 2, 4, 4], &device), &()).unwrap_err().to_string();
    assert!(message.contains("Conv1x1: expected length 4 along axis 1"), "{message}");
}

#[test]
fn networks_for_other_halves_are_refused() {
    let device = Device::flex();
    let check = |result: Result<(), String>, expected: &str| {
        let message = result.expect_err(expected);
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    };
    let glow = |identity, channels| {
        let net = GlowNetConfig::new().with_n_filters(4);
        let coupling = CouplingConfig::new(AffineConfig::new(AffineForm::Sigmoid), net)
            .with_identity(identity);
        let coupling = coupling.build(&Site::new([1, channels, 2, 2], &device)).unwrap();
        let flow = Flow::new(coupling, StandardNormal::new(), [1, 4, 2, 2]);
        flow.map(|_| ()).map_err(|error| error.to_string())
    };
    check(glow(Half::First, 5), "GlowNet: expected length 3 along axis 1");
    check(glow(Half::Second, 5), "GlowNet: expected length 3 along axis 1");
    assert!(glow(Half::First, 4).is_ok());
}

#[test]
fn classes_are_checked_at_the_door() {
    let device = Device::flex();
    let x = Tensor::<4, Int>::zeros([2, 3, 8, 8], &device);
    let error = minute().with_prior(CLASSES).build(&device).unwrap_err();
    assert_eq!(
        error.to_string(),
        "GlowConfig: expected a prior without classes, or `build_classes`, found \
         `GlowPrior::Classes`"
    );
    let class = |batch, width| Tensor::<2>::zeros([batch, width], &device);
    let error = minute().build_classes(&device).unwrap_err();
    assert_eq!(
        error.to_string(),
        "GlowConfig: expected `GlowPrior::Classes`, found a prior without classes"
    );

    let model = minute()
        .with_prior(CLASSES)
        .build_classes(&device)
        .unwrap()
        .initialize_given(x.clone(), &class(2, 3))
        .unwrap();
    let error = model.given(&class(2, 4)).evaluate(x.clone()).unwrap_err().to_string();
    assert!(
        error.contains(
            "[1].levels[1][3]: TopPrior: expected a condition of shape [2, 3], found [2, 4]"
        ),
        "{error}"
    );
    let error = model.given(&class(3, 3)).evaluate(x).unwrap_err().to_string();
    assert!(
        error.contains("TopPrior: expected a condition of shape [2, 3], found [3, 3]"),
        "{error}"
    );
    let error = model.given(&class(2, 3)).sample(3).unwrap_err().to_string();
    assert!(error.contains("expected a condition of shape [3, 3], found [2, 3]"), "{error}");
}

/// A model built for classes is no density without them; its layers by themselves say so.
#[test]
#[should_panic(expected = "TopPrior: expected classes as condition, found no condition")]
fn a_density_without_its_condition_panics() {
    let device = Device::flex();
    let x = Tensor::<4, Int>::zeros([1, 3, 8, 8], &device);
    let class = Tensor::<2>::zeros([1, 3], &device);
    let model = minute()
        .with_prior(CLASSES)
        .build_classes(&device)
        .unwrap()
        .initialize_given(x.clone(), &class)
        .unwrap();
    let _ = flowkit::Bijector::forward(&model.bijector, x.float(), &());
}
