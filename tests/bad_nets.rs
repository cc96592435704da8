//! What can be wrong with networks, autoregressive layers, models on vectors, and the conditions
//! that they are given.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Tensor};
use flowkit::conditioner::layer::GatedConvConfig;
use flowkit::data::TwoMoons;
use flowkit::law::{
    AffineConfig, AffineForm, LawConfig, MixLogCdfConfig, RationalQuadraticSplineConfig,
};
use flowkit::model::{LinearKind, MafConfig, RealNvpConfig};
use flowkit::{
    Bijector, ConfigError, ContextShape, ConvResNetConfig, CouplingConfig, Density, Flow,
    FlowError, GatedNetConfig, Half, Invert, LayerConfig, MadeConfig, Mask,
    MaskedAutoregressiveConfig, MaskedCouplingConfig, MlpConfig, MultiScale, NetConfig, NetSite,
    ResNetConfig, ShapeError, Site, StandardNormal, UniformDequantizationConfig,
};

fn affine() -> AffineConfig {
    AffineConfig::new(AffineForm::Exponential)
}

/// Why there is no network for vectors of these widths, `n_params` parameters and a condition.
fn dense<N: NetConfig<2>>(
    [identity, transformed, n_params]: [usize; 3],
    d_context: Option<usize>,
    config: N,
) -> Result<(), ConfigError> {
    let site = NetSite::new([1, identity], [1, transformed], vec![0.0; n_params], &Device::flex());
    config.num_params(&site.with_context(ContextShape::vector(d_context))).map(|_| ())
}

/// The same for images of 2x2 positions.
fn convolutions<N: NetConfig<4>>(
    [identity, transformed, n_params]: [usize; 3],
    n_context: Option<usize>,
    config: N,
) -> Result<(), ConfigError> {
    let shape = |channels| [1, channels, 2, 2];
    let site =
        NetSite::new(shape(identity), shape(transformed), vec![0.0; n_params], &Device::flex());
    config.num_params(&site.with_context(ContextShape::vector(n_context))).map(|_| ())
}

fn zeros<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::zeros(shape, &Device::flex())
}

/// Checks a configuration for vectors of `dims` elements.
fn plan(dims: usize, config: impl LayerConfig<2>) -> Result<(), ConfigError> {
    config.plan(&Site::new([1, dims], &Device::flex())).map(|_| ())
}

/// The same with a condition of this width.
fn plan_given(
    dims: usize,
    width: Option<usize>,
    config: impl LayerConfig<2, Tensor<2>>,
) -> Result<(), ConfigError> {
    let context = ContextShape::vector(width);
    config.plan(&Site::described([1, dims], context, &Device::flex())).map(|_| ())
}

#[test]
fn configurations_say_what_is_wrong() {
    let mlp = || MlpConfig::new([4]);
    let nvp = || RealNvpConfig::new(8);
    let maf = || MafConfig::new(5);
    let conv = ConvResNetConfig::new;
    let cases: Vec<(Result<(), ConfigError>, &str)> = vec![
        (dense([0, 2, 2], None, mlp()), "MlpConfig: `identity` must be at least 1, found 0"),
        (dense([2, 0, 2], None, mlp()), "MlpConfig: `transformed`"),
        (dense([2, 2, 0], None, mlp()), "MlpConfig: `n_params`"),
        (dense([2, 2, 2], None, MlpConfig::new([4, 0])), "MlpConfig: `hidden`"),
        (dense([2, 2, 2], Some(0), mlp()), "MlpConfig: `context`"),
        (dense([2, 2, 2], None, ResNetConfig::new().with_d_hidden(0)), "ResNetConfig: `d_hidden`"),
        (
            dense([2, 2, 2], None, ResNetConfig::new().with_dropout(1.0)),
            "`dropout` must lie in [0, 1), found 1",
        ),
        (convolutions([0, 1, 2], None, conv()), "ConvResNetConfig: `identity`"),
        (
            convolutions([1, 1, 2], None, conv().with_n_filters(1)),
            "`n_filters` must lie in [2, ∞), found 1",
        ),
        (convolutions([1, 1, 2], Some(0), conv()), "ConvResNetConfig: `context`"),
        (convolutions([1, 1, 2], Some(1), conv().with_n_blocks(0)), "`n_blocks`"),
        (convolutions([1, 1, 2], Some(1), GatedNetConfig::new(4, 0)), "GatedNetConfig: `n_blocks`"),
        (dense([0, 0, 2], None, MadeConfig::new([4])), "MadeConfig: `identity`"),
        (dense([2, 2, 0], None, MadeConfig::new([4])), "MadeConfig: `n_params`"),
        (dense([2, 2, 2], None, MadeConfig::new([0])), "MadeConfig: `hidden`"),
        (
            dense([2, 3, 2], None, MadeConfig::new([4])),
            "Made: expected length 2 along axis 1, found shape [1, 3]",
        ),
        (
            plan(1, nvp()),
            "RealNvpConfig: a vector of one element has no two halves; use `MafConfig`",
        ),
        (plan(2, RealNvpConfig::new(0)), "RealNvpConfig: `n_couplings`"),
        (
            plan(2, nvp().with_law(MixLogCdfConfig::new(0).into())),
            "[0][1].law: MixLogCdfConfig: `n_components`",
        ),
        (plan(2, nvp().with_hidden(vec![0])), "[0][1].net: MlpConfig: `hidden`"),
        (plan_given(2, Some(0), nvp()), "[0][1].net: MlpConfig: `context`"),
        (plan(0, maf()), "[0][0][0]: ActNorm: expected at least one element, found shape [1, 0]"),
        (plan(0, maf().with_linear(LinearKind::None)), "[0][1].net: MadeConfig: `identity`"),
        (plan(2, MafConfig::new(0)), "MafConfig: `n_layers`"),
        (
            plan(1, maf()),
            "[0][1]: MaskedAutoregressiveConfig: with one element, an affine law and no condition, \
             every choice",
        ),
        (plan(1, MafConfig::new(9)), "use a nonlinear law (`RationalQuadraticSpline`"),
        (plan(1, maf().with_law(AffineConfig::new(AffineForm::Normal).into())), "give a condition"),
        // One component is one logistic, whose logit is linear.
        (
            plan(1, maf().with_law(MixLogCdfConfig::new(1).into())),
            "MaskedAutoregressiveConfig: with one element",
        ),
    ];
    for (result, expected) in cases {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
    assert!(
        Flow::build(&RealNvpConfig::new(8), StandardNormal::new(), [1, 1], &Device::flex())
            .is_err()
    );
    assert!(
        Flow::build(&MafConfig::new(5), StandardNormal::new(), [1, 0], &Device::flex()).is_err()
    );
}

/// One number is fine where something bends or tells it apart.
#[test]
fn an_autoregressive_layer_of_one_number_needs_more_than_a_scale() {
    let device = Device::flex();
    let maf = || MafConfig::new(5);
    assert!(plan(1, maf().with_law(MixLogCdfConfig::new(2).into())).is_ok());
    assert!(plan(1, maf().with_law(RationalQuadraticSplineConfig::new(2).into())).is_ok());
    assert!(plan_given(1, Some(1), maf()).is_ok());
    let error = Flow::build(&maf(), StandardNormal::new(), [1, 1], &device).unwrap_err();
    let only_normal = ConfigError::OnlyNormal { config: "MaskedAutoregressiveConfig" };
    assert_eq!(error, only_normal.clone().at("[0][1]"));
    fn layer<L: LawConfig>(law: L, d_context: Option<usize>) -> Result<(), ConfigError> {
        let site = Site::<2>::described([1, 1], ContextShape::vector(d_context), &Device::flex());
        MaskedAutoregressiveConfig::new(law, MadeConfig::new([4])).build(&site).map(|_| ())
    }
    for form in [AffineForm::Exponential, AffineForm::Sigmoid, AffineForm::Additive] {
        assert_eq!(layer(AffineConfig::new(form), None), Err(only_normal.clone()));
        assert_eq!(layer(AffineConfig::new(form), Some(2)), Ok(()));
    }
    assert_eq!(layer(MixLogCdfConfig::new(2), None), Ok(()));
    let text = layer(affine(), None).unwrap_err().to_string();
    assert!(
        text.starts_with(
            "MaskedAutoregressiveConfig: with one element, an affine law and no condition"
        ),
        "{text}"
    );
}

/// What is wrong within a layer is named with its place.
#[test]
fn the_place_of_a_broken_rule_is_named() {
    let site = Site::<2>::new([1, 3], &Device::flex());
    let law =
        CouplingConfig::new(MixLogCdfConfig::new(0), MlpConfig::new([4])).plan(&site).unwrap_err();
    assert_eq!(
        law.to_string(),
        ".law: MixLogCdfConfig: `n_components` must be at least 1, found 0"
    );
    let net = MaskedCouplingConfig::new(affine(), MlpConfig::new([0]), Mask::Alternating);
    let net = net.plan(&site).unwrap_err();
    assert_eq!(net.to_string(), ".net: MlpConfig: `hidden` must be at least 1, found 0");
    let narrow = CouplingConfig::new(affine(), MlpConfig::new([4]))
        .plan(&Site::<2>::new([1, 1], &Device::flex()));
    let narrow = narrow.unwrap_err().to_string();
    assert_eq!(narrow, "Coupling: axis 1 must have a length of at least 2, found shape [1, 1]");
}

/// A stack that does not fit is an error where the flow is made.
#[test]
fn networks_that_do_not_fit_are_found_before_training() {
    let device = Device::flex();
    let vectors = |built: usize, d_context, dims| {
        let site = Site::<2>::described([1, built], ContextShape::vector(d_context), &device);
        let layer = CouplingConfig::new(affine(), MlpConfig::new([4])).build(&site).unwrap();
        Flow::new(layer, StandardNormal::new(), [1, dims]).err()
    };
    let images = |built: usize, shape: [usize; 4]| {
        let layer = CouplingConfig::new(affine(), ConvResNetConfig::new());
        let layer = layer.build(&Site::<4>::new([1, built, 2, 2], &device)).unwrap();
        Flow::new(layer, StandardNormal::new(), shape).err()
    };
    let maf = |built: usize, dims| {
        let layer = MaskedAutoregressiveConfig::new(affine(), MadeConfig::new([4]));
        let layer = layer.build(&Site::<2>::new([1, built], &device)).unwrap();
        Flow::new(layer, StandardNormal::new(), [1, dims]).err()
    };
    let cases = [
        (vectors(3, None, 3), None),
        (vectors(2, None, 3), Some("Mlp: expected length 1 along axis 1, found shape [1, 2]")),
        (vectors(4, None, 3), Some("Mlp: expected length 2 along axis 1, found shape [1, 1]")),
        (vectors(3, Some(4), 3), Some("Mlp: expected a condition, found no condition")),
        (images(3, [1, 3, 2, 2]), None),
        (images(2, [1, 3, 2, 2]), Some("ConvResNet: expected length 1 along axis 1")),
        (maf(3, 3), None),
        (maf(4, 3), Some("Made: expected length 4 along axis 1, found shape [1, 3]")),
    ];
    for (error, expected) in cases {
        match (error, expected) {
            (None, None) => {}
            (Some(error), Some(expected)) => {
                assert!(error.to_string().contains(expected), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }
    // The reverse: a condition that no network was built for.
    let layer = CouplingConfig::new(affine(), MlpConfig::new([4]))
        .build(&Site::<2>::new([1, 2], &device))
        .unwrap();
    let error =
        Flow::<_, _, 2, Tensor<2>>::new_given(layer, StandardNormal::new(), [1, 2]).unwrap_err();
    assert_eq!(error.to_string(), "Mlp: expected no condition, found a condition");
}

/// Widths and batches of conditions are checked where data enters; no layer sees them.
#[test]
fn conditions_that_do_not_fit_are_named() {
    let device = Device::flex();
    let flow = Flow::build_given(
        &RealNvpConfig::new(8),
        StandardNormal::new(),
        [1, 3],
        &zeros([1, 2]),
        &device,
    )
    .unwrap()
    .without_data();
    let expected =
        ShapeError::ContextShape { layer: "Mlp", expected: vec![4, 2], found: vec![4, 5] };
    let expected = expected.at("[0][1]");
    let error = flow.given(&zeros([4, 5])).evaluate(zeros([4, 3])).unwrap_err();
    assert!(matches!(&error, FlowError::Shape(error) if *error == expected), "{error}");
    assert_eq!(
        error.to_string(),
        "[0][1]: Mlp: expected a condition of shape [4, 2], found [4, 5]"
    );
    let message = |error: FlowError| error.to_string();
    let batch = flow.given(&zeros([3, 2])).evaluate(zeros([4, 3])).unwrap_err();
    let rows = "it has one row for each example, or one row for all of them";
    let text = "[0][1]: Mlp: expected a condition of shape [4, 2], found [3, 2]";
    assert_eq!(message(batch), format!("{text}; {rows}"));
    let samples = flow.given(&zeros([4, 2])).sample(7).unwrap_err();
    let text = "[0][1]: Mlp: expected a condition of shape [7, 2], found [4, 2]";
    assert_eq!(message(samples), format!("{text}; {rows}"));
    let start = Flow::build_given(
        &RealNvpConfig::new(8),
        StandardNormal::new(),
        [1, 3],
        &zeros([1, 2]),
        &device,
    )
    .unwrap();
    let start = start.initialize_given(zeros([4, 3]), &zeros([4, 3])).unwrap_err();
    assert_eq!(message(start), "[0][1]: Mlp: expected a condition of shape [4, 2], found [4, 3]");
    let site = Site::<2>::described([1, 3], ContextShape::vector(Some(2)), &device);
    let layers = RealNvpConfig::new(8).build(&site).unwrap();
    let none = Flow::<_, _, 2>::new(layers, StandardNormal::new(), [1, 3]).unwrap_err();
    assert_eq!(none.to_string(), "[0][1]: Mlp: expected a condition, found no condition");
    let maf = Flow::build_given(
        &MafConfig::new(5),
        StandardNormal::new(),
        [1, 3],
        &zeros([1, 2]),
        &device,
    )
    .unwrap()
    .without_data();
    let error = maf.given(&zeros([4, 1])).evaluate(zeros([4, 3])).unwrap_err();
    assert_eq!(message(error), "[0][1]: Made: expected a condition of shape [4, 2], found [4, 1]");
}

/// Every composition passes a condition's shape on to its members.
#[test]
fn conditions_are_checked_inside_of_compositions() {
    let device = Device::flex();
    let coupling = || {
        let site = Site::<2>::described([1, 2], ContextShape::vector(Some(2)), &device);
        CouplingConfig::new(affine(), ResNetConfig::new()).build(&site).unwrap()
    };
    let wrong = zeros([4, 3]);
    let expected = "ResNet: expected a condition of shape [4, 2], found [4, 3]";
    let check = |what: &str, place: &str, result: Result<[usize; 2], ShapeError>| {
        let error = result.expect_err(what).to_string();
        assert_eq!(error, format!("{place}{expected}"), "{what}");
    };
    check("coupling", "", coupling().output_shape_given([4, 2], &wrong));
    check("tuple", "[0]: ", (coupling(), coupling()).output_shape_given([4, 2], &wrong));
    check("Vec", "[0]: ", vec![coupling()].output_shape_given([4, 2], &wrong));
    check("Option", "", Some(coupling()).output_shape_given([4, 2], &wrong));
    check("Invert", ".inner: ", Invert::new(coupling()).output_shape_given([4, 2], &wrong));
    check("box", "", flowkit::BoxBijector::new(coupling()).output_shape_given([4, 2], &wrong));

    let image_of = |half: usize, n_context: usize| {
        let net = ConvResNetConfig::new().with_n_filters(2).with_n_blocks(1);
        let site = Site::<4>::described(
            [1, 2 * half, 2, 2],
            ContextShape::vector(Some(n_context)),
            &device,
        );
        CouplingConfig::new(affine(), net).build(&site).unwrap()
    };
    let image = || image_of(1, 2);
    let gated =
        CouplingConfig::new(affine(), GatedNetConfig::new(4, 1)).with_identity(Half::Second);
    let gated = gated
        .build(&Site::<4>::described([1, 2, 2, 2], ContextShape::vector(Some(2)), &device))
        .unwrap();
    let message = |result: Result<[usize; 4], ShapeError>| result.unwrap_err().to_string();
    let vector = "ConvResNet: expected a condition of shape [4, 2, 1, 1], found [4, 3, 1, 1]";
    let map = "ConvResNet: expected a condition of shape [4, 2, 2, 2], found [4, 2, 3, 2]";
    assert_eq!(message(image().output_shape_given([4, 2, 2, 2], &wrong)), vector);
    assert_eq!(message(image().output_shape_given([4, 2, 2, 2], &zeros([4, 2, 3, 2]))), map);
    let gated_says = |text: &str| text.replace("ConvResNet", "GatedNet");
    assert_eq!(message(gated.output_shape_given([4, 2, 2, 2], &wrong)), gated_says(vector));
    assert_eq!(
        message(gated.output_shape_given([4, 2, 2, 2], &zeros([4, 2, 3, 2]))),
        gated_says(map)
    );
    // The first level takes it, the second does not.
    let scales = MultiScale::new(vec![image_of(2, 3), image()]);
    let error = message(scales.output_shape_given([4, 4, 4, 4], &wrong));
    assert_eq!(error, format!(".levels[1]: {vector}"));

    // A bound's flow is asked too.
    let levels = Tensor::<4, burn::tensor::Int>::zeros([4, 2, 2, 2], &device);
    let dequantization = UniformDequantizationConfig::new().build().unwrap();
    let bound = Flow::<_, _, 4, Tensor<2>>::new_given(image(), StandardNormal::new(), [1, 2, 2, 2])
        .map(|flow| flow.behind(dequantization));
    let bound = bound.unwrap().without_data();
    assert_eq!(bound.given(&wrong).evaluate(levels).unwrap_err().to_string(), vector);
}

/// A call of a layer itself panics with the same words.
#[test]
fn a_layer_that_is_called_with_a_wrong_condition_says_so() {
    let device = Device::flex();
    let site = Site::<2>::described([1, 2], ContextShape::vector(Some(3)), &device);
    let layer =
        MaskedAutoregressiveConfig::new(affine(), MadeConfig::new([64, 64])).build(&site).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| layer.forward(zeros([1, 2]), &zeros([1, 2]))))
        .unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert_eq!(text, "Made: expected a condition of shape [1, 3], found [1, 2]");
    let block = GatedConvConfig::new(4).with_n_context(Some(3)).build(&device).unwrap();
    let condition = zeros([1, 3, 2, 2]);
    let run = || block.forward(zeros([1, 4, 2, 2]), Some(&condition));
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("expected a context of 6 channels, `concat_elu` of"), "{text}");
    let panic = catch_unwind(|| TwoMoons::new(2, 0.0, 0)).unwrap_err();
    assert!(
        panic
            .downcast_ref::<String>()
            .unwrap()
            .contains("`noise` must lie in [0.02, 1e18], found 0")
    );
}

/// The example, which `cargo test` builds beside the tests.
fn two_moons(arguments: &[&str], out: &std::path::Path) -> std::process::Output {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap().join("examples");
    let program = folder.join(format!("two_moons{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is built by `cargo test` without `--test`", program.display());
    std::process::Command::new(program).args(arguments).arg("--out").arg(out).output().unwrap()
}

#[test]
fn the_example_runs_every_flow_and_names_what_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    let flows = [
        vec!["--flow", "affine"],
        vec!["--flow", "mixlog", "--conditional"],
        vec!["--flow", "spline"],
        vec!["--flow", "maf"],
    ];
    for arguments in flows {
        let out = root.path().join(arguments[1]);
        let output = two_moons(&[&arguments[..], &["--steps", "2"]].concat(), &out);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap())
                .unwrap();
        assert!(report["test_nats"].as_f64().unwrap() < report["true_nats"].as_f64().unwrap());
        assert_eq!(report["provenance"], "exact");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(" nats per example (exact); a Gaussian -"), "{said}");
        assert!(std::fs::read_to_string(out.join("two_moons.svg")).unwrap().starts_with("<svg"));
    }
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let blocked = file.join("out");
    let cases = [
        (vec!["--steps", "0"], root.path().join("none"), "--steps 0: must be at least 1"),
        (vec!["--flow", "planar"], root.path().join("none"), "invalid value 'planar'"),
        (vec!["--steps", "1"], blocked, "cannot write to"),
    ];
    for (arguments, out, expected) in cases {
        let output = two_moons(&arguments, &out);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && message.contains(expected), "{arguments:?}: {message}");
        assert!(!message.contains("panicked") && !out.exists(), "{arguments:?}: {message}");
    }
}
