//! The diagnosis names the layer that is to blame, and its parts sum to the whole.

#[path = "common/build.rs"]
mod build;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor};
use flowkit::flow::diagnose::diagnose;
use flowkit::law::MixLogCdfConfig;
use flowkit::model::flow_plus_plus::{
    DequantizationConfig, EncoderBlock, FlowPlusPlusConfig, NoiseMixing, Resolution, StageConfig,
    VariationalConfig,
};
use flowkit::testing::elements::{device_rng, elements, normal, tensor};
use flowkit::testing::parameters::change;
use flowkit::{
    ActNorm, ActNormConfig, Bijector, BoxBijector, Context, ContextShape, Conv1x1Config,
    CouplingConfig, Density, Diagnosis, DiagnosisConfig, Flow, FlowError, GatedNetConfig, Half,
    LayerConfig, LayerDiagnosis, MlpConfig, Pattern, ShapeError, ShapeMap, Site, StandardNormal,
};

fn device() -> Device {
    Device::flex()
}

fn norm(log_scale: [f32; 4]) -> ActNorm<2> {
    let mut norm = build::layer(&ActNormConfig::new(), [1, 4], &device());
    norm.log_scale = Param::from_data([log_scale], &device());
    norm
}

fn batch(examples: usize) -> Tensor<2> {
    tensor(normal(1, 4 * examples, 1.0), [examples, 4], DType::F32, &device())
}

fn layer<'a>(diagnosis: &'a Diagnosis, path: &str) -> &'a LayerDiagnosis {
    let found = diagnosis.layers.iter().find(|layer| layer.path == path);
    found.unwrap_or_else(|| panic!("no {path} in\n{diagnosis}"))
}

/// Two mixing couplings between norms, with random parameters.
fn stack() -> Vec<BoxBijector<2>> {
    let _guard = device_rng();
    device().seed(3);
    let coupling = |identity| {
        let config = CouplingConfig::new(MixLogCdfConfig::new(3), MlpConfig::new([6]))
            .with_identity(identity);
        config.build(&Site::new([1, 4], &device())).unwrap()
    };
    let layers = vec![
        BoxBijector::new((norm([0.1; 4]), build::layer(&Conv1x1Config::new(), [1, 4], &device()))),
        BoxBijector::new(coupling(Half::First)),
        BoxBijector::new(norm([-0.2, 0.3, 0.0, 0.1])),
        BoxBijector::new(coupling(Half::Second)),
    ];
    change(layers, DType::F32, |index, old| {
        old.iter()
            .zip(normal(index as u64, old.len(), 0.2))
            .map(|(old, noise)| old + noise)
            .collect()
    })
}

#[test]
fn shares_sum_to_the_whole() {
    let flow = Flow::new(stack(), StandardNormal::new(), [1, 4]).unwrap().without_data();
    let x = batch(16);
    let diagnosis = flow.diagnose(x.clone()).unwrap();
    println!("{diagnosis}");
    let (z, log_det) = flow.bijector.forward(x.clone(), &());
    let log_det = elements(&log_det).iter().sum::<f64>() / 16.0;
    assert!(
        (diagnosis.log_det() - log_det).abs() < 1e-5 * (1.0 + log_det.abs()),
        "{} {log_det}",
        diagnosis.log_det()
    );
    let paths: Vec<_> =
        diagnosis.layers.iter().map(|l| (l.path.as_str(), l.layer.as_str())).collect();
    let expected = [
        ("bijector.0.0", "ActNorm"),
        ("bijector.0.1", "Conv1x1"),
        ("bijector.1", "Coupling"),
        ("bijector.2", "ActNorm"),
        ("bijector.3", "Coupling"),
    ];
    assert_eq!(paths, expected);
    // The error at the first layer's input is that of the whole.
    let whole = elements(&(flow.bijector.inverse(z, &()) - x))
        .into_iter()
        .fold(0.0f64, |most, e| most.max(e.abs()));
    assert_eq!(diagnosis.layers[0].accumulated.max, whole);
    assert_eq!(diagnosis.layers[4].accumulated, diagnosis.layers[4].own);
    assert!(
        diagnosis.layers.iter().skip(1).all(|layer| !layer.starts_chain)
            && diagnosis.layers[0].starts_chain
    );
    assert!(
        diagnosis
            .layers
            .iter()
            .all(|layer| layer.own.max < 1e-4 && layer.non_finite == 0 && layer.input_finite)
    );
    assert!(
        diagnosis
            .layers
            .iter()
            .all(|layer| layer.forward_seconds > 0.0 && layer.inverse_seconds > 0.0)
    );
    assert_eq!(diagnosis.first_non_finite(), None);
}

/// The singular values of a diagonal map are its scales.
#[test]
fn an_ill_conditioned_layer_stands_out() {
    let layers = vec![norm([0.0; 4]), norm([6.0, 0.5, -0.5, -7.0]), norm([0.1, 0.0, 0.0, -0.1])];
    let diagnosis = diagnose(&DiagnosisConfig::new(), &layers, batch(5), &()).unwrap();
    let worst = diagnosis.worst_conditioned().unwrap();
    assert_eq!((worst.path.as_str(), worst.layer.as_str()), ("1", "ActNorm"));
    assert!(
        (worst.log_scale.max - 6.0).abs() < 1e-3 && (worst.log_scale.min + 7.0).abs() < 1e-3,
        "{worst:?}"
    );
    assert!((worst.condition_number.ln() - 13.0).abs() < 2e-3, "{worst:?}");
    let identity = layer(&diagnosis, "0");
    assert!(
        (identity.condition_number - 1.0).abs() < 1e-5 && identity.log_scale.max.abs() < 1e-5,
        "{identity:?}"
    );
    assert!(
        diagnosis.to_string().contains("worst conditioned     1 ActNorm, 4.4e5"),
        "{diagnosis}"
    );
    let none =
        diagnose(&DiagnosisConfig::new().with_power_steps(0), &layers, batch(5), &()).unwrap();
    assert!(none.worst_conditioned().is_none() && none.layers[1].condition_number.is_nan());
}

/// Singular values of a matrix in a coupling's place: against those of its Jacobian by an SVD.
#[test]
fn singular_values_are_those_of_the_jacobian() {
    let flow = stack();
    let x = batch(1);
    let config = DiagnosisConfig::new().with_depth(Some(1)).with_power_steps(60);
    let diagnosis = diagnose(&config, &flow, x.clone(), &()).unwrap();
    for (index, member) in diagnosis.layers.iter().enumerate() {
        let before = flow[..index].iter().fold(x.clone(), |x, layer| layer.forward(x, &()).0);
        let rows: Vec<f64> = (0..4)
            .flat_map(|row| {
                let leaf = Tensor::<2>::from_inner(before.clone()).require_grad();
                let found =
                    flow[index].forward(leaf.clone(), &()).0.narrow(1, row, 1).sum().backward();
                elements(&leaf.grad(&found).unwrap())
            })
            .collect();
        let exact = nalgebra::DMatrix::from_row_slice(4, 4, &rows).singular_values();
        let (high, low) = (exact.max().ln(), exact.min().ln());
        assert!(
            (member.log_scale.max - high).abs() < 1e-2,
            "{index}: {} {high}",
            member.log_scale.max
        );
        assert!(
            (member.log_scale.min - low).abs() < 1e-2,
            "{index}: {} {low}",
            member.log_scale.min
        );
    }
}

/// `ln x`: NaN for the first negative number.
#[derive(Module, Debug)]
struct Broken {}

impl ShapeMap<2> for Broken {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        Ok(shape)
    }
}

impl<C: Context> Bijector<2, C> for Broken {
    type Driver = flowkit::Leaf;

    fn forward(&self, x: Tensor<2>, _: &C) -> (Tensor<2>, Tensor<1>) {
        let z = x.log();
        (z.clone(), z.neg().sum_dim(1).squeeze_dim::<1>(1))
    }
    fn inverse(&self, z: Tensor<2>, _: &C) -> Tensor<2> {
        z.exp()
    }
}

#[test]
fn the_layer_that_makes_nan_is_named() {
    let layers = (norm([0.0; 4]), (Broken {}, norm([1.0; 4])));
    let diagnosis = diagnose(&DiagnosisConfig::new(), &layers, batch(5), &()).unwrap();
    let first = diagnosis.first_non_finite().unwrap();
    assert_eq!((first.path.as_str(), first.layer.as_str()), ("1.0", "Broken"));
    assert!(first.non_finite > 0 && first.input_finite && first.condition_number.is_nan());
    // It stands in no need of a neighbour: what comes after is not to blame.
    assert!(!layer(&diagnosis, "1.1").input_finite);
    assert!(diagnosis.to_string().contains("first not finite      1.0 Broken"), "{diagnosis}");
    assert_eq!(diagnosis.least_exact().unwrap().path, "1.0");
}

#[test]
fn the_input_is_checked() {
    let flow = Flow::new(norm([0.0; 4]), StandardNormal::new(), [1, 4]).unwrap().without_data();
    let wrong = Tensor::<2>::zeros([2, 3], &device());
    assert!(matches!(flow.diagnose(wrong).unwrap_err(), FlowError::Shape(_)));
    let infinite = Tensor::<2>::full([2, 4], f32::INFINITY, &device());
    assert!(matches!(
        flow.diagnose(infinite).unwrap_err(),
        FlowError::NonFiniteInput { count: 8, .. }
    ));
    let config = DiagnosisConfig::new().with_depth(Some(0));
    let errors = [
        config.validate().unwrap_err().into(),
        flow.diagnose_with(&config, batch(2)).unwrap_err(),
        diagnose(&config, &flow.bijector, batch(2), &()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, FlowError::Config(_)), "{error}");
        assert_eq!(error.to_string(), "DiagnosisConfig: `depth` must be at least 1, found 0");
    }
}

#[test]
fn a_condition_is_passed_on() {
    let _guard = device_rng();
    let coupling = CouplingConfig::new(MixLogCdfConfig::new(2), MlpConfig::new([64, 64]));
    let coupling = coupling
        .build(&Site::<2>::described([1, 4], ContextShape::vector(Some(3)), &device()))
        .unwrap();
    let layers = (build::layer(&ActNormConfig::new(), [1, 4], &device()), coupling);
    let flow = Flow::<_, _, 2, Tensor<2>>::new_given(layers, StandardNormal::new(), [1, 4])
        .unwrap()
        .without_data();
    let context: Tensor<2> = tensor(normal(2, 9, 1.0), [3, 3], DType::F32, &device());
    let diagnosis = flow
        .given(&context)
        .diagnose_with(&DiagnosisConfig::new().with_probed_examples(3), batch(3))
        .unwrap();
    assert_eq!(diagnosis.layers[1].layer, "Coupling");
}

/// `z = x·exp(c)` for a condition `[batch, 1]`.
#[derive(Module, Debug)]
struct Stretch {}

impl ShapeMap<2> for Stretch {
    fn output_shape(&self, shape: [usize; 2]) -> Result<[usize; 2], ShapeError> {
        Ok(shape)
    }
}

impl Bijector<2, Tensor<2>> for Stretch {
    type Driver = flowkit::Leaf;

    fn forward(&self, x: Tensor<2>, context: &Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        assert_eq!(x.dims()[0], context.dims()[0], "a row of the condition for each example");
        (x * context.clone().exp(), context.clone().squeeze_dim::<1>(1).mul_scalar(4.0))
    }
    fn inverse(&self, z: Tensor<2>, context: &Tensor<2>) -> Tensor<2> {
        assert_eq!(z.dims()[0], context.dims()[0], "a row of the condition for each example");
        z * context.clone().neg().exp()
    }
}

/// Singular values are sought at the first examples, under their own conditions, however many there
/// are. Those of `Stretch` are `exp(c)`.
#[test]
fn the_condition_is_cut_along_with_the_batch() {
    let flow = Flow::<_, _, 2, Tensor<2>>::new_given(
        (Stretch {}, Stretch {}),
        StandardNormal::new(),
        [1, 4],
    );
    let flow = flow.unwrap().without_data();
    let c = |row: usize| (row * 5 % 13) as f32 * 0.125 - 0.5;
    for (n, probed) in [(1, 8), (8, 8), (9, 8), (30, 8), (30, 3), (5, 1), (30, 100)] {
        let rows: Vec<f32> = (0..n).map(c).collect();
        let context =
            Tensor::<2>::from_data(burn::tensor::TensorData::new(rows, [n, 1]), &device());
        let seen: Vec<f64> = (0..n.min(probed)).map(|row| f64::from(c(row))).collect();
        let high = seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let low = seen.iter().copied().fold(f64::INFINITY, f64::min);
        let mean = (0..n).map(|row| 4.0 * f64::from(c(row))).sum::<f64>() / n as f64;
        for (depth, layers) in [(None, 1.0), (Some(1), 2.0)] {
            let config = DiagnosisConfig::new().with_probed_examples(probed).with_depth(depth);
            let diagnosis = flow.given(&context).diagnose_with(&config, batch(n)).unwrap();
            let first = &diagnosis.layers[0];
            let found = (
                first.log_scale.max / layers,
                first.log_scale.min / layers,
                first.log_det / layers,
            );
            assert!((found.0 - high).abs() < 1e-4, "{n}, {probed}: {found:?} {high}");
            assert!((found.1 - low).abs() < 1e-4, "{n}, {probed}: {found:?} {low}");
            assert!((found.2 - mean).abs() < 1e-5, "{n}, {probed}: {found:?} {mean}");
            assert!((first.condition_number - 1.0).abs() < 1e-4, "{first:?}");
        }
        let config = DiagnosisConfig::new().with_probed_examples(probed);
        let alone = diagnose(&config, &flow.bijector, batch(n), &context).unwrap();
        assert!(
            (alone.layers[1].log_scale.max - high).abs() < 1e-4,
            "{n}, {probed}: {alone} {high}"
        );
        // Of one row, every example has its condition.
        let one =
            diagnose(&DiagnosisConfig::new(), &flow.bijector, batch(n), &context.narrow(0, 0, 1))
                .unwrap();
        assert!((one.layers[0].log_scale.max - f64::from(c(0))).abs() < 1e-4);
    }
}

/// More rows than are probed, with vectors, maps and pairs as conditions, of networks.
#[test]
fn conditions_of_every_kind_are_cut() {
    let _guard = device_rng();
    let n = 11;
    let maps: Tensor<4> = tensor(normal(5, n * 16, 1.0), [n, 1, 4, 4], DType::F32, &device());
    let vectors: Tensor<2> = tensor(normal(6, n * 2, 1.0), [n, 2], DType::F32, &device());
    fn check<C: flowkit::Features<4>>(context: &C) {
        let coupling = CouplingConfig::new(MixLogCdfConfig::new(2), GatedNetConfig::new(4, 1));
        let coupling = coupling.build(&Site::given([1, 2, 4, 4], context, &device())).unwrap();
        let flow = Flow::<_, _, 4, C>::new_given(coupling, StandardNormal::new(), [1, 2, 4, 4])
            .unwrap()
            .without_data();
        let x: Tensor<4> = tensor(normal(7, 11 * 32, 1.0), [11, 2, 4, 4], DType::F32, &device());
        let all = flow.given(context).diagnose(x.clone()).unwrap();
        let eight = flow.given(&context.rows(0..8)).diagnose(x.narrow(0, 0, 8)).unwrap();
        let (all, eight) = (&all.layers[0], &eight.layers[0]);
        assert!((all.log_scale.max - eight.log_scale.max).abs() < 1e-4, "{all:?} {eight:?}");
        assert!((all.log_scale.min - eight.log_scale.min).abs() < 1e-4, "{all:?} {eight:?}");
    }
    check(&maps);
    check(&vectors);
    check(&(maps.clone(), vectors.clone()));
    check(&((vectors.clone(), maps), vectors));
}

fn model() -> FlowPlusPlusConfig {
    let pattern = Pattern::Checkerboard;
    let noise = VariationalConfig {
        pattern,
        n_couplings: 1,
        n_filters: 4,
        n_blocks: 1,
        n_context: 2,
        mixing: NoiseMixing::AsFlow,
        n_encoder_blocks: 1,
        encoder_block: EncoderBlock::Conv,
    };
    let stages = vec![
        StageConfig { resolution: Resolution::Keep, pattern, n_couplings: 1 },
        StageConfig { resolution: Resolution::Squeeze, pattern: Pattern::Channels, n_couplings: 2 },
    ];
    FlowPlusPlusConfig::new([1, 4, 4], stages, DequantizationConfig::Variational(noise))
        .with_n_filters(4)
        .with_n_blocks(1)
}

fn levels() -> Tensor<4, Int> {
    let values: Vec<i64> = (0..4 * 16).map(|i| (i * 53 + i * i * 7) % 256).collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, [4, 1, 4, 4]), &device())
}

#[test]
fn a_whole_model_is_taken_apart_down_to_its_layers() {
    let _guard = device_rng();
    device().seed(4);
    let model = model().build(&device()).unwrap().initialize(levels()).unwrap();
    let diagnosis = model.diagnose(levels()).unwrap();
    println!("{diagnosis}");
    for kind in [
        "Logit",
        "Squeeze",
        "Partition",
        "PositionNorm",
        "ChannelMatrix",
        "Coupling",
        "Swap",
        "Sigmoid",
    ] {
        assert!(diagnosis.layers.iter().any(|layer| layer.layer == kind), "{kind}");
    }
    assert!(diagnosis.layers.iter().all(|layer| layer.non_finite == 0));
    // Two chains: the noise's layers, and the data's.
    assert_eq!(diagnosis.layers.iter().filter(|layer| layer.starts_chain).count(), 2);
    let start = layer(&diagnosis, "bijector.0");
    let (_, error) = model.round_trip(levels()).unwrap();
    assert!(
        start.starts_chain && start.layer == "Logit" && start.accumulated.max < 1e-4,
        "{error}"
    );

    let coarse = DiagnosisConfig::new().with_depth(Some(2)).with_power_steps(0);
    let coarse = model.diagnose_with(&coarse, levels()).unwrap();
    println!("{coarse}");
    assert!(coarse.layers.len() < diagnosis.layers.len() / 2);
    assert!(coarse.layers.iter().all(|layer| layer.path.split('.').count() <= 2));
    assert_eq!(layer(&coarse, "bijector.1").layer, "17 layers");
    let params =
        |diagnosis: &Diagnosis| diagnosis.layers.iter().map(|layer| layer.n_params).sum::<usize>();
    // The partition at the end of a stage is the one at its beginning, without parameters.
    assert_eq!(params(&coarse), params(&diagnosis));
}

#[test]
fn the_table_has_a_line_for_each_layer() {
    let layers = vec![norm([0.0; 4]), norm([1.0; 4])];
    let text = diagnose(&DiagnosisConfig::new(), &layers, batch(2), &()).unwrap().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[0].starts_with("path  layer    params  log_det  own error max/mean"), "{text}");
    assert!(lines[1].starts_with("0     ActNorm       8        0                 0/0"), "{text}");
    assert!(lines[2].starts_with("1     ActNorm       8     4.00 "), "{text}");
    assert_eq!(lines[3], "log_det of all layers 4.00 nats, mean of 2 examples");
    assert!(lines[2].contains(" 1.00..1.00 "), "{text}");
}

#[test]
fn it_serialises() {
    let diagnosis = diagnose(&DiagnosisConfig::new(), &norm([0.5; 4]), batch(2), &()).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&serde_json::to_string(&diagnosis).unwrap()).unwrap();
    assert_eq!(json["layers"][0]["layer"], "ActNorm");
    assert_eq!(json["layers"][0]["log_det"], 2.0);
    assert_eq!(json["examples"], 2);
}

#[test]
fn the_picture_is_an_svg() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layers.svg");
    let broken = (stack(), Broken {});
    diagnose(&DiagnosisConfig::new(), &broken, batch(4), &()).unwrap().plot(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"));
    for part in [
        "log-determinant, nats",
        "condition number, powers of 10",
        "accumulated from the latents",
        "0.0.1 Conv1x1",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let error = diagnose(&DiagnosisConfig::new(), &broken, batch(4), &())
        .unwrap()
        .plot(folder.path())
        .unwrap_err();
    assert!(error.to_string().contains(&folder.path().display().to_string()));
}
