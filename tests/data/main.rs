//! Data sets and loaders: what is read, in which order, and that every bad input is named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use flowkit::data::DataError;
use tempfile::TempDir;

mod cifar10;
mod columns;
mod emnist;
#[cfg(feature = "image")]
mod foreign;
#[cfg(feature = "image")]
mod image_folder;
mod loader;
mod maps;
mod mnist;
#[cfg(feature = "image")]
mod pictures;
mod sets;
#[cfg(feature = "image")]
mod split_folders;
mod tables;

/// `(what, the error, fragments of its message)`: the variant is checked by `matches!` where the
/// case is made.
type Case = (&'static str, DataError, Vec<String>);

macro_rules! case {
    ($what:expr, $result:expr, $variant:pat, $($fragment:expr),+) => {{
        let error = $result.map(|_| ()).expect_err($what);
        assert!(matches!(error, $variant), "{}: {error:?}", $what);
        ($what, error, vec![$($fragment.to_string()),+])
    }};
}

pub(crate) use case;

fn assert_messages(cases: Vec<Case>) {
    for (what, error, fragments) in cases {
        let message = error.to_string();
        for fragment in fragments {
            assert!(message.contains(&fragment), "{what}: \"{message}\" does not name {fragment}");
        }
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn file(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}
