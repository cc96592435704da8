//! Classes from folder names.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::data::{DataError, Labels, LayoutError, Remark, report::ReportEntry};

/// The labels of a training and a test set, each given by its files below a folder. The classes are
/// those of both sets, sorted by name, byte by byte. Names are compared as the file system stores
/// them, so two folders are never one class.
pub(super) fn labels(
    dir: &Path,
    files: [&[PathBuf]; 2],
    roots: [&Path; 2],
) -> Result<([Labels; 2], Vec<ReportEntry>), DataError> {
    let classes = [classes(files[0], roots[0])?, classes(files[1], roots[1])?];
    let own: [BTreeSet<&OsStr>; 2] =
        [classes[0].iter().copied().collect(), classes[1].iter().copied().collect()];
    let all: BTreeSet<&OsStr> = own[0].union(&own[1]).copied().collect();
    let names = names(dir, &all)?;
    let numbers: BTreeMap<&OsStr, usize> = all.into_iter().zip(0..).collect();
    let label = |class: &&OsStr| {
        u16::try_from(numbers[class])
            .map_err(|_| DataError::TooManyClasses { path: dir.into(), found: names.len() })
    };
    let labels = |classes: &[&OsStr]| {
        Labels::new(classes.iter().map(label).collect::<Result<_, DataError>>()?, names.clone())
    };
    let only = |own: &BTreeSet<&OsStr>,
                other: &BTreeSet<&OsStr>,
                root: &Path,
                remark|
     -> Vec<ReportEntry> {
        own.difference(other).map(|class| ReportEntry { remark, path: root.join(class) }).collect()
    };
    let mut remarks = only(&own[0], &own[1], roots[0], Remark::Untested);
    remarks.extend(only(&own[1], &own[0], roots[1], Remark::Untrained));
    Ok(([labels(&classes[0])?, labels(&classes[1])?], remarks))
}

/// The class of each file: the first folder on its path below `root`.
fn classes<'a>(files: &'a [PathBuf], root: &Path) -> Result<Vec<&'a OsStr>, DataError> {
    let class = |file: &'a PathBuf| {
        let mut way = file.strip_prefix(root).unwrap_or(file).iter();
        match (way.next(), way.next()) {
            (Some(folder), Some(_)) => Ok(folder),
            _ => Err(DataError::NoClassFolder { path: file.clone() }),
        }
    };
    files.iter().map(class).collect()
}

fn names(dir: &Path, classes: &BTreeSet<&OsStr>) -> Result<Vec<String>, DataError> {
    let names: Vec<String> = classes.iter().map(|class| text(class)).collect();
    let mut known = HashSet::new();
    match names.iter().find(|name| !known.insert(*name)) {
        Some(name) => {
            Err(LayoutError::SameClassName { path: dir.into(), name: name.clone() }.into())
        }
        None => Ok(names),
    }
}

/// A name as text, without loss: each byte that is not UTF-8 is written as `\xE9`.
fn text(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02X}")));
    }
    text
}
