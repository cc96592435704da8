//! Glow beside the formulas of its released code: files with that code's names and layouts.
//!
//! `python3 tests/golden/glow_official.py` wrote the files and computed the values, in float64.
//! `--nocapture` prints how far each result is from them.

#[path = "../common/mod.rs"]
mod common;
mod refused;
mod variables;

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Int, Tensor};
use flowkit::model::glow::official::{self, Weights};
use flowkit::model::glow::{
    ClassGlow, Glow, GlowClassifier, GlowClassifierConfig, GlowConfig, GlowCoupling,
    GlowPermutation, GlowPrior, TopPrior,
};
use flowkit::state_dict::{Array, StateDict, Values};
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

/// What is written is the file that was read, and gives the same model, bit for bit. Matrices in
/// PLU form are factored again.
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
