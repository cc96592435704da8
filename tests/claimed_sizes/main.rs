//! In a configuration a huge size is as short as a small one: whatever sizes a file claims, reading
//! it takes little memory and little time, and ends with a valid configuration or with an error.

mod cases;
#[path = "../common/configurations.rs"]
#[allow(dead_code)]
mod configurations;
mod counting;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::model::RealNvpConfig;
use flowkit::model::flow_plus_plus::{FlowPlusPlusConfig, FlowPlusPlusPreset};
use flowkit::model::glow::{GlowConfig, GlowPreset};
use flowkit::tensor::limit::{MOST_PARAMETERS, MOST_REPEATS};
use flowkit::train::{Checkpoint, CheckpointError, Trainer, TrainerConfig};
use flowkit::{
    ConfigError, Half, LayerConfig, Mask, MaskedCouplingConfig, MlpConfig, NetConfig, NetSite,
    Site, Uninit, ZeroConvConfig,
};
use serde_json::{Value, json};

use cases::Case;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// What reading a configuration may ask for, that of making a small module included.
const BYTES: usize = 64 << 20;

/// No value takes longer, on a machine however busy: what loops over a size takes years.
const PATIENCE: Duration = Duration::from_secs(20);

fn extremes() -> Vec<Value> {
    let mut values: Vec<Value> = [
        0,
        1,
        2,
        7,
        1 << 16,
        (1 << 16) + 1,
        1 << 20,
        1 << 24,
        1 << 31,
        1 << 32,
        1 << 40,
        1 << 53,
        1 << 63,
        u64::MAX,
    ]
    .map(Value::from)
    .to_vec();
    values.extend([json!(-1), json!(1e300), json!(-1e300), json!(1e-300), json!(0.5), json!(-0.0)]);
    // What serde_json writes for a NaN.
    values.push(Value::Null);
    values
}

/// Pointers to every number, and to every `null`, where a number may stand too.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) | Value::Null => found.push(path.to_owned()),
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, item)| numbers(item, &format!("{path}/{index}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, item)| numbers(item, &format!("{path}/{name}"), found))
        }
        Value::Bool(_) | Value::String(_) => {}
    }
}

/// Reads a changed configuration.
fn read(case: &Case, changes: &[(&str, &Value)]) -> Result<usize, String> {
    let mut json = case.json.clone();
    for (path, value) in changes {
        *json.pointer_mut(path).unwrap() = (*value).clone();
    }
    let started = Instant::now();
    let (outcome, bytes) = counting::bytes(|| catch_unwind(AssertUnwindSafe(|| (case.read)(json))));
    let outcome = outcome.unwrap_or_else(|_| panic!("{} panicked at {changes:?}", case.name));
    assert!(bytes <= BYTES, "{} asked for {bytes} bytes at {changes:?}: {outcome:?}", case.name);
    assert!(
        started.elapsed() < PATIENCE,
        "{} took {:?} at {changes:?}",
        case.name,
        started.elapsed()
    );
    match &outcome {
        Ok(count) => assert!(*count <= MOST_PARAMETERS, "{} states {count} parameters", case.name),
        Err(reason) => assert!(!reason.is_empty()),
    }
    outcome
}

/// Every number of every configuration, replaced by extremes. Returns how many were valid, and how
/// many were not.
fn replace_each(cases: &[Case]) -> [usize; 2] {
    let mut outcomes = [0, 0];
    for case in cases {
        read(case, &[]).unwrap_or_else(|reason| panic!("{}: {reason}", case.name));
        let mut paths = Vec::new();
        numbers(&case.json, "", &mut paths);
        for path in &paths {
            for value in &extremes() {
                outcomes[usize::from(read(case, &[(path, value)]).is_err())] += 1;
            }
        }
    }
    outcomes
}

/// Two numbers at a time: each may be legal alone.
fn replace_pairs(cases: &[Case]) {
    let values = [1u64, 1 << 12, 1 << 16, 1 << 24, 1 << 40, u64::MAX].map(Value::from);
    for case in cases {
        let mut paths = Vec::new();
        numbers(&case.json, "", &mut paths);
        for (index, first) in paths.iter().enumerate() {
            for second in &paths[index + 1..] {
                for (left, right) in
                    values.iter().flat_map(|left| values.iter().map(move |right| (left, right)))
                {
                    let _ = read(case, &[(first, left), (second, right)]);
                }
            }
        }
    }
}

#[test]
fn models_believe_no_size() {
    let [valid, refused] = replace_each(&cases::models());
    assert!(valid > 500 && refused > 2000, "{valid} {refused}");
}

#[test]
fn networks_believe_no_size() {
    let cases = cases::networks();
    let [valid, refused] = replace_each(&cases);
    assert!(valid > 300 && refused > 500, "{valid} {refused}");
    replace_pairs(&cases);
}

#[test]
fn blocks_and_laws_believe_no_size() {
    let cases = cases::blocks();
    let [valid, refused] = replace_each(&cases);
    assert!(valid > 100 && refused > 200, "{valid} {refused}");
    replace_pairs(&cases);
    replace_pairs(&cases::laws_and_training());
}

#[test]
fn training_believes_no_size() {
    let [valid, refused] = replace_each(&cases::laws_and_training());
    assert!(valid > 100 && refused > 100, "{valid} {refused}");
}

/// Too large to be made by the cases above: the released models are made here, with lazy
/// parameters.
#[test]
fn the_released_models_have_as_many_parameters_as_they_state() {
    let device = Device::default();
    for preset in FlowPlusPlusPreset::ALL {
        let config = preset.model();
        assert_eq!(
            config.num_params().unwrap(),
            config.build(&device).unwrap().num_params(),
            "{preset}"
        );
    }
    for config in [FlowPlusPlusConfig::cifar10_uniform(), FlowPlusPlusConfig::cifar10_affine()] {
        assert_eq!(config.num_params().unwrap(), config.build(&device).unwrap().num_params());
    }
    for preset in GlowPreset::ALL {
        let config = preset.model();
        assert_eq!(
            config.num_params().unwrap(),
            config.build(&device).unwrap().num_params(),
            "{preset}"
        );
    }
}

/// What the sizes of a mask come to, against a count of its elements.
#[test]
fn a_mask_is_judged_as_if_it_were_counted() {
    for shape in
        [[1, 1, 1], [4, 1, 1], [5, 1, 1], [1, 3, 1], [2, 3, 1], [3, 3, 3], [1, 2, 3], [2, 1, 1]]
    {
        for identity in [Half::First, Half::Second] {
            let positions: usize = shape[1..].iter().product();
            let total = shape[0] * positions;
            let parity = |mut element: usize| {
                element %= positions;
                shape[1..].iter().rev().fold(0, |sum, length| {
                    let place = element % length;
                    element /= length;
                    sum + place
                })
            };
            let alternating =
                (0..total).filter(|element| (element / positions).is_multiple_of(2)).count();
            let checkerboard = (0..total).filter(|element| parity(*element) % 2 == 0).count();
            for (mask, first) in
                [(Mask::Alternating, alternating), (Mask::Checkerboard, checkerboard)]
            {
                let count = if identity == Half::First { first } else { total - first };
                let (law, net) = (AffineConfig::new(AffineForm::Additive), ZeroConvConfig::new());
                let config =
                    MaskedCouplingConfig::new(law, net, mask.clone()).with_identity(identity);
                let [c, h, w] = shape;
                let found =
                    config.plan(&Site::<4>::new([1, c, h, w], &Device::default())).map(|_| ());
                let expected = if count == 0 || count == total {
                    Err(ConfigError::OneSided {
                        config: "MaskedCouplingConfig",
                        identity: count,
                        total,
                    })
                } else {
                    Ok(())
                };
                assert_eq!(found, expected, "{shape:?} {mask:?} {identity:?}");
            }
        }
    }
}

#[test]
fn errors_name_the_size() {
    let error = FlowPlusPlusConfig::tiny().with_n_filters(1 << 20).validate().unwrap_err();
    assert!(error.to_string().contains("`n_filters` = 1048576"), "{error}");
    let error = GlowConfig::tiny().with_n_filters(1 << 62).validate().unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { field: "n_filters", .. }), "{error}");
    let error = RealNvpConfig::new(3_000_000).plan(&plane(&Device::default())).unwrap_err();
    let expected = ConfigError::TooLarge {
        config: "RealNvpConfig",
        field: "n_couplings",
        most: MOST_REPEATS,
        found: 3_000_000,
    };
    assert_eq!(error, expected);
}

/// Where layers for points of a plane are built.
fn plane(device: &Device) -> Site<2> {
    Site::new([1, 2], device)
}

/// A checkpoint of a few numbers whose configuration claims many.
#[test]
fn what_a_file_cannot_hold_is_refused_before_it_is_made() {
    let device = Device::default();
    let config = RealNvpConfig::new(1).with_hidden(vec![2]);
    let mut checkpoint = Checkpoint::new(Default::default()).unwrap();
    checkpoint.insert("model", &config.build(&plane(&device)).unwrap()).unwrap();
    let stated = config.plan(&plane(&device)).unwrap().num_params;
    checkpoint.expect_params("model", stated).unwrap();
    let many = RealNvpConfig::new(60_000).with_hidden(vec![2]);
    for claim in [many, config.with_hidden(vec![1 << 19, 1 << 19])] {
        let stated = claim.plan(&plane(&device)).unwrap().num_params;
        let (error, bytes) =
            counting::bytes(|| checkpoint.expect_params("model", stated).unwrap_err());
        assert!(
            matches!(error, CheckpointError::OtherSize { expected, .. } if expected == stated),
            "{error}"
        );
        assert!(bytes < 1 << 16, "{bytes}");
    }
    assert!(matches!(
        checkpoint.num_params("average"),
        Err(CheckpointError::MissingSection { .. })
    ));
}

/// A lazy parameter has a shape before it has values: those that do not fit the file are never
/// drawn.
#[test]
fn nothing_is_drawn_for_a_model_that_does_not_fit() {
    let device = Device::default().autodiff();
    let site = NetSite::new([1, 1], [1, 1], vec![0.0; 2], &device);
    let net = |width| MlpConfig::new([width, width]).build(&site).unwrap();
    let trainer = Trainer::new(net(4), TrainerConfig::new()).unwrap();
    let checkpoint = trainer.checkpoint(Default::default()).unwrap();
    // 256 MiB in float32, if they were drawn.
    let large = || Uninit::new(net(1 << 13));
    let (error, bytes) =
        counting::bytes(|| Trainer::resume(&checkpoint, large()).map(|_| ()).unwrap_err());
    assert!(matches!(error, CheckpointError::ShapeMismatch { .. }), "{error}");
    assert!(bytes < 4 << 20, "resuming asked for {bytes} bytes");
    let (error, bytes) =
        counting::bytes(|| Trainer::load_average(&checkpoint, large()).map(|_| ()).unwrap_err());
    assert!(matches!(error, CheckpointError::ShapeMismatch { .. }), "{error}");
    assert!(bytes < 4 << 20, "loading the average asked for {bytes} bytes");
}
