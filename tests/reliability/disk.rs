//! A disk that takes nothing, for a while or for good, and results that cannot be computed.

use std::fs;
use std::process::{Command, Stdio};

use super::{command, newest, output, report, run, saved, succeeds, text, training, wait_until};

/// The command, with files of at most 64 KiB: less than a checkpoint has. A write beyond fails, as
/// on a disk that is full.
pub fn without_room(own: Command) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(own.get_program())
        .args(own.get_args());
    limited.stdout(Stdio::piped()).stderr(Stdio::piped());
    limited
}

#[test]
fn a_full_disk_spoils_nothing() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    succeeds(training(root.path(), &["--steps", "2", "--save-every", "1"], &out));
    let full = run(without_room(command(&["--resume", "--steps", "4"], &out)));
    let said = text(&full.stderr);
    assert_eq!(full.status.code(), Some(1), "{said}");
    assert!(
        !said.contains("panicked") && said.contains("the run goes on, and tries again"),
        "{said}"
    );
    assert!(
        said.contains("cannot write the checkpoint") && said.contains("trying again in 1 s"),
        "{said}"
    );
    // As it was: whole, with nothing half written beside.
    assert_eq!((saved(&out), newest(&out)), (vec![1, 2], 2));
    for folder in [out.clone(), out.join("checkpoints")] {
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap());
        let half: Vec<String> = names.filter(|name| name.starts_with(".writing-")).collect();
        assert!(half.is_empty(), "{half:?}");
    }
    succeeds(command(&["--resume", "--steps", "4"], &out));
    assert_eq!((newest(&out), report(&out)["steps"].as_u64()), (4, Some(4)));
}

/// Some saves fail, and later ones do not: here since something else has the name of the newest for
/// a while.
#[test]
fn a_save_that_fails_ends_no_run() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    let mut own = training(root.path(), &["--steps", "150", "--save-every", "1"], &out);
    let child = own.stdout(Stdio::null()).spawn().unwrap();
    wait_until("a checkpoint", || saved(&out).last() > Some(&0));
    let published = out.join("checkpoint.safetensors");
    // The run may be quicker than these two.
    wait_until("a folder in its place", || {
        let _ = fs::remove_file(&published);
        fs::create_dir(&published).is_ok()
    });
    let before = saved(&out).last().copied();
    wait_until("three saves", || saved(&out).last().copied() >= before.map(|step| step + 3));
    fs::remove_dir(&published).unwrap();
    let output = output(child);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("no regular file; the run goes on, and tries again after 1 update"),
        "{said}"
    );
    assert_eq!((newest(&out), report(&out)["steps"].as_u64()), (150, Some(150)));
}

/// A rate that no training survives: the first update spoils the weights, which then evaluate to
/// nothing.
#[test]
fn an_evaluation_that_fails_is_said_and_ends_no_run() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    let spoilt = ["--lr", "1e12", "--non-finite", "skip", "--steps", "9"];
    for (life, steps) in [9, 17, 26].into_iter().enumerate() {
        let (shown, said) = if life == 0 {
            succeeds(training(root.path(), &spoilt, &out))
        } else {
            // Given once more, the policy counts anew.
            succeeds(command(
                &["--resume", "--non-finite", "skip", "--steps", &steps.to_string()],
                &out,
            ))
        };
        assert!(
            shown.contains("report  ") && said.contains("warning: round trip: "),
            "{shown}\n{said}"
        );
        assert_eq!(
            said.contains("test images after update 25: the log-likelihood"),
            steps == 26,
            "{said}"
        );
        assert_eq!(newest(&out), steps);
        let report = report(&out);
        let problems = report["problems"].as_array().unwrap();
        assert!(
            problems.iter().any(|problem| problem.as_str().unwrap().starts_with("round trip: ")),
            "{problems:?}"
        );
        assert!(report["test_bits_per_dim"].is_null() && report["round_trip_max_error"].is_null());
        assert_eq!((report["steps"].as_u64(), out.join("curve.svg").exists()), (Some(steps), true));
    }
}
