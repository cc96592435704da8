//! What may happen to a training from outside: signals, a closed output, a full disk, a second run,
//! lost files, and files of others.
//!
//! Each test runs the example as a user does, on ten small pictures, so that a whole run takes a
//! second or two.
#![cfg(target_os = "linux")]

mod data;
mod disk;
mod folder;
mod library;
#[path = "../common/program.rs"]
mod program;
mod stopping;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use flowkit::train::Checkpoint;
use image::RgbImage;

/// A machine that needs longer for anything here fails the test, and so does a run that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of ten pictures, nine to train on.
fn images(root: &Path) -> PathBuf {
    let folder = root.join("images");
    fs::create_dir_all(&folder).unwrap();
    for index in 0..10u32 {
        let level = |x: u32, y: u32, channel: u32| {
            ((x * 7 + y * 13 + index * 29 + channel * 61) * 37 % 251) as u8
        };
        let picture = RgbImage::from_fn(32, 32, |x, y| {
            [level(x, y, 0), level(x, y, 1), level(x, y, 2)].into()
        });
        picture.save(folder.join(format!("{index}.png"))).unwrap();
    }
    folder
}

/// The program with its outputs in pipes.
fn command(arguments: &[&str], out: &Path) -> Command {
    let mut command = Command::new(program::program());
    command.args(arguments).arg("--out").arg(out).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A new run on the pictures.
fn training(root: &Path, arguments: &[&str], out: &Path) -> Command {
    let mut command = command(&["--batch", "1", "--seed", "5"], out);
    command.arg("--data").arg(images(root)).args(arguments);
    command
}

/// What a program said until it ended by itself.
fn output(mut child: Child) -> Output {
    fn read(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
        spawn(move || {
            let mut bytes = Vec::new();
            // A program that is killed leaves what it said.
            let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
            bytes
        })
    }
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("hangs: {}", String::from_utf8_lossy(&stderr.join().unwrap()));
            }
            None => sleep(Duration::from_millis(5)),
        }
    };
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn run(mut command: Command) -> Output {
    output(command.spawn().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a run that reached its end said: first to the standard output, then to the standard error.
fn succeeds(command: Command) -> (String, String) {
    let output = run(command);
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// The error of a run that said all parts, each of them once.
fn fails(command: Command, parts: &[&str]) -> String {
    let output = run(command);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for part in parts {
        assert_eq!(said.matches(part).count(), 1, "{part:?} in {said:?}");
    }
    said
}

/// Updates with a checkpoint that is a file.
fn saved(out: &Path) -> Vec<u64> {
    let files = fs::read_dir(out.join("checkpoints"))
        .map(|files| files.flatten().collect())
        .unwrap_or(vec![]);
    let files = files.iter().filter(|file| file.path().is_file());
    let names = files.map(|file| file.file_name().into_string().unwrap());
    let names = names.filter_map(|name| name.strip_suffix(".safetensors").map(str::to_owned));
    let mut steps: Vec<u64> =
        names.filter(|name| name.len() == 10).filter_map(|name| name.parse().ok()).collect();
    steps.sort_unstable();
    steps
}

/// The newest checkpoint, which is whole, and so is the one that users know.
fn newest(out: &Path) -> u64 {
    let step = *saved(out).last().unwrap();
    for path in [
        out.join(format!("checkpoints/{step:010}.safetensors")),
        out.join("checkpoint.safetensors"),
    ] {
        let checkpoint = Checkpoint::load(path).unwrap();
        assert!(checkpoint.metadata("progress").unwrap().contains(&format!("\"step\":{step},")));
    }
    step
}

fn report(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
}

/// Waits until something is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        sleep(Duration::from_millis(1));
    }
}
