//! A signal ends a training by burn's `Learner` after its current step, and the run that goes on
//! from the last epoch that is saved is the run that never stopped.
#![cfg(target_os = "linux")]

#[path = "common/program.rs"]
mod program;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A machine that needs longer for anything here fails the test.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run of epochs of four updates.
fn command(out: &Path, arguments: &[&str]) -> Command {
    let build = "cargo build --release --features train --example learner";
    let mut command = Command::new(program::example("learner", build));
    command.args(["--images", "32", "--batch", "8", "--patience", "1000000"]).args(arguments);
    command.arg("--out").arg(out).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Sends a signal to a run without end as soon as `now`, and lets the run end.
fn stopped(out: &Path, arguments: &[&str], signal: &str, now: impl Fn() -> bool) -> Output {
    let arguments = [&["--epochs", "1000000"], arguments].concat();
    let mut child = command(out, &arguments).spawn().unwrap();
    let started = Instant::now();
    while !now() {
        assert!(child.try_wait().unwrap().is_none(), "{:?}", child.wait_with_output());
        assert!(started.elapsed() < PATIENCE, "not in {PATIENCE:?}");
        sleep(Duration::from_millis(1));
    }
    send(signal, &child);
    child.wait_with_output().unwrap()
}

/// The result of a run that reaches its end.
fn result(out: &Path, arguments: &[&str]) -> String {
    let output = command(out, arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    let last = shown.lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("test ") && last.ends_with("bits/dim (one-sample bound)"), "{last}");
    last
}

/// The epoch that the message says to go on after.
fn saved(message: &str, signal: &str) -> usize {
    let parts = message
        .strip_prefix(&format!("error: stopped by {signal} after epoch "))
        .and_then(|rest| rest.split_once(", which is saved; continue with the same command and "));
    let (epoch, flag) = parts.unwrap_or_else(|| panic!("{message}"));
    assert_eq!(flag.trim(), format!("--resume {epoch}"));
    epoch.parse().unwrap()
}

#[test]
fn a_run_that_is_stopped_goes_on_as_if_it_had_not() {
    let root = tempfile::tempdir().unwrap();
    let [out, whole] = ["stopped", "whole"].map(|name| root.path().join(name));
    // The last file of a checkpoint.
    let at = |epoch: usize| out.join(format!("checkpoint/scheduler-{epoch}.bpk"));
    let output = stopped(&out, &[], "INT", || at(2).exists());
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{message}");
    let first = saved(&message, "SIGINT");
    assert!(first >= 2 && at(first).exists(), "{message}");

    // Also a run that goes on, before its first epoch ends or later.
    let resume = first.to_string();
    let begun = Instant::now();
    let output = stopped(&out, &["--resume", &resume], "TERM", || {
        at(first + 1).exists() || begun.elapsed() > Duration::from_secs(20)
    });
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(143), "{message}");
    let second = saved(&message, "SIGTERM");
    assert!(second >= first && at(second).exists(), "{message}");

    let (resume, epochs) = (second.to_string(), (second + 1).to_string());
    let resumed = result(&out, &["--resume", &resume, "--epochs", &epochs]);
    assert_eq!(resumed, result(&whole, &["--epochs", &epochs]));
}
