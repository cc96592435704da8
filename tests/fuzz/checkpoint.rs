//! The reader of checkpoints: files of its own and of other programs, and folders of them.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use flowkit::train::{Checkpoint, Checkpoints};

use super::resume::{TRAINED, model};
use super::stored::{Stored, edited, edits, read};
use super::target::{Input, Target, corpus, fuzz, named};

/// Everything that can be asked of a checkpoint.
fn ask(checkpoint: &Checkpoint) {
    let device = Device::flex();
    for name in ["model", "average", "optimizer", "w", "", "nothing"] {
        named(checkpoint.bytes(name));
        named(checkpoint.architecture(name));
        named(checkpoint.apply(name, model(&device).without_data()));
        let _ = checkpoint.metadata(name);
    }
}

/// A file that can be read is written again as it was understood. Only a few are: a checkpoint
/// waits for the disk.
fn round_trip(checkpoint: &Checkpoint, folder: &Path) {
    let copy = folder.join("copy");
    checkpoint.save(&copy).unwrap();
    assert_eq!(Checkpoint::load(&copy).unwrap(), *checkpoint);
    fs::remove_file(copy).unwrap();
}

fn check(input: Input<'_>) {
    let folder = input.path.parent().unwrap();
    let Some(checkpoint) = named(read(&input)) else { return };
    ask(&checkpoint);
    if crc32fast::hash(input.bytes).is_multiple_of(32) {
        round_trip(&checkpoint, folder);
    }
    let latest = Checkpoints::open(folder, 1).unwrap().latest().unwrap().unwrap();
    assert_eq!((latest.step, &latest.checkpoint), (1, &checkpoint));
}

#[test]
fn checkpoints() {
    let mut seeds = TRAINED.clone();
    seeds.extend(corpus("checkpoint"));
    let files: Vec<Stored> = TRAINED.iter().map(|file| Stored::of(file)).collect();
    let target = Target { name: "checkpoint", file: "0000000001.safetensors", expansion: 64 };
    fuzz(&target, &seeds, edits(), |edits| edited(&files, edits), check);
}

/// Files of other programs, some with this one's metadata.
#[test]
fn foreign_safetensors() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut seeds: Vec<Vec<u8>> = ["squeeze.f32", "actnorm.f32", "invconv_plu.f32"]
        .map(|name| fs::read(golden.join(name).with_extension("f32.safetensors")).unwrap())
        .to_vec();
    let mut files: Vec<Stored> = seeds.iter().map(|file| Stored::of(file)).collect();
    files.push(Stored::of(&TRAINED[0]));
    seeds.extend(corpus("foreign"));
    let target = Target { name: "foreign", file: "0000000001.safetensors", expansion: 64 };
    fuzz(&target, &seeds, edits(), |edits| edited(&files, edits), check);
}
