//! Folders whose names mark them as a training or a test set, and folders whose names might.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::split_words::{Evidence, Role, SplitWords};
use crate::data::{
    DataError, LayoutError, Remark, Report,
    folder::{Found, Kind, entries},
};

/// Names that are recognised, in lower case; a folder may write them in upper case.
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 2] = ["test", "testing"];

/// The training and the test folder in `dir`, and remarks on what lies beside them; `None` if no
/// folder has such a name.
pub(super) fn find(dir: &Path) -> Result<Option<([PathBuf; 2], Report)>, DataError> {
    let entries = entries(dir)?;
    let named = |names: [&str; 2]| -> Vec<&Found> {
        let is_named = |entry: &&Found| {
            is_folder(entry) && names.iter().any(|name| entry.name.eq_ignore_ascii_case(name))
        };
        entries.iter().filter(is_named).collect()
    };
    let half = |found, missing, role| {
        // Another folder that may be the missing one.
        let other = |entry: &&Found| {
            is_folder(entry)
                && entry.foreign().is_none()
                && SplitWords::of(&entry.name).is_strongly(role)
        };
        let others: Vec<&OsStr> =
            entries.iter().filter(other).map(|entry| entry.name.as_os_str()).collect();
        let taken = named(TRAIN).into_iter().chain(named(TEST)).map(|entry| entry.name.as_os_str());
        match others.is_empty() {
            true => DataError::HalfSplit { path: dir.into(), found, missing },
            false => unclear(dir, taken.chain(others.iter().copied())),
        }
    };
    match (&named(TRAIN)[..], &named(TEST)[..]) {
        ([], []) => Ok(None),
        ([train], [test]) => {
            let beside =
                entries.iter().filter(|entry| ![&train.path, &test.path].contains(&&entry.path));
            let report = beside
                .map(|entry| entry.remarked(entry.foreign().unwrap_or(Remark::BesideSplit)))
                .collect();
            Ok(Some(([train.path.clone(), test.path.clone()], report)))
        }
        ([_], []) => Err(half("train", "test", Role::Test)),
        ([], [_]) => Err(half("test", "train", Role::Train)),
        (trains, tests) => {
            Err(unclear(dir, trains.iter().chain(tests).map(|entry| entry.name.as_os_str())))
        }
    }
}

/// An error if folders of images are named like parts of a split, in a folder that is to be read as
/// one set.
///
/// A name that consists of such a word is enough, unless the word is a usual name of other things,
/// such as `Dev`. Other names count only by what is beside them; see [`suspects`].
pub(super) fn check_one_set(folders: &[PathBuf]) -> Result<(), DataError> {
    let mut siblings: BTreeMap<&Path, Vec<(&OsStr, SplitWords)>> = BTreeMap::new();
    for folder in folders {
        if let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) {
            siblings.entry(parent).or_default().push((name, SplitWords::of(name)));
        }
    }
    for (parent, names) in siblings {
        let found = suspects(&names);
        if !found.is_empty() {
            return Err(unclear(parent, found.into_iter()));
        }
    }
    Ok(())
}

/// The folders beside each other that may be parts of a split; none if they may all be classes.
fn suspects<'a>(names: &[(&'a OsStr, SplitWords)]) -> Vec<&'a OsStr> {
    let those = |is: &dyn Fn(&SplitWords) -> bool| -> Vec<&'a OsStr> {
        names.iter().filter(|(_, words)| is(words)).map(|(name, _)| *name).collect()
    };
    let any = |is: &dyn Fn(&SplitWords) -> bool| names.iter().any(|(_, words)| is(words));
    let is_strong =
        |words: &SplitWords| words.is_strongly(Role::Train) || words.is_strongly(Role::Test);
    let strong = those(&is_strong);
    // `xtrain` or `xtest` is hardly a class, so a weaker counterpart suffices.
    let is_joined =
        any(&|words| words.role.is_some_and(|(_, evidence)| evidence == Evidence::Joined));
    let counts =
        |words: &SplitWords, role| words.is_strongly(role) || is_joined && words.is_role(role);
    let counted = those(&|words| counts(words, Role::Train) || counts(words, Role::Test));
    if any(&|words| counts(words, Role::Train)) && any(&|words| counts(words, Role::Test)) {
        return counted;
    }
    // A lone `Dev` among classes is a name; a `dev` beside another part of a split is not.
    if any(&|words| words.is_whole && (!words.is_ambiguous || strong.len() > 1)) {
        return strong;
    }
    if names.len() > 1 && counted.len() == names.len() {
        return counted;
    }
    // `x_train` is a training set if something else starts with `x`, and `train_x` if all names end
    // in `x`.
    let is_train = |words: &SplitWords| words.role == Some((Role::Train, Evidence::Word));
    for (_, own) in names.iter().filter(|(_, words)| is_train(words)) {
        // The name itself is counted.
        let alike = those(&|other| own.shares_start(other));
        let ends_alike = those(&|other| own.shares_end(other));
        if alike.len() > 1 {
            return alike;
        }
        if ends_alike.len() > 1 && ends_alike.len() == names.len() {
            return ends_alike;
        }
    }
    Vec::new()
}

fn is_folder(entry: &Found) -> bool {
    matches!(entry.kind, Kind::Folder | Kind::LinkedFolder)
}

fn unclear<'a>(path: &Path, found: impl Iterator<Item = &'a OsStr>) -> DataError {
    let mut found: Vec<String> = found.map(|name| name.to_string_lossy().into_owned()).collect();
    found.sort();
    found.dedup();
    let taken = |names: [&str; 2]| format!("`{}` or `{}`", names[0], names[1]);
    LayoutError::UnclearSplit { path: path.into(), found, train: taken(TRAIN), test: taken(TEST) }
        .into()
}
