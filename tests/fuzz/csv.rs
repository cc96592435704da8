//! Tables in CSV files, plain and packed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use flowkit::data::table::{CsvConfig, Missing, Values};
use proptest::prelude::*;

use super::bytes::{Edit, edited, edits};
use super::target::{DEFLATE, Target, corpus, fuzz, named};

const RIGHT: &[u8] =
    b"x,\"a name\",kind\r\n1.5,-2e3,\"a, b\"\r\n.25,+7,c\r\n\"3\",NA,\"say \"\"d\"\"\"\r\n";

#[test]
fn csv_tables() {
    let pack = |bytes: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    let mut seeds = vec![RIGHT.to_vec(), b"x\n1e999\n".to_vec(), b"\xef\xbb\xbfx;y\n".to_vec()];
    seeds.extend(corpus("csv"));
    seeds.push(pack(RIGHT));
    let target = Target { name: "csv", file: "rows.csv", expansion: DEFLATE };
    let strategy = (edits(4), any::<bool>()).boxed();
    let build = |(edits, packed): &(Vec<Edit>, bool)| {
        let bytes = edited(RIGHT, edits, &seeds);
        if *packed { pack(&bytes) } else { bytes }
    };
    fuzz(&target, &seeds, strategy, build, |input| {
        for config in [CsvConfig::new(), CsvConfig::new().with_delimiter(';')] {
            let all = named(config.clone().read(input.path));
            let rest = named(config.with_missing(Missing::DropRows).read(input.path));
            // What is read without leaving anything out is the same when something may be.
            if let Some(all) = all {
                assert_eq!(Some(&all), rest.as_ref());
            }
            let Some(table) = rest else { continue };
            for column in table.columns() {
                assert_eq!(column.values.len(), table.len());
                match &column.values {
                    Values::Numbers(numbers) => assert!(numbers.iter().all(|x| x.is_finite())),
                    Values::Texts { names, codes } => {
                        assert!(names.is_sorted());
                        assert!(codes.iter().all(|code| (*code as usize) < names.len()));
                    }
                }
            }
        }
    });
}
