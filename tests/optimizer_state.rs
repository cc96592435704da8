//! A checksum vouches for bytes, not for what they mean: a run resumes from the state of its own
//! optimizer, or names the part that does not belong to it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::module::Param;
use burn::tensor::{Bytes, DType, Device, Tensor};
use burn_pack::{Reader, Scalar, Tensor as Packed, Writer};
use flowkit::law::{AffineConfig, AffineForm};
use flowkit::model::{RealNvp, RealNvpConfig};
use flowkit::train::{
    Checkpoint, CheckpointError, Ema, EmaDecay, LossScale, NegativeLogLikelihood, OptimizerConfig,
    Precision, StateFault, TrainError, Trainer, TrainerConfig,
};
use flowkit::{Flow, GradientMemory, StandardNormal, Uninit};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// Updates before the checkpoint.
const UPDATES: usize = 3;

fn device() -> Device {
    Device::flex().autodiff()
}

fn batch() -> NegativeLogLikelihood<Tensor<2>> {
    NegativeLogLikelihood::new(Tensor::from_data([[0.5, -1.0], [2.0, 0.5], [-0.5, 1.5]], &device()))
}

fn model() -> Uninit<RealNvp> {
    let law = AffineConfig::new(AffineForm::Exponential);
    Flow::build(
        &RealNvpConfig::new(2).with_hidden(vec![3]).with_law(law.into()),
        StandardNormal::new(),
        [1, 2],
        &device(),
    )
    .unwrap()
}

/// A trainer after some updates, and what its checkpoint holds.
struct Run {
    trainer: Trainer<RealNvp>,
    metadata: BTreeMap<String, String>,
    optimizer: Vec<u8>,
}

impl Run {
    fn new(config: TrainerConfig) -> Self {
        let mut trainer = Trainer::new(model().without_data(), config).unwrap();
        for _ in 0..UPDATES {
            trainer.update_on(&device(), &batch()).unwrap();
        }
        let checkpoint = trainer.checkpoint(BTreeMap::new()).unwrap();
        let text = |key: &str| (key.to_owned(), checkpoint.metadata(key).unwrap().to_owned());
        let metadata = ["trainer", "progress"].map(text).into();
        let optimizer = checkpoint.bytes("optimizer").unwrap().to_vec();
        Self { trainer, metadata, optimizer }
    }

    /// Resumes from its checkpoint with another state of the optimizer, or other metadata, and
    /// makes an update.
    fn resume(
        &self,
        metadata: &BTreeMap<String, String>,
        optimizer: Vec<u8>,
    ) -> Result<(), CheckpointError> {
        let mut checkpoint = Checkpoint::new(metadata.clone())?;
        checkpoint.insert("model", self.trainer.model())?;
        checkpoint.insert("average", self.trainer.average())?;
        checkpoint.insert_bytes("optimizer", optimizer)?;
        let mut trainer = Trainer::resume(&checkpoint, model())?;
        // An update that fails says why; it must not panic.
        let _ = trainer.update_on(&device(), &batch());
        Ok(())
    }

    fn with_optimizer(&self, optimizer: Vec<u8>) -> Result<(), CheckpointError> {
        self.resume(&self.metadata, optimizer)
    }

    fn with_metadata(&self, key: &str, text: String) -> Result<(), CheckpointError> {
        let mut metadata = self.metadata.clone();
        metadata.insert(key.into(), text);
        self.resume(&metadata, self.optimizer.clone())
    }

    fn record(&self) -> Record {
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(self.optimizer.clone())).unwrap();
        let (scalars, paths) = (reader.scalars().clone(), reader.metadata().clone());
        let parts = |tensor: Packed| {
            let (name, dtype, shape, id, bytes) = tensor.into_parts().unwrap();
            Part { name, dtype, shape: shape.to_vec(), id, bytes: bytes.to_vec() }
        };
        let tensors = reader.into_tensors().unwrap().into_iter().map(parts).collect();
        Record { tensors, scalars, paths }
    }
}

#[derive(Debug, Clone)]
struct Part {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    id: Option<u64>,
    bytes: Vec<u8>,
}

impl Part {
    fn set(&mut self, index: usize, value: f32) {
        self.bytes[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
    }
}

/// What an optimizer writes, taken apart.
#[derive(Debug, Clone)]
struct Record {
    tensors: Vec<Part>,
    scalars: BTreeMap<String, Scalar>,
    paths: BTreeMap<String, String>,
}

impl Record {
    fn bytes(&self) -> Option<Vec<u8>> {
        let pack = |part: &Part| {
            let bytes = Bytes::from_bytes_vec(part.bytes.clone());
            Packed::new(part.name.clone(), part.dtype, part.shape.clone(), part.id, bytes)
        };
        let mut writer = Writer::new(self.tensors.iter().map(pack).collect());
        for (key, value) in &self.scalars {
            writer = writer.with_scalar(key, *value);
        }
        for (key, path) in &self.paths {
            writer = writer.with_metadata(key, path);
        }
        // The writer refuses what the reader would.
        writer.into_bytes().ok().map(|bytes| bytes.to_vec())
    }

    fn part(&mut self, ending: &str) -> &mut Part {
        self.tensors
            .iter_mut()
            .find(|part| part.name.ends_with(ending) && part.bytes.len() > 8)
            .unwrap()
    }

    /// Changes something at random.
    fn mutate(&mut self, random: &mut StdRng) {
        let extremes = [0, 1, 2, 3, 9, 1 << 31, 1 << 53, i64::MAX as u64, u64::MAX];
        let scalars =
            [Scalar::Int(-1), Scalar::Float(f64::NAN), Scalar::Float(2.0), Scalar::Bool(true)];
        let index = random.random_range(0..self.tensors.len());
        let keys: Vec<String> = self.scalars.keys().cloned().collect();
        let key = keys[random.random_range(0..keys.len())].clone();
        let part = &mut self.tensors[index];
        match random.random_range(0..14) {
            0 => part.id = None,
            1 => part.id = Some(extremes[random.random_range(0..extremes.len())]),
            2 => part.name = part.name.replacen('.', "..", 1),
            3 => part.name = format!("0{}", part.name),
            4 => part.name = format!("{}.moment_1", random.random_range(0..40)),
            5 => part.name = part.name.replace("moment", "other"),
            6 => part.shape.reverse(),
            7 => part.shape.push(1),
            8 => part.shape = vec![part.shape.iter().product()],
            9 => {
                part.dtype = [DType::I32, DType::U32, DType::F32][random.random_range(0..3)];
                part.set(0, f32::from_bits(random.random()));
            }
            10 => {
                let values = [f32::NAN, f32::INFINITY, -1.0, -0.0, f32::MAX, f32::MIN_POSITIVE];
                let place = random.random_range(0..part.bytes.len() / 4);
                part.set(place, values[random.random_range(0..values.len())]);
            }
            11 => {
                let uint = Scalar::UInt(extremes[random.random_range(0..extremes.len())]);
                let other = scalars[random.random_range(0..scalars.len())];
                self.scalars.insert(key, if random.random() { uint } else { other });
            }
            12 => {
                self.scalars.remove(&key);
            }
            _ => {
                self.tensors.remove(index);
            }
        }
    }
}

fn configurations() -> [TrainerConfig; 2] {
    let config = || TrainerConfig::new().with_warm_up(0);
    [config(), config().with_optimizer(OptimizerConfig::Adamax { beta_2: 0.99 })]
}

/// No panic; the reason, if it was refused.
fn outcome(what: &str, resume: impl FnOnce() -> Result<(), CheckpointError>) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(resume)) {
        Ok(result) => result.err().map(|error| error.to_string()),
        Err(_) => panic!("{what} panicked"),
    }
}

#[test]
fn a_changed_state_is_refused_or_taken_and_never_a_panic() {
    for (seed, config) in configurations().into_iter().enumerate() {
        let run = Run::new(config);
        run.with_optimizer(run.record().bytes().unwrap()).unwrap();
        let mut random = StdRng::seed_from_u64(seed as u64);
        let [mut taken, mut refused] = [0, 0];
        let mut count =
            |reason: Option<String>| if reason.is_some() { refused += 1 } else { taken += 1 };
        for mutant in 0..1000 {
            let mut record = run.record();
            for _ in 0..random.random_range(1..3) {
                record.mutate(&mut random);
            }
            let Some(bytes) = record.bytes() else { continue };
            count(outcome(&format!("mutant {mutant} of {seed}"), || run.with_optimizer(bytes)));
        }
        // Bytes of the header and of the tensors, wherever they are.
        for mutant in 0..1000 {
            let mut bytes = run.optimizer.clone();
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..bytes.len());
                bytes[place] = random.random();
            }
            if mutant % 20 == 0 {
                bytes.truncate(random.random_range(0..bytes.len()));
            }
            count(outcome(&format!("byte mutant {mutant} of {seed}"), || {
                run.with_optimizer(bytes)
            }));
        }
        assert!(taken > 100 && refused > 600, "{taken} {refused}");
    }
}

/// The part at fault is named, and what is wrong with it.
#[test]
fn errors_name_the_part() {
    let run = Run::new(configurations()[0].clone());
    let fault = |change: &dyn Fn(&mut Record)| {
        let mut record = run.record();
        change(&mut record);
        match run.with_optimizer(record.bytes().unwrap()).unwrap_err() {
            CheckpointError::OptimizerState { name, parameter, fault } => {
                assert!(name.starts_with("optimizer."), "{name}");
                (name, parameter, fault)
            }
            other => panic!("{other}"),
        }
    };
    let (name, parameter, found) = fault(&|record| record.part("moment_2").set(1, f32::NAN));
    assert!(
        name.ends_with(".momentum.moment_2") && parameter.starts_with("bijector."),
        "{name} {parameter}"
    );
    assert_eq!(found, StateFault::NonFinite);
    let negative = fault(&|record| record.part("moment_2").set(1, -2.5)).2;
    assert_eq!(negative, StateFault::Negative { found: -2.5 });
    // A mean of gradients may be negative.
    let mut record = run.record();
    record.part("moment_1").set(1, -2.5);
    run.with_optimizer(record.bytes().unwrap()).unwrap();

    assert_eq!(
        fault(&|record| record.part("moment_1").id = None).2,
        StateFault::OtherNumber { found: None }
    );
    let shape = fault(&|record| record.part("moment_1").shape.push(1)).2;
    assert!(matches!(shape, StateFault::Shape { .. }), "{shape}");
    let dtype = fault(&|record| record.part("moment_1").dtype = DType::I32).2;
    assert_eq!(dtype, StateFault::Type { expected: DType::F32, found: DType::I32 });
    let foreign = fault(&|record| record.part("moment_1").name = "999.momentum.moment_1".into()).2;
    assert_eq!(foreign, StateFault::Foreign);
    let unknown = fault(&|record| record.part("moment_1").name.push_str("_more")).2;
    assert_eq!(unknown, StateFault::Unknown);
    let missing = fault(&|record| {
        let name = record.part("moment_1").name.clone();
        record.tensors.retain(|part| part.name != name);
    });
    assert_eq!(missing.2, StateFault::Missing);
    let set = |ending: &'static str, value: Scalar| {
        move |record: &mut Record| {
            let key = record.scalars.keys().find(|key| key.ends_with(ending)).unwrap().clone();
            record.scalars.insert(key, value);
        }
    };
    for count in [0, UPDATES as u64 + 1, u64::MAX] {
        let found = fault(&set(".time", Scalar::UInt(count))).2;
        assert_eq!(found, StateFault::Count { most: UPDATES as u64, found: count.to_string() });
    }
    let rank = fault(&set(".__rank", Scalar::UInt(7))).2;
    assert!(matches!(&rank, StateFault::Rank { found, .. } if found == "7"), "{rank}");
}

/// Numbers of the run's progress and of its configuration.
#[test]
fn metadata_is_not_believed() {
    let f16 = Precision::F16(LossScale::Dynamic { exponent: 3, growth: 5 });
    let mut configs = configurations().to_vec();
    configs.push(TrainerConfig::new().with_precision(f16));
    configs.push(
        TrainerConfig::new().with_gradient_memory(GradientMemory::Reversible { tolerance: 1e-3 }),
    );
    let values = [
        json!(0),
        json!(1),
        json!(1u64 << 53),
        json!(u64::MAX),
        json!(-1),
        json!(1e300),
        json!(0.5),
        json!(null),
    ];
    for config in configs {
        if config.precision.dtype().is_some_and(|dtype| !device().supports_dtype(dtype)) {
            continue;
        }
        let run = Run::new(config);
        for (key, text) in &run.metadata {
            let original: Value = serde_json::from_str(text).unwrap();
            let mut paths = Vec::new();
            numbers(&original, "", &mut paths);
            for (path, value) in
                paths.iter().flat_map(|path| values.iter().map(move |value| (path, value)))
            {
                let mut changed = original.clone();
                *changed.pointer_mut(path).unwrap() = value.clone();
                let _ = outcome(&format!("{key}{path} = {value}"), || {
                    run.with_metadata(key, changed.to_string())
                });
            }
        }
    }
}

/// Pointers to every number, and to every `null`.
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

#[test]
fn a_progress_that_is_none_is_refused_by_name() {
    let run = Run::new(TrainerConfig::new());
    let refused = |change: &dyn Fn(&mut Value), expected: &str| {
        let mut progress: Value = serde_json::from_str(&run.metadata["progress"]).unwrap();
        change(&mut progress);
        let error = run.with_metadata("progress", progress.to_string()).unwrap_err();
        assert!(matches!(error, CheckpointError::Metadata { key: "progress", .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused(&|progress| progress["step"] = json!(u64::MAX), "found 18446744073709551615");
    refused(&|progress| progress["averaged"] = json!(UPDATES + 1), "`averaged`");
    refused(&|progress| progress["failures"] = json!(UPDATES + 1), "`failures`");
    refused(&|progress| progress["scale"] = json!({ "exponent": 3, "good": 0 }), "scales no loss");
    let guard = json!({ "tolerance": 1e-3, "spacing": 0, "recomputed": {} });
    refused(&|progress| progress["guard"] = guard.clone(), "inverts no layers");

    let run = Run::new(
        TrainerConfig::new().with_gradient_memory(GradientMemory::Reversible { tolerance: 1e-3 }),
    );
    for (field, value) in
        [("spacing", json!(0)), ("spacing", json!(17)), ("tolerance", json!(2e-3))]
    {
        let mut progress: Value = serde_json::from_str(&run.metadata["progress"]).unwrap();
        progress["guard"][field] = value.clone();
        let error = run.with_metadata("progress", progress.to_string()).unwrap_err();
        assert!(error.to_string().contains("`guard`: expected"), "{field} {value}: {error}");
    }
}

/// Moments have the type of their parameter, before a checkpoint and after.
#[test]
fn a_run_in_float64_goes_on_in_float64() {
    let weights = || -> Param<Tensor<1>> {
        Param::from_tensor(
            Tensor::<1>::from_data([0.3, -0.7], (&device(), DType::F64)).require_grad(),
        )
    };
    let loss = |weights: &Param<Tensor<1>>| {
        (weights.val().square() * weights.val().sub_scalar(1e-9)).sum()
    };
    for config in configurations() {
        let mut whole = Trainer::new(weights(), config).unwrap();
        whole.update(&device(), loss).unwrap();
        let checkpoint = whole.checkpoint(BTreeMap::new()).unwrap();
        let mut resumed = Trainer::resume(&checkpoint, Uninit::new(weights())).unwrap();
        for trainer in [&mut whole, &mut resumed] {
            trainer.update(&device(), loss).unwrap();
        }
        assert_eq!(resumed.model().val().into_data(), whole.model().val().into_data());
    }
}

#[test]
fn an_average_counts_no_further_than_its_decay_can_tell() {
    let model = model().without_data();
    let error = Ema::resume(model.clone(), EmaDecay::Warmed(0.9), u64::MAX).unwrap_err();
    assert!(matches!(error, TrainError::TooManyUpdates { found: u64::MAX, .. }), "{error}");
    let average = Ema::resume(model.clone(), EmaDecay::Warmed(0.9), 1 << 53).unwrap();
    assert_eq!(average.update(&model).unwrap().updates(), (1 << 53) + 1);
}
