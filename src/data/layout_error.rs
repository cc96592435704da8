//! Errors of data sets whose folders allow more than one reading.

use std::path::PathBuf;

use thiserror::Error;

/// A data set with an ambiguous layout, which is not read at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Something other than a folder where a folder was expected.
    #[error(
        "{}: expected a folder, found something else; unpack an archive, and pass the folder of a \
         file",
        path.display()
    )]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },

    /// Folders whose names suggest a split without determining which is the training set and which
    /// the test set.
    #[error(
        "{}: {} may be parts of a split. A split is one folder called {train} and one called \
         {test}, in upper or lower case. Rename them, or call `read_split` with the two folders, \
         or `read_held_out` if they are not a split",
        path.display(), found.join(", ")
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

    /// A training folder and a test folder that are the same, or of which one lies in the other,
    /// possibly through links.
    #[error(
        "{} and {} share files: the model would be tested on training data",
        train.display(), test.display()
    )]
    SharedFolder {
        /// The training folder.
        train: PathBuf,
        /// The test folder.
        test: PathBuf,
    },

    /// Two class folders whose names are the same as text. A byte that is not UTF-8 is written
    /// `\xE9` in the name of a class.
    #[error("{}: two folders have the same class name, {name:?}; rename one", path.display())]
    SameClassName {
        /// The folder that is read.
        path: PathBuf,
        /// The name.
        name: String,
    },

    /// Several data sets in MNIST's format in one folder.
    #[error(
        "{}: expected one data set, found {}; choose one with `mnist::read_set`",
        path.display(), found.join(", ")
    )]
    SeveralSets {
        /// The folder.
        path: PathBuf,
        /// The prefixes of their files' names, in quotes.
        found: Vec<String>,
    },

    /// A PNG file with several frames, of which an image set could hold only one.
    #[error(
        "{}: expected a still image, found an animated PNG; convert the frames that you want to \
         separate images",
        path.display()
    )]
    Animated {
        /// The file.
        path: PathBuf,
    },
}
