//! Names of folders and files: a reader tells by them which data set it has before it, and which
//! part.

use std::fs;
use std::path::{Path, PathBuf};

use flowkit::data::{Split, mnist, read};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::document::text;
use super::target::{Target, fuzz, named};

/// Words of which names of folders and files are made.
const WORDS: [&str; 44] = [
    "train",
    "Train",
    "TRAINING",
    "test",
    "testing",
    "val",
    "valid",
    "dev",
    "eval",
    "holdout",
    "unseen",
    "query",
    "x",
    "y",
    "set",
    "2017",
    "images",
    "cats",
    "valley",
    "xtrain",
    "xval",
    "traintest",
    "T10K",
    "t10k",
    "strain",
    "latest",
    ".hidden",
    "__MACOSX",
    "lost+found",
    "Thumbs.db",
    "data_batch_1.bin",
    "data_batch_99999999999999999999.bin",
    "data_batch_+1.bin",
    "test_batch.bin",
    "train-images-idx3-ubyte",
    "train.labels_idx1-ubyte.gz",
    "emnist-letters-test-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
    "-images-idx3-ubyte",
    "İ",
    "ſtrain",
    "ﬁ",
    "e\u{301}",
    "\u{202e}",
];

/// An entry of a folder by its path.
#[derive(Clone, Debug)]
struct Entry {
    folders: Vec<Vec<u8>>,
    name: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Image,
    Other,
    Folder,
    /// A link to the outermost folder, so that paths through it never end.
    Link,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let word = || select(WORDS.to_vec()).prop_map(String::from);
    let joined = (vec(word(), 1..4), select(vec!["", "_", "-", ".", " "]))
        .prop_map(|(words, by)| words.join(by));
    let bytes = prop_oneof![
        5 => joined.prop_map(String::into_bytes),
        1 => text().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..20),
    ];
    bytes.prop_map(|mut name| {
        name.retain(|byte| *byte != b'/' && *byte != 0);
        name.truncate(200);
        if name.is_empty() || name == b"." || name == b".." { b"x".to_vec() } else { name }
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let ending = select(vec![".png", ".PNG", ".jpeg", ".gif", ".png.png", ""]);
    let kind = prop_oneof![
        6 => Just(Kind::Image),
        1 => Just(Kind::Other),
        1 => Just(Kind::Folder),
        1 => Just(Kind::Link),
    ];
    (vec(name(), 0..3), name(), ending, kind).prop_map(|(folders, mut name, ending, kind)| {
        name.extend(ending.as_bytes());
        Entry { folders, name, kind }
    })
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;

    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

/// What cannot be made, such as a file in the place of a folder, is left out.
fn make(root: &Path, entry: &Entry, image: &[u8]) {
    let folder =
        entry.folders.iter().fold(root.to_path_buf(), |folder, name| folder.join(path(name)));
    let place = folder.join(path(&entry.name));
    let _ = fs::create_dir_all(&folder);
    let _ = match entry.kind {
        Kind::Image => fs::write(&place, image),
        Kind::Other => fs::write(&place, b"text"),
        Kind::Folder => fs::create_dir_all(&place),
        #[cfg(unix)]
        Kind::Link => std::os::unix::fs::symlink(root, &place),
        #[cfg(not(unix))]
        Kind::Link => Ok(()),
    };
}

fn check(split: Split) {
    assert!(!split.train.is_empty() && !split.test.is_empty());
    for images in [split.train, split.test] {
        if let Some(labels) = images.labels() {
            assert!(
                labels.len() == images.len() && labels.names().iter().all(|name| !name.is_empty())
            );
        }
    }
    let _ = split.report.to_string();
}

fn read_all(root: &Path) {
    named(read(root)).into_iter().for_each(check);
    named(mnist::read_dir(root, mnist::ImageShape::Padded)).into_iter().for_each(check);
    #[cfg(feature = "image")]
    {
        use flowkit::data::image_folder::{Labelling, list, read_dir, read_held_out};

        for labelling in [Labelling::Nothing, Labelling::SubFolder] {
            named(read_dir(root, [1, 1], labelling)).into_iter().for_each(check);
            named(read_held_out(root, [1, 1], labelling)).into_iter().for_each(check);
        }
        named(list(root));
    }
}

#[test]
fn folder_names() {
    let mut image = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(1, 1).write_to(&mut image, image::ImageFormat::Png).unwrap();
    let image = image.into_inner();
    let parent = tempfile::tempdir().unwrap();
    let target = Target { name: "folders", file: "entries.txt", expansion: 64 };
    let entries = std::cell::RefCell::new(Vec::new());
    let build = |chosen: &Vec<Entry>| {
        entries.borrow_mut().clone_from(chosen);
        format!("{chosen:?}").into_bytes()
    };
    fuzz(&target, &[], vec(entry(), 0..7), build, |_| {
        let root = parent.path().join("root");
        fs::create_dir(&root).unwrap();
        entries.borrow().iter().for_each(|entry| make(&root, entry, &image));
        let outcome = std::panic::catch_unwind(|| read_all(&root));
        // Also after a panic, so that the next input has a folder of its own.
        fs::remove_dir_all(&root).unwrap();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}
