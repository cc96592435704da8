//! The settings of a run: what its flags said when it began, kept in its checkpoints, so that
//! `--resume` continues the same run.

use std::collections::BTreeMap;
use std::path::Path;

use flowkit::train::Checkpoint;

use super::failure::Failure;

/// Key of the settings in a checkpoint.
pub const KEY: &str = "settings";

/// A flag that the course of a run depends on.
pub struct Setting {
    /// Its name, without `--`.
    pub flag: &'static str,
    /// What the command line says.
    pub given: Option<String>,
    /// What holds if it says nothing.
    pub default: String,
}

impl Setting {
    /// A flag, what the command line gives for it, and what holds otherwise.
    pub fn new(flag: &'static str, given: Option<impl ToString>, default: impl ToString) -> Self {
        Self { flag, given: given.map(|value| value.to_string()), default: default.to_string() }
    }
}

/// Flags and their values.
pub type Settings = BTreeMap<String, String>;

/// The settings of a new run.
pub fn begin(flags: Vec<Setting>) -> Settings {
    flags
        .into_iter()
        .map(|Setting { flag, given, default }| (flag.into(), given.unwrap_or(default)))
        .collect()
}

/// The settings that a checkpoint was saved with.
pub fn read(checkpoint: &Checkpoint, path: &Path) -> Result<Settings, Failure> {
    let text = checkpoint
        .metadata(KEY)
        .ok_or_else(|| Failure::OtherProgram { path: path.to_path_buf() })?;
    serde_json::from_str(text)
        .map_err(|source| Failure::Config { path: path.to_path_buf(), source })
}

/// An error if the command line says other than the run that is resumed.
pub fn agree(flags: &[Setting], saved: &Settings, out: &Path) -> Result<(), Failure> {
    for Setting { flag, given, .. } in flags {
        let (Some(given), Some(saved)) = (given, saved.get(*flag)) else { continue };
        if given != saved {
            let (given, saved) = (given.clone(), saved.clone());
            return Err(Failure::Contradiction { flag, given, saved, out: out.to_path_buf() });
        }
    }
    Ok(())
}

/// One setting as a number.
pub fn number<T: std::str::FromStr>(
    settings: &Settings,
    flag: &'static str,
    path: &Path,
) -> Result<T, Failure> {
    let value = settings.get(flag).and_then(|value| value.parse().ok());
    value.ok_or_else(|| Failure::OtherProgram { path: path.to_path_buf() })
}
