//! What a user can get wrong in building blocks: each a message that names what and where.

#[path = "common/build.rs"]
mod build;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::build::refusal;
use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor};
use flowkit::law::{AffineConfig, AffineForm, Law, LawConfig, RationalQuadraticSplineConfig};
use flowkit::{
    ActNormConfig, Bijector, ChannelMatrixConfig, ConditionalNormalConfig, Conditioning,
    ConfigError, ContextShape, Conv1x1Config, CouplingConfig, DiagonalNormal, ElementwiseConfig,
    Flow, GatedNetConfig, Half, HouseholderConfig, LayerConfig, LeakyReluConfig, LogitConfig,
    MadeConfig, Mask, MaskedAutoregressiveConfig, MaskedCouplingConfig, MlpConfig, NormalMixture,
    NormalMixtureConfig, Order, PermutationConfig, PositionNormConfig, Prior, PriorConfig,
    ScalarAffineConfig, Site, Swap,
};

fn permutation(order: Vec<usize>) -> PermutationConfig {
    PermutationConfig::new().with_order(Order::Explicit(order))
}

fn bounded(max_triangle: f64, max_log_scale: f64) -> Conv1x1Config {
    Conv1x1Config::new().with_conditioning(Conditioning::Bounded { max_triangle, max_log_scale })
}

fn masked(mask: Mask) -> MaskedCouplingConfig<AffineConfig, MlpConfig> {
    MaskedCouplingConfig::new(AffineConfig::new(AffineForm::Exponential), MlpConfig::new([4]), mask)
}

/// Why a mask divides no vectors of `dims` elements.
fn divides(mask: Mask, dims: usize) -> Result<(), ConfigError> {
    masked(mask).plan(&Site::<2>::new([1, dims], &Device::default())).map(|_| ())
}

/// The same for images.
fn divides_images(mask: Mask, [c, h, w]: [usize; 3]) -> Result<(), ConfigError> {
    let law = AffineConfig::new(AffineForm::Exponential);
    let config = MaskedCouplingConfig::new(law, GatedNetConfig::new(8, 1), mask);
    config.plan(&Site::<4>::new([1, c, h, w], &Device::default())).map(|_| ())
}

fn spline(n_bins: usize) -> RationalQuadraticSplineConfig {
    RationalQuadraticSplineConfig::new(n_bins)
}

#[test]
fn configurations_say_what_is_wrong() {
    let config = masked(Mask::Explicit(vec![true; 3])).with_identity(Half::Second);
    let second = config.plan(&Site::<2>::new([1, 3], &Device::default())).map(|_| ());
    let cases: Vec<(Result<(), ConfigError>, &str)> = vec![
        (
            permutation(vec![0, 1, 3]).validate(),
            "`order` must contain each index of 0..3 exactly once, found [0, 1, 3]",
        ),
        (
            permutation(vec![0, 1, 1]).validate(),
            "`order` must contain each index of 0..3 exactly once, found [0, 1, 1]",
        ),
        (
            HouseholderConfig::new(0).validate(),
            "HouseholderConfig: `n_reflections` must be at least 1, found 0",
        ),
        (bounded(1.0, 1.0).validate(), "Conv1x1Config: `max_triangle` must lie in (0, 1), found 1"),
        (bounded(0.0, 1.0).validate(), "`max_triangle` must lie in (0, 1), found 0"),
        (bounded(f64::NAN, 1.0).validate(), "`max_triangle` must lie in (0, 1), found NaN"),
        (bounded(0.5, 0.0).validate(), "`max_log_scale` must lie in (0, 10], found 0"),
        (bounded(0.5, f64::INFINITY).validate(), "`max_log_scale` must lie in (0, 10], found inf"),
        (
            divides(Mask::Explicit(vec![true]), 3),
            "MaskedCouplingConfig: `mask` must have 3 entries, found 1",
        ),
        (
            divides(Mask::Explicit(vec![true; 3]), 3),
            "the mask leaves 3 of 3 elements unchanged; at least one must be unchanged and one \
             transformed",
        ),
        (divides(Mask::Explicit(vec![false; 3]), 3), "the mask leaves 0 of 3 elements unchanged"),
        (second, "the mask leaves 0 of 3 elements unchanged"),
        (divides(Mask::Checkerboard, 3), "the mask leaves 3 of 3 elements unchanged"),
        (
            divides_images(Mask::Alternating, [1, 4, 4]),
            "the mask leaves 16 of 16 elements unchanged",
        ),
        (divides(Mask::Alternating, 0), "expected at least one element, found shape [1, 0]"),
        (
            divides_images(Mask::Alternating, [2, 0, 1]),
            "expected at least one element, found shape [1, 2, 0, 1]",
        ),
        (
            LeakyReluConfig::new().with_negative_slope(0.0).validate(),
            "LeakyReluConfig: `negative_slope`",
        ),
        (
            LeakyReluConfig::new().with_negative_slope(-0.1).validate(),
            "must lie in [1e-6, 1e6], found -0.1",
        ),
        (
            ScalarAffineConfig::new(0.0, 1.0).validate(),
            "ScalarAffineConfig: `scale` must lie in ±[1e-30, 1e30], found 0",
        ),
        (
            ScalarAffineConfig::new(f64::NAN, 1.0).validate(),
            "`scale` must lie in ±[1e-30, 1e30], found NaN",
        ),
        (
            ScalarAffineConfig::new(1.0, f64::INFINITY).validate(),
            "`shift` must lie in [-1e30, 1e30], found inf",
        ),
        (
            ElementwiseConfig::new(spline(4)).with_noise(-1.0).validate(),
            "ElementwiseConfig: `noise` must lie in [0, 1], found -1",
        ),
        (
            spline(0).validate(),
            "RationalQuadraticSplineConfig: `n_bins` must be at least 1, found 0",
        ),
        (spline(1).validate(), "RationalQuadraticSplineConfig: `n_bins` = 1 needs a second bin"),
        (spline(1).validate(), "one bin is the identity whatever theta is"),
        (spline(4).with_bound(0.0).validate(), "`bound` must lie in [1e-3, 1e6], found 0"),
        (
            spline(4).with_min_width(0.25).validate(),
            "`min_width` must lie in [5e-7·n_bins, 1/n_bins), found 0.25",
        ),
        (
            spline(4).with_min_height(0.0).validate(),
            "`min_height` must lie in [5e-7·n_bins, 1/n_bins), found 0",
        ),
        (spline(4).with_min_slope(1.0).validate(), "`min_slope` must lie in [1e-6, 1), found 1"),
        (
            NormalMixtureConfig::new(0).validate(),
            "NormalMixtureConfig: `n_components` must be at least 1",
        ),
        (
            NormalMixtureConfig::new(2).with_spread(-1.0).validate(),
            "`spread` must lie in [1e-6, 1e6], found -1",
        ),
        (
            NormalMixtureConfig::new(2).with_spread(0.0).validate(),
            "`spread` must lie in [1e-6, 1e6], found 0",
        ),
        (
            NormalMixtureConfig::new(1).with_spread(1e300).validate(),
            "`spread` must lie in [0, 1e6], found 1000",
        ),
    ];
    for (result, expected) in cases {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}

/// Rules that need the shape that arrives.
#[test]
fn configurations_say_which_shapes_they_take() {
    let order = |order| refusal(&permutation(order), [1, 3]);
    assert_eq!(
        order(vec![0, 1]),
        "PermutationConfig: `order` must contain each index of 0..3 exactly once, found [0, 1]"
    );
    assert_eq!(
        order(vec![0, 1, 2, 3]),
        "PermutationConfig: `order` must contain each index of 0..3 exactly once, found \
         [0, 1, 2, 3]"
    );
    assert_eq!(
        refusal(&HouseholderConfig::new(4), [1, 3]),
        "HouseholderConfig: `n_reflections` must lie in [1, channels], found 4"
    );
    assert_eq!(
        refusal(&ChannelMatrixConfig::new().with_n_groups(2), [1, 5, 2, 2]),
        "ChannelMatrixConfig: `channels` = 5 must be a multiple of `n_groups` = 2"
    );
    assert_eq!(refusal(&ActNormConfig::new(), [1]), "ActNorm: expected 2 axes, found shape [1]");
    assert_eq!(
        refusal(&ActNormConfig::new(), [1, 1 << 25]),
        "ActNorm: `channels` must be at most 16777216, found 33554432"
    );
    assert_eq!(
        refusal(&Conv1x1Config::new(), [1, 1 << 14]),
        "Conv1x1Config: `channels` must be at most 8192, found 16384"
    );
    let numbers = "expected at most 137438953472 elements, found shape [1, 16777216, 65536]";
    assert_eq!(
        refusal(&PositionNormConfig::new(), [1, 1 << 24, 1 << 16]),
        format!("PositionNorm: {numbers}")
    );
    let nothing =
        |layer: &str| format!("{layer}: expected at least one element, found shape [1, 0, 4, 4]");
    let shape = [1, 0, 4, 4];
    assert_eq!(refusal(&ActNormConfig::new(), shape), nothing("ActNorm"));
    assert_eq!(refusal(&PositionNormConfig::new(), shape), nothing("PositionNorm"));
    assert_eq!(refusal(&ChannelMatrixConfig::new(), shape), nothing("ChannelMatrix"));
    assert_eq!(refusal(&Conv1x1Config::new(), shape), nothing("Conv1x1"));
    assert_eq!(refusal(&HouseholderConfig::new(1), shape), nothing("Householder"));
    assert_eq!(refusal(&PermutationConfig::new(), shape), nothing("Permutation"));
    assert_eq!(refusal(&ElementwiseConfig::new(spline(4)), shape), nothing("Elementwise"));
    assert_eq!(refusal(&LogitConfig::new(), shape), nothing("Logit"));
    assert_eq!(refusal(&Swap::new(), shape), nothing("Swap"));
    assert_eq!(
        refusal(&ElementwiseConfig::new(spline(0)), [1, 3]),
        ".law: RationalQuadraticSplineConfig: `n_bins` must be at least 1, found 0"
    );
}

/// What a panic says.
fn message<T>(run: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).err().expect("it went through");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// `forward` and `inverse` panic with the message of `output_shape`.
fn refuses<const D: usize>(layer: impl Bijector<D>, shape: [usize; D], expected: &str) {
    let x = || Tensor::<D>::zeros(shape, &Device::default());
    assert_eq!(layer.output_shape(shape).unwrap_err().to_string(), expected);
    assert_eq!(message(|| layer.forward(x(), &())), expected);
    assert_eq!(message(|| layer.inverse(x(), &())), expected);
}

#[test]
fn shapes_are_checked_first() {
    let device = Device::default();
    let axis = |layer: &str| format!("{layer}: expected length 3 along axis 1, found shape [2, 4]");
    refuses(build::layer(&PermutationConfig::new(), [1, 3], &device), [2, 4], &axis("Permutation"));
    refuses(
        build::layer(&HouseholderConfig::new(2), [1, 3], &device),
        [2, 4],
        &axis("Householder"),
    );
    refuses(build::layer(&bounded(0.5, 1.0), [1, 3], &device), [2, 4], &axis("Conv1x1"));
    let elementwise = ElementwiseConfig::new(spline(4));
    refuses(build::layer(&elementwise, [1, 3], &device), [2, 4], &axis("Elementwise"));
    let image = build::layer(&elementwise, [1, 3, 4, 4], &device);
    refuses(image, [2, 3], "Elementwise: expected 4 axes, found shape [2, 3]");

    let config =
        MaskedCouplingConfig::new(spline(4), GatedNetConfig::new(8, 1), Mask::Checkerboard);
    let coupling = config.build(&Site::new([1, 3, 4, 4], &device)).unwrap();
    let expected = "MaskedCoupling: expected length 4 along axis 3, found shape [2, 3, 4, 5]";
    refuses(coupling, [2, 3, 4, 5], expected);
}

#[test]
fn masked_couplings_check_conditions() {
    let device = Device::default();
    let site = Site::<2>::described([1, 3], ContextShape::vector(Some(2)), &device);
    let coupling = masked(Mask::Explicit(vec![true, false, true])).build(&site).unwrap();
    let x = || Tensor::<2>::zeros([4, 3], &Device::default());
    let context = |width: usize| Tensor::<2>::zeros([4, width], &Device::default());
    assert_eq!(coupling.forward(x(), &context(2)).0.dims(), [4, 3]);
    let error = message(|| coupling.forward(x(), &context(5)));
    assert_eq!(error, "Mlp: expected a condition of shape [4, 2], found [4, 5]");
    assert_eq!(message(|| coupling.inverse(x(), &context(5))), error);
}

#[test]
fn priors_say_what_does_not_fit() {
    let device = Device::default();
    let diagonal = DiagonalNormal::new([1, 3], &device);
    let error = Flow::new(Swap::new(), diagonal.clone(), [1, 4]).err().unwrap().to_string();
    assert_eq!(error, "DiagonalNormal: expected length 3 along axis 1, found shape [1, 4]");
    let z = Tensor::<2>::zeros([2, 4], &device);
    let error = message(|| diagonal.log_prob(z.clone(), &()));
    assert_eq!(error, "DiagonalNormal: expected length 3 along axis 1, found shape [2, 4]");
    let mixture = NormalMixtureConfig::new(2).build(&Site::<2>::new([1, 3], &device)).unwrap();
    let error = message(|| mixture.log_prob(z.clone(), &()));
    assert_eq!(error, "NormalMixture: expected length 3 along axis 1, found shape [2, 4]");
    let error = Flow::new(Swap::new(), mixture.clone(), [1, 4]).err().unwrap().to_string();
    assert_eq!(error, "NormalMixture: expected length 3 along axis 1, found shape [1, 4]");
    let error = message(|| Prior::<2>::sample(&mixture, [2, 4], 1.0, &(), &device, DType::F32));
    assert_eq!(error, "NormalMixture: expected length 3 along axis 1, found shape [2, 4]");

    let rows = |rows: usize, columns: usize| {
        let values = Tensor::<1, Int>::arange(0..(rows * columns) as i64, &device).float();
        values.reshape([rows, columns])
    };
    let parts = |means: [usize; 2], log_scales: [usize; 2]| {
        let (means, log_scales) = (rows(means[0], means[1]), rows(log_scales[0], log_scales[1]));
        NormalMixture::from_parts([1, 3], Tensor::zeros([2], &device), means, log_scales)
    };
    assert!(parts([2, 3], [2, 3]).is_ok());
    let error = parts([2, 4], [2, 3]).err().unwrap().to_string();
    assert_eq!(error, "NormalMixture: expected length 3 along axis 1, found shape [2, 4]");
    let error = parts([2, 3], [1, 3]).err().unwrap().to_string();
    assert_eq!(error, "NormalMixture: expected length 2 along axis 0, found shape [1, 3]");

    // Components that are equal would never separate.
    let means = Tensor::<2>::from_data([[0.0, 1.0], [2.0, 3.0], [0.0, 1.0]], &device);
    let log_scales = Tensor::zeros([3, 2], &device);
    let three = Tensor::zeros([3], &device);
    let equal = NormalMixture::from_parts([1, 2], three, means, log_scales);
    let expected = ConfigError::SameComponents { config: "NormalMixture", first: 0, second: 2 };
    assert_eq!(equal.err().unwrap(), expected);

    // Every operand is named: a value that is not finite, and elements of another type.
    let operands = |logit: f32, mean: f32, log_scale: f32| {
        (
            Tensor::<1>::from_data([0.0, logit], &device),
            Tensor::<2>::from_data([[0.0], [mean]], &device),
            Tensor::<2>::from_data([[0.0], [log_scale]], &device),
        )
    };
    let bad = [
        (operands(f32::NAN, 1.0, 0.0), "logits", "NaN"),
        (operands(0.0, f32::INFINITY, 0.0), "means", "inf"),
        (operands(0.0, 1.0, f32::NEG_INFINITY), "log_scales", "-inf"),
    ];
    for ((logits, means, log_scales), field, found) in bad {
        let error = NormalMixture::from_parts([1, 1], logits, means, log_scales).err().unwrap();
        let text = format!("NormalMixture: `{field}` must lie in (-∞, ∞), found {found}");
        assert_eq!(error.to_string(), text);
    }
    let (logits, means, log_scales) = operands(0.0, 1.0, 0.0);
    let (expected, found) = (DType::F32, DType::F64);
    for field in ["means", "log_scales"] {
        let cast =
            |name, of: &Tensor<2>| if name == field { of.clone().cast(found) } else { of.clone() };
        let (means, log_scales) = (cast("means", &means), cast("log_scales", &log_scales));
        let mixture = NormalMixture::from_parts([1, 1], logits.clone(), means, log_scales);
        let error = mixture.err().unwrap();
        assert!(matches!(error, ConfigError::OtherType { .. }), "{error}");
        let text = format!(
            "NormalMixture: `{field}` must have elements of type {expected:?}, found {found:?}"
        );
        assert_eq!(error.to_string(), text);
    }

    // Two parameters for each latent: a mean and a log-scale.
    let image = Tensor::<4>::zeros([1, 2, 4, 4], &device);
    let config = ConditionalNormalConfig::new(GatedNetConfig::new(8, 1));
    let conditional =
        config.build(&Site::<4, Tensor<4>>::given([1, 3, 4, 4], &image, &device)).unwrap();
    let error = message(|| conditional.log_prob(image.clone(), &image));
    assert!(error.contains("GatedNet: expected length 3 along axis 1"), "{error}");
}

/// Two shifts with equal weights, whose author forgot to say where they start.
#[derive(Module, Debug)]
struct TwoShifts;

impl Law for TwoShifts {
    fn n_params(&self) -> usize {
        2
    }

    fn check_init(&self, network: &'static str, start: &[f64]) -> Result<(), ConfigError> {
        if start[0] != start[1] {
            return Ok(());
        }
        let (first, second) = (0, 1);
        Err(ConfigError::EqualComponents { network, law: "TwoShifts", first, second })
    }

    fn forward(&self, x: Tensor<2>, theta: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let zero = x.zeros_like();
        (x + theta.mean_dim(1).squeeze_dim(1), zero)
    }

    fn inverse(&self, z: Tensor<2>, theta: Tensor<3>) -> Tensor<2> {
        z - theta.mean_dim(1).squeeze_dim(1)
    }
}

#[derive(Debug, Clone)]
struct TwoShiftsConfig;

impl LawConfig for TwoShiftsConfig {
    type Law = TwoShifts;

    fn build(&self) -> Result<TwoShifts, ConfigError> {
        Ok(TwoShifts)
    }
}

/// The values of the law itself are checked too, in every layer.
#[test]
fn a_law_whose_own_values_are_equal_is_refused() {
    let site = Site::new([1, 4], &Device::default());
    let (law, net) = (TwoShiftsConfig, MlpConfig::new([4]));
    let mask = Mask::Explicit(vec![true, false, true, false]);
    let found = [
        CouplingConfig::new(law.clone(), net.clone()).build(&site).err(),
        MaskedCouplingConfig::new(law.clone(), net, mask).build(&site).err(),
        MaskedAutoregressiveConfig::new(law.clone(), MadeConfig::new([4])).build(&site).err(),
        ElementwiseConfig::new(law.clone()).with_noise(0.0).build(&site).err(),
    ];
    for error in found {
        let error = error.expect("the components are equal");
        assert!(matches!(error, ConfigError::EqualComponents { .. }), "{error}");
    }
    assert!(ElementwiseConfig::new(law).build(&site).is_ok());
}
