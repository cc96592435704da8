//! Signals, and outputs that nobody reads.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::{command, newest, output, report, run, saved, succeeds, text, training, wait_until};

pub fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A run without end that has done 50 updates and saved none of them.
fn under_way(mut command: Command) -> Child {
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The pipe is closed with this: that does not matter to the run.
    assert!(
        lines.map_while(Result::ok).any(|line| line.starts_with("step 50,")),
        "{:?}",
        output(child)
    );
    child
}

const ENDLESS: [&str; 4] = ["--steps", "1000000", "--save-every", "1000000"];

#[test]
fn a_signal_saves_what_was_learned() {
    let root = tempfile::tempdir().unwrap();
    let mut before = 0;
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let out = root.path().join("run");
        let begin = if before == 0 {
            training(root.path(), &ENDLESS, &out)
        } else {
            command(&["--resume"], &out)
        };
        let mut begin = begin;
        let child = if before == 0 {
            under_way(begin)
        } else {
            let child = begin.stdout(Stdio::null()).spawn().unwrap();
            // It goes on where the last one ended; a signal before it listens ends it at once, and
            // nothing is lost by that.
            sleep(Duration::from_secs(2));
            child
        };
        send(signal, &child);
        let output = output(child);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let step = newest(&out);
        let part = format!(
            "stopped by SIG{signal} after update {step}, which is saved; continue with --resume \
             --out"
        );
        assert!(said.contains(&part) && step > before.max(49), "{step}: {said}");
        assert!(!out.join("report.json").exists());
        before = step;
    }
    let out = root.path().join("run");
    let (shown, _) = succeeds(command(&["--resume", "--steps", &(before + 1).to_string()], &out));
    assert!(shown.contains(&format!("resumed         update {before},")), "{shown}");
    assert_eq!(report(&out)["curve"]["train"].as_array().unwrap().len() as u64, before + 1);
}

/// Also in the last update, whose result the run would otherwise evaluate for long.
#[test]
fn a_signal_in_the_last_update_is_heard() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    let mut own = command(&["--batch", "1024", "--steps", "1"], &out);
    let mut child = own.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.map_while(Result::ok).any(|line| line.contains("batches of 1024")),
        "{:?}",
        output(child)
    );
    // It listens from then on, and the update takes a second.
    sleep(Duration::from_millis(100));
    send("INT", &child);
    let output = output(child);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("stopped by SIGINT after update") && !out.join("report.json").exists(),
        "{said}"
    );
}

#[test]
fn a_second_signal_ends_at_once() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    // An update of some seconds.
    let mut long =
        command(&["--batch", "512", "--seed", "5", "--save-every", "1", "--steps", "9"], &out);
    let child = long.stdout(Stdio::null()).spawn().unwrap();
    wait_until("the first update", || saved(&out).last() == Some(&1));
    sleep(Duration::from_millis(100));
    send("INT", &child);
    sleep(Duration::from_millis(100));
    send("INT", &child);
    let output = output(child);
    let said = text(&output.stderr);
    assert!(
        output.status.code() == Some(130) && !said.contains("is saved"),
        "{}: {said}",
        output.status
    );
    assert_eq!(newest(&out), 1);
}

/// As `nohup` starts it.
#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    let own = training(root.path(), &ENDLESS, &out);
    let mut nohup = Command::new("sh");
    nohup
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(own.get_program())
        .args(own.get_args());
    let mut child = under_way_of(nohup);
    send("HUP", &child);
    sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "{:?}", output(child));
    send("TERM", &child);
    assert_eq!(output(child).status.code(), Some(143));
}

fn under_way_of(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    under_way(command)
}

fn whole(out: &Path) {
    assert_eq!((newest(out), report(out)["steps"].as_u64()), (60, Some(60)));
}

/// `| head -1`, and a disk without room for what is printed.
#[test]
fn a_training_goes_on_when_nobody_reads() {
    let root = tempfile::tempdir().unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap();

    // Long enough for it to print something after the first line. What it cannot print is an error,
    // too.
    let [closed, filled] = ["closed", "full"].map(|name| root.path().join(name));
    let mut child = training(root.path(), &["--steps", "60"], &closed).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    drop(child.stderr.take());
    assert!(first.starts_with("data:"), "{first}");
    assert!(output(child).status.success());
    whole(&closed);

    let mut command = training(root.path(), &["--steps", "60"], &filled);
    command.stdout(full()).stderr(full());
    assert!(run(command).status.success());
    whole(&filled);
    let mut wrong = training(root.path(), &["--steps", "0"], &filled);
    wrong.stdout(full()).stderr(full());
    assert_eq!(run(wrong).status.code(), Some(1));
}
