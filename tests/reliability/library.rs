//! The same by the library alone.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread::spawn;

use flowkit::data::mnist::ImageShape;
use flowkit::data::{DataError, cifar10, mnist};
use flowkit::train::{Checkpoint, CheckpointError, Checkpoints};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::PATIENCE;

fn checkpoint(step: u64) -> Checkpoint {
    Checkpoint::new(BTreeMap::from([("step".into(), step.to_string())])).unwrap()
}

/// A damaged checkpoint is its owner's to look at, also when it is one too many.
#[test]
fn a_damaged_checkpoint_is_never_deleted() {
    let root = tempfile::tempdir().unwrap();
    let at = |step| root.path().join(format!("{step:010}.safetensors"));
    let open = || Checkpoints::open(root.path(), 2).unwrap();
    let checkpoints = open().with_keep(9).unwrap();
    [1, 2, 3, 4]
        .into_iter()
        .for_each(|step| drop(checkpoints.save(step, &checkpoint(step)).unwrap()));
    drop(checkpoints);
    fs::write(at(2), b"cut sho").unwrap();
    let checkpoints = open();
    assert_eq!(checkpoints.latest().unwrap().unwrap().step, 4);
    checkpoints.save(5, &checkpoint(5)).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [4, 5]);
    let aside = root.path().join("0000000002.safetensors.damaged");
    assert_eq!(fs::read(&aside).unwrap(), b"cut sho");
    // Also one that this run saved itself, and those of a run that is replaced.
    fs::write(at(4), b"cut shor").unwrap();
    checkpoints.save(6, &checkpoint(6)).unwrap();
    checkpoints.save(7, &checkpoint(7)).unwrap();
    assert_eq!(fs::read(root.path().join("0000000004.safetensors.damaged")).unwrap(), b"cut shor");
    drop(checkpoints);
    fs::write(at(7), b"cut").unwrap();
    let replacing = open().replacing();
    replacing.save(0, &checkpoint(0)).unwrap();
    assert_eq!(replacing.steps().unwrap(), [0]);
    assert_eq!(fs::read(root.path().join("0000000007.safetensors.damaged")).unwrap(), b"cut");
}

/// A link among the checkpoints leads to somebody's file.
#[test]
fn a_link_is_not_deleted() {
    let root = tempfile::tempdir().unwrap();
    let (folder, elsewhere) = (root.path().join("run"), root.path().join("elsewhere"));
    let checkpoints = Checkpoints::open(&folder, 1).unwrap();
    checkpoint(1).save(&elsewhere).unwrap();
    symlink(&elsewhere, checkpoints.path(1)).unwrap();
    let checkpoints = checkpoints.replacing();
    checkpoints.save(2, &checkpoint(2)).unwrap();
    checkpoints.save(3, &checkpoint(3)).unwrap();
    assert!(checkpoints.path(1).is_symlink());
    assert_eq!(checkpoints.steps().unwrap(), [1, 3]);
    // Nor is it written through.
    checkpoints.save(1, &checkpoint(4)).unwrap();
    assert!(checkpoints.path(1).symlink_metadata().unwrap().is_file());
    drop(checkpoints);
    // The lock is a file of the folder's own.
    fs::remove_file(folder.join(".lock")).unwrap();
    symlink(&elsewhere, folder.join(".lock")).unwrap();
    let error = Checkpoints::open(&folder, 1).unwrap_err();
    assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
    assert_eq!(Checkpoint::load(&elsewhere).unwrap(), checkpoint(1));
}

/// Only what was there when it began.
#[test]
fn a_run_that_replaces_another_leaves_what_comes_later() {
    let root = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(root.path(), 1).unwrap();
    checkpoint(9).save(checkpoints.path(9)).unwrap();
    let checkpoints = checkpoints.replacing();
    checkpoints.save(1, &checkpoint(1)).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [1]);
    checkpoint(7).save(checkpoints.path(7)).unwrap();
    checkpoint(0).save(checkpoints.path(0)).unwrap();
    let error = checkpoints.save(2, &checkpoint(2)).unwrap_err();
    assert!(matches!(error, CheckpointError::LaterCheckpoint { step: 2, later: 7, .. }), "{error}");
    checkpoints.save(8, &checkpoint(8)).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [0, 7, 8]);
}

/// The result of a reader that must not wait for ever.
fn within_patience<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = channel();
    spawn(move || send.send(read()));
    receive.recv_timeout(PATIENCE).expect("the reader waits, or reads without end")
}

#[test]
fn readers_read_regular_files() {
    let root = tempfile::tempdir().unwrap();
    let pipe = root.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Larger than any file of records is, and it takes no room on the disk.
    let large = root.path().join("large");
    fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
    let paths = [(pipe, "found a pipe"), (PathBuf::from("/dev/zero"), "found a device")];
    let readers: [fn(PathBuf) -> Result<(), DataError>; 3] = [
        |path| cifar10::read_file(path).map(drop),
        |path| mnist::read_files(&path, &path, ImageShape::Original).map(drop),
        |path| {
            mnist::read_labelled(path.clone(), path, ImageShape::Original, mnist::LabelSet::Digits)
                .map(drop)
        },
    ];
    for reader in readers {
        for (path, kind) in paths.clone() {
            let error = within_patience(move || reader(path)).unwrap_err();
            assert!(
                matches!(error, DataError::Io { .. }) && error.to_string().contains(kind),
                "{error}"
            );
        }
    }
    let error = within_patience(move || cifar10::read_file(large)).unwrap_err();
    assert!(error.to_string().contains("found 1099511627776"), "{error}");
}

/// Other programs write numbers without an axis. What was read is what is written.
#[test]
fn a_tensor_without_axes_is_written_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let [foreign, again] = ["foreign", "again"].map(|name| root.path().join(name));
    let sections = r#"{"model":{"module":{"parameters":{"scale":0}}}}"#;
    let number = 2.5f32.to_le_bytes();
    let mut crc = crc32fast::Hasher::new();
    let mut part = |bytes: &[u8]| {
        crc.update(&(bytes.len() as u64).to_le_bytes());
        crc.update(bytes);
    };
    [&b"model.scale"[..], b"F32", b"", &number].into_iter().for_each(&mut part);
    let version = {
        let empty = root.path().join("empty");
        checkpoint(0).save(&empty).unwrap();
        let bytes = fs::read(empty).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        header.metadata().as_ref().unwrap()["flowkit.format"].clone()
    };
    for text in ["flowkit.format", version.as_str(), "flowkit.sections", sections] {
        part(text.as_bytes());
    }
    let metadata = [("flowkit.format", version), ("flowkit.sections", sections.into())]
        .map(|(key, text)| (key.into(), text));
    let mut metadata = std::collections::HashMap::from(metadata);
    metadata.insert(String::from("flowkit.crc32"), format!("{:08x}", crc.finalize()));
    let view = TensorView::new(Dtype::F32, vec![], &number).unwrap();
    fs::write(&foreign, safetensors::serialize([("model.scale", view)], Some(metadata)).unwrap())
        .unwrap();

    let read = Checkpoint::load(&foreign).unwrap();
    read.save(&again).unwrap();
    assert_eq!(Checkpoint::load(&again).unwrap(), read);
    let bytes = fs::read(&again).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("model.scale").unwrap().shape(), [0usize; 0]);
}

/// The chain of causes of an error, one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn a_cause_is_said_once() {
    let nowhere = Path::new("/nowhere/at/all");
    let errors: [Box<dyn Error>; 4] = [
        Box::new(Checkpoint::load(nowhere).unwrap_err()),
        Box::new(checkpoint(1).save(nowhere).unwrap_err()),
        Box::new(cifar10::read_file(nowhere).unwrap_err()),
        Box::new(Checkpoints::open("/dev/null/run", 1).unwrap_err()),
    ];
    for error in errors {
        let text = chain(&*error);
        assert_eq!(text.matches("(os error ").count(), 1, "{text}");
    }
}
