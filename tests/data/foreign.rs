//! What lies in a folder and is not the user's data: left out, and told.

use std::fs;
use std::path::Path;

use flowkit::data::image_folder::{Labelling, list, read_dir, read_images};
use flowkit::data::{DataError, LayoutError, Remark, Report, cifar10, mnist, read};

use super::image_folder::{levels, png};
use super::{assert_messages, case, file, folder};

const HIDDEN: [&str; 5] = [".ipynb_checkpoints", ".thumbnails", ".Trash-1000", ".git", ".DS_Store"];
const SYSTEM: [&str; 7] = [
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
    "@eaDir",
    "lost+found",
    "$RECYCLE.BIN",
    "System Volume Information",
];

fn names(report: &Report, remark: Remark) -> Vec<String> {
    report.of(remark).map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn hidden_and_system_entries_are_no_classes_and_no_images() {
    let dir = folder();
    for (path, level) in [("cat/a.png", 1), ("cat/b.png", 2), ("dog/a.png", 3), ("dog/b.png", 4)] {
        file(dir.path(), path, &png(level));
    }
    for name in HIDDEN.iter().chain(&SYSTEM) {
        file(dir.path(), &format!("{name}/a.png"), &png(9));
    }
    // Beside the images too, and files that are no images by their content.
    for name in ["._a.png", ".b.png"] {
        file(dir.path(), &format!("cat/{name}"), b"\0\x05\x16\x07");
    }
    file(dir.path(), "dog/THUMBS.DB", b"thumbnails");
    file(dir.path(), "dog/deep/__macosx/._c.jpg", &png(9));
    let split = read_dir(&dir, [2, 3], Labelling::SubFolder).unwrap();
    assert_eq!(split.train.labels().unwrap().names(), ["cat", "dog"]);
    assert_eq!((levels(&split.train), levels(&split.test)), (vec![1, 2, 3], vec![4]));
    assert_eq!(levels(&read_images(&dir, [2, 3]).unwrap()), [1, 2, 3, 4]);

    let hidden = sorted(&[&HIDDEN[..], &["._a.png", ".b.png"]].concat());
    let system = sorted(&[&SYSTEM[..], &["THUMBS.DB", "__macosx"]].concat());
    let mut found = [names(&split.report, Remark::Hidden), names(&split.report, Remark::System)];
    found.iter_mut().for_each(|names| names.sort());
    assert_eq!(found, [hidden, system]);
    assert!(split.report.left_out().all(|entry| entry.remark.is_left_out()));
    let text = split.report.to_string();
    assert!(text.contains("left out, hidden: 7 (") && text.contains(", ...)"), "{text}");
}

#[test]
fn a_folder_may_be_hidden_itself() {
    let dir = folder();
    file(dir.path(), ".cache/a.png", &png(1));
    assert_eq!(levels(&read_images(dir.path().join(".cache"), [2, 3]).unwrap()), [1]);
}

#[test]
fn what_is_no_image_is_told() {
    let dir = folder();
    file(dir.path(), "a.PNG", &png(1));
    file(dir.path(), "b.JPEG", &png(2));
    file(dir.path(), "c.jfif", &png(3));
    for name in ["d.webp", "e.GIF", "f.bmp", "g.tiff", "notes.txt", "no_ending", "half.png.part"] {
        file(dir.path(), name, &png(9));
    }
    for name in ["empty", "nest/nest", "full/empty"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    file(dir.path(), "full/a.png", &png(4));
    file(dir.path(), "texts/readme.md", b"text");
    let listing = list(&dir).unwrap();
    assert_eq!(listing.files.len(), 4);
    let of = |remark| names(&listing.report, remark);
    assert_eq!(of(Remark::OtherFormat), ["d.webp", "e.GIF", "f.bmp", "g.tiff"]);
    assert_eq!(of(Remark::NotAnImage), ["half.png.part", "no_ending", "notes.txt", "readme.md"]);
    assert_eq!(of(Remark::NoImages), ["empty", "empty", "nest", "texts"]);
    assert_eq!(of(Remark::SameStem), [""; 0]);

    // Nothing but these: the error says what there is.
    let only = folder();
    file(only.path(), "a.webp", b"RIFF");
    let no_images = read_images(&only, [2, 3]);
    assert_messages(vec![
        case!(
            "webp",
            no_images,
            DataError::NoImages { .. },
            "formats that are not read: 1",
            "a.webp",
            only.path().display()
        ),
        case!(
            "webp, any kind",
            read(&only),
            DataError::Unrecognized { .. },
            "formats that are not read: 1",
            "a.webp"
        ),
    ]);
}

#[test]
fn files_of_one_name_and_copies_of_training_images_are_told() {
    let dir = folder();
    for (path, level) in [
        ("train/a.png", 1),
        ("train/a.jpg", 2),
        ("train/b/a.png", 3),
        ("test/x.png", 3),
        ("test/y.png", 4),
    ] {
        file(dir.path(), path, &png(level));
    }
    let report = read_dir(&dir, [2, 3], Labelling::Nothing).unwrap().report;
    assert_eq!(names(&report, Remark::SameStem), ["a.png"]);
    assert_eq!(names(&report, Remark::InTraining), ["x.png"]);
    assert_eq!((report.entries().len(), report.left_out().count()), (2, 0));
}

#[test]
fn a_file_is_no_folder() {
    let dir = folder();
    let path = file(dir.path(), "set.zip", b"PK");
    let expected = path.display();
    assert_messages(vec![
        case!(
            "any",
            read(&path),
            DataError::Layout(LayoutError::NotAFolder { .. }),
            expected,
            "expected a folder"
        ),
        case!(
            "images",
            read_images(&path, [2, 3]),
            DataError::Layout(LayoutError::NotAFolder { .. }),
            expected
        ),
        case!(
            "split",
            read_dir(&path, [2, 3], Labelling::Nothing),
            DataError::Layout(LayoutError::NotAFolder { .. }),
            expected
        ),
        case!("list", list(&path), DataError::Layout(LayoutError::NotAFolder { .. }), expected),
        case!(
            "CIFAR-10",
            cifar10::read_dir(&path),
            DataError::Layout(LayoutError::NotAFolder { .. }),
            expected
        ),
        case!(
            "MNIST",
            mnist::read_dir(&path, mnist::ImageShape::Padded),
            DataError::Layout(LayoutError::NotAFolder { .. }),
            expected
        ),
    ]);
}

#[test]
fn other_files_beside_cifar_10_are_told() {
    let dir = folder();
    let record = |label: u8| [vec![label], vec![0; 3072]].concat();
    for name in ["data_batch_10.bin", "data_batch_2.bin", "test_batch.bin"] {
        file(dir.path(), name, &record(if name.contains("10") { 1 } else { 2 }));
    }
    // A second download, a copy, what a Mac leaves, and what the archive holds.
    for name in [
        "data_batch_2 (1).bin",
        "data_batch_2_copy.bin",
        "._data_batch_2.bin",
        "batches.meta.txt",
        "readme.html",
    ] {
        file(dir.path(), name, &record(3));
    }
    fs::create_dir(dir.path().join("data_batch_3.bin")).unwrap();
    let split = cifar10::read_dir(&dir).unwrap();
    let labels = split.train.labels().unwrap();
    assert_eq!((labels.len(), [0, 1].map(|i| labels.get(i))), (2, [2, 1]), "in order of number");
    let of = |remark| names(&split.report, remark);
    assert_eq!(
        of(Remark::NotInSet),
        ["data_batch_2 (1).bin", "data_batch_2_copy.bin", "data_batch_3.bin"]
    );
    assert_eq!(of(Remark::Hidden), ["._data_batch_2.bin"]);
    assert_eq!(of(Remark::Missing), [1, 3, 4, 5].map(|number| format!("data_batch_{number}.bin")));
    assert_eq!(read(&dir).unwrap(), split);
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_not_followed_and_links_to_files_are() {
    use std::os::unix::fs::symlink;

    let dir = folder();
    let image = file(dir.path(), "a/x.png", &png(1));
    file(dir.path(), "b/y.png", &png(2));
    symlink(dir.path(), dir.path().join("a/cycle")).unwrap();
    symlink("../b", dir.path().join("a/b.png")).unwrap();
    symlink(&image, dir.path().join("b/z.png")).unwrap();
    let listing = list(&dir).unwrap();
    assert_eq!(names(&listing.report, Remark::LinkedFolder), ["b.png", "cycle"]);
    assert_eq!(levels(&read_images(&dir, [2, 3]).unwrap()), [1, 2, 1]);

    let gone = dir.path().join("b/gone.png");
    symlink(dir.path().join("nowhere"), &gone).unwrap();
    assert_messages(vec![case!(
        "a link that leads nowhere",
        read_images(&dir, [2, 3]),
        DataError::Io { .. },
        gone.display()
    )]);

    // The root and the parts of a split may be links, but not to each other.
    let other = folder();
    symlink(dir.path().join("a"), other.path().join("train")).unwrap();
    file(other.path(), "test/a.png", &png(3));
    let split = read_dir(&other, [2, 3], Labelling::Nothing).unwrap();
    assert_eq!((levels(&split.train), levels(&split.test)), (vec![1], vec![3]));
    fs::remove_dir_all(other.path().join("test")).unwrap();
    symlink(dir.path().join("a"), other.path().join("test")).unwrap();
    let shared = read_dir(&other, [2, 3], Labelling::Nothing);
    assert_messages(vec![case!(
        "one folder for both",
        shared,
        DataError::Layout(LayoutError::SharedFolder { .. }),
        Path::new("train").display(),
        "share files"
    )]);
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_left_out_and_not_waited_for() {
    let dir = folder();
    file(dir.path(), "a.png", &png(1));
    let pipe = dir.path().join("b.png");
    if !std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .is_ok_and(|status| status.success())
    {
        return; // no such program here
    }
    assert_eq!(levels(&read_images(&dir, [2, 3]).unwrap()), [1]);
    assert_eq!(names(&list(&dir).unwrap().report, Remark::NotAFile), ["b.png"]);
}
