//! What the example of posteriors reads and draws: simulations and observations.

mod failure;
mod simulations;

use std::path::{Path, PathBuf};

pub use failure::Failure;
pub use simulations::{Observation, Simulations, bounds, observations};

/// The file of an observation's posterior: `posterior.csv` if there is only one.
pub fn posterior_file(folder: &Path, name: Option<&str>) -> PathBuf {
    match name {
        None => folder.join("posterior.csv"),
        Some(name) => folder.join("posteriors").join(format!("{name}.csv")),
    }
}

/// Samples as a table with these columns, whose names are put in quotes where they need them.
pub fn csv(names: &[String], samples: &[f64]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |cells: &[String]| {
        writer.write_record(cells).expect("rows of one length, written to memory");
    };
    write(names);
    for row in samples.chunks_exact(names.len()) {
        // The shortest text that gives the same float32.
        write(&row.iter().map(|&x| (x as f32).to_string()).collect::<Vec<_>>());
    }
    let bytes = writer.into_inner().expect("memory takes every byte");
    String::from_utf8(bytes).expect("names are UTF-8")
}
