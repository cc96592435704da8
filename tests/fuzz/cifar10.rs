//! CIFAR-10's records.

use std::fs;

use flowkit::data::{cifar10, read};
use proptest::prelude::*;

use super::bytes::{edited, edits};
use super::target::{Target, corpus, fuzz, named};

/// Bytes of a record.
const RECORD: usize = 3073;

#[test]
fn cifar10_records() {
    let right: Vec<u8> =
        (0..2 * RECORD).map(|at| if at % RECORD == 0 { 9 } else { (at % 256) as u8 }).collect();
    let mut seeds = vec![right.clone(), vec![]];
    seeds.extend(corpus("cifar10"));
    let target = Target { name: "cifar10", file: "data_batch_1.bin", expansion: 8 };
    // Copies keep the size a whole number of records where they replace something.
    let build = |edits: &Vec<_>| edited(&right, edits, &seeds);
    fuzz(&target, &seeds, edits(4).boxed(), build, |input| {
        let test = input.path.with_file_name("test_batch.bin");
        if !test.exists() {
            fs::write(&test, &right).unwrap();
        }
        let alone = named(cifar10::read_file(input.path));
        let folder = named(read(input.path.parent().unwrap()));
        assert_eq!(alone.as_ref(), folder.as_ref().map(|split| &split.train));
        if let Some(images) = alone {
            assert_eq!(images.len() * RECORD, input.bytes.len());
        }
    });
}
