//! Names of files in MNIST's format.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::data::{
    DataError, LayoutError, Report,
    folder::{Found, Kind, entries, not_in_set},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Train,
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    Images,
    Labels,
}

/// The parts of a file's name: `[set-]part-content-idxN-ubyte[.gz]`, in upper or lower case.
/// Unpackers and copies write `.` or `_` in place of any `-`, so the three are equivalent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileName {
    /// Prefix as [`set_name`] writes it; empty for MNIST's own names.
    pub(super) set: String,
    pub(super) part: Part,
    pub(super) content: Content,
    /// Of several files with the same role, the one of the lowest rank is read: unpacked before
    /// packed, MNIST's own spelling before others.
    rank: [bool; 3],
    /// The whole name, so two spellings of one rank remain two files.
    spelling: String,
}

impl FileName {
    pub(super) fn of(name: &OsStr) -> Option<Self> {
        let spelling = name.to_str()?;
        let lower = spelling.to_ascii_lowercase();
        let (packed, rest) =
            lower.strip_suffix(".gz").map_or((false, &*lower), |rest| (true, rest));
        let with_dashes = set_name(rest);
        let (start, content) =
            [("-images-idx3-ubyte", Content::Images), ("-labels-idx1-ubyte", Content::Labels)]
                .into_iter()
                .find_map(|(end, content)| Some((with_dashes.strip_suffix(end)?, content)))?;
        let parts = [("train", Part::Train), ("t10k", Part::Test), ("test", Part::Test)];
        let (word, part) = parts.into_iter().find(|(word, _)| start.ends_with(word))?;
        let set = start.strip_suffix(word)?;
        let set = if set.is_empty() { set } else { set.strip_suffix('-')? };
        let rank = [packed, with_dashes != rest, word == "test"];
        Some(Self { set: set.into(), part, content, rank, spelling: spelling.into() })
    }
}

/// The name of a set, or of a file, in lower case with dashes between its words.
fn set_name(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The files in MNIST's format in a folder.
pub(super) struct Sets<'a> {
    dir: &'a Path,
    entries: Vec<Found>,
    files: BTreeMap<FileName, PathBuf>,
}

impl<'a> Sets<'a> {
    pub(super) fn of(dir: &'a Path) -> Result<Self, DataError> {
        let entries = entries(dir)?;
        let named =
            entries.iter().filter(|entry| entry.kind == Kind::File && entry.foreign().is_none());
        let files = named
            .filter_map(|entry| Some((FileName::of(&entry.name)?, entry.path.clone())))
            .collect();
        Ok(Self { dir, entries, files })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The only set. If there is none, MNIST itself, so the error names its files as missing.
    pub(super) fn only(&self) -> Result<String, DataError> {
        let sets: BTreeSet<&String> = self.files.keys().map(|name| &name.set).collect();
        if sets.len() > 1 {
            let found = sets.into_iter().map(|set| format!("{set:?}")).collect();
            return Err(LayoutError::SeveralSets { path: self.dir.into(), found }.into());
        }
        Ok(sets.first().map(|set| set.to_string()).unwrap_or_default())
    }

    /// Images and labels of the training set, then of the test set, and remarks on the other files
    /// of the folder.
    pub(super) fn files(&self, set: &str) -> Result<([[PathBuf; 2]; 2], Report), DataError> {
        let set = set_name(set);
        let file = |part, content| self.file(&set, part, content);
        let pair =
            |part| Ok::<_, DataError>([file(part, Content::Images)?, file(part, Content::Labels)?]);
        let files = [pair(Part::Train)?, pair(Part::Test)?];
        let is_read = |entry: &Found| files.as_flattened().contains(&entry.path);
        let report = not_in_set(&self.entries, is_read).into_iter().collect();
        Ok((files, report))
    }

    fn file(&self, set: &str, part: Part, content: Content) -> Result<PathBuf, DataError> {
        // Sorted by name, hence by rank.
        let mut fitting = self
            .files
            .iter()
            .filter(|(name, _)| (&*name.set, name.part, name.content) == (set, part, content));
        let found = fitting.next().map(|(_, path)| path.clone());
        found.ok_or_else(|| DataError::MissingFile {
            path: self.dir.into(),
            expected: expected(set, part, content),
        })
    }
}

fn expected(set: &str, part: Part, content: Content) -> String {
    let set = if set.is_empty() { String::new() } else { format!("{set}-") };
    let end = match content {
        Content::Images => "images-idx3-ubyte",
        Content::Labels => "labels-idx1-ubyte",
    };
    let (name, other) = match part {
        Part::Train => (format!("{set}train-{end}"), String::new()),
        Part::Test => (format!("{set}t10k-{end}"), format!(" or {set}test-{end}")),
    };
    format!("{name} or {name}.gz{other} (or `.` or `_` for any `-`)")
}

/// The names that [`Sets`] looks for.
pub(in crate::data) fn looked_for() -> String {
    "train-images-idx3-ubyte and so on, with or without .gz (MNIST), or with a prefix (EMNIST)"
        .into()
}
