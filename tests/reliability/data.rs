//! Where images come from, and histories that no run has seen.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use burn::tensor::Device;
use flowkit::model::flow_plus_plus::FlowPlusPlusConfig;
use flowkit::train::{Checkpoint, Trainer};

use super::{command, fails, images, newest, output, report, run, succeeds, text, training};

#[test]
fn a_kind_of_source_is_no_path() {
    let root = tempfile::tempdir().unwrap();
    let within = |arguments: &[&str]| {
        let mut command = command(arguments, &root.path().join("run"));
        command.current_dir(root.path());
        command
    };
    for name in ["photographs", "download"] {
        fails(within(&["--data", name, "--steps", "1"]), &[&format!("{name}: No such file")]);
    }
    // A folder of such a name is a folder like any other.
    fs::rename(images(root.path()), root.path().join("photographs")).unwrap();
    let (shown, _) = succeeds(within(&["--data", "photographs", "--steps", "1", "--batch", "1"]));
    assert!(shown.contains("data: 9 training and 1 test images"), "{shown}");
    let (shown, _) = succeeds(within(&["--resume", "--steps", "2"]));
    assert!(shown.contains("data: 9 training and 1 test images"), "{shown}");
}

/// A checkpoint may come from anybody. Which folder is read is said by whoever starts the program.
#[test]
fn a_checkpoint_does_not_choose_what_is_read() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    succeeds(training(root.path(), &["--steps", "1"], &out));
    let checkpoint = out.join("checkpoint.safetensors");
    let evaluate = || command(&["--eval", checkpoint.to_str().unwrap()], &out);
    let images = images(root.path());
    let said = fails(evaluate(), &["say where they are by --data"]);
    assert!(said.contains(images.canonicalize().unwrap().to_str().unwrap()), "{said}");
    assert!(!out.join("evaluation.json").exists());
    let mut named = evaluate();
    named.arg("--data").arg(&images);
    succeeds(named);
}

#[test]
fn a_name_that_is_no_text_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let [folder, out] =
        [&b"im\xffages"[..], b"ru\xfen"].map(|name| root.path().join(OsStr::from_bytes(name)));
    fs::rename(images(root.path()), &folder).unwrap();
    let mut begin = command(&["--batch", "1", "--steps", "1"], &out);
    begin.arg("--data").arg(&folder);
    succeeds(begin);
    let (shown, _) = succeeds(command(&["--resume", "--steps", "2"], &out));
    assert!(shown.contains("data: 9 training"), "{shown}");
    assert_eq!(newest(&out), 2);
}

/// Waits for no writer, and reads nothing that has no end.
#[test]
fn a_checkpoint_is_a_regular_file() {
    let root = tempfile::tempdir().unwrap();
    let pipe = root.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (path, kind) in [(pipe.to_str().unwrap(), "a pipe"), ("/dev/zero", "a device")] {
        for flag in ["--sample", "--eval"] {
            let part =
                format!("cannot read the checkpoint {path}: expected a regular file, found {kind}");
            fails(command(&[flag, path], &root.path().join("out")), &[&part]);
        }
        fails(command(&["--data", path], &root.path().join("out")), &["expected a folder"]);
    }
    fails(
        command(&["--sample", "/nowhere.safetensors"], &root.path().join("out")),
        &["No such file"],
    );
}

/// Threads that the system refuses: here since no memory can hold their stacks.
#[test]
fn a_system_without_threads_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let mut command = training(root.path(), &["--steps", "1"], &root.path().join("run"));
    command.env("RUST_MIN_STACK", (1u64 << 60).to_string());
    fails(
        command,
        &[
            "the system refuses a thread",
            "computing on 1 instead of",
            "cannot start a thread to read ahead",
        ],
    );
}

/// What the values of a history are.
const UNIT: &str = "bits/dim (one-sample bound)";

/// Gives a checkpoint another history.
fn rewrite(path: &Path, history: &str) {
    let saved = Checkpoint::load(path).unwrap();
    let keys = ["flow_plus_plus", "settings", "conduct"];
    let metadata: BTreeMap<String, String> =
        keys.map(|key| (key.to_owned(), saved.metadata(key).unwrap().to_owned())).into();
    let config: FlowPlusPlusConfig = serde_json::from_str(&metadata["flow_plus_plus"]).unwrap();
    let trainer =
        Trainer::resume(&saved, config.build(&Device::flex().autodiff()).unwrap()).unwrap();
    let mut checkpoint = trainer.checkpoint(metadata).unwrap();
    checkpoint.insert_bytes("history", history.into()).unwrap();
    checkpoint.save(path).unwrap();
}

#[test]
fn a_history_that_no_run_has_seen() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    succeeds(training(root.path(), &["--steps", "2"], &out));
    let path = out.join("checkpoints/0000000002.safetensors");
    let history = |train: &str, test: &str, seconds: &str| {
        format!(
            "{{\"train\":{train},\"test\":{test},\"update_seconds\":1.0,\"seconds\":{seconds}}}"
        )
    };
    for (train, test, seconds, part) in [
        ("[1.0,2.0]", "[]", "-1", "`seconds` of its history must be at least 0, found -1"),
        ("[1.0]", "[]", "1", "`train` of its history must be 2, those of the run, found 1 update"),
        (
            "[1.0,2.0]",
            "[[3,1.0]]",
            "1",
            "`test` of its history must be at most 2, the last of the run, found update 3",
        ),
        ("[1.0,2.0]", "[]", "null", "cannot be read: invalid type: null"),
    ] {
        rewrite(&path, &history(train, test, seconds));
        for flags in [&["--resume"][..], &["--steps", "1"]] {
            fails(command(flags, &out), &[part]);
        }
    }
    // Values of another unit would join those of the run.
    let saved = history("[1.0,2.0]", "[]", "1");
    rewrite(&path, &saved.replacen('{', "{\"unit\":\"nats\",", 1));
    fails(command(&["--resume"], &out), &["cannot be read: unknown variant `nats`", UNIT]);
    // What a run may have seen, however odd, ends in a report.
    for (train, test, seconds) in [
        ("[null,null]", "[]", "1e308"),
        ("[1e308,-1e308]", "[[1,1e308],[2,null]]", "0"),
        ("[1e20,1e20]", "[]", "1"),
        ("[1e308,2.0]", "[]", "1"),
    ] {
        rewrite(&path, &history(train, test, seconds));
        let finished = run(command(&["--resume"], &out));
        assert!(finished.status.success(), "{train}: {}", text(&finished.stderr));
        let report = report(&out);
        assert_eq!(report["steps"], 2);
        let (unit, bound) = (&report["curve"]["unit"], &report["bound"]);
        assert_eq!((unit, bound), (&UNIT.into(), &"one-sample bound".into()));
        let curve = fs::read_to_string(out.join("curve.svg")).unwrap();
        assert!(curve.contains(UNIT), "{curve}");
        assert_eq!(curve.contains("left out"), !train.contains("null"), "{train}");
    }
    // A limit in time that was reached long ago, or never.
    let limited = Checkpoint::load(&path).unwrap();
    assert!(limited.metadata("conduct").is_some());
    drop(output(command(&["--resume", "--steps", "3"], &out).spawn().unwrap()));
    assert_eq!(newest(&out), 3);
}
