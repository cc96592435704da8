//! `flowpp_cifar` with weights that it did not train: the authors', and those that come with it.

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use flowkit::Density;
use flowkit::data::{chunks, photographs};
use flowkit::model::flow_plus_plus::authors;
use flowkit::train::{Purpose, StepSeed};

fn run(arguments: &[&str], out: &Path) -> Output {
    Command::new(program::program()).args(arguments).arg("--out").arg(out).output().unwrap()
}

/// What the program prints.
fn succeeds(arguments: &[&str], out: &Path) -> String {
    let output = run(arguments, out);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

/// Few photographs as CIFAR-10 files.
fn few(root: &Path) -> String {
    let test = photographs().test;
    let records = |range: std::ops::Range<usize>| -> Vec<u8> {
        range.flat_map(|i| [&[0_u8], test.image(i)].concat()).collect()
    };
    let folder = root.join("cifar");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("data_batch_1.bin"), records(0..1)).unwrap();
    fs::write(folder.join("test_batch.bin"), records(0..IMAGES)).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// Test images, in two batches.
const IMAGES: usize = 34;

/// The authors' format, with random weights.
fn small() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/authors");
    folder.join("flowpp_cifar_small.npz")
}

fn report(out: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(out.join("evaluation.json")).unwrap()).unwrap()
}

fn bits(out: &Path) -> f64 {
    report(out)["test_bits_per_dim"].as_f64().unwrap()
}

/// One command evaluates the authors' weights, and what it prints is what the library computes from
/// the same file with the same noise.
#[test]
fn weights_of_the_authors_are_evaluated() {
    let root = tempfile::tempdir().unwrap();
    let (small, out) = (small(), root.path().join("out"));
    let weights = small.to_str().unwrap();
    let data = few(root.path());
    let arguments = ["--weights", weights, "--data", &data, "--eval", "--importance-samples", "2"];
    let printed = succeeds(&arguments, &out);

    let device = Device::flex();
    let (flow, _) = authors::load(&small, &device).unwrap();
    device.seed(StepSeed::new(0).seed(0, Purpose::Evaluation));
    let test = photographs().test.take(IMAGES);
    let mut parts = chunks(test.len(), 32).unwrap().map(|indices| {
        flow.evaluate_importance_weighted(test.batch(&indices, &device), 2).unwrap()
    });
    let mut all = parts.next().unwrap();
    parts.for_each(|part| all.extend(part));
    let mean = all.mean();
    assert!(printed.contains(&format!("test {mean}")), "{mean}, printed: {printed}");
    let report = report(&out);
    let close = |key: &str, expected: f64| {
        let found = report[key].as_f64().unwrap();
        assert!((found - expected).abs() <= 1e-6 * expected, "{key}: {found}, {expected}");
    };
    close("test_bits_per_dim", mean.bits_per_dim().value());
    close("standard_error", mean.bits_per_dim_error().unwrap());
}

/// What is exported is the same model: in the authors' format to the bit, in half precision nearly.
#[test]
fn exported_weights_are_the_same_model() {
    let root = tempfile::tempdir().unwrap();
    let place = |name: &str| root.path().join(name);
    let (npz, half) = (place("again.npz"), place("half.safetensors"));
    let (small, npz, half) = (small(), npz.to_str().unwrap(), half.to_str().unwrap());
    let data = few(root.path());
    let evaluate = |arguments: &[&str], out: &str| {
        succeeds(&[arguments, &["--data", &data, "--eval"]].concat(), &place(out))
    };
    evaluate(&["--weights", small.to_str().unwrap(), "--export", npz], "first");
    evaluate(&["--weights", npz, "--export", half], "second");
    assert_eq!(report(&place("first")), report(&place("second")));
    succeeds(&["--data", &data, "--eval", half], &place("third"));
    let (whole, rounded) = (bits(&place("first")), bits(&place("third")));
    assert!((whole - rounded).abs() < 1e-2 && whole != rounded, "{whole} and {rounded}");
    assert!(fs::metadata(half).unwrap().len() < fs::metadata(&small).unwrap().len());

    succeeds(&["--weights", npz, "--sample"], &place("sampled"));
    let picture = image::open(place("sampled").join("samples.png")).unwrap();
    assert!(picture.width() >= 8 * 32 && picture.height() >= 8 * 32);
}

/// The digits that come with the program are digits: bright strokes on a black ground.
#[test]
fn the_model_that_comes_with_the_program_is_sampled() {
    let root = tempfile::tempdir().unwrap();
    succeeds(&["--pretrained", "--sample"], root.path());
    let picture = image::open(root.path().join("samples.png")).unwrap().to_luma8();
    let share = |test: fn(u8) -> bool| {
        picture.pixels().filter(|pixel| test(pixel.0[0])).count() as f64
            / picture.pixels().len() as f64
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = file.join("examples/runs/models/flowpp_digits.safetensors.gz");
    assert!(fs::metadata(file).unwrap().len() <= 1_500_000);
    let (dark, bright) = (share(|level| level < 32), share(|level| level > 192));
    assert!(dark > 0.6 && (0.03..0.25).contains(&bright), "dark {dark}, bright {bright}");
}

/// MNIST's format, which the model of digits is evaluated on in its own size.
#[test]
fn the_model_that_comes_with_the_program_is_evaluated() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("digits");
    fs::create_dir(&folder).unwrap();
    let put = |name: &str, header: &[u32], bytes: Vec<u8>| {
        let header = header.iter().flat_map(|number| number.to_be_bytes());
        fs::write(folder.join(name), header.chain(bytes).collect::<Vec<u8>>()).unwrap();
    };
    // A stroke, and noise: the model knows which of them is written by hand.
    let stroke = |pixel: usize| {
        let (row, column) = (pixel / 28, pixel % 28);
        if (5..23).contains(&row) && (13..16).contains(&column) { 250_u8 } else { 0 }
    };
    let noise = |pixel: usize| (pixel * 7919 % 251) as u8;
    let mut bits = Vec::new();
    for (name, image) in [("stroke", &stroke as &dyn Fn(usize) -> u8), ("noise", &noise)] {
        let pixels: Vec<u8> = (0..2 * 784).map(|pixel| image(pixel % 784)).collect();
        for set in ["train", "t10k"] {
            put(&format!("{set}-images-idx3-ubyte"), &[2051, 2, 28, 28], pixels.clone());
            put(&format!("{set}-labels-idx1-ubyte"), &[2049, 2], vec![1, 1]);
        }
        let out = root.path().join(name);
        succeeds(&["--pretrained", "--eval", "--data", folder.to_str().unwrap()], &out);
        bits.push(self::bits(&out));
    }
    assert!(bits[0] < 3.0 && bits[1] > 8.0, "{bits:?}");
}

#[test]
fn bad_uses_are_errors() {
    let root = tempfile::tempdir().unwrap();
    let bytes = fs::read(small()).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = root.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = file("whole.npz", &bytes);
    let truncated = file("truncated.npz", &bytes[..bytes.len() / 2]);
    let text = file("text.npz", b"weights");
    let table: [(Vec<&str>, Vec<&str>); 9] = [
        (vec!["--eval"], vec!["--eval needs one model, found 0", "--pretrained"]),
        (vec!["--sample", "--weights", &whole, "--pretrained"], vec!["--sample", "found 2"]),
        (vec!["--eval", &whole, "--weights", &whole], vec!["--eval", "found 2"]),
        (vec!["--weights", &whole], vec!["--weights is for --eval and --sample"]),
        (vec!["--pretrained", "--steps", "1"], vec!["--pretrained is for --eval and --sample"]),
        (vec!["--export", &whole], vec!["--export is for --eval and --sample"]),
        (vec!["--sample", "--weights", &truncated], vec!["truncated.npz", "not a valid npz"]),
        (vec!["--sample", "--weights", &text], vec!["text.npz"]),
        (vec!["--eval", "--pretrained"], vec!["expected examples of shape [1, 28, 28]"]),
    ];
    for (arguments, expected) in table {
        let output = run(&arguments, &root.path().join("out"));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !message.contains("panicked"), "{message}");
        for part in expected {
            assert!(message.contains(part), "{arguments:?}: {part:?} is not in {message:?}");
        }
    }
}
