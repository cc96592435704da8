//! MNIST's format: images and labels, plain and packed.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use flowkit::data::mnist::{self, ImageShape, LabelSet};
use proptest::prelude::*;
use proptest::sample::select;

use super::bytes::{Edit, edited, edits};
use super::target::{DEFLATE, Input, Target, corpus, fuzz, named};

const RECORDS: u32 = 3;
const SIDE: u32 = 28;

/// How a file is packed.
#[derive(Clone, Copy, Debug)]
enum Packing {
    Plain,
    /// In so many members, and so many zeros after the last.
    Gzip {
        members: usize,
        zeros: usize,
    },
}

impl Packing {
    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        let Self::Gzip { members, zeros } = self else { return bytes.to_vec() };
        let mut packed = Vec::new();
        for member in bytes.chunks(bytes.len().div_ceil(members).max(1)) {
            let mut encoder = GzEncoder::new(packed, Compression::fast());
            encoder.write_all(member).unwrap();
            packed = encoder.finish().unwrap();
        }
        packed.resize(packed.len() + zeros, 0);
        packed
    }
}

fn packing() -> impl Strategy<Value = Packing> {
    let gzip = (1usize..4, select(vec![0, 1, 600]))
        .prop_map(|(members, zeros)| Packing::Gzip { members, zeros });
    prop_oneof![Just(Packing::Plain), gzip]
}

fn file(dims: &[u32], byte: impl Fn(u32) -> u8) -> Vec<u8> {
    let header = std::iter::once(0x0800 | dims.len() as u32).chain(dims.iter().copied());
    let mut bytes: Vec<u8> = header.flat_map(u32::to_be_bytes).collect();
    bytes.extend((0..dims.iter().product()).map(byte));
    bytes
}

fn images() -> Vec<u8> {
    file(&[RECORDS, SIDE, SIDE], |at| (at % 251) as u8)
}

fn labels() -> Vec<u8> {
    file(&[RECORDS], |at| (at % 10) as u8)
}

/// Reads an edited file beside its right counterpart.
fn fuzz_one(target: &Target, right: &[u8], check: impl Fn(Input<'_>)) {
    let mut seeds = vec![right.to_vec()];
    seeds.extend(corpus(target.name));
    seeds.push(Packing::Gzip { members: 2, zeros: 600 }.pack(right));
    // A gigabyte of zeros in a few kilobytes is refused by the header, or by where the header says
    // that the file ends.
    let bomb = [right, &vec![0; 1 << 22]].concat();
    seeds.push(Packing::Gzip { members: 1, zeros: 0 }.pack(&bomb));
    let strategy = (edits(3), packing(), prop_oneof![2 => edits(0), 1 => edits(3)]);
    let build = |(edits, packing, packed): &(Vec<Edit>, Packing, Vec<Edit>)| {
        edited(&Packing::pack(*packing, &edited(right, edits, &seeds)), packed, &seeds)
    };
    fuzz(target, &seeds, strategy, build, check);
}

#[test]
fn idx_images() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("train-labels-idx1-ubyte");
    fs::write(&other, labels()).unwrap();
    let target = Target { name: "idx_images", file: "train-images-idx3-ubyte", expansion: DEFLATE };
    fuzz_one(&target, &images(), |input| {
        if let Some(images) = named(mnist::read_files(input.path, &other, ImageShape::PaddedRgb)) {
            assert_eq!(
                (images.len(), images.labels().unwrap().len()),
                (RECORDS as usize, RECORDS as usize)
            );
        }
    });
}

#[test]
fn idx_labels() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("train-images-idx3-ubyte");
    fs::write(&other, images()).unwrap();
    let target = Target {
        name: "idx_labels",
        file: "emnist-letters-train-labels-idx1-ubyte",
        expansion: DEFLATE,
    };
    fuzz_one(&target, &labels(), |input| {
        named(mnist::read_files(&other, input.path, ImageShape::Original));
        for n_classes in [0, 1, 10, 256, u16::MAX] {
            let found = mnist::read_labelled(
                &other,
                input.path,
                ImageShape::Padded,
                LabelSet::Numbered { n_classes },
            );
            if let Some(images) = named(found) {
                let labels = images.labels().unwrap();
                assert!((0..labels.len()).all(|i| usize::from(labels.get(i)) < labels.n_classes()));
            }
        }
    });
}
