//! State dicts of flows of nflows and zuko.

use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use flowkit::model::nflows::{self, NflowsSettings};
use flowkit::model::zuko::{self, ZukoSettings};

use super::stored::{self, Stored};
use super::target::{Input, Target, fuzz, named};

/// Bytes for each byte of a file: its arrays in float64, translated, and the model, which has at
/// most four parameters for each number, where a number may be a boolean of one byte.
const EXPANSION: usize = 256;

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/peers_in");
    fs::read(folder.join(format!("{name}.safetensors"))).unwrap()
}

fn run(name: &'static str, files: &[&str], check: impl Fn(Input<'_>)) {
    let files: Vec<Vec<u8>> = files.iter().map(|name| file(name)).collect();
    let parts: Vec<Stored> = files.iter().map(|file| Stored::of(file)).collect();
    let target = Target { name, file: "flow.safetensors", expansion: EXPANSION };
    let build = |edits: &_| stored::edited(&parts, edits);
    fuzz(&target, &files, stored::edits(), build, check);
}

fn context(device: &Device) -> Tensor<2> {
    Tensor::zeros([1, 2], device)
}

#[test]
fn of_nflows() {
    let files = ["nsf_standardised", "maf_feedforward", "real_nvp_additive", "nsf_coupling"];
    run("of_nflows", &files, |input| {
        let (settings, device) = (NflowsSettings::new(), Device::flex());
        named(nflows::load(input.path, &settings, &device));
        named(nflows::load_given(input.path, &settings, &context(&device), &device));
    });
}

#[test]
fn of_zuko() {
    run("of_zuko", &["zuko_maf_context", "zuko_nsf_one", "zuko_maf_one"], |input| {
        let (settings, device) = (ZukoSettings::new(), Device::flex());
        named(zuko::load(input.path, &settings, &device));
        named(zuko::load_given(input.path, &settings, &context(&device), &device));
    });
}
