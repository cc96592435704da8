//! The image files of one folder, and what else lies in it.

use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use crate::data::{
    DataError, Remark, Report,
    folder::{Found, Kind, entries},
    report::ReportEntry,
};

/// Extensions of the files that are read: all but the first are JPEG.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "jpe", "jfif"];

/// Extensions of image formats that are not read.
const OTHER_ENDINGS: [&str; 43] = [
    "apng", "arw", "avif", "bmp", "cr2", "cr3", "dcm", "dds", "dib", "dng", "emf", "eps", "exr",
    "ff", "gif", "hdr", "heic", "heif", "ico", "j2c", "j2k", "jfi", "jif", "jp2", "jpf", "jpx",
    "jxl", "mng", "nef", "pam", "pbm", "pcx", "pgm", "pnm", "ppm", "psd", "qoi", "svg", "svgz",
    "tga", "tif", "tiff", "webp",
];

/// The images of a folder, and what else it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The files that are read, in order of path.
    pub files: Vec<PathBuf>,
    /// What is left out, and files whose names differ only in their extensions.
    pub report: Report,
}

impl Listing {
    /// The listing of `dir`, at any depth.
    pub(super) fn of(dir: &Path) -> Result<Self, DataError> {
        let (mut files, mut visited, mut remarks) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut waiting = vec![dir.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            for entry in entries(&folder)? {
                if let Some(remark) = remark(&entry) {
                    remarks.push(entry.remarked(remark));
                } else if entry.kind == Kind::Folder {
                    visited.insert(entry.path.clone());
                    waiting.push(entry.path);
                } else {
                    files.push(entry.path);
                }
            }
        }
        files.sort();
        let full = folders(&files, dir);
        // Only the outermost of nested folders without images is named.
        let is_named = |folder: &Path| folder == dir || full.contains(folder);
        let empty = visited.into_iter().filter(|folder| !full.contains(folder.as_path()));
        let empty = empty.filter(|folder| folder.parent().is_some_and(is_named));
        remarks.extend(empty.map(|path| ReportEntry { remark: Remark::NoImages, path }));
        let mut stems = HashSet::new();
        let twice = files.iter().filter(|file| !stems.insert(file.with_extension("")));
        remarks
            .extend(twice.map(|path| ReportEntry { remark: Remark::SameStem, path: path.clone() }));
        Ok(Self { files, report: remarks.into_iter().collect() })
    }

    /// The listing of `dir`, which must hold an image.
    pub(super) fn of_some(dir: &Path) -> Result<Self, DataError> {
        let listing = Self::of(dir)?;
        if listing.files.is_empty() {
            let (path, expected) = (dir.into(), ENDINGS.join(", "));
            return Err(DataError::NoImages { path, expected, left_out: listing.report });
        }
        Ok(listing)
    }

    /// The folders below `dir` that hold images, at any depth.
    pub(super) fn folders(&self, dir: &Path) -> Vec<PathBuf> {
        folders(&self.files, dir).into_iter().map(Path::to_path_buf).collect()
    }
}

/// What a folder of images holds.
pub(in crate::data) fn looked_for() -> String {
    format!("files ending in {} (a folder of images)", ENDINGS.join(", "))
}

/// Why an entry is left out.
fn remark(entry: &Found) -> Option<Remark> {
    if let Some(remark) = entry.foreign() {
        return Some(remark);
    }
    let has = |endings: &[&str]| {
        let own = entry.path.extension();
        own.is_some_and(|own| endings.iter().any(|ending| own.eq_ignore_ascii_case(ending)))
    };
    match entry.kind {
        Kind::Folder => None,
        Kind::LinkedFolder => Some(Remark::LinkedFolder),
        Kind::Other => Some(Remark::NotAFile),
        Kind::File if has(&ENDINGS) => None,
        Kind::File if has(&OTHER_ENDINGS) => Some(Remark::OtherFormat),
        Kind::File => Some(Remark::NotAnImage),
    }
}

fn folders<'a>(files: &'a [PathBuf], dir: &Path) -> BTreeSet<&'a Path> {
    let mut found = BTreeSet::new();
    for file in files {
        for folder in file.ancestors().skip(1).take_while(|folder| *folder != dir) {
            if !found.insert(folder) {
                break; // The folders above it are in the set too.
            }
        }
    }
    found
}
