//! The stream of random numbers of a device: a scope that samples from a seed and then restores
//! the caller's stream.
//! ```text
//! key     = mix(… mix(mix(γ + u_1) + u_2) … + u_8)       u_i: the bits of 8 float32 numbers that
//!                                                        the device samples before the scope
//! after   the device is seeded with `key`
//! ```
//! The eight numbers stay on the device while the scope lasts. They are copied to the host when it
//! ends; an update of a [`Trainer`](crate::train::Trainer) on a GPU copies them together with its
//! loss, so they cost no copy of their own.
//!
//! burn's generator is global to a backend. It can be seeded and sampled, but its state can be
//! neither read nor restored. So the random numbers after a scope are not those that would have
//! been sampled without it. They depend only on the state before the scope, and on nothing within
//! it.
//! Eight float32 numbers hold at least 8·23 random bits, which are mixed into a key of 64 bits.
//!
//! All scopes of a process share the generator: two threads that sample from one backend affect
//! each other.

pub(crate) mod draw;
pub(crate) mod shuffle;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use burn::tensor::{DType, Device, Distribution, Tensor};

use crate::random::draw::{GAMMA, mix};

/// How many random numbers make a key.
const KEY_SAMPLES: usize = 8;

/// A key from the state of the device's generator, which advances. One device-to-host copy; `Err`
/// holds what the device reported.
pub(crate) fn key(device: &Device) -> Result<u64, String> {
    read(sampled(&device.clone().without_autodiff()))
}

/// The numbers that make a key, on a device without autodiff.
fn sampled(device: &Device) -> Tensor<1> {
    Tensor::random([KEY_SAMPLES], Distribution::Uniform(0.0, 1.0), (device, DType::F32))
}

/// The key of numbers on a device. One device-to-host copy.
fn read(samples: Tensor<1>) -> Result<u64, String> {
    let samples = samples.try_into_data().map_err(|error| error.to_string())?;
    Ok(mixed(samples.iter::<f32>()))
}

fn mixed(samples: impl Iterator<Item = f32>) -> u64 {
    samples.fold(GAMMA, |key, sample| mix(key.wrapping_add(u64::from(sample.to_bits()))))
}

/// A scope in which a device samples from a seed. When it is dropped, also after an error or a
/// panic, the device's stream continues in a way that depends only on its state before the scope,
/// not on the seed or on how much was sampled.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use flowkit::random::Seeded;
///
/// let device = Device::flex();
/// let sample = || Tensor::<1>::random([4], Distribution::Default, &device).into_data();
/// let measured = |before: u64, seed: u64| {
///     device.seed(before);
///     let noise = {
///         let _scope = Seeded::new(&device, seed);
///         sample()
///     };
///     (noise, sample())
/// };
/// let (noise, after) = measured(1, 7);
/// assert_eq!(measured(2, 7).0, noise); // within: the seed
/// assert_eq!(measured(1, 8).1, after); // afterwards: what was before
/// assert_ne!(measured(2, 7).1, after);
/// ```
#[derive(Debug)]
#[must_use = "the scope ends where this is dropped"]
pub struct Seeded {
    device: Device,
    key: Key,
}

/// The seed from which a stream continues.
#[derive(Debug)]
enum Key {
    /// The numbers that make it, which are still on the device.
    Sampled(Box<Tensor<1>>),
    Read(u64),
}

impl Seeded {
    /// Samples eight numbers from the device, then seeds it with `seed`. The numbers are copied to
    /// the host when the scope ends (one device-to-host copy).
    pub fn new(device: &Device, seed: u64) -> Self {
        let scope = Self::hold(device);
        device.seed(seed);
        scope
    }

    /// A scope that is not yet seeded.
    pub(crate) fn hold(device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let samples = sampled(&device);
        // A device that queues operations samples the numbers now, before anything within the
        // scope. An error here is one of the copy as well.
        device.flush().ok();
        Self { key: Key::Sampled(Box::new(samples)), device }
    }

    /// The numbers that make the key, if they are still to be copied to the host.
    pub(crate) fn unread(&self) -> Option<&Tensor<1>> {
        match &self.key {
            Key::Sampled(samples) => Some(samples),
            Key::Read(_) => None,
        }
    }

    /// Takes the values of [`Seeded::unread`], copied together with others.
    pub(crate) fn take(&mut self, samples: impl Iterator<Item = f32>) {
        self.key = Key::Read(mixed(samples));
    }

    fn restore(&self) {
        let key = match &self.key {
            Key::Sampled(samples) => read(samples.as_ref().clone()),
            Key::Read(key) => Ok(*key),
        };
        // A lost device has no stream to restore. The next operation on it reports the loss.
        if let Ok(key) = key {
            self.device.seed(key);
        }
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        if thread::panicking() {
            // A device whose server is gone panics here. A second panic would end the process and
            // hide the first.
            let _ = catch_unwind(AssertUnwindSafe(|| self.restore()));
        } else {
            self.restore();
        }
    }
}
