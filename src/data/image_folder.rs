//! A folder of PNG and JPEG files, all of one size.
//!
//! Files are found at any depth by their ending (`png`, `jpg`, `jpeg`, in either case) and sorted by path; linked folders
//! are not followed. What a file holds decides how it is decoded, not its ending. Nothing is converted or resized: an
//! image with gray, alpha or 16-bit channels or of another size is an error that names it, for a silent conversion would
//! change the data whose bits are being counted. Two conversions belong to the decoder and cannot be seen from here: a
//! palette is replaced by its colours, which is exact, and a CMYK JPEG becomes RGB, which is not.
//!
//! Paths sort by class where the folders are classes. [`Batches`](super::Batches) shuffles; for a sample of the set see
//! [`Images::select`].

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};

use super::{DataError, Images, Split, rgb::push_planes};

const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// One image in this many is held out where the folder has no split of its own.
const HOLD_OUT: usize = 10;

/// The images of `dir`, each of `size` = `[height, width]`, split in two.
///
/// If `dir` has the subfolders `train` and `test`, these are the split, and whatever else it holds is left alone.
/// Otherwise every tenth image in order of path is the test set, or the last one where there are fewer than ten: a choice
/// that depends on nothing but the names.
///
/// # Errors
///
/// [`DataError::HalfSplit`] if only one of the two subfolders is there; [`DataError::NothingToHoldOut`] if there is a
/// single image; and the errors of [`read_images`].
pub fn read_dir(dir: impl AsRef<Path>, size: [usize; 2]) -> Result<Split, DataError> {
    let dir = dir.as_ref();
    let half = |found, missing| Err(DataError::HalfSplit { path: dir.into(), found, missing });
    match (dir.join("train").is_dir(), dir.join("test").is_dir()) {
        (true, true) => {
            Ok(Split { train: read_images(dir.join("train"), size)?, test: read_images(dir.join("test"), size)? })
        }
        (true, false) => half("train", "test"),
        (false, true) => half("test", "train"),
        (false, false) => hold_out(dir, size),
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

fn hold_out(dir: &Path, size: [usize; 2]) -> Result<Split, DataError> {
    let files = image_files(dir)?;
    if files.len() < 2 {
        return Err(DataError::NothingToHoldOut { path: dir.into(), found: files.len() });
    }
    let period = HOLD_OUT.min(files.len());
    let (test, train): (Vec<_>, Vec<_>) = files.into_iter().enumerate().partition(|(i, _)| i % period == period - 1);
    let load = |numbered: Vec<(usize, PathBuf)>| {
        let files: Vec<PathBuf> = numbered.into_iter().map(|(_, file)| file).collect();
        load(&files, size)
    };
    Ok(Split { train: load(train)?, test: load(test)? })
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
