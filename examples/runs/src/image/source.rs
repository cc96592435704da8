//! Where the images of a run come from. Each kind of source has a flag of its own, so that none is
//! mistaken for a path.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::settings::Settings;

/// Setting of a run.
pub const SETTING: &str = "source of the data";

/// In a checkpoint: `"photographs"`, `"download"`, `{"folder":"/a/path"}`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Those that come with the crate.
    Photographs,
    /// CIFAR-10 from the network.
    Download,
    /// A folder of the user's.
    Folder(PathBuf),
    /// A folder whose name is not UTF-8, which JSON has no text for.
    FolderInBytes(OsString),
}

impl Source {
    /// A folder by its absolute path, so that the next start may be from another folder.
    pub fn folder(path: &Path) -> Self {
        // If there is none, reading it says so.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if path.to_str().is_some() {
            Self::Folder(path)
        } else {
            Self::FolderInBytes(path.into_os_string())
        }
    }

    /// Its folder.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Photographs | Self::Download => None,
            Self::Folder(path) => Some(path),
            Self::FolderInBytes(path) => Some(Path::new(path)),
        }
    }

    /// That of a run, if it says one; `path` is the run's checkpoint.
    pub fn saved(settings: &Settings, path: &Path) -> Result<Option<Self>, Failure> {
        let parse = |text: &String| serde_json::from_str(text);
        let fail = |source| Failure::Setting { path: path.to_path_buf(), name: SETTING, source };
        settings.get(SETTING).map(parse).transpose().map_err(fail)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.path()) {
            (_, Some(path)) => path.display().fmt(f),
            (Self::Download, _) => f.write_str("download"),
            _ => f.write_str("photographs"),
        }
    }
}
