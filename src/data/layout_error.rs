use std::path::PathBuf;

use thiserror::Error;

/// A data set laid out in a way that could be read wrong, so that it is not read at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A file, or something else, where a folder was expected.
    #[error("{}: not a folder; an archive must be unpacked, and a file is read by its folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },

    /// Folders whose names say that they are parts of a split, but not which part is which.
    #[error(
        "{}: {} may be parts of a split. Taken as one are folders called {train} and {test}, in either case, one of each. Rename them, or \
         call `read_split` with the two folders, or `read_held_out` if they are no split", path.display(), found.join(", ")
    )]
    UnclearSplit {
        /// The folder that holds them.
        path: PathBuf,
        /// Their names.
        found: Vec<String>,
        /// The names of a training folder.
        train: String,
        /// The names of a test folder.
        test: String,
    },

    /// A training folder and a test folder that are one, or of which one lies in the other, perhaps by way of links.
    #[error("{} and {} share files: testing on what was trained on", train.display(), test.display())]
    SharedFolder {
        /// The training folder.
        train: PathBuf,
        /// The test folder.
        test: PathBuf,
    },

    /// Two class folders whose names are the same as text. A byte that is not UTF-8 is written `\xE9` in the name of a class.
    #[error("{}: two folders are both class {name:?}; rename one", path.display())]
    SameClassName {
        /// The folder that is read.
        path: PathBuf,
        /// The name.
        name: String,
    },

    /// Several data sets in MNIST's format in one folder.
    #[error("{}: several data sets, {}; choose one by `mnist::read_set`", path.display(), found.join(", "))]
    SeveralSets {
        /// The folder.
        path: PathBuf,
        /// What the names of their files begin with, in quotes.
        found: Vec<String>,
    },

    /// A PNG file of several frames, of which an image set could hold one.
    #[error("{}: an animated PNG; convert the frames that are meant to images", path.display())]
    Animated {
        /// The file.
        path: PathBuf,
    },
}
