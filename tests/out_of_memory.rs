//! A run whose memory ends: it stops by itself, names the policy to try, its last checkpoint is
//! whole, and that policy goes on within the memory that was too little.
//!
//! What ends is the address space that the system lets the process have, which fails an allocation
//! as a machine without memory does. How much is too little is found by trying: the least, in
//! steps, that the thrifty policies get along with.
#![cfg(target_os = "linux")]

#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use flowkit::train::Checkpoint;

/// So many that a step under `Store` needs about twice what one needs under the other policies, 900
/// MB.
const BATCH: &str = "256";
/// Updates that are saved before memory ends, and those of the whole run.
const SAVED: u64 = 2;
const STEPS: u64 = 3;
/// Megabytes of address space: the first try, in which no policy gets along, and more than any
/// needs.
const LEAST: u64 = 200;
const MOST: u64 = 4000;
/// A machine that needs longer for some updates fails the test, and so does a run that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The run in a folder, resumed if there is one, with at most so many megabytes.
fn run(out: &Path, backward: &str, steps: u64, megabytes: Option<u64>) -> Output {
    // The shell limits itself and becomes the program.
    let limit = megabytes
        .map_or_else(String::new, |megabytes| format!("ulimit -v {} && ", megabytes * 1024));
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit}exec \"$0\" \"$@\"")]).arg(program::program());
    command.args(["--resume", "--batch", BATCH, "--seed", "5", "--save-every", "1", "--keep", "2"]);
    command.args(["--backward", backward, "--steps", &steps.to_string(), "--out"]).arg(out);
    // As many stacks and as much work at a time on every machine.
    command.env("RAYON_NUM_THREADS", "2").env("RUST_BACKTRACE", "0");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() && started.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5));
    }
    if child.try_wait().unwrap().is_none() {
        child.kill().unwrap();
        panic!("{backward} within {megabytes:?} MB hangs: {:?}", child.wait_with_output());
    }
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every checkpoint, by name; a file that is half written is named too.
fn checkpoints(out: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(out.join("checkpoints")).unwrap().map(|file| file.unwrap().path());
    let files =
        files.chain([out.join("checkpoint.safetensors")]).filter(|path| !path.ends_with(".lock"));
    let mut found: Vec<_> = files
        .map(|path| {
            (path.strip_prefix(out).unwrap().display().to_string(), fs::read(&path).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// A run of its own that stands where another does.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to.join("checkpoints")).unwrap();
    for (name, bytes) in checkpoints(from) {
        fs::write(to.join(name), bytes).unwrap();
    }
}

/// That a run went on from the saved updates to its end.
fn assert_finished(out: &Path, output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains(&format!("update {SAVED},")), "{}", text(&output.stdout));
    let published = Checkpoint::load(out.join("checkpoint.safetensors")).unwrap();
    assert!(
        published.metadata("progress").unwrap().contains(&format!("\"step\":{STEPS}")),
        "{:?}",
        published.metadata("progress")
    );
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["steps"], STEPS);
}

/// That memory ran out in an update, that the run said so and what to try, and left everything as
/// it was.
fn assert_ran_out(out: &Path, output: &Output, before: &[(String, Vec<u8>)], advice: &str) {
    let (said, shown) = (text(&output.stderr), text(&output.stdout));
    assert!(!output.status.success(), "{shown}");
    assert!(shown.contains(&format!("batches of {BATCH}")), "no update was begun: {shown}\n{said}");
    assert!(said.contains("memory allocation of"), "{said}");
    assert!(said.lines().any(|line| line == advice), "{said}");
    assert!(checkpoints(out) == before, "memory ran out and a checkpoint changed: {said}");
}

#[test]
fn a_run_without_memory_names_the_policy_that_has_enough() {
    let root = tempfile::tempdir().unwrap();
    let (out, other) = (root.path().join("run"), root.path().join("other"));
    let output = run(&out, "store", SAVED, None);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let before = checkpoints(&out);
    let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "checkpoint.safetensors",
            "checkpoints/0000000001.safetensors",
            "checkpoints/0000000002.safetensors"
        ]
    );

    let advice = |backward| match backward {
        "store" => {
            "error: memory ran out under --backward store; continue from the last checkpoint with \
             --resume --backward recompute"
        }
        "recompute" => {
            "error: memory ran out under --backward recompute; continue from the last checkpoint \
             with --resume --backward reversible"
        }
        _ => {
            "error: memory ran out under --backward reversible; no policy needs less: continue on \
             a machine with more memory, or start again with a smaller --batch"
        }
    };
    // Whether a policy has enough, and whether it said what to try if not: a limit at which a
    // thread is refused its stack ends a run by a panic, before any allocation fails.
    let gets_along = |backward, megabytes| {
        copy(&out, &other);
        let output = run(&other, backward, STEPS, Some(megabytes));
        let ended = output.status.success();
        if ended {
            assert_finished(&other, &output);
        } else {
            // Of the update that failed, or of those that came further.
            Checkpoint::load(other.join("checkpoint.safetensors")).unwrap();
        }
        (ended, text(&output.stderr).lines().any(|line| line == advice(backward)))
    };
    let (mut megabytes, mut advised) = (LEAST, [false; 2]);
    loop {
        let tried = ["recompute", "reversible"].map(|backward| gets_along(backward, megabytes));
        if tried.iter().all(|(ended, _)| *ended) {
            break;
        }
        advised = [0, 1].map(|policy| advised[policy] || tried[policy].1);
        megabytes += megabytes / 5;
        assert!(megabytes < MOST, "the thrifty policies need {megabytes} MB");
    }
    assert_eq!(advised, [true; 2], "no run with less than {megabytes} MB said what to try");

    let output = run(&out, "store", STEPS, Some(megabytes));
    println!("{megabytes} MB: {}\n{}", output.status, text(&output.stderr));
    assert_ran_out(&out, &output, &before, advice("store"));
    // Equal files might both be spoilt.
    Checkpoint::load(out.join("checkpoint.safetensors")).unwrap();
    for backward in ["store", "reversible"] {
        copy(&out, &other);
        assert_finished(&other, &run(&other, backward, STEPS, None));
    }
    // In the same folder, by what the error said.
    assert_finished(&out, &run(&out, "recompute", STEPS, Some(megabytes)));
}
