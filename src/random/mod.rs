//! The stream of random numbers of a device: a scope that samples from a seed and then restores
//! the caller's stream.
//! ```text
//! key     = mix(… mix(mix(γ + u_1) + u_2) … + u_8)       u_i: the bits of 8 float32 numbers that
//!                                                        the device samples before the scope
//! after   the device is seeded with `key`
//! ```
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
    let device = device.clone().without_autodiff();
    let samples =
        Tensor::<1>::random([KEY_SAMPLES], Distribution::Uniform(0.0, 1.0), (&device, DType::F32));
    let samples = samples.try_into_data().map_err(|error| error.to_string())?;
    Ok(samples
        .iter::<f32>()
        .fold(GAMMA, |key, sample| mix(key.wrapping_add(u64::from(sample.to_bits())))))
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
    /// Seed from which the stream continues; `None` for a device that no longer returns numbers.
    key: Option<u64>,
}

impl Seeded {
    /// Samples eight numbers from the device (one device-to-host copy), then seeds it with `seed`.
    pub fn new(device: &Device, seed: u64) -> Self {
        let scope = Self::hold(device);
        device.seed(seed);
        scope
    }

    /// A scope that is not yet seeded.
    pub(crate) fn hold(device: &Device) -> Self {
        // A lost device has no stream to restore. The next operation on it reports the loss.
        Self { device: device.clone().without_autodiff(), key: key(device).ok() }
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        if thread::panicking() {
            // A device whose server is gone panics here. A second panic would end the process and
            // hide the first.
            let _ = catch_unwind(AssertUnwindSafe(|| self.device.seed(key)));
        } else {
            self.device.seed(key);
        }
    }
}
