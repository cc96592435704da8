//! The folder of checkpoints: what is kept, what is skipped, what is deleted, and when.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use flowkit::train::{Checkpoint, CheckpointError, Checkpoints};

fn checkpoint(step: u64) -> Checkpoint {
    let mut checkpoint =
        Checkpoint::new(BTreeMap::from([("step".into(), step.to_string())])).unwrap();
    checkpoint.insert_bytes("weights", vec![step as u8; 4000]).unwrap();
    checkpoint
}

fn save(checkpoints: &Checkpoints, step: u64) {
    assert_eq!(checkpoints.save(step, &checkpoint(step)).unwrap(), checkpoints.path(step));
}

/// Flips a bit in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Step and number of damaged newer files of the newest that can be read.
fn latest(checkpoints: &Checkpoints) -> Option<(u64, usize)> {
    let latest = checkpoints.latest().unwrap()?;
    assert_eq!(latest.checkpoint, checkpoint(latest.step));
    Some((latest.step, latest.damaged.len()))
}

#[test]
fn the_newest_few_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("a/b");
    let checkpoints = Checkpoints::open(&place, 3).unwrap();
    assert_eq!(latest(&checkpoints), None);
    for (step, kept) in [(0, vec![0]), (9, vec![0, 9]), (10, vec![0, 9, 10]), (11, vec![9, 10, 11])]
    {
        save(&checkpoints, step);
        assert_eq!(checkpoints.steps().unwrap(), kept);
    }
    // Numbers are compared, not names.
    save(&checkpoints, 99_999_999_999);
    assert_eq!(latest(&checkpoints), Some((99_999_999_999, 0)));
    // What is not a checkpoint is left alone.
    fs::write(place.join("notes.txt"), "mine").unwrap();
    fs::write(place.join("best.safetensors"), "mine").unwrap();
    fs::write(place.join("5.safetensors"), "mine").unwrap();
    save(&checkpoints, 100_000_000_000);
    assert_eq!(checkpoints.steps().unwrap(), [11, 99_999_999_999, 100_000_000_000]);
    assert!(
        ["notes.txt", "best.safetensors", "5.safetensors"]
            .iter()
            .all(|name| place.join(name).exists())
    );
}

#[test]
fn a_damaged_one_is_skipped_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), 3).unwrap();
    [10, 20, 30].into_iter().for_each(|step| save(&checkpoints, step));
    damage(&checkpoints.path(30));
    let newest = checkpoints.latest().unwrap().unwrap();
    assert_eq!(newest.step, 20);
    assert!(matches!(
        &newest.damaged[..],
        [CheckpointError::Checksum { path, .. }] if *path == checkpoints.path(30)
    ));
    fs::write(checkpoints.path(20), b"").unwrap();
    assert_eq!(latest(&checkpoints), Some((10, 2)));
    damage(&checkpoints.path(10));
    // A run must not silently begin anew.
    let error = checkpoints.latest().unwrap_err();
    assert!(
        matches!(&error, CheckpointError::AllDamaged { damaged, .. } if damaged.len() == 3),
        "{error}"
    );
    assert!(
        error.to_string().contains("none of the 3 checkpoints")
            && error.to_string().contains("0000000030"),
        "{error}"
    );
}

/// Keeping one: the damaged newest does not push out the good one that the run went on from.
#[test]
fn the_last_good_one_is_never_deleted() {
    for keep in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
        [10, 20].into_iter().for_each(|step| save(&checkpoints, step));
        damage(&checkpoints.path(20));
        drop(checkpoints);
        let checkpoints = Checkpoints::open(folder.path(), keep).unwrap();
        assert_eq!(latest(&checkpoints), Some((10, 1)));
        // A save that fails half way deletes nothing: a folder stands where the file should go.
        fs::create_dir_all(checkpoints.path(15).join("in the way")).unwrap();
        let error = checkpoints.save(15, &checkpoint(15)).unwrap_err();
        assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
        fs::remove_dir_all(checkpoints.path(15)).unwrap();
        assert_eq!(latest(&checkpoints), Some((10, 1)));
        // One that succeeds takes the place of what came later, and the good one before it goes
        // only if it is one too many.
        save(&checkpoints, 15);
        assert_eq!(latest(&checkpoints), Some((15, 0)));
        assert_eq!(checkpoints.steps().unwrap(), if keep == 1 { vec![15] } else { vec![10, 15] });
        // What was damaged is there for whoever wants to look at it.
        assert!(folder.path().join("0000000020.safetensors.damaged").exists());
    }
}

/// What cannot be read may be good: it is not passed over, and never deleted.
#[test]
fn an_error_of_the_disk_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), 1).unwrap();
    save(&checkpoints, 10);
    // A folder in the place of a file gives an error of reading for every user, root too.
    fs::create_dir(checkpoints.path(20)).unwrap();
    let error = checkpoints.latest().unwrap_err();
    assert!(
        matches!(&error, CheckpointError::Read { path, .. } if *path == checkpoints.path(20)),
        "{error}"
    );
    assert!(!error.is_damage());
    save(&checkpoints, 11);
    assert!(folder.path().join("0000000020.safetensors.damaged").is_dir());
    assert_eq!(latest(&checkpoints), Some((11, 0)));
}

#[test]
fn what_is_added_pushes_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
    [10, 20].into_iter().for_each(|step| save(&checkpoints, step));
    checkpoints.add(25, &checkpoint(25)).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [10, 20, 25]);
    let checkpoints = checkpoints.with_keep(3).unwrap();
    save(&checkpoints, 30);
    assert_eq!(checkpoints.steps().unwrap(), [20, 25, 30]);
    assert!(matches!(checkpoints.with_keep(0), Err(CheckpointError::KeepNone)));
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), 1).unwrap();
    save(&checkpoints, 1);
    fs::write(folder.path().join(".writing-0000000002.safetensors-AbCdEf"), b"half").unwrap();
    drop(checkpoints);
    let checkpoints = Checkpoints::open(folder.path(), 1).unwrap();
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with(".writing-")), "{names:?}");
    assert_eq!(latest(&checkpoints), Some((1, 0)));
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = Checkpoints::open(folder.path(), 1).unwrap();
    // Locks belong to an open file, so that a second one in this process counts as another's.
    let error = Checkpoints::open(folder.path(), 1).unwrap_err();
    assert!(
        matches!(&error, CheckpointError::InUse { folder: named } if named == folder.path()),
        "{error}"
    );
    drop(first);
    Checkpoints::open(folder.path(), 1).unwrap();
    assert!(matches!(Checkpoints::open(folder.path(), 0), Err(CheckpointError::KeepNone)));
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Checkpoints::open(file.join("inside"), 1).unwrap_err();
    assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
}

/// Whoever looks while a run saves finds a checkpoint that can be read.
#[test]
fn at_every_moment_one_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), 1).unwrap();
    save(&checkpoints, 0);
    let (done, seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    let look = || {
        while !done.load(Ordering::Relaxed) {
            // Between listing and reading the file may have been replaced by a newer one.
            let newest = checkpoints.steps().unwrap();
            assert!(!newest.is_empty());
            for step in newest {
                match Checkpoint::load(checkpoints.path(step)) {
                    Ok(found) => assert_eq!(found, checkpoint(step)),
                    Err(CheckpointError::Read { source, .. }) => {
                        assert_eq!(source.kind(), std::io::ErrorKind::NotFound)
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            seen.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let looker = scope.spawn(look);
        // Until both had enough turns, however slow the one or the other is.
        let mut step = 0;
        while step < 59 || (seen.load(Ordering::Relaxed) < 11 && !looker.is_finished()) {
            step += 1;
            save(&checkpoints, step);
        }
        done.store(true, Ordering::Relaxed);
        looker.join().unwrap();
        assert_eq!(latest(&checkpoints), Some((step, 0)));
    });
}

/// A run that begins in the folder of another one deletes nothing of it.
#[test]
fn another_runs_checkpoints_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Checkpoints::open(folder.path(), 2).unwrap();
    let finished = open();
    [100, 200, 300].into_iter().for_each(|step| save(&finished, step));
    drop(finished);

    // Begun anew: there are later ones, and nothing is written. To have looked at them makes no
    // difference.
    for look in [false, true] {
        let begun = open();
        if look {
            assert_eq!(latest(&begun), Some((300, 0)));
        }
        let error = begun.save(10, &checkpoint(10)).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, CheckpointError::LaterCheckpoint { step: 10, later: 300, .. }),
            "{text}"
        );
        assert!(text.contains("update 300") && text.contains("replacing"), "{text}");
        assert_eq!(begun.steps().unwrap(), [200, 300]);
    }
    // Begun anew at a later update: what was there is neither deleted nor counted.
    let begun = open();
    [400, 500, 600].into_iter().for_each(|step| save(&begun, step));
    assert_eq!(begun.steps().unwrap(), [200, 300, 500, 600]);
    // One that goes back over its own is not in its own way, and stops at another's.
    save(&begun, 550);
    assert_eq!(begun.steps().unwrap(), [200, 300, 500, 550]);
    let error = begun.save(250, &checkpoint(250)).unwrap_err();
    assert!(matches!(error, CheckpointError::LaterCheckpoint { later: 300, .. }), "{error}");
    assert_eq!(begun.steps().unwrap(), [200, 300, 500, 550]);
}

#[test]
fn a_resumed_run_takes_over_what_it_goes_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Checkpoints::open(folder.path(), 2).unwrap();
    let stopped = open();
    [100, 200].into_iter().for_each(|step| save(&stopped, step));
    drop(stopped);
    let resumed = open();
    assert_eq!(latest(&resumed), Some((200, 0)));
    save(&resumed, 300);
    assert_eq!(resumed.steps().unwrap(), [200, 300]);
    drop(resumed);
    // Told to, a run takes the place of another.
    let replacing = open().replacing();
    save(&replacing, 250);
    assert_eq!(replacing.steps().unwrap(), [200, 250]);
    save(&replacing, 7);
    assert_eq!(replacing.steps().unwrap(), [7]);
}

/// A finished run's checkpoint of the same update is not overwritten, nor is one added before or
/// over it.
#[test]
fn the_same_update_of_another_run_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Checkpoints::open(folder.path(), 1).unwrap();
    let finished = open().with_keep(3).unwrap();
    [500, 1000].into_iter().for_each(|step| save(&finished, step));
    drop(finished);
    let begun = open();
    for (step, whole) in
        [(1000, true), (500, true), (20, true), (1000, false), (500, false), (20, false)]
    {
        if !whole {
            fs::write(begun.path(1000), b"cut sho").unwrap();
        }
        let before = fs::read(begun.path(1000)).unwrap();
        for error in [
            begun.save(step, &checkpoint(7)).unwrap_err(),
            begun.add(step, &checkpoint(7)).unwrap_err(),
        ] {
            let text = error.to_string();
            let CheckpointError::LaterCheckpoint { step: saving, later: 1000, .. } = error else {
                panic!("{text}")
            };
            assert_eq!(saving, step);
            assert!(text.contains("update 1000") && text.contains("replacing"), "{text}");
        }
        // Nothing was written, deleted or renamed.
        assert_eq!(begun.steps().unwrap(), [500, 1000]);
        assert!(fs::read(begun.path(1000)).unwrap() == before);
        assert_eq!(Checkpoint::load(begun.path(500)).unwrap(), checkpoint(500));
        assert!(!folder.path().join("0000001000.safetensors.damaged").exists());
    }
    // Told to, it takes their place; what was damaged is kept.
    let begun = begun.replacing();
    begun.add(1000, &checkpoint(1000)).unwrap();
    assert!(folder.path().join("0000001000.safetensors.damaged").exists());
    save(&begun, 500);
    assert_eq!(begun.steps().unwrap(), [500]);
}

/// A run that resumes may save at once, and again at the update that it lost.
#[test]
fn a_resumed_run_may_save_where_it_stands() {
    for lost in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let stopped = Checkpoints::open(folder.path(), 3).unwrap();
        [10, 20].into_iter().for_each(|step| save(&stopped, step));
        if lost {
            save(&stopped, 30);
            damage(&stopped.path(30));
        }
        drop(stopped);
        let resumed = Checkpoints::open(folder.path(), 3).unwrap();
        assert_eq!(latest(&resumed), Some((20, usize::from(lost))));
        resumed.add(20, &checkpoint(20)).unwrap();
        assert_eq!(resumed.path(30).exists(), lost, "adding renames nothing");
        save(&resumed, if lost { 30 } else { 20 });
        assert_eq!(resumed.steps().unwrap(), if lost { vec![10, 20, 30] } else { vec![10, 20] });
        assert_eq!(folder.path().join("0000000030.safetensors.damaged").exists(), lost);
        assert_eq!(latest(&resumed), Some((if lost { 30 } else { 20 }, 0)));
    }
    // Passed over while it was damaged, and whole again: it is not deleted.
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), 3).unwrap();
    [10, 20].into_iter().for_each(|step| save(&checkpoints, step));
    drop(checkpoints);
    let checkpoints = Checkpoints::open(folder.path(), 3).unwrap();
    damage(&checkpoints.path(20));
    assert_eq!(latest(&checkpoints), Some((10, 1)));
    damage(&checkpoints.path(20));
    let error = checkpoints.save(10, &checkpoint(10)).unwrap_err();
    assert!(
        matches!(error, CheckpointError::LaterCheckpoint { step: 10, later: 20, .. }),
        "{error}"
    );
}

/// What was set aside before is not written over.
#[test]
fn two_damaged_ones_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::open(folder.path(), 2).unwrap();
    for _ in 0..2 {
        save(&checkpoints, 20);
        damage(&checkpoints.path(20));
        save(&checkpoints, 10);
    }
    for name in ["0000000020.safetensors.damaged", "0000000020.safetensors.damaged-2"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

/// A save follows a link to its file, and replaces nothing that is no regular file.
#[test]
#[cfg(unix)]
fn only_regular_files_are_replaced() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/file"), b"earlier").unwrap();
    symlink("elsewhere/file", at("link")).unwrap();
    symlink("link", at("link to a link")).unwrap();
    for name in ["link", "link to a link"] {
        checkpoint(3).save(at(name)).unwrap();
        assert!(at(name).is_symlink());
        assert_eq!(Checkpoint::load(at("elsewhere/file")).unwrap(), checkpoint(3));
        fs::write(at("elsewhere/file"), b"earlier").unwrap();
    }
    fs::create_dir(at("folder")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("folder", at("link to a folder")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let mut cases = vec![
        ("folder", "a folder"),
        ("link to a folder", "a folder"),
        ("dangling", "a symbolic link that leads nowhere"),
        ("socket", "a socket"),
        ("pipe", "a pipe"),
    ];
    // The numbers of /dev/null; only root may make devices.
    if Command::new("mknod")
        .arg(at("device"))
        .args(["c", "1", "3"])
        .status()
        .is_ok_and(|made| made.success())
    {
        cases.push(("device", "a device"));
    }
    let names = || fs::read_dir(folder.path()).unwrap().count();
    let before = names();
    for (name, kind) in cases {
        let found = fs::symlink_metadata(at(name)).unwrap().file_type();
        let error = checkpoint(3).save(at(name)).unwrap_err();
        assert!(
            matches!(&error, CheckpointError::Write { path, .. } if *path == at(name)),
            "{error}"
        );
        assert!(error.to_string().contains(kind), "{name}: {error}");
        let after = fs::symlink_metadata(at(name)).unwrap().file_type();
        assert_eq!(after, found, "{name} was replaced");
        assert_eq!((after.is_fifo(), names()), (name == "pipe", before), "{name}");
    }
    // The lock of a folder is no way to someone's file.
    fs::create_dir(at("run")).unwrap();
    symlink("../elsewhere/file", at("run/.lock")).unwrap();
    let error = Checkpoints::open(at("run"), 1).unwrap_err();
    assert!(error.to_string().contains("found the symbolic link"), "{error}");
    assert_eq!(fs::read(at("elsewhere/file")).unwrap(), b"earlier");
}
