//! Runs that cannot be resumed say why, and leave what is there as it is.

#[path = "common/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flowkit::train::{Checkpoint, Checkpoints};

fn run(arguments: &[&str], out: &Path) -> Output {
    Command::new(program::program()).args(arguments).arg("--out").arg(out).output().unwrap()
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
    let begin = run(
        &["--resume", "--steps", "2", "--batch", "1", "--save-every", "1", "--keep", "9"],
        &out,
    );
    assert!(begin.status.success(), "{}", String::from_utf8_lossy(&begin.stderr));
    assert!(
        !String::from_utf8_lossy(&begin.stdout).contains("resumed"),
        "there was nothing to resume"
    );
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
        (&["--ema", "0.5"], &["--ema 0.5", "has 0.999"]),
        (&["--steps", "1"], &["--steps 1", "2 updates behind it"]),
        (
            &["--data", images.to_str().unwrap()],
            &["--data 2 training and 1 test images", "1024 training"],
        ),
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

    // The newest is damaged: the run goes on from the one before, and says so. It repeats the
    // update that was lost.
    let newest = out.join("checkpoints/0000000002.safetensors");
    let good = fs::read(&newest).unwrap();
    damage(&newest);
    let output = run(&["--resume", "--steps", "2", "--batch", "1"], &out);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success()
            && message.contains("0000000002.safetensors is damaged: expected the CRC-32 checksum"),
        "{message}"
    );
    assert!(message.contains("going on from update 1"), "{message}");
    let (again, good) = (Checkpoint::load(&newest).unwrap(), (root.path().join("good"), good));
    fs::write(&good.0, good.1).unwrap();
    assert_eq!(again.metadata("progress"), Checkpoint::load(good.0).unwrap().metadata("progress"));

    // None can be read: it does not begin anew in silence. All nine that the run was begun to keep
    // are still there.
    for step in [0, 1, 2] {
        damage(&out.join(format!("checkpoints/{step:010}.safetensors")));
    }
    refuses(&["--resume"], &out, &["none of the 3", "0000000002.safetensors is damaged"]);
}

/// Updates with a checkpoint.
fn saved(out: &Path) -> Vec<u64> {
    Checkpoints::open(out.join("checkpoints"), 1).unwrap().steps().unwrap()
}

fn succeeds(arguments: &[&str], out: &Path) -> String {
    let output = run(arguments, out);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Takes the newest checkpoint away, as if the run had been killed before it.
fn take_back(out: &Path) {
    let newest = *saved(out).last().unwrap();
    fs::remove_file(out.join(format!("checkpoints/{newest:010}.safetensors"))).unwrap();
}

/// How far it goes, how often it saves and how much it keeps is all in the checkpoint.
#[test]
fn a_resume_needs_no_flag_but_out() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    let begin = ["--steps", "4", "--batch", "1", "--save-every", "1", "--keep", "9"];
    succeeds(&begin, &out);
    take_back(&out);
    take_back(&out);
    // Begun anew, it would be lost; nor is it lost if the flag was merely forgotten.
    refuses(&begin, &out, &["2 updates of 4", "--resume", "--overwrite", out.to_str().unwrap()]);
    assert!(succeeds(&["--resume", "--ema", "0.999"], &out).contains("resumed         update 2"));
    assert_eq!(saved(&out), [0, 1, 2, 3, 4]);
    // A flag that is given holds from then on.
    succeeds(&["--resume", "--steps", "6", "--keep", "2"], &out);
    assert_eq!(saved(&out), [5, 6]);
    take_back(&out);
    succeeds(&["--resume"], &out);
    assert_eq!(saved(&out), [5, 6]);
    // One that is finished may be replaced, and one that is not if that is said.
    succeeds(&["--steps", "1", "--batch", "1"], &out);
    assert_eq!(saved(&out), [0, 1]);
    take_back(&out);
    succeeds(&["--steps", "2", "--batch", "1", "--overwrite"], &out);
    assert_eq!(saved(&out), [0, 2]);
    refuses(&["--resume", "--overwrite"], &out, &["--resume", "--overwrite"]);
}

/// A rate that no training survives: the first update spoils the weights, and every loss after it.
#[test]
fn a_run_that_stopped_on_a_nan_goes_on_under_another_policy() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    let stopped = run(
        &["--lr", "1e12", "--batch", "1", "--steps", "4", "--save-every", "1", "--keep", "1"],
        &out,
    );
    let message = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert!(!stopped.status.success() && message.contains("of update 2 is"), "{message}");
    let again = run(&["--resume"], &out);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("of update 2 is"),
        "the same batch comes again"
    );
    assert_eq!(saved(&out), [1]);
    let skipped = run(&["--resume", "--non-finite", "skip"], &out);
    let message = String::from_utf8_lossy(&skipped.stderr);
    assert!(
        message.contains("update 2 was passed over")
            && message.contains("update 4 was passed over"),
        "{message}"
    );
    assert_eq!(saved(&out), [4]);
    // What was passed over does not keep it from going on, and the policy is remembered.
    let resumed = run(&["--resume", "--steps", "5"], &out);
    assert!(String::from_utf8_lossy(&resumed.stderr).contains("update 5 was passed over"));
    assert_eq!(saved(&out), [5]);
}

/// A run is evaluated on the images that it kept aside, from the folder that the command line
/// names, and the result says which.
#[test]
fn an_evaluation_names_its_data() {
    let root = tempfile::tempdir().unwrap();
    let [images, moved, out] = ["images", "moved", "run"].map(|name| root.path().join(name));
    fs::create_dir(&images).unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        image::RgbImage::new(32, 32).save(images.join(name)).unwrap();
    }
    succeeds(&["--steps", "1", "--batch", "1", "--data", images.to_str().unwrap()], &out);
    let checkpoint = out.join("checkpoint.safetensors");
    let evaluate = |more: &[&str]| -> serde_json::Value {
        succeeds(&[&["--eval", checkpoint.to_str().unwrap()], more].concat(), &out);
        serde_json::from_slice(&fs::read(out.join("evaluation.json")).unwrap()).unwrap()
    };
    let found = evaluate(&["--data", images.to_str().unwrap()]);
    assert_eq!(
        (&found["data"], &found["images"]),
        (&images.canonicalize().unwrap().to_str().unwrap().into(), &1.into())
    );
    // The same images in another place, which is noted for the next time.
    fs::rename(&images, &moved).unwrap();
    succeeds(&["--resume", "--steps", "2", "--data", moved.to_str().unwrap()], &out);
    assert_eq!(
        evaluate(&["--data", moved.to_str().unwrap()])["data"],
        moved.canonicalize().unwrap().to_str().unwrap()
    );
    // Other test images are other data, though those of the training are the same.
    image::RgbImage::from_pixel(32, 32, image::Rgb([9; 3])).save(moved.join("c.png")).unwrap();
    refuses(&["--resume", "--steps", "3"], &out, &["test images with CRC-32"]);
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
