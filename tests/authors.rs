//! Flow++ beside its authors' own code: files in the format of the released weights, and what that
//! code computes from them in float64.
//!
//! `flowpp_cifar_small` and `flowpp_imagenet{32,64}_small` in `tests/golden/authors` have random
//! weights; `imagenet.py` there made the latter two. `FLOWKIT_AUTHORS` names another folder of
//! files with these names. `--nocapture` prints all errors.

mod common;

use std::path::PathBuf;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlus, FlowPlusPlusConfig,
    FlowPlusPlusDequantization, VariationalConfig, authors,
};
use flowkit::state_dict::{Array, StateDict, StateDictError, Values};
use flowkit::{Bijector, Density, Mixing, Surjection};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use common::Precision;
use common::tolerance::{limit, normwise};

fn folder() -> PathBuf {
    std::env::var_os("FLOWKIT_AUTHORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/authors"),
        PathBuf::from,
    )
}

fn weights(name: &str) -> StateDict {
    StateDict::read(folder().join(format!("{name}.npz"))).unwrap_or_else(|error| panic!("{error}"))
}

/// What the authors' code computes.
struct Truth(StateDict);

impl Truth {
    fn of(name: &str) -> Self {
        let path = folder().join(format!("{name}.f64.safetensors"));
        Self(StateDict::read(path).unwrap_or_else(|error| panic!("{error}")))
    }

    fn array(&self, key: &str) -> &Array {
        self.0.get(key).unwrap_or_else(|| panic!("{key}"))
    }

    fn values(&self, key: &str) -> Vec<f64> {
        match self.array(key).values() {
            Values::F64(values) => values.clone(),
            other => panic!("{key}: {}", other.kind()),
        }
    }

    fn tensor(&self, key: &str, precision: Precision) -> Tensor<4> {
        let shape = self.array(key).shape().try_into().unwrap();
        precision.tensor(self.values(key), shape).without_autodiff()
    }

    fn levels(&self, device: &Device) -> Tensor<4, Int> {
        let Values::I64(levels) = self.array("x").values() else { panic!("levels are integers") };
        let shape: [usize; 4] = self.array("x").shape().try_into().unwrap();
        Tensor::from_data(TensorData::new(levels.clone(), shape), device)
    }
}

/// Parameters of another type.
struct Typed(Precision);

impl ModuleMapper for Typed {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| old.cast(self.0.dtype()))
    }
}

/// Outside of any graph, where nothing is dropped.
fn device(precision: Precision) -> Device {
    precision.device().inner()
}

fn filled(state: &StateDict, config: &FlowPlusPlusConfig, precision: Precision) -> FlowPlusPlus {
    let uninit = config.build(&device(precision)).unwrap();
    authors::fill(state, config, uninit.map(|flow| flow.map(&mut Typed(precision)))).unwrap()
}

/// Everything that the authors' code computes, from its own weights.
fn compare(name: &str, config: &FlowPlusPlusConfig) {
    let (state, truth) = (weights(name), Truth::of(name));
    for precision in Precision::BOTH {
        let flow = filled(&state, config, precision);
        let check = |what: &str, ours: Vec<f64>, theirs: Vec<f64>, most: f64| {
            let error = normwise(&ours, &theirs);
            println!("{name} {precision:?} {what}: {error:.1e}");
            assert!(error <= most, "{name} {precision:?} {what}: {error:.1e} above {most:.1e}");
        };
        let (x, most) = (truth.levels(&device(precision)), limit(precision));
        let epsilon = truth.tensor("eps", precision);
        let dims: [usize; 4] = x.dims();
        // There, dequantized images lie in [0, 256], here in [0, 1].
        let division = (dims[1] * dims[2] * dims[3]) as f64 * 256_f64.ln();
        let (y, log_weight) = flow.surjection.lift(x.clone(), epsilon.clone());
        let (z, log_det) = flow.bijector.forward(y.clone(), &());
        let levels = common::values(x.clone().float().cast(precision.dtype()));
        let FlowPlusPlusDequantization::Variational(noise) = &flow.surjection else { panic!() };
        let scaled = x.clone().float().cast(precision.dtype()).div_scalar(256.0).sub_scalar(0.5);
        let context = noise.encoder.encode(scaled);
        let (u, _) = noise.flow.forward(epsilon.clone(), &context);
        check("u", common::values(u), truth.values("u"), most);
        let shifted = |values: Vec<f64>, by: f64| values.into_iter().map(|v| v + by).collect();
        let theirs = truth.values("dequant_logd");
        check("dequant_logd", shifted(common::values(log_weight), division), theirs, most);
        let theirs = truth.values("main_logd");
        check("main_logd", shifted(common::values(log_det), -division), theirs, most);
        check("z", common::values(z.clone()), truth.values("z"), most);
        let total = common::values(flow.log_weight(x, epsilon));
        check("total_logd", total, truth.values("total_logd"), most);
        if precision == Precision::Double {
            let back = flow.bijector.inverse(truth.tensor("z", precision), &());
            let (ours, u) = (common::values(back), truth.values("u"));
            let theirs = levels.iter().zip(u).map(|(x, u)| (x + u) / 256.0).collect();
            check("inverse", ours, theirs, 1e-9);
        }
    }
}

#[test]
fn cifar_is_theirs() {
    let config = authors::config(&weights("flowpp_cifar_small")).unwrap();
    if std::env::var_os("FLOWKIT_AUTHORS").is_none() {
        assert_eq!(config, small_cifar());
    }
    compare("flowpp_cifar_small", &config);
}

fn small_cifar() -> FlowPlusPlusConfig {
    let released = FlowPlusPlusConfig::cifar10();
    let DequantizationConfig::Variational(noise) = released.dequantization else { panic!() };
    let noise = VariationalConfig { n_filters: 16, n_blocks: 2, ..noise };
    FlowPlusPlusConfig { dequantization: DequantizationConfig::Variational(noise), ..released }
        .with_n_filters(16)
        .with_n_blocks(2)
        .with_law(CouplingLaw::MixLogCdf { n_components: 4, min_log_scale: -80.0 })
}

/// Their files do not say that these have two heads.
fn with_two_heads(config: FlowPlusPlusConfig) -> FlowPlusPlusConfig {
    let DequantizationConfig::Variational(mut noise) = config.dequantization else { panic!() };
    if let EncoderBlock::Attention { heads } = &mut noise.encoder_block {
        *heads = 2;
    }
    FlowPlusPlusConfig { dequantization: DequantizationConfig::Variational(noise), ..config }
        .with_mixing(Mixing::Attention { heads: 2 })
}

#[test]
fn imagenet32_is_theirs() {
    let config = with_two_heads(authors::config(&weights("flowpp_imagenet32_small")).unwrap());
    compare("flowpp_imagenet32_small", &config);
}

#[test]
fn imagenet64_is_theirs() {
    let config = with_two_heads(authors::config(&weights("flowpp_imagenet64_small")).unwrap());
    compare("flowpp_imagenet64_small", &config);
}

/// The names and shapes of the released files, from the configurations alone, and the
/// configurations from them: no file is needed.
#[test]
fn released_files() {
    // Arrays and numbers; the last file has position embeddings that nothing reads.
    for (config, n_arrays, n_numbers, some) in [
        (
            FlowPlusPlusConfig::cifar10(),
            1349,
            31_443_440,
            [
                ("Norm_4/norm0/g", vec![32, 16, 3]),
                ("MixLogisticAttnCoupling_12/block9/attn/proj1/W", vec![96, 288]),
                ("MixLogisticAttnCoupling_8/proj_out/W", vec![3, 3, 96, 588]),
            ],
        ),
        (
            FlowPlusPlusConfig::imagenet32(),
            5739,
            168_955_724,
            [
                ("MixLogisticAttnCoupling_20/c2/V/ExponentialMovingAverage", vec![3, 3, 256, 1176]),
                ("context_proc/dqattn7/proj1/g/ExponentialMovingAverage", vec![96]),
                ("context_proc/pos_emb_dq/ExponentialMovingAverage", vec![32, 16, 32]),
            ],
        ),
        (
            FlowPlusPlusConfig::imagenet64(),
            2640,
            73_489_960,
            [
                ("MixLogisticCoupling_3/pos_emb/ExponentialMovingAverage", vec![64, 32, 96]),
                ("MixLogisticAttnCoupling_11/pos_emb/ExponentialMovingAverage", vec![8, 4, 96]),
                ("Norm_15/norm1/g/ExponentialMovingAverage", vec![8, 4, 192]),
            ],
        ),
    ] {
        let arrays = authors::arrays(&config).unwrap();
        let numbers: usize = arrays.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        println!("{} arrays, {numbers} numbers", arrays.len());
        assert_eq!(numbers, n_numbers);
        assert_eq!(arrays.len(), n_arrays);
        for (name, shape) in some {
            let found = arrays.iter().find(|(found, _)| found == name);
            assert_eq!(found.map(|(_, shape)| shape), Some(&shape), "{name}");
        }
    }
}

/// Bits of all parameters.
struct Bits(Vec<(DType, Vec<u8>)>);

impl ModuleVisitor for Bits {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        self.0.push((data.dtype(), data.as_bytes().to_vec()));
    }
}

fn bits(flow: &FlowPlusPlus) -> Vec<(DType, Vec<u8>)> {
    let mut bits = Bits(vec![]);
    flow.visit(&mut bits);
    bits.0
}

/// Each file that is read comes back from what is written, bit for bit; so do the authors' arrays
/// but for the scales `g`, which are written in float64.
#[test]
fn written_files_are_read_back() {
    let place = tempfile::tempdir().unwrap();
    for name in ["flowpp_cifar_small", "flowpp_imagenet32_small", "flowpp_imagenet64_small"] {
        let state = weights(name);
        let mut config = authors::config(&state).unwrap();
        if name != "flowpp_cifar_small" {
            config = with_two_heads(config);
        }
        let device = Device::default();
        let flow = authors::fill(&state, &config, config.build(&device).unwrap()).unwrap();
        let path = place.path().join(format!("{name}.npz"));
        authors::save(&flow, &config, &path).unwrap();
        let written = StateDict::read(&path).unwrap();
        assert_eq!(written.names().collect::<Vec<_>>(), state.names().collect::<Vec<_>>());
        for array in state.names() {
            let (theirs, ours) = (state.get(array).unwrap(), written.get(array).unwrap());
            assert_eq!(ours.shape(), theirs.shape(), "{array}");
            let has_length = state.get(&array.replace("/g/", "/V/")).is_some();
            let is_scale = array.contains("/g") && (array.starts_with("Norm") || has_length);
            let is_scale = is_scale && written.get(array).unwrap().values().kind() == "float64";
            let is_unread = array.starts_with("MixLogisticCoupling") && array.contains("/pos_emb");
            match (ours.values(), theirs.values()) {
                (Values::F32(ours), Values::F32(theirs)) if !is_scale => {
                    assert!(is_unread || ours == theirs, "{array}");
                }
                (Values::F64(ours), Values::F32(theirs)) if is_scale => {
                    let near =
                        |(&a, &b): (&f64, &f32)| (a - f64::from(b)).abs() <= 1e-6 * f64::from(b);
                    assert!(ours.iter().zip(theirs).all(near), "{array}");
                }
                _ => panic!("{array}: {} and {}", ours.values().kind(), theirs.values().kind()),
            }
        }
        let again = authors::fill(&written, &config, config.build(&device).unwrap()).unwrap();
        assert!(bits(&again) == bits(&flow), "{name}");
    }
}

/// The authors compute with 1e-10 where a scale is below it.
#[test]
fn small_scales_are_bounded() {
    let mut state = weights("flowpp_cifar_small");
    let config = authors::config(&state).unwrap();
    let scales = |least: f32| {
        let values = (0..32 * 16 * 3).map(|i| if i == 7 { least } else { 1.0 }).collect();
        Array::new([32, 16, 3], Values::F32(values))
    };
    for least in [1e-12, 0.0, -1.0] {
        state.insert("Norm/norm1/g", scales(least));
        let flow = filled(&state, &config, Precision::Double);
        let FlowPlusPlusDequantization::Variational(noise) = flow.surjection else { panic!() };
        let log_scales = common::values(noise.flow.1[0].0.log_scale.val());
        let smallest = log_scales[3 * 512..].iter().copied().fold(0.0, f64::min);
        assert!((smallest - 1e-10_f64.ln()).abs() < 1e-12, "{least}: {smallest}");
    }
}

#[test]
fn other_arrays_are_errors() {
    let state = weights("flowpp_cifar_small");
    let config = authors::config(&state).unwrap();
    let load = |change: &dyn Fn(&mut StateDict)| {
        let mut changed = state.clone();
        change(&mut changed);
        let uninit = config.build(&Device::default()).unwrap();
        authors::fill(&changed, &config, uninit).map(|_| ()).unwrap_err()
    };
    let ones = |shape: &[usize], value: f32| {
        Array::new(shape, Values::F32(vec![value; shape.iter().product()]))
    };
    let error = load(&|state| state.insert("Norm_13/norm0/g", ones(&[1], 1.0)));
    assert!(
        matches!(&error, StateDictError::Unused { names, .. } if names == &["Norm_13/norm0/g"])
    );
    let error = load(&|state| state.insert("Pointwise_8/W1", ones(&[6, 7], 1.0)));
    let text = error.to_string();
    assert!(
        text.ends_with("array `Pointwise_8/W1`: expected shape [6, 6], found [6, 7]"),
        "{text}"
    );
    let error = load(&|state| state.insert("Norm/norm1/b", ones(&[32, 16, 3], f32::NAN)));
    assert!(matches!(error, StateDictError::NotFinite { .. }), "{error}");
    let error = load(&|state| {
        state.insert("Pointwise/W0", Array::new([3, 3], Values::F64(vec![1e39; 9])));
    });
    let text = error.to_string();
    let expected = "`Pointwise/W0`: expected numbers up to 3.4028234663852886e38, the largest of \
                    F32, found 1000000000000000000000000000000000000000";
    assert!(text.ends_with(expected), "{text}");
    let error = load(&|state| {
        state.insert("Pointwise/W0", Array::new([3, 3], Values::I64(vec![1; 9])));
    });
    assert!(matches!(error, StateDictError::Integers { .. }), "{error}");
    // A name less, for each name: never a model with a parameter of its own.
    let names: Vec<String> = state.names().map(str::to_owned).collect();
    for name in names.iter().step_by(7) {
        let rest = names.iter().filter(|other| *other != name);
        let rest = rest.map(|name| (name.clone(), state.get(name).unwrap().clone()));
        let uninit = config.build(&Device::default()).unwrap();
        match authors::fill(&StateDict::of(rest), &config, uninit).map(|_| ()) {
            Err(StateDictError::Missing { name: missing, .. }) => assert_eq!(&missing, name),
            Err(StateDictError::Undetermined { .. }) => {}
            other => panic!("without {name}: {other:?}"),
        }
    }
}

/// Files whose names and shapes lie: a model or an error that names what is wrong, and nothing is
/// built that the file has no numbers for.
#[test]
fn lying_files_are_errors() {
    const FILES: u64 = 400;
    let sources = ["flowpp_imagenet32_small", "flowpp_imagenet64_small"].map(weights);
    let mut outcomes = [0; 3];
    for seed in 0..FILES {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = sources[seed as usize % sources.len()].clone();
        for _ in 0..random.random_range(1..4) {
            lie(&mut state, &mut random);
        }
        let config = match authors::config(&state) {
            Ok(config) => config,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                outcomes[0] += 1;
                continue;
            }
        };
        let claimed = config.num_params();
        if claimed.is_ok_and(|claimed| claimed <= 2 * state.num_values()) {
            let uninit = config.build(&Device::default()).unwrap();
            match authors::fill(&state, &config, uninit) {
                Ok(_) => outcomes[2] += 1,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    outcomes[1] += 1;
                }
            }
        }
    }
    println!("no configuration, no model, a model: {outcomes:?} of {FILES}");
    assert!(outcomes.iter().all(|&count| count > 0), "{outcomes:?}");
}

/// Changes the name, the shape or the values of one array.
fn lie(state: &mut StateDict, random: &mut StdRng) {
    let names: Vec<String> = state.names().map(str::to_owned).collect();
    let pick = |random: &mut StdRng| names[random.random_range(0..names.len())].clone();
    // Half of the lies are about the few arrays that sizes are deduced from.
    let deduced: Vec<&String> = names
        .iter()
        .filter(|name| name.contains("norm0/b") || name.contains("c1/b") || name.contains("c2/b"))
        .collect();
    let name = match random.random_bool(0.5) {
        true => deduced[random.random_range(0..deduced.len())].clone(),
        false => pick(random),
    };
    let array = state.get(&name).unwrap().clone();
    let floats = |shape: Vec<usize>| {
        let count = shape.iter().product();
        Array::new(shape, Values::F32(vec![0.5; count]))
    };
    match random.random_range(0..6) {
        // Another side of the shape, among them none.
        0 | 1 => {
            let mut shape = array.shape().to_vec();
            if !shape.is_empty() {
                let axis = random.random_range(0..shape.len());
                shape[axis] = random.random_range(0..40);
            }
            state.insert(name, floats(shape));
        }
        2 => {
            let axes = random.random_range(0..5);
            state.insert(name, floats((0..axes).map(|_| random.random_range(0..6)).collect()));
        }
        3 => {
            let rest = state.names().filter(|other| *other != name);
            let rest: Vec<_> =
                rest.map(|other| (other.to_owned(), state.get(other).unwrap().clone())).collect();
            *state = StateDict::of(rest);
        }
        4 => state.insert(pick(random), array),
        _ => state.insert(name.replace("block0", "block1").replace("Norm_1", "Norm_2"), array),
    }
}
