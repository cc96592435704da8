//! A folder of PNG and JPEG files, all of one size.
//!
//! Files are found at any depth by their ending (`png`, `jpg`, `jpeg`, in either case) and sorted by path; linked folders
//! are not followed. What a file holds decides how it is decoded, not its ending. Nothing is converted or resized: an
//! image with gray, alpha or 16-bit channels or of another size is an error that names it, for a silent conversion would
//! change the data whose bits are being counted. Two conversions belong to the decoder and cannot be seen from here: a
//! palette is replaced by its colours, which is exact, and a CMYK JPEG becomes RGB, which is not.
//!
//! Folders may be classes: see [`Labelling`]. Paths then sort by class. [`Batches`](super::Batches) shuffles; for a sample of the set see
//! [`Images::select`].

use std::{
    collections::BTreeSet,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::{DataError, Images, Labels, Split, rgb::push_planes};

const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// One image in this many is held out where the folder has no split of its own.
const HOLD_OUT: usize = 10;

/// Where the labels of a folder's images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labelling {
    /// There are none.
    Nothing,
    /// The first folder on the way to an image, below the folder that is read or below its `train` and `test`, is its class. The classes
    /// are those of both sets, in order of name.
    SubFolder,
}

/// The images of `dir`, each of `size` = `[height, width]`, split in two.
///
/// If `dir` has the subfolders `train` and `test`, these are the split, and whatever else it holds is left alone.
/// Otherwise every tenth image in order of path is the test set, or the last one where there are fewer than ten: a choice
/// that depends on nothing but the names.
///
/// # Errors
///
/// [`DataError::HalfSplit`] if only one of the two subfolders is there; [`DataError::NothingToHoldOut`] if there is a
/// single image; [`DataError::NoClassFolder`] if the folders are to be classes and an image is in none of them; and the errors of
/// [`read_images`].
pub fn read_dir(dir: impl AsRef<Path>, size: [usize; 2], labelling: Labelling) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    let half = |found, missing| Err(DataError::HalfSplit { path: dir.into(), found, missing });
    let [train_dir, test_dir] = [dir.join("train"), dir.join("test")];
    let (roots, files) = match (train_dir.is_dir(), test_dir.is_dir()) {
        (true, true) => {
            let files = [image_files(&train_dir)?, image_files(&test_dir)?];
            ([train_dir, test_dir], files)
        }
        (true, false) => return half("train", "test"),
        (false, true) => return half("test", "train"),
        (false, false) => ([dir.to_path_buf(), dir.to_path_buf()], hold_out(dir)?),
    };
    let [train, test] = [load(&files[0], size)?, load(&files[1], size)?];
    match labelling {
        Labelling::Nothing => Ok(Split { train, test }),
        Labelling::SubFolder => {
            let [train_classes, test_classes] = [classes(&files[0], &roots[0])?, classes(&files[1], &roots[1])?];
            let names: BTreeSet<&String> = train_classes.iter().chain(&test_classes).collect();
            let names: Vec<String> = names.into_iter().cloned().collect();
            let train = train.with_labels(labels(&train_classes, &names, &roots[0])?)?;
            Ok(Split { train, test: test.with_labels(labels(&test_classes, &names, &roots[1])?)? })
        }
    }
}

/// The images of `dir`, each of `size` = `[height, width]`, as one set in order of path.
///
/// # Errors
///
/// [`DataError::NoImages`] if there is none; [`DataError::ImageSize`], [`DataError::ColorType`] or
/// [`DataError::Undecodable`] for the first file in order of path that is not as it should be; [`DataError::ImageShape`]
/// if `size` has a zero; [`DataError::Io`].
pub fn read_images(dir: impl AsRef<Path>, size: [usize; 2]) -> Result<Images, DataError> {
    load(&image_files(dir.as_ref())?, size)
}

/// The class of each file: the first folder on its way from `root`.
fn classes(files: &[PathBuf], root: &Path) -> Result<Vec<String>, DataError> {
    let class = |file: &PathBuf| {
        let mut way = file.strip_prefix(root).unwrap_or(file).components();
        match (way.next(), way.next()) {
            (Some(folder), Some(_)) => Ok(folder.as_os_str().to_string_lossy().into_owned()),
            _ => Err(DataError::NoClassFolder { path: file.clone() }),
        }
    };
    files.iter().map(class).collect()
}

fn labels(classes: &[String], names: &[String], root: &Path) -> Result<Labels, DataError> {
    // `names` is sorted, and holds every class.
    let label = |class: &String| {
        let index = names.binary_search(class).unwrap_or_default();
        u16::try_from(index).map_err(|_| DataError::TooManyClasses { path: root.into(), found: names.len() })
    };
    Labels::new(classes.iter().map(label).collect::<Result<_, _>>()?, names.to_vec())
}

/// Training and test files of a folder without a split of its own.
fn hold_out(dir: &Path) -> Result<[Vec<PathBuf>; 2], DataError> {
    let files = image_files(dir)?;
    if files.len() < 2 {
        return Err(DataError::NothingToHoldOut { path: dir.into(), found: files.len() });
    }
    let period = HOLD_OUT.min(files.len());
    let (test, train): (Vec<_>, Vec<_>) = files.into_iter().enumerate().partition(|(i, _)| i % period == period - 1);
    let paths = |numbered: Vec<(usize, PathBuf)>| numbered.into_iter().map(|(_, file)| file).collect();
    Ok([paths(train), paths(test)])
}

/// What a folder of images holds.
pub(super) fn looked_for() -> String {
    format!("files ending in {} (a folder of images)", ENDINGS.join(", "))
}

fn image_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(DataError::io(&folder))? {
            let entry = entry.map_err(DataError::io(&folder))?;
            let path = entry.path();
            if entry.file_type().map_err(DataError::io(&path))?.is_dir() {
                folders.push(path);
            } else if has_image_ending(&path) && !path.is_dir() {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        return Err(DataError::NoImages { path: dir.into(), expected: ENDINGS.join(", ") });
    }
    files.sort();
    Ok(files)
}

fn has_image_ending(path: &Path) -> bool {
    path.extension().is_some_and(|found| ENDINGS.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
}

fn load(files: &[PathBuf], size: [usize; 2]) -> Result<Images, DataError> {
    let shape = [3, size[0], size[1]];
    let mut pixels = Images::new(Vec::new(), shape).map(|_| Vec::new())?;
    files.iter().try_for_each(|file| push_file(&mut pixels, file, size))?;
    Images::new(pixels, shape)
}

/// Appends the planes of one file. The header is checked before the pixels are decoded.
fn push_file(pixels: &mut Vec<u8>, path: &Path, expected: [usize; 2]) -> Result<(), DataError> {
    let undecodable = |reason: String| DataError::Undecodable { path: path.into(), reason };
    let refused = |error: ImageError| undecodable(error.to_string());
    let bytes = fs::read(path).map_err(DataError::io(path))?;
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(DataError::io(path))?;
    let format = reader.format();
    let decoder = reader.into_decoder().map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let found = [height as usize, width as usize];
    if found != expected {
        return Err(DataError::ImageSize { path: path.into(), expected, found });
    }
    let color = decoder.color_type();
    if color != ColorType::Rgb8 {
        return Err(DataError::ColorType { path: path.into(), expected: "Rgb8", found: format!("{color:?}") });
    }
    if format == Some(ImageFormat::Jpeg) && !ends_its_last_scan(&bytes) {
        return Err(undecodable("JPEG without an end of image marker, so truncated".into()));
    }
    let image = DynamicImage::from_decoder(decoder).map_err(refused)?.into_rgb8();
    push_planes(pixels, &image, [0, 0], [height, width]);
    Ok(())
}

/// Whether an end of image marker (FF D9) follows the last start of scan (FF DA). The `image` crate decodes a JPEG that
/// breaks off without complaint and fills in the rest with gray. Within a scan FF is always followed by 00 or a restart
/// marker, so the pair cannot be pixels (ITU-T T.81, B.1.1.5).
fn ends_its_last_scan(jpeg: &[u8]) -> bool {
    let last = |second: u8| jpeg.windows(2).rposition(|pair| pair == [0xff, second]);
    last(0xd9) > last(0xda)
}
