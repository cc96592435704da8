//! An iterator that runs ahead in a thread of its own.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread::{self, JoinHandle},
};

use super::{DataError, panic_message::panic_message};

/// Runs an iterator ahead in a thread of its own. It returns the items of the iterator, in the same
/// order, up to and including its first error.
///
/// Dropping it stops the thread: at once if the thread waits for room, otherwise as soon as the
/// current item is finished. The drop waits for that.
pub(super) struct Prefetch<T> {
    receiver: Option<Receiver<Result<T, DataError>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Prepares up to `depth` items ahead, at least one.
    ///
    /// # Errors
    ///
    /// [`DataError::NoThread`] if the system cannot start a thread.
    pub(super) fn new(
        items: impl Iterator<Item = Result<T, DataError>> + Send + 'static,
        depth: usize,
    ) -> Result<Self, DataError> {
        // The thread holds one finished item while it waits for room.
        let (sender, receiver) = sync_channel(depth.saturating_sub(1));
        let work = move || {
            for item in items {
                let last = item.is_err();
                // Fails once the receiver is dropped.
                if sender.send(item).is_err() || last {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("flowkit-prefetch".into()).spawn(work);
        let thread = thread.map_err(|source| DataError::NoThread { source })?;
        Ok(Self { receiver: Some(receiver), thread: Some(thread) })
    }
}

impl<T> Iterator for Prefetch<T> {
    type Item = Result<T, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let received = self.receiver.as_ref()?.recv();
        match received {
            Ok(item) => Some(item),
            // The thread has finished, or panicked.
            Err(_) => {
                self.receiver = None;
                let panic = self.thread.take()?.join().err()?;
                Some(Err(DataError::Panicked { reason: panic_message(panic.as_ref()) }))
            }
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // A panic in an item that nobody requested any more is not reported.
            let _ = thread.join();
        }
    }
}
