//! Glow beside the formulas of its released code: files with that code's names and layouts.
//!
//! `tests/golden/glow_official.py` wrote the files and computed the values, in float64:
//! `python3 tests/golden/glow_official.py`. `--nocapture` prints all errors.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Int, Tensor};
use flowkit::model::glow::official::{self, Weights};
use flowkit::model::glow::{
    ClassGlow, Glow, GlowClassifier, GlowClassifierConfig, GlowConfig, GlowCoupling,
    GlowPermutation, GlowPrior, TopPrior,
};
use flowkit::state_dict::{Array, StateDict, StateDictError, Values};
use flowkit::{Bijector, Features, Prior, StandardNormal, Surjection};

use common::golden::Golden;
use common::tolerance::{limit, normwise};
use common::{Precision, values};

const CASES: [&str; 5] = ["affine", "shuffle", "reverse", "lu", "classes"];

fn path(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/glow_official_{case}.npz"))
}

fn file(case: &str) -> StateDict {
    StateDict::read(path(case)).unwrap_or_else(|error| panic!("{error}"))
}

/// The settings that `glow_official.py` has for a case.
fn config(case: &str) -> GlowConfig {
    let of = |n_scales, n_steps, n_filters| {
        GlowConfig::new([3, 8, 8], n_scales, n_steps).with_n_filters(n_filters)
    };
    let additive = |config: GlowConfig| config.with_coupling(GlowCoupling::Additive);
    match case {
        "affine" => of(2, 2, 6),
        "shuffle" => additive(of(2, 2, 4)).with_permutation(GlowPermutation::Shuffle { seed: 0 }),
        "reverse" => additive(of(3, 1, 3)).with_permutation(GlowPermutation::Reverse),
        "lu" => of(2, 1, 4).with_permutation(GlowPermutation::Plu),
        "classes" => {
            additive(of(2, 1, 4)).with_n_levels(32).with_prior(GlowPrior::Classes { n_classes: 4 })
        }
        _ => unreachable!("{case}"),
    }
}

/// Outside of any graph.
fn device(precision: Precision) -> Device {
    precision.device().inner()
}

/// Parameters of another type.
struct Typed(Precision);

impl ModuleMapper for Typed {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| old.cast(self.0.dtype()))
    }
}

fn plain(file: &StateDict, config: &GlowConfig, precision: Precision) -> Glow {
    let model = config.build(&device(precision)).unwrap();
    let model = model.map(|model| model.map(&mut Typed(precision)));
    official::fill(file, Weights::Last, model).unwrap_or_else(|error| panic!("{error}"))
}

fn classes(
    file: &StateDict,
    config: &GlowConfig,
    precision: Precision,
) -> (ClassGlow, GlowClassifier) {
    let device = device(precision);
    let model = config.build_classes(&device).unwrap();
    let model = model.map(|model| model.map(&mut Typed(precision)));
    let classifier = GlowClassifierConfig::for_model(config).unwrap().build(&device).unwrap();
    let classifier = classifier.map(&mut Typed(precision));
    let (model, classifier) =
        official::fill_classes(file, Weights::Last, model, Some(classifier)).unwrap();
    (model, classifier.unwrap())
}

/// One case in one type.
struct Beside<'a> {
    golden: &'a Golden,
    case: &'a str,
    precision: Precision,
}

impl Beside<'_> {
    /// An image `[batch, height, width, channels]` of the file.
    fn image(&self, key: &str) -> Tensor<4> {
        let stored = self.golden.get(&format!("{}.{key}", self.case));
        stored.tensor::<4>(self.precision).inner().permute([0, 3, 1, 2])
    }

    fn check(&self, what: &str, found: Vec<f64>, truth: Vec<f64>, most: f64) {
        let error = normwise(&found, &truth);
        println!("{} {:?} {what}: {error:.1e}", self.case, self.precision);
        assert!(error <= most, "{} {:?} {what}: {error:.1e}", self.case, self.precision);
    }

    fn values(&self, key: &str) -> Vec<f64> {
        self.golden.get(&format!("{}.{key}", self.case)).values.clone()
    }

    /// Latents, density, and images from latents. Returns the latents.
    fn compare<C: Features<4>>(&self, model: &Glow<C>, context: &C) -> Tensor<4>
    where
        TopPrior: Bijector<4, C>,
        StandardNormal: Prior<4, C>,
    {
        let most = limit(self.precision);
        let back = if self.precision == Precision::Double { 1e-9 } else { most };
        let (x, noise) = (self.image("x").int(), self.image("u"));
        let (y, log_weight) = model.surjection.lift(x, noise);
        let (z, log_det) = model.bijector.forward(y.clone(), context);
        let scales = &model.bijector.1;
        let found = scales.latents(z.clone(), context).unwrap();
        for (index, level) in found.levels.iter().enumerate() {
            let what = format!("z{index}");
            self.check(&what, values(level.clone()), values(self.image(&what)), most);
        }
        let objective = model.prior.log_prob(z.clone(), context) + log_det + log_weight;
        self.check("objective", values(objective), self.values("objective"), most);
        let again = model.bijector.inverse(z.clone(), context);
        self.check("inverse", values(again), values(y), back);
        let mut fresh = found;
        for (index, level) in fresh.levels.iter_mut().enumerate() {
            *level = self.image(&format!("eps{index}"));
        }
        let image = model.bijector.inverse(scales.pack(fresh, context).unwrap(), context);
        // There, images lie around 0.
        let image = values(image.sub_scalar(0.5));
        self.check("image", image, values(self.image("image")), back);
        z
    }
}

#[test]
fn models_compute_what_the_formulas_give() {
    let golden = Golden::load("glow_official", "f64");
    for case in CASES {
        let (file, config) = (file(case), config(case));
        for precision in Precision::BOTH {
            let beside = Beside { golden: &golden, case, precision };
            if case == "classes" {
                let (model, classifier) = classes(&file, &config, precision);
                let class = golden.get("classes.y").tensor::<2>(precision).inner();
                let z = beside.compare(&model, &class);
                let logits = classifier.logits(&model.bijector, z, &class).unwrap();
                beside.check("logits", values(logits), beside.values("logits"), limit(precision));
            } else {
                beside.compare(&plain(&file, &config, precision), &());
            }
        }
    }
    assert_eq!(golden.unused(), Vec::<&str>::new());
}

#[test]
fn configurations_are_deduced() {
    for case in CASES {
        let expected = config(case);
        let found = official::config(&file(case), [8, 8], expected.n_levels).unwrap();
        assert_eq!(found, expected, "{case}");
    }
}

/// Bits of all float parameters.
#[derive(PartialEq, Default)]
struct Bits(Vec<(DType, Vec<u8>)>);

impl ModuleVisitor for Bits {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        self.0.push((data.dtype(), data.as_bytes().to_vec()));
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let data = param.val().into_data();
        self.0.push((data.dtype(), data.as_bytes().to_vec()));
    }
}

fn bits(module: &impl Module) -> Bits {
    let mut bits = Bits::default();
    module.visit(&mut bits);
    bits
}

/// What is written is the file that was read, and gives the same model, bit for bit. Matrices in PLU
/// form are factored again.
#[test]
fn written_files_are_read_back() {
    let place = tempfile::tempdir().unwrap();
    for case in CASES {
        let (theirs, config, path) = (file(case), config(case), place.path().join(case));
        let device = Device::default();
        if case == "classes" {
            let weights = Weights::Last;
            let load = |path| official::load_classes(path, &config, weights, &device).unwrap();
            let (model, classifier) = load(self::path(case));
            official::save_classes(&model, classifier.as_ref(), &path).unwrap();
            let (model_again, again) = load(path.clone());
            assert!(bits(&model_again) == bits(&model));
            assert!(bits(&again.unwrap()) == bits(&classifier.unwrap()));
        } else {
            let weights = Weights::Last;
            let load = |path| official::load(path, &config, weights, &device).unwrap();
            let model = load(self::path(case));
            official::save(&model, &path).unwrap();
            if case == "lu" {
                let x = Tensor::<4>::ones([1, 3, 8, 8], &device) * 0.25;
                let z = |model: &Glow| values(model.bijector.forward(x.clone(), &()).0);
                assert!(normwise(&z(&load(path)), &z(&model)) < 5e-6);
                continue;
            }
            assert!(bits(&load(path.clone())) == bits(&model), "{case}");
        }
        let ours = StateDict::read(path).unwrap();
        // Without `--learntop` there is no convolution in the top prior; here it has zeros.
        let names = ours.names().filter(|name| theirs.get(name).is_some());
        assert_eq!(names.collect::<Vec<_>>(), theirs.names().collect::<Vec<_>>());
        for name in ours.names() {
            let ours = ours.get(name).unwrap();
            match theirs.get(name) {
                Some(theirs) => assert_eq!(ours, theirs, "{name}"),
                None => {
                    assert!(case == "reverse" && name.starts_with("model/prior/p/"), "{name}");
                    let Values::F32(values) = ours.values() else { panic!("{name}") };
                    assert!(values.iter().all(|&value| value == 0.0), "{name}");
                }
            }
        }
    }
}

fn scaled(array: &Array, factor: f32) -> Array {
    let Values::F32(values) = array.values() else { panic!("weights are float32") };
    let values = values.iter().map(|value| value * factor).collect();
    Array::new(array.shape(), Values::F32(values))
}

/// A checkpoint also has the averages and the state of the optimizer.
#[test]
fn training_state_is_told_from_weights() {
    let (last, config, device) = (file("affine"), config("affine"), Device::default());
    let mut file = last.clone();
    file.insert("Variable", Array::new([], Values::F32(vec![7.0])));
    for (index, name) in last.names().enumerate() {
        let array = last.get(name).unwrap();
        file.insert(format!("{name}/ExponentialMovingAverage"), scaled(array, 0.5));
        for moment in 1..=2 {
            file.insert(format!("Variable_{}", 2 * index + moment), scaled(array, 3.0));
        }
    }
    let read = |file: &StateDict, weights| {
        official::fill(file, weights, config.build(&device).unwrap()).map(|model| bits(&model))
    };
    let halves = last.names().map(|name| (name.to_owned(), scaled(last.get(name).unwrap(), 0.5)));
    let halves = StateDict::of(halves);
    let [of_last, of_halves] = [&last, &halves].map(|file| read(file, Weights::Last).unwrap());
    assert!(of_last != of_halves);
    assert!(read(&file, Weights::Last).unwrap() == of_last);
    assert!(read(&file, Weights::Average).unwrap() == of_halves);
    assert_eq!(official::config(&file, [8, 8], 256).unwrap(), config);
    // A file without averages has none to read.
    let error = read(&last, Weights::Average).err().unwrap();
    let missing = "there is no array `model/0/0/actnorm_center/b/ExponentialMovingAverage`";
    assert!(error.to_string().ends_with(missing), "{error}");
    // What only looks like training state is left over.
    for name in ["Variable_", "Variable_x", "Variables", "model/x/ExponentialMovingAverage"] {
        let mut file = file.clone();
        file.insert(name, Array::new([1], Values::F32(vec![1.0])));
        for weights in [Weights::Last, Weights::Average] {
            let error = read(&file, weights).err().unwrap().to_string();
            assert!(error.ends_with(&format!("the model does not use `{name}`")), "{error}");
        }
    }
}

/// The text of the error of a file of `case` that was changed, behind the path of the file.
fn refused(case: &str, change: impl Fn(&mut BTreeMap<String, Array>)) -> String {
    let file = file(case);
    let arrays = file.names().map(|name| (name.to_owned(), file.get(name).unwrap().clone()));
    let mut arrays = arrays.collect();
    change(&mut arrays);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("glow.npz");
    StateDict::of(arrays).write_npz(&path).unwrap();
    let (config, device) = (config(case), Device::default());
    let outcome = if case == "classes" {
        official::load_classes(&path, &config, Weights::Last, &device).map(|_| ())
    } else {
        official::load(&path, &config, Weights::Last, &device).map(|_| ())
    };
    let text = outcome.unwrap_err().to_string();
    let start = format!("{}: ", path.display());
    text.strip_prefix(&start).unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn floats(shape: &[usize], value: f32) -> Array {
    Array::new(shape, Values::F32(vec![value; shape.iter().product()]))
}

fn integers(values: &[i64]) -> Array {
    Array::new([values.len()], Values::I64(values.to_vec()))
}

#[test]
fn other_arrays_are_errors() {
    let put = |case: &str, name: &str, array: Array| {
        refused(case, |arrays| {
            arrays.insert(name.to_owned(), array.clone());
        })
    };
    let without = |case: &str, name: &str| {
        refused(case, |arrays| {
            // As large as before.
            let array = arrays.remove(name).unwrap();
            arrays.insert("Variable_1".into(), array);
        })
    };
    assert_eq!(without("affine", "model/1/0/f1/l_2/W"), "there is no array `model/1/0/f1/l_2/W`");
    assert_eq!(without("affine", "model/prior/p/b"), "there is no array `model/prior/p/b`");
    assert_eq!(
        without("shuffle", "model/0/1/shuffle/indices_inverse"),
        "there is no array `model/0/1/shuffle/indices_inverse`"
    );
    assert_eq!(without("lu", "model/0/0/invconv/P"), "there is no array `model/0/0/invconv/P`");
    assert_eq!(without("classes", "model/classifier/b"), "there is no array `model/classifier/b`");
    assert_eq!(
        put("affine", "model/2/0/actnorm_center/b", floats(&[1, 1, 1, 48], 0.0)),
        "the model does not use `model/2/0/actnorm_center/b`"
    );
    assert_eq!(
        put("affine", "model/0/0/f1/l_1/W", floats(&[3, 3, 7, 7], 0.0)),
        "array `model/0/0/f1/l_1/W`: expected shape [3, 3, 7, 6], found [3, 3, 7, 7]"
    );
    assert_eq!(
        put("shuffle", "model/pool0/conv/logs", integers(&[0; 12])),
        "array `model/pool0/conv/logs`: expected shape [1, 12], found [12]"
    );
    let whole = Array::new([1, 12], Values::I64(vec![0; 12]));
    assert_eq!(
        put("shuffle", "model/pool0/conv/logs", whole),
        "array `model/pool0/conv/logs`: expected floating-point numbers, found integers"
    );
    assert_eq!(
        put("affine", "model/0/1/invconv/W", floats(&[12, 12], f32::INFINITY)),
        "array `model/0/1/invconv/W`: expected finite values, found inf"
    );
}

#[test]
fn orders_and_factors_are_checked() {
    let put = |case: &str, name: &str, array: Array| {
        refused(case, |arrays| {
            arrays.insert(name.to_owned(), array.clone());
        })
    };
    let indices = "model/0/0/shuffle/indices";
    let text = put("shuffle", indices, integers(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]));
    assert_eq!(
        text,
        "array `model/0/0/shuffle/indices`: expected each integer from 0 to 11 once, found [0, 1, \
         2, 3, 4, 5, 6, 7, 8, 9, 10, 10]"
    );
    assert_eq!(
        put("shuffle", indices, floats(&[12], 0.0)),
        "array `model/0/0/shuffle/indices`: expected each integer from 0 to 11 once, found float32"
    );
    assert_eq!(
        put("shuffle", indices, integers(&[0, 1])),
        "array `model/0/0/shuffle/indices`: expected shape [12], found [2]"
    );
    let text = put(
        "shuffle",
        "model/0/0/shuffle/indices_inverse",
        integers(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    );
    assert!(
        text.starts_with("array `model/0/0/shuffle/indices_inverse`: expected [")
            && text.ends_with(
                ", the inverse of `indices`, found [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"
            ),
        "{text}"
    );
    assert_eq!(
        put("lu", "model/0/0/invconv/sign_S", floats(&[12], 0.5)),
        "array `model/0/0/invconv/sign_S`: expected signs, -1 or 1, found 0.5"
    );
    for matrix in [floats(&[12, 12], 1.0), floats(&[12, 12], 0.0)] {
        assert_eq!(
            put("lu", "model/0/0/invconv/P", matrix),
            "array `model/0/0/invconv/P`: expected a permutation matrix, found another matrix"
        );
    }
    for log_scale in [-1e4, 1e4] {
        assert_eq!(
            put("lu", "model/0/0/invconv/log_S", floats(&[12], log_scale)),
            "array `model/0/0/invconv/log_S`: expected a matrix that float64 can invert, found a \
             singular or infinite one"
        );
    }
}

#[test]
fn other_models_are_errors() {
    let device = Device::default();
    let load = |config: &GlowConfig| {
        official::load(path("affine"), config, Weights::Last, &device).map(|_| ()).unwrap_err()
    };
    let bounded = config("affine").with_coupling(GlowCoupling::Bounded);
    let standard = config("affine").with_prior(GlowPrior::Standard);
    let text = "the authors' format: expected `coupling` = Additive or Affine, found Bounded";
    assert_eq!(load(&bounded).to_string(), text);
    assert_eq!(official::arrays(&bounded).unwrap_err().to_string(), text);
    let error = load(&standard);
    assert!(matches!(&error, StateDictError::Unused { names, .. } if names.len() == 6), "{error}");
    let text = "the authors' format: expected `prior` = Learned or Classes, found Standard";
    assert_eq!(official::arrays(&standard).unwrap_err().to_string(), text);
    let place = tempfile::tempdir().unwrap();
    for (config, text) in [
        (bounded, "the authors' format: expected `coupling` = Additive or Affine, found Bounded"),
        (standard, text),
    ] {
        let model = config.build(&device).unwrap().without_data();
        let error = official::save(&model, place.path().join("glow.npz")).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    for (config, text) in [
        (
            GlowConfig::cifar10(),
            "array `model/0/0/f1/l_1/W`: expected shape [3, 3, 7, 512], found [3, 3, 7, 6]",
        ),
        (config("shuffle").with_n_filters(6), "there is no array `model/0/0/shuffle/indices`"),
        (
            config("affine").with_permutation(GlowPermutation::Reverse),
            "the model does not use `model/0/0/invconv/W`, `model/0/1/invconv/W`, \
             `model/1/0/invconv/W` and 1 more",
        ),
    ] {
        let error = load(&config).to_string();
        assert!(error.ends_with(text), "{error}");
    }
    let error = load(&config("classes"));
    assert!(matches!(error, StateDictError::Config { .. }), "{error}");
}

#[test]
fn arrays_without_a_model_are_errors() {
    let file = file("classes");
    let deduce = |change: &dyn Fn(&mut StateDict)| {
        let mut file = file.clone();
        change(&mut file);
        official::config(&file, [8, 8], 32).unwrap_err().to_string()
    };
    let put = |name: &str, shape: &[usize]| {
        let text = deduce(&|file| file.insert(name, floats(shape, 0.0)));
        text.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(
        official::config(&StateDict::new(), [8, 8], 256).unwrap_err().to_string(),
        ": expected arrays `model/0/0/...`, found none"
    );
    assert_eq!(
        put("model/0/0/actnorm_center/b", &[1, 1, 1, 10]),
        "expected a multiple of 4 channels in the first scale, found 10"
    );
    assert_eq!(
        put("model/0/0/f1/l_last/W", &[3, 3, 5, 7]),
        "array `model/0/0/f1/l_last/W`: expected 6 or 12 outputs, found 7"
    );
    assert_eq!(
        put("model/0/0/f1/l_1/W", &[]),
        "array `model/0/0/f1/l_1/W`: expected several axes, found a single number"
    );
    assert_eq!(
        put("model/prior/y_emb/W", &[4]),
        "array `model/prior/y_emb/W`: expected two axes, found shape [4]"
    );
    for name in [format!("model/{}/0/x", usize::MAX), format!("model/0/{}/x", usize::MAX)] {
        let error = deduce(&|file| file.insert(name.as_str(), floats(&[1], 0.0)));
        assert!(error.contains("n_steps") || error.contains("Glow"), "{error}");
    }
    assert_eq!(
        put("model/0/499/x", &[1]),
        "the names are those of a model of 1233332 parameters, found 24859 numbers"
    );
    for (size, levels) in [([6, 8], 256), ([0, 8], 256), ([8, 8], 1)] {
        let error = official::config(&file, size, levels).unwrap_err();
        assert!(matches!(error, StateDictError::Config { .. }), "{error}");
    }
}

/// Names and shapes of the variables of the released code, written down from it.
fn variables(
    [scales, depth, width]: [usize; 3],
    is_affine: bool,
    n_classes: usize,
) -> BTreeMap<String, Vec<usize>> {
    let mut all = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| assert!(all.insert(name, shape.into()).is_none());
    let zero_conv = |inputs: usize, outputs: usize| {
        [
            ("W", vec![3, 3, inputs + 1, outputs]),
            ("b", vec![1, 1, 1, outputs]),
            ("logs", vec![1, outputs]),
        ]
    };
    let mut channels = 12;
    for scale in 0..scales {
        for step in 0..depth {
            let name = format!("model/{scale}/{step}");
            let half = channels / 2;
            let norms = [
                (name.clone(), channels),
                (format!("{name}/f1/l_1"), width),
                (format!("{name}/f1/l_2"), width),
            ];
            for (scope, size) in norms {
                add(format!("{scope}/actnorm_center/b"), &[1, 1, 1, size]);
                add(format!("{scope}/actnorm_scale/logs"), &[1, 1, 1, size]);
            }
            add(format!("{name}/invconv/W"), &[channels, channels]);
            add(format!("{name}/f1/l_1/W"), &[3, 3, half + 1, width]);
            add(format!("{name}/f1/l_2/W"), &[1, 1, width, width]);
            for (leaf, shape) in zero_conv(width, if is_affine { channels } else { half }) {
                add(format!("{name}/f1/l_last/{leaf}"), &shape);
            }
        }
        if scale + 1 < scales {
            for (leaf, shape) in zero_conv(channels / 2, channels) {
                add(format!("model/pool{scale}/conv/{leaf}"), &shape);
            }
            channels *= 2;
        }
    }
    for (leaf, shape) in zero_conv(2 * channels, 2 * channels) {
        add(format!("model/prior/p/{leaf}"), &shape);
    }
    if n_classes > 0 {
        let wide = 2 * channels;
        for (leaf, rows) in [("W", n_classes), ("b", 1), ("logs", 1)] {
            add(format!("model/prior/y_emb/{leaf}"), &[rows, wide]);
        }
    }
    all
}

/// The variables of the released models, from the configurations alone: no file is needed.
#[test]
fn released_models_have_these_variables() {
    let conditional = GlowConfig::cifar10_additive()
        .with_n_levels(32)
        .with_prior(GlowPrior::Classes { n_classes: 10 });
    for (config, sizes, is_affine, n_classes, n_arrays, total) in [
        (GlowConfig::cifar10(), [3, 32, 512], true, 0, 1161, 44_603_604),
        (GlowConfig::cifar10_additive(), [3, 32, 512], false, 0, 1161, 38_395_668),
        (GlowConfig::imagenet32(), [3, 48, 512], true, 0, 1737, 66_861_588),
        (GlowConfig::imagenet64(), [4, 48, 512], true, 0, 2316, 112_377_540),
        (GlowConfig::celeba_hq256(), [6, 32, 512], false, 0, 2322, 175_099_620),
        (conditional, [3, 32, 512], false, 10, 1164, 38_395_668 + 96 * 12),
    ] {
        let expected = variables(sizes, is_affine, n_classes);
        let count = |shape: &Vec<usize>| shape.iter().product::<usize>();
        assert_eq!(expected.values().map(count).sum::<usize>(), total);
        assert_eq!(config.num_params().unwrap(), total);
        let found = official::arrays(&config).unwrap();
        assert_eq!(found.len(), n_arrays);
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
}

/// Each case's arrays are those of its file.
#[test]
fn arrays_are_listed_without_a_model() {
    for case in CASES {
        let (file, listed) = (file(case), official::arrays(&config(case)).unwrap());
        for (name, shape) in &listed {
            match file.get(name) {
                Some(array) => assert_eq!(array.shape(), shape, "{case} {name}"),
                None => assert!(case == "reverse" && name.starts_with("model/prior/p/"), "{name}"),
            }
        }
        let is_listed = |name: &&str| listed.iter().any(|(listed, _)| listed == name);
        let others: Vec<&str> = file.names().filter(|name| !is_listed(name)).collect();
        let classifier = ["model/classifier/W", "model/classifier/b", "model/classifier/logs"];
        assert_eq!(others, if case == "classes" { &classifier[..] } else { &[] });
    }
}
