//! The folder of a run: who may write there, what is lost, and what of others is in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use super::disk::without_room;
use super::stopping::send;
use super::{command, fails, newest, output, report, saved, succeeds, text, training, wait_until};

#[test]
fn of_two_runs_one_has_the_folder() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let out = root.path().join(format!("{round}"));
        let run =
            || training(root.path(), &["--overwrite", "--steps", "5", "--save-every", "1"], &out);
        let [first, second] = [run(), run()].map(|mut run| run.spawn().unwrap());
        let [first, second] = [first, second].map(output);
        let mut codes = [first.status.code(), second.status.code()];
        codes.sort_unstable();
        let said = text(&first.stderr) + &text(&second.stderr);
        assert_eq!(codes, [Some(0), Some(1)], "{said}");
        assert!(
            said.contains(&format!("{} is in use: another run trains there", out.display())),
            "{said}"
        );
        assert_eq!((newest(&out), report(&out)["steps"].as_u64()), (5, Some(5)));
    }
}

/// Also before it has saved anything, and while it writes its last files.
#[test]
fn the_folder_is_a_runs_from_the_first_look_on() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    fs::create_dir(&out).unwrap();
    let looking = fs::File::open(&out).unwrap();
    looking.lock().unwrap();
    for flags in [&["--overwrite"][..], &["--resume"], &[]] {
        fails(training(root.path(), flags, &out), &["is in use"]);
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    drop(looking);
    succeeds(training(root.path(), &["--steps", "1"], &out));
}

#[test]
fn a_run_goes_on_from_the_checkpoint_that_is_left() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    succeeds(training(root.path(), &["--steps", "2"], &out));
    for (emptied, steps) in [(false, 3), (true, 4)] {
        fs::remove_dir_all(out.join("checkpoints")).unwrap();
        if emptied {
            fs::create_dir(out.join("checkpoints")).unwrap();
        }
        let steps_flag = steps.to_string();
        let (shown, said) = succeeds(command(&["--resume", "--steps", &steps_flag], &out));
        assert!(shown.contains(&format!("resumed         update {},", steps - 1)), "{shown}");
        assert!(said.contains("holds no checkpoint of update"), "{said}");
        assert_eq!(newest(&out), steps);
        assert_eq!(report(&out)["curve"]["train"].as_array().unwrap().len() as u64, steps);
    }
    // One that is not finished is not begun anew by a flag that was forgotten.
    let out = root.path().join("unfinished");
    let mut child = training(root.path(), &["--steps", "9999", "--save-every", "1"], &out);
    let mut child = child.stdout(Stdio::null()).spawn().unwrap();
    wait_until("a few updates", || saved(&out).last().is_some_and(|&step| step >= 3));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::remove_dir_all(out.join("checkpoints")).unwrap();
    let survivor = fs::read(out.join("checkpoint.safetensors")).unwrap();
    fails(training(root.path(), &["--steps", "1"], &out), &["holds a run that is not finished"]);
    // Damaged, it is no reason to begin anew either.
    fs::write(out.join("checkpoint.safetensors"), &survivor[..survivor.len() / 2]).unwrap();
    fails(command(&["--resume"], &out), &["checkpoint.safetensors is truncated"]);
    assert!(!out.join("checkpoints").exists());
}

fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"mine").unwrap();
}

#[test]
fn files_of_others_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let (out, disk) = (root.path().join("run"), root.path().join("another disk"));
    fs::create_dir(&out).unwrap();
    fs::create_dir(&disk).unwrap();
    symlink(&disk, out.join("checkpoints")).unwrap();
    let foreign = [
        out.join(".writing-diary/page"),
        out.join(".writing-AbCdEf"),
        out.join(".writing-report.json"),
        out.join("notes.txt"),
        disk.join(".writing-AbCdEf"),
        disk.join("notes.txt"),
        disk.join("best.safetensors"),
        disk.join("7.safetensors"),
        disk.join("old/0000000001.safetensors"),
    ];
    foreign.iter().for_each(|path| put(path));
    // What a killed run leaves is its own.
    let left = [
        out.join(".writing-report.json-AbCdEf"),
        out.join(".writing-checkpoint.safetensors"),
        disk.join(".writing-0000000001.safetensors-AbCdEf"),
    ];
    left.iter().for_each(|path| put(path));
    for flags in
        [&["--steps", "2"][..], &["--steps", "2"], &["--steps", "1", "--overwrite"], &["--resume"]]
    {
        succeeds(training(root.path(), flags, &out));
        for path in &foreign {
            assert!(
                fs::read(path).is_ok_and(|bytes| bytes == b"mine"),
                "{flags:?}: {}",
                path.display()
            );
        }
        assert!(
            out.join("checkpoints").is_symlink() && left.iter().all(|path| !path.exists()),
            "{flags:?}"
        );
    }
    assert_eq!((newest(&out), saved(&disk.join("..").join("run"))), (1, vec![0, 1]));
}

#[test]
fn an_old_report_does_not_stand_beside_a_new_run() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    succeeds(training(root.path(), &["--steps", "3"], &out));
    let results = ["report.json", "curve.svg", "samples.png", "reconstructions.png"]
        .map(|name| out.join(name));
    assert!(results.iter().all(|path| path.exists()));
    let mut child =
        training(root.path(), &["--steps", "9999"], &out).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the first checkpoint", || saved(&out) == [0]);
    wait_until("no results", || results.iter().all(|path| !path.exists()));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A new run that cannot begin leaves the old one as it is.
#[test]
fn a_run_that_cannot_begin_replaces_nothing() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("run");
    succeeds(training(root.path(), &["--steps", "2"], &out));
    let names = || {
        let names = |folder: &Path| {
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>()
        };
        let mut names = [names(&out), names(&out.join("checkpoints"))].concat();
        names.sort_unstable();
        names
    };
    let before = names();
    let full = without_room(training(root.path(), &["--steps", "1"], &out));
    fails(full, &["cannot write the checkpoint"]);
    assert_eq!(names(), before);
    let (published, best) = (out.join("checkpoint.safetensors"), root.path().join("best"));
    fs::rename(&published, &best).unwrap();
    symlink(&best, &published).unwrap();
    fails(training(root.path(), &["--steps", "1"], &out), &["no regular file"]);
    assert_eq!(names(), before);
}

/// What a save finds in its way: nothing learned is lost, and nothing of others.
#[test]
fn a_folder_of_checkpoints_that_takes_none() {
    let root = tempfile::tempdir().unwrap();
    for what in ["removed", "junk", "foreign"] {
        let out = root.path().join(what);
        let place = out.join("checkpoints");
        let mut own = training(root.path(), &["--steps", "1000000", "--save-every", "10"], &out);
        let child = own.stdout(Stdio::null()).spawn().unwrap();
        wait_until("a checkpoint", || saved(&out).last() > Some(&0));
        let later = place.join("0000009999.safetensors");
        match what {
            "removed" => fs::remove_dir_all(&place).unwrap(),
            "junk" => put(&later),
            _ => drop(fs::copy(out.join("checkpoint.safetensors"), &later).unwrap()),
        }
        // Some more updates, which no save could take.
        sleep(Duration::from_millis(300));
        send("INT", &child);
        let output = output(child);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{what}: {said}");
        let (_, step) = said.split_once("stopped by SIGINT after update ").unwrap();
        let step: u64 = step.split_once(',').unwrap().0.parse().unwrap();
        let alone =
            format!("update {step} is in {} alone", out.join("checkpoint.safetensors").display());
        assert!(said.contains(&alone), "{what}: {said}");
        match what {
            "removed" => assert!(!place.exists()),
            "junk" => assert_eq!(fs::read(&later).unwrap(), b"mine"),
            _ => {
                assert!(
                    said.contains("0000009999.safetensors is no checkpoint of this run: move it"),
                    "{said}"
                );
                fs::rename(&later, root.path().join("moved")).unwrap();
            }
        }
        let steps = (step + 1).to_string();
        let (shown, _) = succeeds(command(&["--resume", "--steps", &steps], &out));
        assert!(shown.contains(&format!("resumed         update {step},")), "{what}: {shown}");
        assert_eq!(newest(&out), step + 1);
    }
}
