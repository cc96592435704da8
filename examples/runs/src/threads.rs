//! The threads of the CPU kernels: as many as the system admits.
//!
//! rayon starts its threads at the first parallel operation, and panics if it gets fewer than it
//! requests: under `ulimit -u`, in a container with a limit on processes, or without memory for
//! their stacks.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use rayon::{ThreadBuilder, ThreadPoolBuilder};

use crate::complain;

/// Threads that the pool leaves for others, such as the one that reads data ahead.
const SPARE: usize = 2;

/// Starts the threads of rayon's pool, and prints a warning if there are fewer than wanted. To be
/// called before anything is computed.
pub fn start() {
    let chosen = std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|&threads| threads > 0);
    let wanted = chosen
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, |threads| threads.get()));
    let (mut waiting, mut refused) = (Vec::new(), None);
    while waiting.len() < wanted + SPARE && refused.is_none() {
        let (work, worker) = channel::<ThreadBuilder>();
        // A thread that gets no work ends.
        match thread::Builder::new().spawn(move || worker.recv().map(ThreadBuilder::run)) {
            Ok(_) => waiting.push(work),
            Err(error) => refused = Some(error),
        }
    }
    let threads = wanted.min(waiting.len().saturating_sub(SPARE));
    if let Some(error) = refused {
        let got = threads.max(1);
        complain!(
            "warning: the system refuses a thread ({error}): computing on {got} instead of {wanted}"
        );
    }
    // Without a thread of its own, the pool works on this one.
    let pool = if threads == 0 {
        ThreadPoolBuilder::new().use_current_thread()
    } else {
        ThreadPoolBuilder::new()
    };
    let mut waiting = waiting.into_iter();
    let hand_over = |work: ThreadBuilder| {
        let free: Option<Sender<ThreadBuilder>> = waiting.next();
        free.and_then(|thread| thread.send(work).ok())
            .ok_or_else(|| std::io::ErrorKind::WouldBlock.into())
    };
    if let Err(error) = pool.num_threads(threads.max(1)).spawn_handler(hand_over).build_global() {
        complain!("warning: {error}");
    }
}
