//! A run that is killed at any moment and resumed is the run that never stopped: the same weights,
//! averages, moments and progress, bit for bit, and the same curve.
//!
//! Twenty lives of the example end by SIGKILL: most after a random time, some while a checkpoint is
//! being written. The 21st finishes.

#[path = "common/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn_pack::{Bytes, Reader};
use flowkit::train::Checkpoint;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use safetensors::SafeTensors;
use serde_json::Value;

/// Lives that end by a kill, and those of them that end in the middle of a save.
const KILLS: usize = 20;
const KILLS_IN_A_SAVE: usize = 5;
/// A save is short, and the kill may come after it: further lives, until one of all was caught in a
/// save.
const FURTHER_KILLS: usize = 8;
/// Updates of a life: few enough for all lives together.
const UPDATES: u64 = 2;
/// Updates of the whole run.
const STEPS: u64 = 60;
/// A machine that needs longer for a single update fails the test.
const PATIENCE: Duration = Duration::from_secs(120);

fn command(out: &Path, backward: &str) -> Command {
    let mut command = Command::new(program::program());
    command.args([
        "--resume",
        "--batch",
        "2",
        "--seed",
        "5",
        "--save-every",
        "1",
        "--keep",
        "2",
        "--ema",
        "0.9",
    ]);
    command
        .args(["--backward", backward, "--steps", &STEPS.to_string(), "--out"])
        .arg(out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Lets a run end. Seconds until it saved its first update, and those that the next one took; of no
/// meaning for a run that is resumed.
fn finish(out: &Path, backward: &str) -> (f64, f64) {
    let started = Instant::now();
    let child = command(out, backward).spawn().unwrap();
    let reached = |step: u64| {
        while saved(out).last().is_none_or(|&last| last < step) && started.elapsed() < PATIENCE {
            sleep(Duration::from_millis(1));
        }
        started.elapsed().as_secs_f64()
    };
    let (first, later) = (reached(1), reached(6));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (first, (later - first) / 5.0)
}

/// Kills a process as `kill -9` does; whether it was alive.
fn kill(mut child: Child) -> bool {
    let alive = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(
        alive || status.success(),
        "a life ended by itself and badly: {:?}",
        child.wait_with_output()
    );
    alive
}

/// Updates with a checkpoint.
fn saved(out: &Path) -> Vec<u64> {
    let names = fs::read_dir(out.join("checkpoints"))
        .map(|files| files.flatten().map(|file| file.path()).collect());
    let names: Vec<PathBuf> = names.unwrap_or_default();
    let mut steps: Vec<u64> = names
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
        .collect();
    steps.sort_unstable();
    steps
}

/// Whether a checkpoint is half written.
fn half_written(out: &Path) -> bool {
    let files = fs::read_dir(out.join("checkpoints"));
    files.is_ok_and(|files| {
        files.flatten().any(|file| file.file_name().to_string_lossy().starts_with(".writing-"))
    })
}

/// Everything of a checkpoint that a run depends on, free of the random identities of a process.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut contents = BTreeMap::new();
    for (name, tensor) in file.iter().filter(|(name, _)| name.contains('.')) {
        contents.insert(name.to_owned(), tensor.data().to_vec());
    }
    for key in ["trainer", "progress", "settings", "flow_plus_plus"] {
        contents.insert(key.into(), metadata[key].clone().into_bytes());
    }
    let history: Value = serde_json::from_slice(file.tensor("history").unwrap().data()).unwrap();
    contents
        .insert("curve".into(), format!("{} {}", history["train"], history["test"]).into_bytes());

    // The moments are kept by identity; the list of sections says whose it is.
    let sections: Value = serde_json::from_str(&metadata["flowkit.sections"]).unwrap();
    let parameters = sections["model"]["module"]["parameters"].as_object().unwrap();
    let paths: BTreeMap<String, &String> =
        parameters.iter().map(|(path, id)| (id.to_string(), path)).collect();
    let owner = |name: &str| {
        let (id, rest) = name.split_once('.').unwrap();
        format!("moments.{}.{rest}", paths[id])
    };
    let moments = Reader::from_bytes(Bytes::from_bytes_vec(
        file.tensor("optimizer").unwrap().data().to_vec(),
    ))
    .unwrap();
    for name in moments.tensor_names() {
        contents.insert(owner(name), moments.tensor_data(name).unwrap());
    }
    for (name, value) in moments.scalars() {
        contents.insert(owner(name), format!("{value:?}").into_bytes());
    }
    contents
}

fn last(out: &Path) -> PathBuf {
    out.join(format!("checkpoints/{STEPS:010}.safetensors"))
}

#[test]
fn a_run_that_is_killed_twenty_times_is_the_run_that_never_was() {
    let root = tempfile::tempdir().unwrap();
    let (whole, killed) = (root.path().join("whole"), root.path().join("killed"));
    let begun = Instant::now();
    let (first, one) = finish(&whole, "store");
    println!(
        "never stopped: {:.1} s, {first:.2} s to the first save, {one:.3} s an update",
        begun.elapsed().as_secs_f64()
    );

    let mut rng = StdRng::seed_from_u64(20);
    let mut lives: Vec<bool> = (0..KILLS).map(|life| life < KILLS_IN_A_SAVE).collect();
    for last in (1..KILLS).rev() {
        lives.swap(last, rng.random_range(0..=last));
    }
    // Seconds of a life until it saved something: that of the life before, since a life that starts
    // from data takes longer.
    let (mut in_a_save, mut moved, mut until_save) = (0, 0, first);
    lives.extend([true; FURTHER_KILLS]);
    for (life, &wants_save) in lives.iter().enumerate() {
        if life >= KILLS && in_a_save > 0 {
            break;
        }
        let there = saved(&killed);
        let before = there.last().copied();
        let started = Instant::now();
        let child = command(&killed, "store").spawn().unwrap();
        // Anywhere from the first instruction to some updates.
        let moment = rng.random_range(0.0..until_save + 3.0 * one);
        // The lives to come need updates too.
        let budget = before.unwrap_or(0) + UPDATES;
        let mut saves_after = None;
        loop {
            let elapsed = started.elapsed();
            let progress = saved(&killed).last().copied();
            if progress > before {
                saves_after.get_or_insert(elapsed.as_secs_f64());
            }
            let in_a_save = progress > before && half_written(&killed);
            let over = if wants_save { in_a_save } else { elapsed.as_secs_f64() > moment };
            if over || progress.is_some_and(|step| step >= budget) || elapsed > PATIENCE {
                break;
            }
            sleep(Duration::from_millis(1));
        }
        assert!(kill(child), "life {life} finished");
        until_save = saves_after.unwrap_or(until_save);
        in_a_save += usize::from(half_written(&killed));
        let after = saved(&killed);
        // A save that is killed before it deletes leaves one more than there were; the next one
        // deletes all that are too many.
        assert!(after.len() <= 3.max(there.len() + 1), "{there:?} then {after:?}");
        assert!(after.last().copied() >= before, "{there:?} then {after:?}");
        // The name that users know is a whole checkpoint at every moment, once there is one.
        let published = killed.join("checkpoint.safetensors");
        assert!(!published.exists() || Checkpoint::load(&published).is_ok(), "life {life}");
        moved += usize::from(after.last().copied() > before);
        println!(
            "life {life}: {:.2} s, updates {before:?} to {:?}",
            started.elapsed().as_secs_f64(),
            after.last()
        );
    }
    println!("{in_a_save} kills left half a checkpoint, {moved} lives saved one");
    assert!(in_a_save >= 1 && moved >= KILLS_IN_A_SAVE, "{in_a_save} {moved}");
    finish(&killed, "store");
    for folder in [killed.clone(), killed.join("checkpoints")] {
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> =
            names.filter(|name| name.starts_with('.') && name != ".lock").collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let curve = |out: &Path| {
        let report: Value =
            serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap();
        assert_eq!(report["curve"]["train"].as_array().unwrap().len() as u64, STEPS);
        (report["curve"].clone(), report["test_bits_per_dim"].clone(), report["steps"].clone())
    };
    assert_eq!(curve(&whole), curve(&killed));

    assert_same(&last(&whole), &last(&killed));
}

/// Every number of two checkpoints.
fn assert_same(whole: &Path, killed: &Path) {
    let (whole, killed) = (contents(whole), contents(killed));
    assert_eq!(whole.keys().collect::<Vec<_>>(), killed.keys().collect::<Vec<_>>());
    assert!(whole.keys().filter(|name| name.starts_with("moments.")).count() > 100);
    for (name, value) in &whole {
        assert!(*value == killed[name], "{name} differs");
    }
}

/// What a drift guard has learned is saved with the rest.
#[test]
fn a_thrifty_run_that_is_killed_is_the_run_that_never_was() {
    let root = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(21);
    for backward in ["recompute", "reversible"] {
        let (whole, killed) =
            (root.path().join(format!("{backward}-whole")), root.path().join(backward));
        finish(&whole, backward);
        for life in 0..3 {
            let before = saved(&killed).last().copied().unwrap_or(0);
            let (started, some) = (Instant::now(), before + rng.random_range(1..8u64));
            let child = command(&killed, backward).spawn().unwrap();
            while saved(&killed).last().is_none_or(|&step| step < some)
                && started.elapsed() < PATIENCE
            {
                sleep(Duration::from_millis(1));
            }
            assert!(kill(child), "{backward}: life {life} finished");
        }
        finish(&killed, backward);
        assert_same(&last(&whole), &last(&killed));
    }
}
