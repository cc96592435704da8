//! Folders whose names mark them as a training or a test set, and folders whose names might.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::data::{
    DataError, LayoutError, Remark, Report,
    folder::{Found, Kind, entries},
};

/// Names, in lower case, that are recognised, in upper or lower case.
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 2] = ["test", "testing"];

/// Words by which people name a training set, and the other parts of a data set.
const TRAINS: [&str; 6] = ["train", "training", "trn", "trainval", "trainvalid", "traintest"];
const TESTS: [&str; 20] = [
    "test",
    "testing",
    "tst",
    "testdev",
    "val",
    "valid",
    "validate",
    "validating",
    "validation",
    "minival",
    "dev",
    "devel",
    "development",
    "devtest",
    "eval",
    "evaluate",
    "evaluation",
    "holdout",
    "heldout",
    "heldback",
];

/// Words that may follow such a word in a name without changing its meaning.
const ENDINGS: [&str; 22] = [
    "",
    "set",
    "sets",
    "data",
    "dataset",
    "split",
    "part",
    "subset",
    "partition",
    "fold",
    "folder",
    "dir",
    "file",
    "files",
    "image",
    "images",
    "img",
    "imgs",
    "pictures",
    "photos",
    "samples",
    "examples",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Train,
    Test,
}

/// The training and the test folder in `dir`, and remarks on what is beside them; `None` if no folder has such a name.
pub(super) fn find(dir: &Path) -> Result<Option<([PathBuf; 2], Report)>, DataError> {
    let entries = entries(dir)?;
    let named = |names: [&str; 2]| -> Vec<&Found> {
        let is_named =
            |entry: &&Found| is_folder(entry) && names.iter().any(|name| entry.name.eq_ignore_ascii_case(name));
        entries.iter().filter(is_named).collect()
    };
    let half = |found, missing, role| {
        // A folder that may be the missing one.
        let other = |entry: &&Found| is_folder(entry) && entry.foreign().is_none() && within(&entry.name) == Some(role);
        let others: Vec<&OsStr> = entries.iter().filter(other).map(|entry| entry.name.as_os_str()).collect();
        let taken = named(TRAIN).into_iter().chain(named(TEST)).map(|entry| entry.name.as_os_str());
        match others.is_empty() {
            true => DataError::HalfSplit { path: dir.into(), found, missing },
            false => unclear(dir, taken.chain(others.iter().copied())),
        }
    };
    match (&named(TRAIN)[..], &named(TEST)[..]) {
        ([], []) => Ok(None),
        ([train], [test]) => {
            let beside = entries.iter().filter(|entry| ![&train.path, &test.path].contains(&&entry.path));
            let report = beside.map(|entry| entry.remarked(entry.foreign().unwrap_or(Remark::BesideSplit))).collect();
            Ok(Some(([train.path.clone(), test.path.clone()], report)))
        }
        ([_], []) => Err(half("train", "test", Role::Test)),
        ([], [_]) => Err(half("test", "train", Role::Train)),
        (trains, tests) => Err(unclear(dir, trains.iter().chain(tests).map(|entry| entry.name.as_os_str()))),
    }
}

/// An error if any folder of images in a folder that is to be one set is named like a part of a split.
///
/// A name that consists of such a word is enough. A name that only contains one, such as `steam-train`, counts only
/// with a counterpart beside it.
pub(super) fn check_one_set(folders: &[PathBuf]) -> Result<(), DataError> {
    let mut siblings: BTreeMap<&Path, Vec<&OsStr>> = BTreeMap::new();
    for folder in folders {
        if let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) {
            siblings.entry(parent).or_default().push(name);
        }
    }
    for (parent, names) in siblings {
        let roles: Vec<(&OsStr, Role)> = names.into_iter().filter_map(|name| Some((name, within(name)?))).collect();
        let has = |role| roles.iter().any(|(_, found)| *found == role);
        if has(Role::Train) && has(Role::Test) || roles.iter().any(|(name, _)| whole(name)) {
            return Err(unclear(parent, roles.into_iter().map(|(name, _)| name)));
        }
    }
    Ok(())
}

fn is_folder(entry: &Found) -> bool {
    matches!(entry.kind, Kind::Folder | Kind::LinkedFolder)
}

fn unclear<'a>(path: &Path, found: impl Iterator<Item = &'a OsStr>) -> DataError {
    let mut found: Vec<String> = found.map(|name| name.to_string_lossy().into_owned()).collect();
    found.sort();
    found.dedup();
    let taken = |names: [&str; 2]| format!("`{}` or `{}`", names[0], names[1]);
    LayoutError::UnclearSplit { path: path.into(), found, train: taken(TRAIN), test: taken(TEST) }.into()
}

/// Whether the whole name, apart from digits and punctuation, is that of a part of a split.
fn whole(name: &OsStr) -> bool {
    role(&words(name).concat()).is_some()
}

/// The part of a split that a name indicates, by one of its words or as a whole.
fn within(name: &OsStr) -> Option<Role> {
    let words = words(name);
    role(&words.concat()).or_else(|| words.iter().find_map(|word| role(word)))
}

fn role(word: &str) -> Option<Role> {
    let any = |names: &[&str]| {
        names.iter().any(|name| word.strip_prefix(name).is_some_and(|ending| ENDINGS.contains(&ending)))
    };
    if any(&TRAINS) { Some(Role::Train) } else { any(&TESTS).then_some(Role::Test) }
}

/// The words of a name in lower case. Punctuation, digits, and a capital after a small letter separate words.
fn words(name: &OsStr) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.to_string_lossy().chars() {
        if !letter.is_alphabetic() || was_small && letter.is_uppercase() {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words.last_mut().expect("there is a first word").extend(letter.to_lowercase());
        }
        was_small = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}
