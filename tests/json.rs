//! Configurations in JSON: what a file may leave out, what it must not hold, and that it comes
//! back.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flowkit::law::{AnyLawConfig, MixLogCdfConfig};
use flowkit::train::{
    EmaDecay, FitConfig, LossScale, NonFinite, OptimizerConfig, Precision, Schedule, TrainerConfig,
};
use flowkit::{
    ActNormConfig, AnyLayerConfig, AnyNetConfig, Conv1x1Config, CouplingConfig, GradientMemory,
    LayerConfig, LogitConfig, ResNetConfig, Site,
};
use serde_json::{Map, Value};

#[path = "common/configurations.rs"]
#[allow(dead_code)]
mod configurations;

use configurations::{Example, layers, models, networks, parts, plain};

fn cases() -> Vec<Example> {
    [layers(), parts(), networks(), models(), training()].into_iter().flatten().collect()
}

fn training() -> Vec<Example> {
    let adamax = OptimizerConfig::Adamax { beta_2: 0.9 };
    vec![
        plain("FitConfig", FitConfig::new(), &[], FitConfig::validate),
        plain("TrainerConfig", TrainerConfig::new(), &[], TrainerConfig::validate),
        plain("OptimizerConfig", adamax, &["Adamax"], |config| config.validate()),
    ]
}

/// Configurations of training in which every choice has fields of its own.
fn choices() -> Vec<Example> {
    let reversible = GradientMemory::Reversible { tolerance: 1e-3 };
    let fit = FitConfig::new()
        .with_schedule(Schedule::Cosine { start: 3, end: 9, floor: 0.1 }.into())
        .with_optimizer(OptimizerConfig::Adamax { beta_2: 0.9 })
        .with_precision(Precision::F16(LossScale::Dynamic { exponent: 3, growth: 5 }))
        .with_gradient_memory(reversible);
    let trainer = TrainerConfig::new()
        .with_schedule(Schedule::Exponential { start: 3, decay: 0.9, floor: 0.1 })
        .with_precision(Precision::F16(LossScale::Fixed { exponent: 3 }))
        .with_non_finite(NonFinite::Skip { at_most: 2 })
        .with_ema(EmaDecay::Constant(0.5));
    vec![
        plain("FitConfig", fit, &[], FitConfig::validate),
        plain("TrainerConfig", trainer, &[], TrainerConfig::validate),
    ]
}

fn read(case: &Example, json: &Value) -> Result<Value, String> {
    // From text, as a file is read.
    (case.read)(json.to_string().as_bytes()).map(|config| config.json())
}

fn fields(json: &Value) -> &Map<String, Value> {
    json.as_object().expect("a configuration is an object")
}

fn without<'a>(json: &Value, names: impl IntoIterator<Item = &'a String>) -> Value {
    let mut rest = fields(json).clone();
    names.into_iter().for_each(|name| assert!(rest.remove(name).is_some()));
    Value::Object(rest)
}

#[test]
fn a_field_that_is_left_out_has_its_default_or_is_named() {
    for case in cases() {
        let Example { name, json, required, .. } = &case;
        let read = |json: &Value| read(&case, json);
        assert_eq!(read(json).as_ref(), Ok(json), "{name} comes back");
        let optional: Vec<&String> =
            fields(json).keys().filter(|key| !required.contains(&key.as_str())).collect();
        assert_eq!(optional.len() + required.len(), fields(json).len(), "{name}");
        assert_eq!(read(&without(json, optional.clone())).as_ref(), Ok(json), "{name}");
        for field in optional {
            assert_eq!(read(&without(json, [field])).as_ref(), Ok(json), "{name}.{field}");
        }
        // A variant of an enum is no field.
        for field in required.iter().filter(|field| field.starts_with(char::is_lowercase)) {
            let error = read(&without(json, [&(*field).to_owned()])).unwrap_err();
            assert!(error.contains(&format!("missing field `{field}`")), "{name}: {error}");
        }
    }
}

/// The document with one field more in one of its objects, for each of them. A variant of an enum
/// is an object of one member with a capital letter, whose fields are within.
fn misspelt(json: &Value) -> Vec<Value> {
    let within = |key: &Value, put: &dyn Fn(Value) -> Value| {
        misspelt(key).into_iter().map(put).collect::<Vec<_>>()
    };
    match json {
        Value::Object(members) => {
            let is_variant =
                members.len() == 1 && members.keys().all(|key| key.starts_with(char::is_uppercase));
            let mut found = Vec::new();
            if !is_variant {
                let mut more = members.clone();
                more.insert("mispelt".into(), Value::Null);
                found.push(Value::Object(more));
            }
            for (key, value) in members {
                found.extend(within(value, &|value| {
                    let mut changed = members.clone();
                    changed.insert(key.clone(), value);
                    Value::Object(changed)
                }));
            }
            found
        }
        Value::Array(members) => members
            .iter()
            .enumerate()
            .flat_map(|(index, value)| {
                within(value, &|value| {
                    let mut changed = members.clone();
                    changed[index] = value;
                    Value::Array(changed)
                })
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn an_unknown_field_is_named_wherever_it_is() {
    for case in cases().into_iter().chain(choices()) {
        let documents = misspelt(&case.json);
        assert!(!documents.is_empty(), "{}", case.name);
        for document in documents {
            let error = read(&case, &document).expect_err(&document.to_string());
            let name = case.name;
            assert!(error.contains("unknown field `mispelt`"), "{name}: {error}");
        }
    }
}

#[test]
fn a_field_that_occurs_twice_and_an_unknown_layer_are_named() {
    let read = serde_json::from_str::<ActNormConfig>;
    let error = read(r#"{"constant": "Error", "constant": "Bounded"}"#).unwrap_err().to_string();
    assert!(error.contains("duplicate field `constant`"), "{error}");
    let twice = serde_json::from_str::<FitConfig>(r#"{"epochs": 5, "epochs": 6}"#).unwrap_err();
    assert!(twice.to_string().contains("duplicate field `epochs`"), "{twice}");
    let error = read("[1.0]").unwrap_err().to_string();
    assert!(error.contains("expected the fields of ActNormConfig"), "{error}");
    let error = serde_json::from_str::<AnyLayerConfig>(r#"{"ActNrom": {}}"#).unwrap_err();
    assert!(error.to_string().contains("unknown variant `ActNrom`, expected one of `ActNorm`"));
}

/// What has nothing but defaults is its name alone, or its name with an object without fields.
#[test]
fn a_variant_of_defaults_has_two_forms() {
    fn both<T: serde::de::DeserializeOwned + serde::Serialize>(name: &str) -> Value {
        let [alone, object] = [format!("\"{name}\""), format!("{{\"{name}\": {{}}}}")]
            .map(|text| serde_json::to_value(serde_json::from_str::<T>(&text).unwrap()).unwrap());
        assert_eq!(alone, object, "{name}");
        alone
    }
    assert_eq!(both::<AnyLayerConfig>("Swap"), Value::from("Swap"));
    let norm = serde_json::to_value(AnyLayerConfig::ActNorm(ActNormConfig::new())).unwrap();
    assert_eq!(both::<AnyLayerConfig>("ActNorm"), norm);
    let net = serde_json::to_value(AnyNetConfig::from(ResNetConfig::new())).unwrap();
    assert_eq!(both::<AnyNetConfig>("ResNet"), net);
    let inverse: AnyLayerConfig = serde_json::from_str(r#"{"Invert": "LeakyRelu"}"#).unwrap();
    assert!(matches!(inverse, AnyLayerConfig::Invert(_)));

    fn error<T: serde::de::DeserializeOwned>(text: &str) -> String {
        serde_json::from_str::<T>(text).map(|_| ()).expect_err(text).to_string()
    }
    let layer = error::<AnyLayerConfig>;
    for (text, start) in [
        (r#"{"Swap": {"n": 1}}"#, "unknown field `n`, there are no fields"),
        (r#"{"Swap": 1}"#, "invalid type: integer `1`, expected no fields"),
        (r#""Squeeze""#, "missing field `"),
        (r#""Stack""#, "invalid type: map, expected a sequence"),
        (r#""Invert""#, "expected a variant of AnyLayerConfig, found no name"),
        ("{}", "expected a variant of AnyLayerConfig, found no name"),
        ("1", "invalid type: integer `1`, expected a variant of AnyLayerConfig"),
        (
            r#"{"Swap": {}, "Exp": {}}"#,
            "expected one variant of AnyLayerConfig, found `Swap` and `Exp`",
        ),
    ] {
        assert!(layer(text).starts_with(start), "{text}: {}", layer(text));
    }
    let law = error::<AnyLawConfig>(r#""MixLogCdf""#);
    assert!(law.starts_with("missing field `n_components`"), "{law}");
}

/// `null` is a value of an optional number, and no missing field.
#[test]
fn null_is_none() {
    let mixture: MixLogCdfConfig =
        serde_json::from_str(r#"{"n_components": 2, "max_log_scale": null}"#).unwrap();
    assert_eq!(mixture.max_log_scale, None);
    let mixture: MixLogCdfConfig = serde_json::from_str(r#"{"n_components": 2}"#).unwrap();
    assert_eq!(mixture.max_log_scale, Some(7.0));
}

/// A stack that a user writes: only what is chosen.
#[test]
fn a_short_file_makes_a_stack() {
    let text = r#"[{"ActNorm": {}}, {"Conv1x1": {}}, {"Logit": {"margin": 0.1}},
        {"Coupling": {"law": {"MixLogCdf": {"n_components": 3}}, "net": {"ResNet": {}}}}]"#;
    let layers: Vec<AnyLayerConfig> = serde_json::from_str(text).unwrap();
    let whole = vec![
        AnyLayerConfig::ActNorm(ActNormConfig::new()),
        AnyLayerConfig::Conv1x1(Conv1x1Config::new()),
        AnyLayerConfig::Logit(LogitConfig::new().with_margin(0.1)),
        AnyLayerConfig::Coupling(CouplingConfig::new(
            MixLogCdfConfig::new(3).into(),
            ResNetConfig::new().into(),
        )),
    ];
    assert_eq!(serde_json::to_value(&layers).unwrap(), serde_json::to_value(whole).unwrap());
    assert!(layers.build(&Site::<2>::new([1, 4], &Device::flex())).is_ok());
}

/// A fit that a user writes: only what is chosen, and a misspelt field is named.
#[test]
fn a_short_file_makes_a_fit() {
    let fit: FitConfig = serde_json::from_str(r#"{"epochs": 5}"#).unwrap();
    assert_eq!(fit, FitConfig::new().with_epochs(5));
    let error = serde_json::from_str::<FitConfig>(r#"{"patiense": 3}"#).unwrap_err().to_string();
    assert!(error.contains("unknown field `patiense`, expected one of `epochs`"), "{error}");
    let text = r#"{"optimizer": {"Adamax": {}}}"#;
    let error = serde_json::from_str::<FitConfig>(text).unwrap_err().to_string();
    assert!(error.contains("missing field `beta_2`"), "{error}");
}

/// A rule that a fit takes from its trainer names the configuration that the user made.
#[test]
fn a_broken_rule_names_the_configuration_of_the_user() {
    let fit = FitConfig::new();
    let memory = GradientMemory::Reversible { tolerance: f64::NAN };
    for (fit, field) in [
        (fit.clone().with_learning_rate(f64::INFINITY), "learning_rate"),
        (fit.clone().with_max_norm(0.0), "max_norm"),
        (fit.with_gradient_memory(memory), "gradient_memory.tolerance"),
    ] {
        let error = fit.validate().unwrap_err().to_string();
        assert!(error.starts_with(&format!("FitConfig: `{field}` must lie in (0, ∞)")), "{error}");
    }
    let error = TrainerConfig::new().with_learning_rate(f64::INFINITY).validate().unwrap_err();
    assert!(error.to_string().starts_with("TrainerConfig: `learning_rate`"), "{error}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_table_is_complete() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"), &mut files);
    let mut named = BTreeSet::new();
    for text in files.iter().map(|file| fs::read_to_string(file).unwrap()) {
        for line in text.lines() {
            let rest = line.trim_start();
            let Some(rest) = rest.strip_prefix("pub struct ").or(rest.strip_prefix("pub enum "))
            else {
                continue;
            };
            let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            if name.ends_with("Config") {
                named.insert(name);
            }
        }
    }
    // A variant of Flow++ whose fields are those of `VariationalConfig`.
    named.remove("DequantizationConfig");
    let table: BTreeSet<String> = cases().iter().map(|case| case.name.to_owned()).collect();
    let missing: Vec<&String> = named.difference(&table).collect();
    assert!(named.len() > 40 && missing.is_empty(), "{missing:?}");
}
