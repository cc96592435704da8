//! A folder of PNG and JPEG files, all of one size.
//!
//! # Which files
//!
//! Files are found at any depth by their extension (`png`, `jpg`, `jpeg`, `jpe`, `jfif`, in either
//! case). They are sorted by path, byte by byte, so the order is the same on every file system.
//! Left out are hidden files and folders, those that operating systems create (`Thumbs.db`,
//! `__MACOSX`, `@eaDir`, `lost+found`, ...), links to folders, and files with other extensions.
//! Links to files are read. The [`Report`](super::Report) of the set names everything that was left
//! out. [`list`] returns it without reading an image.
//!
//! # Which parts
//!
//! | the folder holds | what is read |
//! |---|---|
//! | one folder `train` or `training` and one `test` or `testing`, in upper or lower case | they are the split; the rest is left out |
//! | only one of the two | [`DataError::HalfSplit`] |
//! | folders that may be parts of a split, at any depth: `holdout`, `train_set`, `test2017`, `xtrain` and `xval`, ... | [`LayoutError::UnclearSplit`] |
//! | nothing of the kind | every tenth image is held out |
//!
//! `val`, `dev` and `eval` may be names of classes, so they count only beside another part of a
//! split. [`read_split`] takes two folders with any names, and [`read_held_out`] takes one.
//!
//! # Which levels
//!
//! The contents of a file decide how it is decoded, not its extension. Nothing is converted or
//! resized. An image with gray, alpha, CMYK or 16-bit channels, of another size or of several
//! frames is an error that names the file: a silent conversion would change the data whose bits are
//! being counted. There are three exceptions:
//!
//! * An image is turned and mirrored as its EXIF orientation requires (the EXIF data of JPEG, the
//!   `eXIf` chunk of PNG), so it is read as viewers show it. Its size is the size after that. An
//!   orientation other than 1 to 8 is ignored, and XMP and text chunks are not searched for one.
//! * A palette is replaced by its colours, which is exact.
//! * A JPEG is decoded; its levels may differ by a few from those of another decoder. Colour
//!   profiles and gamma are not applied.
//!
//! # Classes
//!
//! Folders may be classes: see [`Labelling`]. Images are then sorted by class, because paths are.
//! [`Batches`](super::Batches) shuffles them; for a subset see [`Images::select`].

mod classes;
mod decode;
mod jpeg_segments;
mod listing;
mod png_chunks;
mod split_names;
mod split_words;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::{DataError, Images, LayoutError, Remark, Split, report::ReportEntry};
pub use listing::Listing;
pub(super) use listing::looked_for;

/// One image in this many is held out if the folder has no split of its own.
const HOLD_OUT: usize = 10;

/// Where the labels of a folder's images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labelling {
    /// No labels.
    Nothing,
    /// The class of an image is the first folder on its path, below the folder that is read or
    /// below its training or test folder. The classes are those of both sets, sorted by name, byte
    /// by byte. A folder without images is not a class. In the name of a class, a byte that is not
    /// UTF-8 is written `\xE9`.
    SubFolder,
}

/// The images of `dir`, each of `size` = `[height, width]`, split in two: by its training and test
/// folder, or else as by [`read_held_out`]. The [module](self) describes the rules.
///
/// # Errors
///
/// [`DataError::HalfSplit`] if there is a training or a test folder but not the other;
/// [`LayoutError::UnclearSplit`] if there are several of one kind, or other folders that may be
/// part of a split; and the errors of [`read_split`] and [`read_held_out`].
pub fn read_dir(
    dir: impl AsRef<Path>,
    size: [usize; 2],
    labelling: Labelling,
) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    if let Some(([train, test], beside)) = split_names::find(dir)? {
        let split = of_two(dir, [&train, &test], size, labelling)?;
        return Ok(with_remarks(split, beside.entries().to_vec()));
    }
    let listing = Listing::of_some(dir)?;
    split_names::check_one_set(&listing.folders(dir))?;
    held_out(dir, listing, size, labelling)
}

/// The images of two folders, each of `size` = `[height, width]`; the folders may have any names.
///
/// # Errors
///
/// [`LayoutError::SharedFolder`] if the two are the same folder, or one lies in the other;
/// [`DataError::NoClassFolder`] if folders are classes and an image is in none of them;
/// [`LayoutError::SameClassName`] if two classes have the same name as text; and the errors of
/// [`read_images`].
pub fn read_split(
    train: impl AsRef<Path>,
    test: impl AsRef<Path>,
    size: [usize; 2],
    labelling: Labelling,
) -> Result<Split, DataError> {
    let (train, test) = (train.as_ref(), test.as_ref());
    of_two(train, [train, test], size, labelling)
}

/// The images of `dir`, each of `size` = `[height, width]`, as one set of which a part is held out.
/// The names of its folders do not matter.
///
/// Every tenth image in order of path is held out for the test set; of fewer than ten images, the
/// last one. The choice depends only on the names.
///
/// # Errors
///
/// [`DataError::NothingToHoldOut`] if there is only one image; and the errors of [`read_split`]
/// about classes and of [`read_images`].
pub fn read_held_out(
    dir: impl AsRef<Path>,
    size: [usize; 2],
    labelling: Labelling,
) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    held_out(dir, Listing::of_some(dir)?, size, labelling)
}

/// The images of `dir`, each of `size` = `[height, width]`, as one set in order of path. [`list`]
/// reports what is left out.
///
/// # Errors
///
/// [`LayoutError::NotAFolder`]; [`DataError::NoImages`] if there is none; [`DataError::ImageSize`],
/// [`DataError::ColorType`], [`LayoutError::Animated`] or [`DataError::Undecodable`] for the first
/// file in order of path that is not as it should be; [`DataError::ImageShape`] if `size` has a
/// zero; [`DataError::Io`].
pub fn read_images(dir: impl AsRef<Path>, size: [usize; 2]) -> Result<Images, DataError> {
    Ok(load(&Listing::of_some(dir.as_ref())?.files, size)?.0)
}

/// The files of `dir` that [`read_images`] reads, and what it leaves out. No image is read.
///
/// # Errors
///
/// [`LayoutError::NotAFolder`], [`DataError::Io`].
pub fn list(dir: impl AsRef<Path>) -> Result<Listing, DataError> {
    Listing::of(dir.as_ref())
}

fn of_two(
    dir: &Path,
    roots: [&Path; 2],
    size: [usize; 2],
    labelling: Labelling,
) -> Result<Split, DataError> {
    let [train, test] = [Listing::of_some(roots[0])?, Listing::of_some(roots[1])?];
    let real = |path: &Path| fs::canonicalize(path).map_err(DataError::io(path));
    let [real_train, real_test] = [real(roots[0])?, real(roots[1])?];
    if real_train.starts_with(&real_test) || real_test.starts_with(&real_train) {
        return Err(
            LayoutError::SharedFolder { train: roots[0].into(), test: roots[1].into() }.into()
        );
    }
    let split = load_two(dir, [&train.files, &test.files], roots, size, labelling)?;
    Ok(with_remarks(split, [train.report.entries(), test.report.entries()].concat()))
}

fn held_out(
    dir: &Path,
    listing: Listing,
    size: [usize; 2],
    labelling: Labelling,
) -> Result<Split, DataError> {
    let Listing { files, report } = listing;
    if files.len() < 2 {
        return Err(DataError::NothingToHoldOut { path: dir.into(), found: files.len() });
    }
    let period = HOLD_OUT.min(files.len());
    let (test, train): (Vec<_>, Vec<_>) =
        files.into_iter().enumerate().partition(|(i, _)| i % period == period - 1);
    let paths = |numbered: Vec<(usize, PathBuf)>| -> Vec<PathBuf> {
        numbered.into_iter().map(|(_, file)| file).collect()
    };
    let split = load_two(dir, [&paths(train), &paths(test)], [dir, dir], size, labelling)?;
    Ok(with_remarks(split, report.entries().to_vec()))
}

fn with_remarks(Split { train, test, report }: Split, remarks: Vec<ReportEntry>) -> Split {
    Split { train, test, report: report.entries().iter().cloned().chain(remarks).collect() }
}

/// A split with remarks on its images and classes.
fn load_two(
    dir: &Path,
    files: [&[PathBuf]; 2],
    roots: [&Path; 2],
    size: [usize; 2],
    labelling: Labelling,
) -> Result<Split, DataError> {
    // Checked before the images are read, which may take long.
    let labels = match labelling {
        Labelling::Nothing => None,
        Labelling::SubFolder => Some(classes::labels(dir, files, roots)?),
    };
    let ((mut train, mut remarks), (mut test, of_test)) =
        (load(files[0], size)?, load(files[1], size)?);
    remarks.extend(of_test);
    if let Some(([train_labels, test_labels], of_classes)) = labels {
        remarks.extend(of_classes);
        (train, test) = (train.with_labels(train_labels)?, test.with_labels(test_labels)?);
    }
    let known: HashSet<&[u8]> = (0..train.len()).map(|i| train.image(i)).collect();
    let again = files[1].iter().enumerate().filter(|(i, _)| known.contains(test.image(*i)));
    remarks.extend(
        again.map(|(_, file)| ReportEntry { remark: Remark::InTraining, path: file.clone() }),
    );
    Ok(Split { report: remarks.into_iter().collect(), train, test })
}

/// The images of the given files, and remarks on those that were turned.
fn load(files: &[PathBuf], size: [usize; 2]) -> Result<(Images, Vec<ReportEntry>), DataError> {
    let shape = [3, size[0], size[1]];
    let mut pixels = Images::new(Vec::new(), shape).map(|_| Vec::new())?;
    let mut turned = Vec::new();
    for file in files {
        if decode::push_file(&mut pixels, file, size)? {
            turned.push(ReportEntry { remark: Remark::Turned, path: file.clone() });
        }
    }
    Ok((Images::new(pixels, shape)?, turned))
}
