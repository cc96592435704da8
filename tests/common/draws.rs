//! Turns of tests whose results follow from a seed.
#![allow(dead_code)] // A program takes its turns with a seed, without one, or both.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::Device;

/// Whoever holds it draws alone. The generator that a device's seed sets is one for the whole
/// process, and the tests of a program run in parallel, so that what one draws meanwhile, the other
/// does not get.
///
/// A test holds its turn from the seed to the last draw that counts, and so does, around its own
/// draws, every other test of the program that draws, with a seed or without one: new layers,
/// samples, noise, dropout, and each update of a trainer, which seeds the device. Where no result
/// follows from a seed, nobody needs turns.
///
/// It is not the lock of the checks in `flowkit::testing`, so these may run within a turn. Whoever
/// takes a second turn within the first waits for itself.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has left nothing that the next one reads.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A turn that begins with a seed.
pub fn seeded(device: &Device, seed: u64) -> MutexGuard<'static, ()> {
    let turn = turn();
    device.seed(seed);
    turn
}
