//! What can be wrong with networks, autoregressive layers, models on vectors, and the conditions that they are given.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Tensor};
use flowkit::data::TwoMoons;
use flowkit::law::{AffineConfig, AffineForm, Law, MixLogCdfConfig, RationalQuadraticSplineConfig};
use flowkit::model::{MafConfig, RealNvpConfig};
use flowkit::{
    Bijector, ConfigError, ConvResNetConfig, CouplingConfig, Density, Flow, FlowError, GatedNetConfig, GlowNetConfig,
    Half, Invert, MadeConfig, Mask, MaskedAutoregressive, MaskedCouplingConfig, MlpConfig, MultiScale, ResNetConfig,
    ShapeError, StandardNormal, UniformDequantizationConfig, ZeroConvConfig,
};

fn affine() -> flowkit::law::Affine {
    AffineConfig::new(AffineForm::Exponential).init()
}

fn zeros<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::zeros(shape, &Device::flex())
}

#[test]
fn configurations_say_what_is_wrong() {
    let mlp = || MlpConfig::new(2, 2, 2);
    let nvp = || RealNvpConfig::new(2);
    let cases: Vec<(Result<(), ConfigError>, &str)> = vec![
        (MlpConfig::new(0, 2, 2).validate(), "MlpConfig: `d_kept` must be at least 1, found 0"),
        (MlpConfig::new(2, 0, 2).validate(), "MlpConfig: `d_other`"),
        (MlpConfig::new(2, 2, 0).validate(), "MlpConfig: `n_params`"),
        (mlp().with_hidden(vec![4, 0]).validate(), "MlpConfig: `hidden`"),
        (mlp().with_d_context(Some(0)).validate(), "MlpConfig: `d_context`"),
        (ResNetConfig::new(2, 2, 2).with_d_hidden(0).validate(), "ResNetConfig: `d_hidden`"),
        (ResNetConfig::new(2, 2, 2).with_dropout(1.0).validate(), "`dropout` must lie in [0, 1), found 1"),
        (ConvResNetConfig::new(0, 1, 2).validate(), "ConvResNetConfig: `n_kept`"),
        (ConvResNetConfig::new(1, 1, 2).with_n_filters(1).validate(), "`n_filters` must lie in [2, ∞), found 1"),
        (ConvResNetConfig::new(1, 1, 2).with_n_context(Some(0)).validate(), "ConvResNetConfig: `n_context`"),
        (ConvResNetConfig::new(1, 1, 2).with_n_context(Some(1)).with_n_blocks(0).validate(), "`n_blocks`"),
        (GatedNetConfig::new([1, 2, 2], 2, 4, 0).with_n_context(Some(1)).validate(), "GatedNetConfig: `n_blocks`"),
        (MadeConfig::new(0, 2).validate(), "MadeConfig: `dims`"),
        (MadeConfig::new(2, 0).validate(), "MadeConfig: `n_params`"),
        (MadeConfig::new(2, 2).with_hidden(vec![0]).validate(), "MadeConfig: `hidden`"),
        (RealNvpConfig::new(1).validate(), "RealNvpConfig: `dims` must lie in [2, ∞), found 1"),
        (nvp().with_n_couplings(0).validate(), "RealNvpConfig: `n_couplings`"),
        (nvp().with_law(MixLogCdfConfig::new(0).into()).validate(), "MixLogCdfConfig: `n_components`"),
        (nvp().with_hidden(vec![0]).validate(), "MlpConfig: `hidden`"),
        (nvp().with_d_context(Some(0)).validate(), "MlpConfig: `d_context`"),
        (MafConfig::new(0).validate(), "MadeConfig: `dims`"),
        (MafConfig::new(2).with_n_layers(0).validate(), "MafConfig: `n_layers`"),
        (MafConfig::new(1).validate(), "MafConfig: one number, an affine law and no condition: a normal distribution"),
        (MafConfig::new(1).with_n_layers(9).validate(), "take a law that bends (`RationalQuadraticSpline`"),
        (MafConfig::new(1).with_law(AffineConfig::new(AffineForm::Normal).into()).validate(), "give a condition"),
        // One component is one logistic, whose logit is linear.
        (MafConfig::new(1).with_law(MixLogCdfConfig::new(1).into()).validate(), "MafConfig: one number"),
    ];
    for (result, expected) in cases {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
    assert!(RealNvpConfig::new(1).try_init(&Device::flex()).is_err());
    assert!(MafConfig::new(0).try_init(&Device::flex()).is_err());
}

/// One number is fine where something bends or tells it apart.
#[test]
fn an_autoregressive_layer_of_one_number_needs_more_than_a_scale() {
    let device = Device::flex();
    assert!(MafConfig::new(1).with_law(MixLogCdfConfig::new(2).into()).validate().is_ok());
    assert!(MafConfig::new(1).with_law(RationalQuadraticSplineConfig::new(2).into()).validate().is_ok());
    assert!(MafConfig::new(1).with_d_context(Some(1)).validate().is_ok());
    let error = MafConfig::new(1).try_init(&device).map(|_| ()).unwrap_err();
    assert_eq!(error, ConfigError::OnlyNormal { config: "MafConfig" });
    let layer = |form, d_context| {
        let law = AffineConfig::new(form).init();
        let net = MadeConfig::new(1, law.n_params()).with_d_context(d_context).init(&device);
        MaskedAutoregressive::try_new(law, net).map(|_| ())
    };
    for form in [AffineForm::Exponential, AffineForm::Sigmoid, AffineForm::Additive] {
        assert_eq!(layer(form, None), Err(ConfigError::OnlyNormal { config: "Made" }));
        assert_eq!(layer(form, Some(2)), Ok(()));
    }
    let bends = MixLogCdfConfig::new(2).init();
    let net = MadeConfig::new(1, bends.n_params()).init(&device);
    assert!(MaskedAutoregressive::try_new(bends, net).is_ok());
    let text = message(|| MaskedAutoregressive::new(affine(), MadeConfig::new(1, 2).init(&device)));
    assert!(text.starts_with("Made: one number, an affine law and no condition"), "{text}");
}

/// What a panic says.
fn message<T>(run: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).err().expect("it went through");
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

/// A network that gives parameters for another law is an error where the two meet.
#[test]
fn networks_of_another_law_are_named_at_once() {
    let device = Device::flex();
    let coupling = CouplingConfig::new();
    let errors = [
        coupling.try_init(affine(), MlpConfig::new(2, 1, 5).init(&device)).err(),
        coupling.try_init(affine(), ResNetConfig::new(2, 1, 5).init(&device)).err(),
        coupling.try_init(affine(), ConvResNetConfig::new(2, 1, 5).init(&device)).err(),
        coupling.try_init(affine(), GlowNetConfig::new(2, 1, 5).init(&device)).err(),
        coupling.try_init(affine(), ZeroConvConfig::new(2, 1, 5).init(&device)).err(),
        coupling.try_init(affine(), GatedNetConfig::new([1, 2, 2], 5, 4, 1).init(&device)).err(),
        MaskedAutoregressive::try_new(affine(), MadeConfig::new(3, 5).init(&device)).err(),
    ];
    let names = ["Mlp", "ResNet", "ConvResNet", "GlowNet", "ZeroConv", "GatedNet", "Made"];
    for (error, network) in errors.into_iter().zip(names) {
        assert_eq!(error, Some(ConfigError::Parameters { network, expected: 2, found: 5 }));
    }
    let masked = MaskedCouplingConfig::new(vec![3], Mask::Alternating);
    let error = masked.try_init(affine(), MlpConfig::new(3, 3, 1).init(&device), &device).unwrap_err();
    assert_eq!(error.to_string(), "Mlp: gives 1 parameters for each number, the law takes 2");
    assert_eq!(message(|| coupling.init(affine(), MlpConfig::new(2, 1, 1).init(&device))), error.to_string());
    assert_eq!(message(|| masked.init(affine(), MlpConfig::new(3, 3, 1).init(&device), &device)), error.to_string());
}

/// A stack that does not fit is an error where the flow is made.
#[test]
fn networks_that_do_not_fit_are_found_before_training() {
    let device = Device::flex();
    let vectors = |net: MlpConfig, dims| {
        let layer = CouplingConfig::new().init(affine(), net.init(&device));
        Flow::new(layer, StandardNormal::new(), [1, dims]).err()
    };
    let images = |net: ConvResNetConfig, shape| {
        let layer = CouplingConfig::new().init(affine(), net.init(&device));
        Flow::new(layer, StandardNormal::new(), shape).err()
    };
    let maf = |net: MadeConfig, dims| {
        let layer = MaskedAutoregressive::new(affine(), net.init(&device));
        Flow::new(layer, StandardNormal::new(), [1, dims]).err()
    };
    let cases = [
        (vectors(MlpConfig::new(2, 1, 2), 3), None),
        (vectors(MlpConfig::new(1, 2, 2), 3), Some("Mlp: expected length 1 along axis 1, found shape [1, 2]")),
        (vectors(MlpConfig::new(2, 2, 2), 3), Some("Mlp: expected length 2 along axis 1, found shape [1, 1]")),
        (
            vectors(MlpConfig::new(2, 1, 2).with_d_context(Some(4)), 3),
            Some("Mlp: expected a condition, found no condition"),
        ),
        (images(ConvResNetConfig::new(2, 1, 2), [1, 3, 2, 2]), None),
        (images(ConvResNetConfig::new(1, 1, 2), [1, 3, 2, 2]), Some("ConvResNet: expected length 1 along axis 1")),
        (maf(MadeConfig::new(3, 2), 3), None),
        (maf(MadeConfig::new(4, 2), 3), Some("Made: expected length 4 along axis 1, found shape [1, 3]")),
    ];
    for (error, expected) in cases {
        match (error, expected) {
            (None, None) => {}
            (Some(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    // The reverse: a condition that no network was built for.
    let layer = CouplingConfig::new().init(affine(), MlpConfig::new(1, 1, 2).init(&device));
    let error = Flow::<_, _, 2, Tensor<2>>::new_given(layer, StandardNormal::new(), [1, 2]).unwrap_err();
    assert_eq!(error.to_string(), "Mlp: expected no condition, found a condition");
}

/// Widths and batches of conditions are checked where data enters; no layer sees them.
#[test]
fn conditions_that_do_not_fit_are_named() {
    let device = Device::flex();
    let flow = RealNvpConfig::new(3).with_d_context(Some(2)).init_given(&device).without_data();
    let expected = ShapeError::ConditionShape { layer: "Mlp", expected: vec![4, 2], found: vec![4, 5] };
    let error = flow.given(&zeros([4, 5])).evaluate(zeros([4, 3])).unwrap_err();
    assert!(matches!(&error, FlowError::Shape(error) if *error == expected), "{error}");
    assert_eq!(error.to_string(), "Mlp: expected a condition of shape [4, 2], found [4, 5]");
    let message = |error: FlowError| error.to_string();
    let batch = flow.given(&zeros([3, 2])).evaluate(zeros([4, 3])).unwrap_err();
    assert_eq!(message(batch), "Mlp: expected a condition of shape [4, 2], found [3, 2]");
    let samples = flow.given(&zeros([4, 2])).sample(7).unwrap_err();
    assert_eq!(message(samples), "Mlp: expected a condition of shape [7, 2], found [4, 2]");
    let start = RealNvpConfig::new(3).with_d_context(Some(2)).init_given(&device);
    let start = start.initialize_given(zeros([4, 3]), &zeros([4, 3])).unwrap_err();
    assert_eq!(message(start), "Mlp: expected a condition of shape [4, 2], found [4, 3]");
    let none = RealNvpConfig::new(3).with_d_context(Some(2)).try_init(&device).unwrap_err();
    assert_eq!(none.to_string(), "Mlp: expected a condition, found no condition");
    let maf = MafConfig::new(3).with_d_context(Some(2)).init_given(&device).without_data();
    let error = maf.given(&zeros([4, 1])).evaluate(zeros([4, 3])).unwrap_err();
    assert_eq!(message(error), "Made: expected a condition of shape [4, 2], found [4, 1]");
}

/// Every composition passes a condition's shape on to its members.
#[test]
fn conditions_are_checked_inside_of_compositions() {
    let device = Device::flex();
    let law = affine();
    let coupling = || {
        let net = ResNetConfig::new(1, 1, law.n_params()).with_d_context(Some(2)).init(&device);
        CouplingConfig::new().init(law.clone(), net)
    };
    let wrong = zeros([4, 3]);
    let expected = "ResNet: expected a condition of shape [4, 2], found [4, 3]";
    let check = |what: &str, result: Result<[usize; 2], ShapeError>| {
        assert_eq!(result.expect_err(what).to_string(), expected, "{what}");
    };
    check("coupling", coupling().output_shape_given([4, 2], &wrong));
    check("tuple", (coupling(), coupling()).output_shape_given([4, 2], &wrong));
    check("Vec", vec![coupling()].output_shape_given([4, 2], &wrong));
    check("Option", Some(coupling()).output_shape_given([4, 2], &wrong));
    check("Invert", Invert::new(coupling()).output_shape_given([4, 2], &wrong));
    check("box", flowkit::BoxBijector::new(coupling()).output_shape_given([4, 2], &wrong));

    let image_of = |half: usize, n_context: usize| {
        let net = ConvResNetConfig::new(half, half, law.n_params()).with_n_filters(2).with_n_blocks(1);
        CouplingConfig::new().init(law.clone(), net.with_n_context(Some(n_context)).init(&device))
    };
    let image = || image_of(1, 2);
    let gated = GatedNetConfig::new([1, 2, 2], law.n_params(), 4, 1).with_n_context(Some(2)).init(&device);
    let gated = CouplingConfig::new().with_kept(Half::Second).init(law.clone(), gated);
    let message = |result: Result<[usize; 4], ShapeError>| result.unwrap_err().to_string();
    let vector = "ConvResNet: expected a condition of shape [4, 2, 1, 1], found [4, 3, 1, 1]";
    let map = "ConvResNet: expected a condition of shape [4, 2, 2, 2], found [4, 2, 3, 2]";
    assert_eq!(message(image().output_shape_given([4, 2, 2, 2], &wrong)), vector);
    assert_eq!(message(image().output_shape_given([4, 2, 2, 2], &zeros([4, 2, 3, 2]))), map);
    let gated_says = |text: &str| text.replace("ConvResNet", "GatedNet");
    assert_eq!(message(gated.output_shape_given([4, 2, 2, 2], &wrong)), gated_says(vector));
    assert_eq!(message(gated.output_shape_given([4, 2, 2, 2], &zeros([4, 2, 3, 2]))), gated_says(map));
    // The first level takes it, the second does not.
    let scales = MultiScale::new(vec![image_of(2, 3), image()]);
    assert_eq!(message(scales.output_shape_given([4, 4, 4, 4], &wrong)), vector);

    // A bound's flow is asked too.
    let levels = Tensor::<4, burn::tensor::Int>::zeros([4, 2, 2, 2], &device);
    let dequantization = UniformDequantizationConfig::new().init();
    let bound = Flow::<_, _, 4, Tensor<2>>::new_given(image(), StandardNormal::new(), [1, 2, 2, 2])
        .map(|flow| flow.behind(dequantization));
    let bound = bound.unwrap().without_data();
    assert_eq!(bound.given(&wrong).evaluate(levels).unwrap_err().to_string(), vector);
}

/// A call of a layer itself panics with the same words.
#[test]
fn a_layer_that_is_called_with_a_wrong_condition_says_so() {
    let device = Device::flex();
    let net = MadeConfig::new(2, 2).with_d_context(Some(3)).init(&device);
    let layer = MaskedAutoregressive::new(affine(), net);
    let panic = catch_unwind(AssertUnwindSafe(|| layer.forward(zeros([1, 2]), &zeros([1, 2])))).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert_eq!(text, "Made: expected a condition of shape [1, 3], found [1, 2]");
    let panic = catch_unwind(|| TwoMoons::new(2, 0.0, 0)).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("`noise` must lie in [0.02, 1e18], found 0"));
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
            serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
        assert!(report["test_nats"].as_f64().unwrap() < report["true_nats"].as_f64().unwrap());
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
