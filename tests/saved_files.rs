//! Files of `Flow::save` for other programs: `docs/files.md` names their arrays, and
//! `benches/peers/read.py` computes the same log-densities from them, in PyTorch.
//!
//! The files in `tests/golden/saved` were written by this program, and `truth.f64.safetensors`
//! there by `read.py`, in float64. To write and compare new ones:
//! ```text
//! FLOWKIT_SAVED=out/saved cargo test --release --test saved_files
//! python3 benches/peers/read.py out/saved
//! ```

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use common::tolerance::normwise;
use common::values;
use flowkit::law::RationalQuadraticSplineConfig;
use flowkit::model::flow_plus_plus::FlowPlusPlusConfig;
use flowkit::model::glow::{Glow, GlowConfig, GlowPermutation, GlowPrior};
use flowkit::model::{LinearKind, Maf, MafConfig, Nsf, NsfConfig, NsfForm, RealNvp, RealNvpConfig};
use flowkit::state_dict::{Array, StateDict, Values};
use flowkit::testing::elements::normal;
use flowkit::{
    Activation, Conv1x1Init, Density, ElementwiseConfig, Flow, HouseholderConfig,
    PermutationConfig, StandardNormal, Uninit,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Numbers of rows in the files of rows.
const ROWS: usize = 8;

fn real_nvp() -> Uninit<RealNvp> {
    let config = RealNvpConfig::new(3).with_hidden(vec![6, 5]);
    Flow::build(&config, StandardNormal::new(), [1, 3], &Device::flex()).unwrap()
}

fn maf() -> Uninit<Maf> {
    let config = MafConfig::new(3).with_hidden(vec![7, 9]).with_activation(Activation::Tanh);
    Flow::build(&config, StandardNormal::new(), [1, 4], &Device::flex()).unwrap()
}

fn nsf() -> Uninit<Nsf> {
    let config = NsfConfig::new(2).with_d_hidden(6).with_n_blocks(1).with_n_bins(4);
    Flow::build(&config, StandardNormal::new(), [1, 3], &Device::flex()).unwrap()
}

fn glow() -> Uninit<Glow> {
    let config = GlowConfig::new([2, 4, 4], 2, 1).with_n_filters(4).with_n_levels(16);
    config.build(&Device::flex()).unwrap()
}

/// Adds noise to each parameter, so that none has a value that hides it.
struct Shaken(u64);

impl ModuleMapper for Shaken {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        param.map(|old| {
            let noise =
                TensorData::new(normal(self.0, old.shape().num_elements(), 0.2), old.dims());
            let noise = Tensor::from_data(noise.convert_dtype(old.dtype()), &old.device());
            old + noise
        })
    }
}

fn shaken<M: Module>(uninit: Uninit<M>, seed: u64) -> M {
    let device = Device::flex();
    let _turn = flowkit::testing::elements::device_rng();
    device.seed(seed);
    uninit.without_data().map(&mut Shaken(1000 * seed))
}

/// Named tensors as one file.
fn write(path: &Path, arrays: &[(&str, Vec<usize>, Vec<f64>)]) {
    let bytes = arrays.iter().map(|(name, shape, values)| {
        let bytes: Vec<u8> =
            values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        (name.to_string(), shape.clone(), bytes)
    });
    let bytes: Vec<_> = bytes.collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn points(dims: usize) -> Tensor<2> {
    let data = TensorData::new(normal(7, ROWS * dims, 1.5), [ROWS, dims]).convert::<f32>();
    Tensor::from_data(data, &Device::flex())
}

/// Levels of the images, and the noise that is added to them.
fn images() -> (Tensor<4, Int>, Tensor<4>) {
    let shape = [ROWS, 2, 4, 4];
    let n = shape.iter().product();
    let levels: Vec<i64> = normal(8, n, 4.0).iter().map(|v| (v.abs() as i64).min(15)).collect();
    let noise: Vec<f64> = normal(9, n, 1.0).iter().map(|v| v.abs().fract()).collect();
    let device = Device::flex();
    let noise = TensorData::new(noise, shape).convert::<f32>();
    (Tensor::from_data(TensorData::new(levels, shape), &device), Tensor::from_data(noise, &device))
}

/// The log-densities of each flow of a folder, as flowkit computes them, by its name.
fn log_densities(folder: &Path) -> BTreeMap<&'static str, Vec<f64>> {
    let path = |name: &str| folder.join(format!("{name}.safetensors"));
    let (levels, noise) = images();
    let glow = glow().load(path("glow")).unwrap();
    BTreeMap::from([
        ("real_nvp", values(real_nvp().load(path("real_nvp")).unwrap().log_prob(points(3)))),
        ("maf", values(maf().load(path("maf")).unwrap().log_prob(points(4)))),
        ("nsf", values(nsf().load(path("nsf")).unwrap().log_prob(points(3)))),
        ("glow", values(glow.log_weight(levels, noise))),
    ])
}

/// Writes each flow, and rows with their log-densities beside it.
fn save(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let path = |name: &str| folder.join(format!("{name}.safetensors"));
    shaken(real_nvp(), 1).save(path("real_nvp")).unwrap();
    shaken(maf(), 2).save(path("maf")).unwrap();
    shaken(nsf(), 3).save(path("nsf")).unwrap();
    shaken(glow(), 4).save(path("glow")).unwrap();
    let (levels, noise) = images();
    let shape = levels.dims().to_vec();
    for (name, log_density) in log_densities(folder) {
        let log_density = ("log_density", vec![ROWS], log_density);
        let rows = |dims| ("x", vec![ROWS, dims], values(points(dims)));
        let arrays = match name {
            "glow" => vec![
                ("x", shape.clone(), values(levels.clone().float())),
                ("noise", shape.clone(), values(noise.clone())),
                log_density,
            ],
            "maf" => vec![rows(4), log_density],
            _ => vec![rows(3), log_density],
        };
        write(&folder.join(format!("{name}.rows.safetensors")), &arrays);
    }
}

#[test]
fn files_for_another_program() {
    let temporary = tempfile::tempdir().unwrap();
    let folder =
        std::env::var_os("FLOWKIT_SAVED").map_or(temporary.path().to_path_buf(), PathBuf::from);
    save(&folder);
    for (name, found) in log_densities(&folder) {
        assert!(found.iter().all(|value| value.is_finite()), "{name}: {found:?}");
    }
}

/// The files of the repository, which `read.py` has read.
#[test]
fn pytorch_reads_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/saved");
    let truth = StateDict::read(folder.join("truth.f64.safetensors")).unwrap();
    for (name, found) in log_densities(&folder) {
        let Some(Values::F64(expected)) = truth.get(name).map(Array::values) else {
            panic!("{name}: no log-densities in float64");
        };
        let error = normwise(&found, expected);
        println!("{name}: {error:.1e}");
        assert!(error <= 1e-5, "{name}: {error:e}");
    }
}

/// What the page says of the metadata.
#[test]
fn the_metadata_are_those_of_the_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/saved");
    for (name, path, value) in [
        ("real_nvp", "bijector.0.1.law.0.form", "Exponential"),
        ("real_nvp", "bijector.0.0.0.log_scale_factor", "1.0"),
        ("maf", "bijector.2.1.conditioner.net.activation", "Tanh"),
        ("nsf", "bijector.0.0.1", "Coupling"),
        ("nsf", "bijector.0.0.1.0.0.identity", "First"),
        ("nsf", "bijector.0.1.1.0.0.identity", "Second"),
        ("nsf", "bijector.0.0.1.0.0.law.bound", "3.0"),
        ("glow", "surjection.n_levels", "16"),
        ("glow", "bijector.1.levels.0.1.0.2.law.form", "Sigmoid"),
    ] {
        let bytes = fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let keys: BTreeSet<&str> = metadata.keys().map(String::as_str).collect();
        assert_eq!(keys, ["flowkit.crc32", "flowkit.format", "flowkit.sections"].into());
        assert_eq!(metadata["flowkit.format"], "2");
        let sections: Value = serde_json::from_str(&metadata["flowkit.sections"]).unwrap();
        assert_eq!(sections.as_object().unwrap().len(), 1);
        let module = &sections["flow"]["module"];
        assert_eq!(module["architecture"][path], value, "{name}: {path}");
        assert!(module["parameters"].is_object() && module["frozen"].is_null(), "{module}");
    }
}

/// Parts of a row of a table: the texts in backticks of each cell.
fn cells(row: &str) -> Vec<Vec<&str>> {
    let cells = row.trim_matches('|').split('|');
    cells.map(|cell| cell.split('`').skip(1).step_by(2).collect()).collect()
}

/// Every choice of `{a,b}` in a path.
fn choices(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{').filter(|(_, rest)| rest.contains(',')) else {
        return vec![path.to_owned()];
    };
    let (inside, after) = rest.split_once('}').unwrap();
    if !inside.contains(',') {
        let rest = choices(after);
        return rest.into_iter().map(|rest| format!("{before}{{{inside}}}{rest}")).collect();
    }
    let each = |choice: &str| {
        choices(after).into_iter().map(|rest| format!("{before}{choice}{rest}")).collect::<Vec<_>>()
    };
    inside.split(',').flat_map(each).collect()
}

/// The arrays of each layer: path, shapes, and whether it holds integers.
type Layers = BTreeMap<String, Vec<(String, Vec<String>, bool)>>;

/// Path and layer of each part of a model.
type Places = Vec<(String, String)>;

fn page() -> (Layers, BTreeMap<String, Places>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/files.md");
    let text = fs::read_to_string(path).unwrap();
    let (layers_text, models_text) = text.split_once("\n## Models\n").unwrap();
    let layers_text = layers_text.split_once("\n## Layers\n").unwrap().1;
    let (mut layers, mut layer) = (Layers::new(), String::new());
    for row in layers_text.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells = cells(row);
        if let Some(name) = cells[0].first() {
            layer = (*name).to_owned();
        }
        let shapes: Vec<String> = cells[2].iter().map(|shape| (*shape).to_owned()).collect();
        let is_integer = row.split('|').nth(3).unwrap().contains("integers");
        for path in choices(cells[1][0]) {
            layers.entry(layer.clone()).or_default().push((path, shapes.clone(), is_integer));
        }
    }
    let models = models_text.split("\n### ").skip(1).map(|section| {
        let name = section.lines().next().unwrap().to_owned();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let places = rows.map(|row| {
            let cells = cells(row);
            (cells[0][0].to_owned(), cells[1][0].to_owned())
        });
        (name, places.collect())
    });
    (layers, models.collect())
}

/// The indices in a name that a pattern with `{i}` has in their places.
fn matched(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<_>, Vec<_>) =
        (name.split('.').collect(), pattern.split('.').collect());
    name.len() == pattern.len()
        && name.iter().zip(&pattern).all(|(found, expected)| {
            found == expected || (expected.starts_with('{') && found.parse::<usize>().is_ok())
        })
}

/// Whether a shape is one of the page, where equal symbols of a layer are equal lengths.
fn fits(shape: &[usize], expected: &str, symbols: &mut BTreeMap<String, usize>) -> bool {
    let sides: Vec<&str> = expected.trim_matches(['[', ']']).split(", ").collect();
    sides.len() == shape.len()
        && sides.iter().zip(shape).all(|(side, &found)| match side.parse::<usize>() {
            Ok(length) => length == found,
            // Layers in a row have their own inputs and outputs.
            Err(_) if ["in", "out"].contains(side) => found > 0,
            Err(_) => *symbols.entry((*side).to_owned()).or_insert(found) == found,
        })
}

/// Checks a file against the page. Returns the places of the model that have arrays.
fn described(file: &Path, layers: &Layers, places: &Places) -> BTreeSet<usize> {
    let file = StateDict::read(file).unwrap();
    let mut symbols: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for name in file.names() {
        let array = file.get(name).unwrap();
        let path = name.strip_prefix("flow.").unwrap();
        let mut found = vec![];
        for (number, (place, layer)) in places.iter().enumerate() {
            let arrays = layers.get(layer).unwrap_or_else(|| panic!("no layer {layer}"));
            for (leaf, shapes, is_integer) in arrays {
                if matched(path, &format!("{place}.{leaf}")) {
                    found.push((number, place, shapes, *is_integer));
                }
            }
        }
        let [(number, place, shapes, is_integer)] = found[..] else {
            panic!("{name} is described {} times", found.len());
        };
        seen.insert(number);
        assert_eq!(matches!(array.values(), Values::I64(_)), is_integer, "{name}");
        let segments = place.split('.').count();
        let instance: Vec<&str> = path.split('.').take(segments).collect();
        let symbols = symbols.entry(instance.join(".")).or_default();
        let fit = shapes.iter().any(|shape| fits(array.shape(), shape, symbols));
        assert!(fit, "{name}: {:?} is none of {shapes:?}, {symbols:?}", array.shape());
    }
    seen
}

/// Every array of these models is in the tables of `docs/files.md`, with its shape, and everything
/// in the tables is in a file.
#[test]
fn the_page_describes_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (layers, models) = page();
    let (device, points) = (Device::flex(), points(3));
    let context = Tensor::<2>::zeros([1, 2], &device);
    let mut files: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    let mut file = |model: &'static str| {
        let files = files.entry(model).or_default();
        files.push(path(&format!("{model}.{}", files.len())));
        files.last().unwrap().clone()
    };
    let prior = StandardNormal::new;
    let matrix = LinearKind::NormAndMatrix(Conv1x1Init::Orthogonal);
    real_nvp().without_data().save(file("RealNVP")).unwrap();
    let config = RealNvpConfig::new(2).with_linear(matrix);
    let flow = Flow::build(&config, prior(), [1, 3], &device).unwrap();
    flow.initialize(points.clone()).unwrap().save(file("RealNVP")).unwrap();
    maf().without_data().save(file("MAF")).unwrap();
    let config = MafConfig::new(2).with_linear(matrix);
    let flow = Flow::build_given(&config, prior(), [1, 3], &context, &device).unwrap();
    flow.without_data().save(file("MAF")).unwrap();
    nsf().without_data().save(file("NSF")).unwrap();
    for form in [NsfForm::Coupling, NsfForm::Autoregressive] {
        let config = NsfConfig::new(2).with_form(form);
        let flow = Flow::build_given(&config, prior(), [1, 3], &context, &device).unwrap();
        flow.without_data().save(file("NSF")).unwrap();
    }
    glow().without_data().save(file("Glow")).unwrap();
    let classes = GlowPrior::Classes { n_classes: 3 };
    for mixing in [GlowPermutation::Plu, GlowPermutation::Reverse] {
        let config = GlowConfig::new([2, 4, 4], 2, 2).with_n_filters(3).with_permutation(mixing);
        let config = config.with_prior(classes);
        config.build_classes(&device).unwrap().without_data().save(file("Glow")).unwrap();
    }
    let flow = FlowPlusPlusConfig::tiny().build(&device).unwrap();
    flow.without_data().save(file("Flow++")).unwrap();

    for (model, places) in &models {
        let files = files.remove(model.as_str()).unwrap_or_else(|| panic!("no file of {model}"));
        let seen: BTreeSet<usize> =
            files.iter().flat_map(|file| described(file, &layers, places)).collect();
        let unseen = places.iter().enumerate().filter(|(number, _)| !seen.contains(number));
        let unseen: Vec<_> = unseen.collect();
        assert!(unseen.is_empty(), "{model}: no array is at {unseen:?}");
    }
    assert!(files.is_empty(), "the page has no {:?}", files.keys());

    // The layers that no model has.
    let stack = (
        PermutationConfig::new(),
        HouseholderConfig::new(2),
        ElementwiseConfig::new(RationalQuadraticSplineConfig::new(4)),
    );
    let flow = Flow::build(&stack, prior(), [1, 3], &device).unwrap().without_data();
    flow.save(path("stack")).unwrap();
    let place = |index: usize, layer: &str| (format!("bijector.{index}"), layer.to_owned());
    let places = vec![place(0, "Permutation"), place(1, "Householder"), place(2, "Elementwise")];
    assert_eq!(described(&path("stack"), &layers, &places).len(), 3);
    let mut used: BTreeSet<&String> = models.values().flatten().map(|(_, layer)| layer).collect();
    used.extend(places.iter().map(|(_, layer)| layer));
    assert_eq!(used, layers.keys().collect(), "layers of the page without a file");
}
