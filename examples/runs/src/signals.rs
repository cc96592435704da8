//! Ctrl-C, `kill`, and a terminal that closes: after the first such signal the run finishes its
//! update and saves; a second one ends it at once. A signal that the program was started to ignore,
//! as by `nohup`, stays ignored.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::{consts, flag, low_level};

#[cfg(unix)]
const STOPPING: [c_int; 3] = [consts::SIGINT, consts::SIGTERM, consts::SIGHUP];
#[cfg(not(unix))]
const STOPPING: [c_int; 2] = [consts::SIGINT, consts::SIGTERM];

/// From here on a file that would grow beyond what the system allows (`ulimit -f`) is an error of
/// the write; by itself it would end the program.
pub fn survive_large_files() -> io::Result<()> {
    #[cfg(unix)]
    flag::register(consts::signal::SIGXFSZ, Arc::default())?;
    Ok(())
}

/// A signal that ends a run.
#[derive(Clone, Copy, Debug)]
pub struct Signal(c_int);

impl Signal {
    /// 128 + n for signal n: by convention, the exit code of a program that a signal ended.
    pub fn exit_code(self) -> u8 {
        // They are below 128.
        128 + self.0 as u8
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match low_level::signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// The signals since the program began to listen.
#[derive(Clone)]
pub struct Signals {
    /// Whether the next one ends the program at once.
    armed: Arc<AtomicBool>,
    /// The last one, 0 before there is one.
    number: Arc<AtomicUsize>,
}

impl Signals {
    /// Begins to listen. Before, a signal ends the program at once.
    pub fn listen() -> io::Result<Self> {
        let (armed, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for signal in STOPPING.into_iter().filter(|&signal| !is_ignored(signal)) {
            // In this order, so that a second signal meets the flag that the first one has set, and
            // the first does not.
            flag::register_conditional_shutdown(
                signal,
                i32::from(Signal(signal).exit_code()),
                armed.clone(),
            )?;
            flag::register(signal, armed.clone())?;
            flag::register_usize(signal, number.clone(), signal as usize)?;
        }
        Ok(Self { armed, number })
    }

    /// The signal by which the run is to end.
    pub fn asked(&self) -> Option<Signal> {
        match self.number.load(Ordering::SeqCst) {
            0 => None,
            number => Some(Signal(number as c_int)),
        }
    }

    /// From here on the first signal ends the program at once, since nothing would be lost.
    pub fn end_at_once(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }
}

/// Whether the program was started to ignore a signal. Only Linux tells.
fn is_ignored(signal: c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
