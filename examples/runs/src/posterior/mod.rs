//! What the example of posteriors reads and draws: simulations and observations.

mod failure;
mod simulations;

use std::fs;
use std::path::{Path, PathBuf};

use flowkit::whole_file;

pub use failure::Failure;
pub use simulations::{Observation, Simulations, bounds, observations};

use crate::say;

/// Makes a folder and tries to write there, before anything is computed.
pub fn create(folder: &Path) -> Result<(), Failure> {
    let fail = |source| Failure::Write { path: folder.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(fail)?;
    tempfile::tempfile_in(folder).map_err(fail)?;
    Ok(())
}

/// Writes a file, whole or not at all, and says so.
pub fn write(path: &Path, what: &str, text: &str) -> Result<(), Failure> {
    let fail = |source| Failure::Write { path: path.to_path_buf(), source };
    whole_file::write(path, |file| file.write_all(text.as_bytes())).map_err(fail)?;
    say!("{what:<15} {}", path.display());
    Ok(())
}

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
