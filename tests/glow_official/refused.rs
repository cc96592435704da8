//! Files and models that do not fit each other, each with the text of its error.

use std::collections::BTreeMap;

use burn::tensor::Device;
use flowkit::model::glow::official::{self, Weights};
use flowkit::model::glow::{GlowConfig, GlowCoupling, GlowPermutation, GlowPrior};
use flowkit::state_dict::{Array, StateDict, StateDictError, Values};

use crate::{config, file, path};

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
        "expected the 1233332 parameters of the model, found 24859 numbers"
    );
    for (size, levels) in [([6, 8], 256), ([0, 8], 256), ([8, 8], 1)] {
        let error = official::config(&file, size, levels).unwrap_err();
        assert!(matches!(error, StateDictError::Config { .. }), "{error}");
    }
}
