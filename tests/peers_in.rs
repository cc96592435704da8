//! Flows that nflows and zuko trained: from their state dicts, the same densities and samples.
//! `tests/golden/peers_in.py` made the files. `--nocapture` prints all errors.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use common::tolerance::normwise;
use common::{Precision, values};
use flowkit::model::nflows::{self, Nflows, NflowsSettings};
use flowkit::model::zuko::{self, ZukoSettings};
use flowkit::model::{Maf, MafConfig};
use flowkit::state_dict::{Array, StateDict, StateDictError, Values};
use flowkit::{
    Activation, AnyLayerConfig, Bijector, ConfigError, Density, Features, Flow, Prior,
    StandardNormal, Uninit,
};

fn path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/peers_in");
    folder.join(format!("{name}.safetensors"))
}

fn read(name: &str) -> StateDict {
    StateDict::read(path(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// What the libraries compute from the flow `name`.
struct Truth {
    arrays: StateDict,
    name: String,
}

impl Truth {
    fn of(name: &str) -> Self {
        Self { arrays: read("truth.f64"), name: name.to_owned() }
    }

    fn array(&self, key: &str) -> Option<&Array> {
        self.arrays.get(&format!("{}.{key}", self.name))
    }

    fn values(&self, key: &str) -> Vec<f64> {
        match self.array(key).map(Array::values) {
            Some(Values::F64(values)) => values.clone(),
            other => panic!("{}.{key}: {other:?}", self.name),
        }
    }

    fn rows(&self, key: &str, precision: Precision) -> Option<Tensor<2>> {
        let shape = self.array(key)?.shape().try_into().unwrap();
        Some(precision.tensor(self.values(key), shape).without_autodiff())
    }
}

/// Parameters of another type.
struct Typed(Precision);

impl ModuleMapper for Typed {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| old.cast(self.0.dtype()))
    }
}

fn typed<M: Module>(uninit: Uninit<M>, precision: Precision) -> Uninit<M> {
    uninit.map(|flow| flow.map(&mut Typed(precision)))
}

fn device(precision: Precision) -> Device {
    precision.device().inner()
}

const LARGEST: [(Precision, f64); 2] = [(Precision::Double, 1e-10), (Precision::Single, 1e-5)];

/// Densities, samples and round trips of a flow beside those of the library.
fn check<B, P, C>(flow: &Flow<B, P, 2, C>, truth: &Truth, context: &C, precision: Precision)
where
    B: Bijector<2, C>,
    P: Prior<2, C>,
    C: Features<2>,
    Flow<B, P, 2, C>: Module,
{
    let most = LARGEST.into_iter().find(|(one, _)| *one == precision).unwrap().1;
    let check = |what: &str, found: Vec<f64>, expected: &[f64], most: f64| {
        let error = normwise(&found, expected);
        println!("{} {precision:?} {what}: {error:.1e}", truth.name);
        assert!(error <= most, "{} {precision:?} {what}: {error:e}", truth.name);
    };
    let [x, u] = ["x", "u"].map(|key| truth.rows(key, precision).unwrap());
    check(
        "log_prob",
        values(flow.given(context).log_prob(x.clone())),
        &truth.values("log_prob"),
        most,
    );
    let sample = flow.bijector.inverse(u.clone(), context);
    check("sample", values(sample.clone()), &truth.values("sample"), most);
    let (back, _) = flow.bijector.forward(sample, context);
    check("u again", values(back), &values(u), most);
    let (z, _) = flow.bijector.forward(x.clone(), context);
    check("x again", values(flow.bijector.inverse(z, context)), &values(x), most);
}

fn of_nflows<C: Features<2>>(
    state: &StateDict,
    settings: &NflowsSettings,
    features: usize,
    context: &C,
    precision: Precision,
) -> Nflows<C> {
    let layers = nflows::layers(state, settings).unwrap();
    let shape = [1, features];
    let uninit =
        Flow::build_given(&layers, StandardNormal::new(), shape, context, &device(precision));
    nflows::fill(state, settings, typed(uninit.unwrap(), precision)).unwrap()
}

fn of_zuko<C: Features<2>>(
    state: &StateDict,
    settings: &ZukoSettings,
    features: usize,
    context: &C,
    precision: Precision,
) -> Maf<C> {
    let layers = zuko::config(state, settings).unwrap();
    let shape = [1, features];
    let uninit =
        Flow::build_given(&layers, StandardNormal::new(), shape, context, &device(precision));
    zuko::fill(state, typed(uninit.unwrap(), precision)).unwrap()
}

fn features(truth: &Truth) -> usize {
    truth.array("x").unwrap().shape()[1]
}

fn nflows_settings() -> [(&'static str, NflowsSettings); 9] {
    let plain = NflowsSettings::new();
    let tanh = plain.clone().with_activation(Activation::Tanh);
    let spline = plain.clone().with_tail_bound(3.0);
    [
        ("maf", plain.clone()),
        ("maf_norms", tanh.clone()),
        ("maf_feedforward", plain.clone()),
        ("maf_context", plain.clone()),
        ("real_nvp", plain.clone()),
        ("real_nvp_additive", plain),
        ("nsf_coupling", spline.clone()),
        ("nsf_autoregressive", spline),
        ("nsf_standardised", tanh.with_tail_bound(3.0)),
    ]
}

fn zuko_settings() -> [(&'static str, ZukoSettings); 7] {
    let plain = ZukoSettings::new();
    let elu = plain.clone().with_activation(Activation::Elu);
    [
        ("zuko_nsf", plain.clone()),
        ("zuko_nsf_context", elu),
        ("zuko_nsf_groups", plain.clone()),
        ("zuko_nsf_one", plain.clone()),
        ("zuko_maf", plain.clone()),
        ("zuko_maf_context", plain.clone()),
        ("zuko_maf_one", plain),
    ]
}

#[test]
fn nflows_computes_the_same() {
    for (name, settings) in nflows_settings() {
        let (state, truth) = (read(name), Truth::of(name));
        let features = features(&truth);
        for precision in Precision::BOTH {
            match truth.rows("context", precision) {
                Some(context) => {
                    let flow = of_nflows(&state, &settings, features, &context, precision);
                    check(&flow, &truth, &context, precision);
                }
                None => {
                    let flow = of_nflows(&state, &settings, features, &(), precision);
                    check(&flow, &truth, &(), precision);
                }
            }
        }
    }
}

#[test]
fn zuko_computes_the_same() {
    for (name, settings) in zuko_settings() {
        let (state, truth) = (read(name), Truth::of(name));
        let features = features(&truth);
        for precision in Precision::BOTH {
            match truth.rows("context", precision) {
                Some(context) => {
                    let flow = of_zuko(&state, &settings, features, &context, precision);
                    check(&flow, &truth, &context, precision);
                }
                None => {
                    let flow = of_zuko(&state, &settings, features, &(), precision);
                    check(&flow, &truth, &(), precision);
                }
            }
        }
    }
}

/// A flow that was read is one like any other: its configuration is JSON, and builds what loads it.
#[test]
fn what_was_read_is_saved_and_loaded() {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let file = folder.path().join("ours.safetensors");
    let x = Tensor::<2>::from_data([[0.3, -0.8, 1.2, 0.1]], &device);
    let settings = NflowsSettings::new().with_activation(Activation::Tanh).with_tail_bound(3.0);
    let (flow, layers) = nflows::load(path("nsf_standardised"), &settings, &device).unwrap();
    flow.save(&file).unwrap();
    let json = serde_json::to_string(&layers).unwrap();
    let layers: Vec<AnyLayerConfig> = serde_json::from_str(&json).unwrap();
    let again = Flow::build(&layers, StandardNormal::new(), [1, 4], &device).unwrap();
    let again = again.load(&file).unwrap();
    assert_eq!(values(again.log_prob(x.clone())), values(flow.log_prob(x.clone())));

    let (flow, config) = zuko::load(path("zuko_nsf"), &ZukoSettings::new(), &device).unwrap();
    flow.save(&file).unwrap();
    let config: MafConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    let again = Flow::build(&config, StandardNormal::new(), [1, 4], &device).unwrap();
    let again = again.load(&file).unwrap();
    assert_eq!(values(again.log_prob(x.clone())), values(flow.log_prob(x)));
}

/// Reads a flow `name` from other arrays, for its own context.
fn outcome(name: &str, state: &StateDict) -> Result<(), StateDictError> {
    let (truth, device) = (Truth::of(name), Device::flex());
    let (shape, prior) = ([1, features(&truth)], StandardNormal::new);
    let invalid = |error: ConfigError| StateDictError::Config {
        path: PathBuf::new(),
        source: Box::new(error),
    };
    let context = truth.rows("context", Precision::Single);
    if name.starts_with("zuko") {
        let config = zuko::config(state, &ZukoSettings::new())?;
        return match &context {
            None => {
                let flow = Flow::build(&config, prior(), shape, &device).map_err(invalid)?;
                zuko::fill(state, flow).map(|_| ())
            }
            Some(context) => {
                let flow = Flow::build_given(&config, prior(), shape, context, &device);
                zuko::fill(state, flow.map_err(invalid)?).map(|_| ())
            }
        };
    }
    let settings = NflowsSettings::new();
    let layers = nflows::layers(state, &settings)?;
    match &context {
        None => {
            let flow = Flow::build(&layers, prior(), shape, &device).map_err(invalid)?;
            nflows::fill(state, &settings, flow).map(|_| ())
        }
        Some(context) => {
            let flow = Flow::build_given(&layers, prior(), shape, context, &device);
            nflows::fill(state, &settings, flow.map_err(invalid)?).map(|_| ())
        }
    }
}

/// What `torch.save` wrote is what `save_file` wrote.
#[test]
fn a_file_of_pytorch_is_read_too() {
    let device = Device::flex();
    let context = Tensor::<2>::zeros([1, 2], &device);
    let settings = ZukoSettings::new();
    let name = "zuko_maf_context";
    let [first, second] = ["pt", "safetensors"].map(|ending| {
        let (flow, _) =
            zuko::load_given(path(name).with_extension(ending), &settings, &context, &device)
                .unwrap();
        let x = Truth::of(name).rows("x", Precision::Single).unwrap();
        values(flow.given(&context).log_prob(x))
    });
    assert_eq!(first, second);
}

/// The error of the flow `name` with other arrays, which `change` gets by name.
fn refused(name: &str, change: impl Fn(&mut BTreeMap<String, Array>)) -> String {
    let state = read(name);
    let mut arrays: BTreeMap<String, Array> =
        state.names().map(|array| (array.to_owned(), state.get(array).unwrap().clone())).collect();
    change(&mut arrays);
    outcome(name, &StateDict::of(arrays)).unwrap_err().to_string()
}

fn ones(shape: &[usize]) -> Array {
    Array::new(shape, Values::F32(vec![1.0; shape.iter().product()]))
}

#[test]
fn what_does_not_fit_is_named() {
    const FIRST: &str = "_transform._transforms.1.autoregressive_net";
    let check = |error: String, part: &str| assert!(error.contains(part), "{error}: no `{part}`");
    let rest = |name: &str| {
        refused(name, |arrays| {
            arrays.insert("_embedding_net.weight".into(), ones(&[2]));
        })
    };
    for name in ["maf", "zuko_nsf"] {
        check(rest(name), "the model does not use `_embedding_net.weight`");
    }
    let error = refused("maf", |arrays| {
        arrays.remove(&format!("{FIRST}.blocks.1.linear_layers.1.bias"));
    });
    check(error, &format!("there is no array `{FIRST}.blocks.1.linear_layers.1.bias`"));
    let error = refused("maf", |arrays| {
        arrays.insert(format!("{FIRST}.initial_layer.mask"), ones(&[8, 4]));
    });
    check(error, "initial_layer.mask`: expected 0 as value 1 in C order, found 1");
    let error = refused("maf", |arrays| {
        arrays.insert(format!("{FIRST}.blocks.0.batch_norm_layers.0.weight"), ones(&[8]));
    });
    check(error, "batch normalisation within its blocks");
    let error = refused("maf", |arrays| {
        arrays.insert(format!("{FIRST}.final_layer.bias"), ones(&[9]));
    });
    check(error, "final_layer.bias`: expected shape [8], found [9]");
    let error = refused("maf", |arrays| {
        arrays.remove("_transform._transforms.2._permutation");
    });
    check(error, "a transform without arrays");
    let error = refused("maf", |arrays| {
        let order = Array::new([4], Values::I64(vec![0, 1, 2, 2]));
        arrays.insert("_transform._transforms.2._permutation".into(), order);
    });
    check(error, "_permutation`: expected each of 0..4 once");
    let error = refused("maf", |arrays| {
        let order = Array::new([4], Values::I64(vec![0, 1, 2, 4]));
        arrays.insert("_transform._transforms.2._permutation".into(), order);
    });
    check(error, "_permutation`: expected integers from 0 to 3, found 4");
    let error = refused("maf_feedforward", |arrays| {
        arrays.insert(format!("{FIRST}.context_layer.weight"), ones(&[10, 2]));
    });
    check(error, "a feedforward network with a context");
    let error = refused("real_nvp", |arrays| {
        let name = "_transform._transforms.0.transform_net.final_layer";
        arrays.insert(format!("{name}.weight"), ones(&[2 * 7, 8]));
    });
    check(error, "those of a spline without tails");
    let error = refused("real_nvp", |arrays| arrays.clear());
    check(error, "`_transform`");

    let error = refused("zuko_nsf", |arrays| {
        arrays.insert("transform.transforms.0.hyper.1.0.weight".into(), ones(&[8, 8]));
    });
    check(error, "zuko's residual networks");
    let error = refused("zuko_nsf", |arrays| {
        arrays.remove("transform.transforms.0.order");
    });
    check(error, "have an order, not an adjacency");
    let error = refused("zuko_nsf", |arrays| {
        arrays.insert("base.scale".into(), Array::new([4], Values::F32(vec![1.0, 1.0, 2.0, 1.0])));
    });
    check(error, "base.scale`: expected 1 as value 2 in C order, found 2");
    let error = refused("zuko_nsf", |arrays| {
        arrays.insert("transform.transforms.1.hyper.2.mask".into(), ones(&[10, 8]));
    });
    check(error, "hyper.2.mask`: expected 0");
    let error = refused("zuko_nsf", |arrays| {
        arrays.insert("transform.transforms.1.hyper.2.weight".into(), ones(&[10, 7]));
    });
    check(error, "transforms.1.hyper.2.weight`: expected shape [10, 8], found [10, 7]");

    // A flow with a context is none without one, and the reverse.
    let device = Device::flex();
    let context = Tensor::<2>::zeros([1, 3], &device);
    let settings = ZukoSettings::new();
    let error = zuko::load(path("zuko_maf_context"), &settings, &device).unwrap_err();
    check(error.to_string(), "the flow of the file has a context of 2 elements, found no context");
    let error = zuko::load_given(path("zuko_maf"), &settings, &context, &device).unwrap_err();
    check(error.to_string(), "has no context, found a context of 3 elements");
    let settings = NflowsSettings::new();
    let error = nflows::load_given(path("maf_context"), &settings, &context, &device).unwrap_err();
    check(error.to_string(), "a context of 2 elements, found a context of 3 elements");
}

/// Other arrays in the place of one: of fewer axes, of other lengths, of integers.
fn damaged(array: &Array) -> Vec<Array> {
    let (shape, n) = (array.shape(), array.values().len());
    let values = |n: usize| match array.values() {
        Values::I64(values) => Values::I64(values.iter().copied().cycle().take(n).collect()),
        Values::F32(values) => Values::F32(values.iter().copied().cycle().take(n).collect()),
        Values::F64(values) => Values::F64(values.iter().copied().cycle().take(n).collect()),
        _ => unreachable!("there are three kinds"),
    };
    let mut others = vec![Array::new([n], values(n)), Array::new([0], values(0))];
    for axis in 0..shape.len() {
        for length in [1, shape[axis] + 1, 2 * shape[axis]] {
            let mut shape = shape.to_vec();
            shape[axis] = length;
            others.push(Array::new(shape.clone(), values(shape.iter().product())));
        }
    }
    for value in [-1, 0, 1, i64::MAX] {
        others.push(Array::new(shape, Values::I64(vec![value; n])));
    }
    others.push(Array::new(shape, Values::F32(vec![f32::NAN; n])));
    others
}

/// Whatever one array of a file is, nothing panics, and a changed array is an error.
#[test]
fn damaged_files_are_errors() {
    let mut errors = 0;
    let names = nflows_settings().map(|(name, _)| name).into_iter();
    for name in names.chain(zuko_settings().map(|(name, _)| name)) {
        let state = read(name);
        outcome(name, &state).unwrap_or_else(|error| panic!("{name}: {error}"));
        for array in state.names() {
            let others = state.names().filter(|other| *other != array);
            let others = others.map(|name| (name.to_owned(), state.get(name).unwrap().clone()));
            let rest = StateDict::of(others);
            assert!(outcome(name, &rest).is_err(), "{name} without {array}");
            let own = state.get(array).unwrap();
            for other in damaged(own).into_iter().filter(|other| other != own) {
                let mut changed = rest.clone();
                changed.insert(array, other.clone());
                let is_equal = array.ends_with("initialized") || same_mask(own, &other);
                // One shift or scale for all elements.
                let is_common = (array.ends_with("._scale") || array.ends_with("._shift"))
                    && other.shape() == [1];
                assert!(
                    outcome(name, &changed).is_err() || is_equal || is_common,
                    "{name}: {array} of shape {:?} and {:?}",
                    other.shape(),
                    other.values()
                );
                errors += 1;
            }
        }
    }
    println!("{errors} damaged arrays");
    assert!(errors > 2000, "{errors}");
}

/// Whether a mask of another type has the same numbers.
fn same_mask(own: &Array, other: &Array) -> bool {
    let numbers = |array: &Array| -> Vec<f64> {
        match array.values() {
            Values::I64(values) => values.iter().map(|&value| value as f64).collect(),
            Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
            Values::F64(values) => values.clone(),
            _ => unreachable!("there are three kinds"),
        }
    };
    own.shape() == other.shape() && numbers(own) == numbers(other)
}

/// Two arrays that fit a model which has more parameters than the file has numbers.
#[test]
fn sizes_that_no_array_holds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flow.npz");
    let mut state = read("zuko_nsf");
    let wide = 100_000;
    state.insert("transform.transforms.0.hyper.0.weight", ones(&[wide, 4]));
    state.insert("transform.transforms.0.hyper.2.weight", ones(&[wide, 1]));
    state.write_npz(&file).unwrap();
    let error = zuko::load(&file, &ZukoSettings::new(), &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("parameters of the model, found"), "{error}");
    let nested = format!("_transform{}._permutation", "._transforms.0".repeat(1000));
    let state = StateDict::of([(nested, Array::new([2], Values::I64(vec![1, 0])))]);
    let error = nflows::layers(&state, &NflowsSettings::new()).unwrap_err().to_string();
    assert!(error.contains("nested more than 16 times"), "{error}");
}
