//! Runs that cannot be resumed say why, and leave what is there as it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flowkit::train::{Checkpoint, Checkpoints};

/// The example, which `cargo test` builds beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap().join("examples");
    let program = folder.join(format!("flowpp_cifar{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is built by `cargo test` without `--test`", program.display());
    program
}

fn run(arguments: &[&str], out: &Path) -> Output {
    Command::new(program()).args(arguments).arg("--out").arg(out).output().unwrap()
}

/// Every file below a folder and what is in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.insert(entry.clone(), fs::read(&entry).unwrap());
        }
    }
    found
}

/// The program fails, its message holds all parts, and no file below `out` has changed.
fn refuses(arguments: &[&str], out: &Path, expected: &[&str]) {
    let before = files(out);
    let output = run(arguments, out);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} went through");
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    for part in expected {
        assert!(message.contains(part), "{arguments:?}: {part:?} is not in {message:?}");
    }
    assert!(files(out) == before, "{arguments:?} changed {}", out.display());
}

/// Flips a bit in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_that_cannot_be_resumed_says_why() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    let begin = run(&["--resume", "--steps", "2", "--batch", "1", "--save-every", "1", "--keep", "9"], &out);
    assert!(begin.status.success(), "{}", String::from_utf8_lossy(&begin.stderr));
    assert!(!String::from_utf8_lossy(&begin.stdout).contains("resumed"), "there was nothing to resume");
    let images = root.path().join("images");
    fs::create_dir(&images).unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        image::RgbImage::new(32, 32).save(images.join(name)).unwrap();
    }

    // Both values are named: what the flag says, and what the run has.
    let contradictions: [(&[&str], &[&str]); 10] = [
        (&["--preset", "small"], &["--preset small", "tiny"]),
        (&["--dequant", "uniform"], &["--dequant uniform", "variational"]),
        (&["--coupling", "affine"], &["--coupling affine", "mixlog"]),
        (&["--attention", "off"], &["--attention off", "on"]),
        (&["--seed", "7"], &["--seed 7", "has 0"]),
        (&["--batch", "16"], &["--batch 16", "has 1"]),
        (&["--lr", "0.5"], &["--lr 0.5", "has 0.003"]),
        (&["--ema", "0.5"], &["--ema 0.5", "the preset's"]),
        (&["--steps", "1"], &["--steps 1", "2 updates behind it"]),
        (&["--data", images.to_str().unwrap()], &["--data 2 images", "1024 images"]),
    ];
    for (flags, expected) in contradictions {
        let arguments = [&["--resume"], flags].concat();
        refuses(&arguments, &out, &[expected, &[out.to_str().unwrap()]].concat());
    }
    refuses(&["--resume", "--keep", "0"], &out, &["--keep 0", "at least 1"]);
    refuses(&["--resume", "--save-every", "0"], &out, &["--save-every 0", "at least 1"]);
    refuses(&["--resume", "--eval", "x"], &out, &["--resume", "--eval"]);

    // A process that trains there has the folder for itself.
    let lock = Checkpoints::open(out.join("checkpoints"), 1).unwrap();
    refuses(&["--resume"], &out, &["in use", "checkpoints"]);
    drop(lock);

    // The newest is damaged: the run goes on from the one before, and says so. It repeats the update that was lost.
    let newest = out.join("checkpoints/0000000002.safetensors");
    let good = fs::read(&newest).unwrap();
    damage(&newest);
    let output = run(&["--resume", "--steps", "2", "--batch", "1"], &out);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && message.contains("0000000002.safetensors is damaged: CRC-32"), "{message}");
    assert!(message.contains("going on from update 1"), "{message}");
    let (again, good) = (Checkpoint::load(&newest).unwrap(), (root.path().join("good"), good));
    fs::write(&good.0, good.1).unwrap();
    assert_eq!(again.metadata("progress"), Checkpoint::load(good.0).unwrap().metadata("progress"));

    // None can be read: it does not begin anew in silence.
    for step in [1, 2] {
        damage(&out.join(format!("checkpoints/{step:010}.safetensors")));
    }
    refuses(&["--resume"], &out, &["none of the 2", "0000000002.safetensors is damaged"]);
}

#[test]
fn a_folder_that_is_not_a_runs_is_named() {
    let root = tempfile::tempdir().unwrap();
    let foreign = root.path().join("foreign");
    let checkpoints = Checkpoints::open(foreign.join("checkpoints"), 1).unwrap();
    checkpoints.save(3, &Checkpoint::new(BTreeMap::new()).unwrap()).unwrap();
    drop(checkpoints);
    refuses(&["--resume"], &foreign, &["0000000003.safetensors was not saved by this program"]);

    // A file in the place of the folder.
    let blocked = root.path().join("blocked");
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join("checkpoints"), b"").unwrap();
    refuses(&["--resume"], &blocked, &["cannot write", "checkpoints"]);
    refuses(&["--steps", "1", "--batch", "1"], &blocked, &["cannot write", "checkpoints"]);
}
