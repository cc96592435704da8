//! The examples that tests run as a user does.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `flowpp_cifar`, which `cargo test` builds beside the tests, and `cargo test --test` does not.
pub fn program() -> PathBuf {
    example("flowpp_cifar", "cargo build --release --examples")
}

/// An example that `build` builds: one that is older than a source of its own would test what was
/// there before.
pub fn example(name: &str, build: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap().join("examples");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let build = format!("build it by `{build}`, or run `cargo test --release` without `--test`");
    assert!(program.exists(), "{} is missing: {build}", program.display());
    let changed = |path: &Path| {
        path.metadata().and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    // What cargo notes beside it, "program: source source ...".
    let noted = std::fs::read_to_string(folder.join(format!("{name}.d"))).unwrap_or_default();
    for source in noted.split_whitespace().skip(1) {
        assert!(
            changed(Path::new(source)) <= changed(&program),
            "{source} is newer than the example: {build}"
        );
    }
    program
}
