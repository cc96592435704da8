//! Stops burn's `Learner` by a signal, and says how to go on.
//!
//! burn-train 0.22.1 saves after an epoch and nothing within one. A signal ends the training after
//! the step in work, and the run goes on from the last epoch that is saved: it repeats the steps of
//! the epoch that was broken off, with the same batches if its loader follows from the epoch.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use burn::train::Interrupter;
use burn::train::checkpoint::{CheckpointingAction, CheckpointingStrategy};
use burn::train::metric::store::EventStoreClient;

use crate::complain;
use crate::signals::{Signal, Signals};

/// Time between two looks for a signal: short beside a step.
const LOOK: Duration = Duration::from_millis(10);

/// Listens for the signals that end a training.
pub struct StopOnSignal {
    signals: Signals,
    saved: Arc<AtomicUsize>,
}

impl StopOnSignal {
    /// Listens from here on; the first signal stops the training through `interrupter`. The
    /// training goes on after epoch `resumed`, or begins with 0.
    ///
    /// # Errors
    /// If the system does not let the program listen.
    pub fn listen(interrupter: Interrupter, resumed: usize) -> io::Result<Self> {
        let signals = Signals::listen()?;
        let heard = signals.clone();
        thread::spawn(move || {
            while heard.asked().is_none() {
                thread::sleep(LOOK);
            }
            interrupter.stop(heard.asked().map(|signal| signal.to_string()).as_deref());
        });
        Ok(Self { signals, saved: Arc::new(AtomicUsize::new(resumed)) })
    }

    /// A strategy that also notes which epoch was saved last.
    pub fn noting<S: CheckpointingStrategy>(&self, strategy: S) -> Noting<S> {
        Noting { strategy, saved: self.saved.clone() }
    }

    /// Whether the training may be evaluated. After this a signal ends the program at once.
    ///
    /// # Errors
    /// If a signal stopped it.
    pub fn check(self) -> Result<(), Stopped> {
        if let Some(signal) = self.signals.asked() {
            return Err(Stopped { signal, saved: self.saved.load(Ordering::SeqCst) });
        }
        self.signals.end_at_once();
        Ok(())
    }
}

/// A strategy of burn's whose saves are noted: [`StopOnSignal::noting`].
pub struct Noting<S> {
    strategy: S,
    saved: Arc<AtomicUsize>,
}

impl<S: CheckpointingStrategy> CheckpointingStrategy for Noting<S> {
    fn checkpointing(
        &mut self,
        epoch: usize,
        store: &EventStoreClient,
    ) -> Vec<CheckpointingAction> {
        let actions = self.strategy.checkpointing(epoch, store);
        if actions.contains(&CheckpointingAction::Save) {
            self.saved.store(epoch, Ordering::SeqCst);
        }
        actions
    }
}

/// A training that a signal ended.
#[derive(Debug)]
pub struct Stopped {
    signal: Signal,
    /// The last epoch that is saved; 0 if there is none.
    saved: usize,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signal, saved } = self;
        match saved {
            0 => write!(
                f,
                "stopped by {signal} before the end of the first epoch, so nothing is saved; start \
                 again with the same command"
            ),
            epoch => write!(
                f,
                "stopped by {signal} after epoch {epoch}, which is saved; continue with the same \
                 command and --resume {epoch}"
            ),
        }
    }
}

impl Error for Stopped {}

/// Ends a program: an error is printed, and the exit code is 128 + n after signal n, or 1.
pub fn report(result: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    complain!("error: {error}");
    match error.downcast_ref::<Stopped>() {
        Some(stopped) => ExitCode::from(stopped.signal.exit_code()),
        None => ExitCode::FAILURE,
    }
}
