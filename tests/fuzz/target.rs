//! Runs one target: the corpus as it is, then edits of it until the time is over.

use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::abort;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::ALLOCATOR;
use super::bytes::{edited, edits};

/// One target at a time: the allocator counts for all threads.
pub static RUNNING: Mutex<()> = Mutex::new(());

/// Inputs of one strategy between two looks at the clock.
const ROUND: u32 = 16;

/// Longest time for one input, and the time after which the program gives up on it.
pub const SLOW: Duration = Duration::from_secs(10);
const HANGING: Duration = Duration::from_secs(60);

/// Bytes that every input may use, however small it is: buffers of decoders, a model of a few
/// layers.
const BASE: usize = 32 << 20;

/// Seconds for each target: few by default, since all tests wait for it.
pub fn seconds() -> Duration {
    let seconds = std::env::var("FLOWKIT_FUZZ_SECONDS")
        .map(|text| text.parse().expect("FLOWKIT_FUZZ_SECONDS"));
    Duration::from_secs_f64(seconds.unwrap_or(1.0))
}

pub fn seed() -> u64 {
    std::env::var("FLOWKIT_FUZZ_SEED").map_or(0, |text| text.parse().expect("FLOWKIT_FUZZ_SEED"))
}

/// The files of a folder of the corpus, in order of name; none if there is no such folder.
pub fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    assert!(corpus.is_dir(), "{} is missing", corpus.display());
    let folder = corpus.join(folder);
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What is given to a reader.
pub struct Input<'a> {
    /// A file with the bytes, in a folder of its own.
    pub path: &'a Path,
    pub bytes: &'a [u8],
}

/// What is tested.
pub struct Target {
    pub name: &'static str,
    /// Name of the file that an input is written to.
    pub file: &'static str,
    /// Bytes of memory that may be used for each byte of an input.
    pub expansion: usize,
}

/// Most bytes that a byte of Deflate expands to, which gzip and PNG use; as many again while a
/// vector grows; and twice that, since a reader may hold what it read and what it makes of it.
pub const DEFLATE: usize = 4 * 1032;

/// Where an input is written before it is read, so that it is left behind even by an abort.
struct Place {
    folder: PathBuf,
    file: PathBuf,
    expansion: usize,
    progress: Sender<()>,
}

impl Place {
    fn of(Target { name, file, expansion }: &Target) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz").join(name);
        // Of an earlier run.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(file);
        let (progress, inputs) = mpsc::channel();
        let watched = file.clone();
        thread::spawn(move || {
            loop {
                match inputs.recv_timeout(HANGING) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        tell(&format!("{}: no answer after {HANGING:?}", watched.display()));
                        abort();
                    }
                }
            }
        });
        Self { folder, file, expansion: *expansion, progress }
    }

    /// Panics if the input breaks one of the rules.
    fn run(&self, bytes: &[u8], check: &impl Fn(Input<'_>)) {
        put(&self.file, bytes);
        self.progress.send(()).unwrap();
        ALLOCATOR.reset_peak_usage();
        let (before, start) = (ALLOCATOR.current_usage(), Instant::now());
        check(Input { path: &self.file, bytes });
        let (used, took) = (ALLOCATOR.peak_usage().saturating_sub(before), start.elapsed());
        let allowed = BASE + bytes.len() * self.expansion;
        assert!(
            used <= allowed,
            "{used} bytes of memory for an input of {}, allowed are {allowed}",
            bytes.len()
        );
        assert!(took <= SLOW, "{took:?} for an input of {} bytes", bytes.len());
    }
}

/// Writes a new file: to truncate one that is there makes ext4 wait for the disk.
pub fn put(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// Past the capture of the test harness, which an abort would lose.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Checks `seeds` as they are, then inputs of `strategy`, which `build` makes bytes of.
///
/// A failure is shrunk, and its bytes are written to a file, for the corpus.
pub fn fuzz<S>(
    target: &Target,
    seeds: &[Vec<u8>],
    strategy: S,
    build: impl Fn(&S::Value) -> Vec<u8>,
    check: impl Fn(Input<'_>),
) where
    S: Strategy,
    S::Value: Debug,
{
    let _alone = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let (name, place) = (target.name, Place::of(target));
    let seed = seed();
    tell(&format!(
        "{name}: FLOWKIT_FUZZ_SEED={seed}, each input is first written to {}",
        place.file.display()
    ));
    seeds.iter().for_each(|bytes| place.run(bytes, &check));
    let (start, limit) = (Instant::now(), seconds());
    let mut rounds = 0u64;
    while start.elapsed() < limit {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&rounds.to_le_bytes());
        let config = Config {
            cases: ROUND,
            failure_persistence: None,
            max_shrink_iters: 4096,
            ..Config::default()
        };
        let mut runner =
            TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &key));
        let panic = Arc::new(Mutex::new(String::new()));
        let check_value = |value| {
            let run = || place.run(&build(&value), &check);
            catch_unwind(AssertUnwindSafe(run))
                .map_err(|_| TestCaseError::fail(panic.lock().unwrap().clone()))
        };
        let outcome = quietly(&panic, || runner.run(&strategy, check_value));
        match outcome {
            Ok(()) => rounds += 1,
            Err(TestError::Fail(reason, value)) => {
                let failing = place.folder.with_extension("failing");
                fs::write(&failing, build(&value)).unwrap();
                panic!(
                    "{name}, seed {seed}, round {rounds}: {reason}\n{value:#?}\nbytes in {}",
                    failing.display()
                );
            }
            Err(TestError::Abort(reason)) => panic!("{name}: {reason}"),
        }
    }
    tell(&format!("{name}: {} inputs", rounds * u64::from(ROUND) + seeds.len() as u64));
}

/// Runs it with its panics kept in `what`, of which shrinking causes hundreds, instead of printed.
fn quietly<T>(what: &Arc<Mutex<String>>, run: impl FnOnce() -> T) -> T {
    let (printing, kept) = (panic::take_hook(), what.clone());
    panic::set_hook(Box::new(move |panic| {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string()
    }));
    let found = run();
    panic::set_hook(printing);
    found
}

/// The result, or `None` for an error, which must have a text.
pub fn named<T, E: Error>(result: Result<T, E>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.trim().is_empty(), "an error without a text: {error:?}");
            None
        }
    }
}

/// The rules are not kept by themselves: an input that breaks one is found and kept.
#[test]
fn broken_rules_are_found() {
    let run = |check: fn(Input<'_>)| {
        let target = Target { name: "broken", file: "any.txt", expansion: 8 };
        let seen = || {
            fuzz(
                &target,
                &[],
                edits(2),
                |edits| edited(b"right", edits, &[b"other".to_vec()]),
                check,
            )
        };
        let panic = catch_unwind(AssertUnwindSafe(seen)).expect_err("nothing was found");
        panic.downcast_ref::<String>().expect("a text").clone()
    };
    let panicked = run(|input| assert!(input.bytes != b"right", "a fault"));
    assert!(panicked.contains("a fault") && panicked.contains("seed"), "{panicked}");
    let memory = run(|_| drop(std::hint::black_box(vec![1u8; 2 * BASE])));
    assert!(memory.contains("bytes of memory"), "{memory}");
    let silent = run(|_| {
        named(Err::<(), _>(io::Error::other("")));
    });
    assert!(silent.contains("without a text"), "{silent}");
}
