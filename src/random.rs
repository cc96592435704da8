//! A device's stream of random numbers: a scope that draws from a seed and gives the stream back.
//! ```text
//! key     = mix(… mix(mix(γ + u_1) + u_2) … + u_8)       u_i: the bits of float32 numbers that the device draws
//! after   the device is seeded with key
//! ```
//! A generator of burn's is global to a backend: it can be seeded and drawn from, but its state can neither be read nor put back. So what is
//! drawn after a scope is not what would have been drawn without it; but it follows from the state before the scope and from nothing within.
//! Eight float32 numbers hold at least 8·23 random bits, which are mixed into a key of 64.
//!
//! The scopes of a process share the generator: two threads that draw from one backend disturb each other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use burn::tensor::{DType, Device, Distribution, Tensor};

use crate::draw::{GAMMA, mix};

/// Numbers that a key is made of.
const DRAWS: usize = 8;

/// A number that depends on the state of the device's generator, which moves on. Read from the device; `Err` holds what it reported.
pub(crate) fn key(device: &Device) -> Result<u64, String> {
    let device = device.clone().without_autodiff();
    let draws = Tensor::<1>::random([DRAWS], Distribution::Uniform(0.0, 1.0), (&device, DType::F32));
    let draws = draws.try_into_data().map_err(|error| error.to_string())?;
    Ok(draws.iter::<f32>().fold(GAMMA, |key, draw| mix(key.wrapping_add(u64::from(draw.to_bits())))))
}

/// A scope in which a device draws from a seed. When it is dropped, on errors and panics too, the device's stream goes on in a way that
/// depends on its state before the scope alone: neither on the seed nor on how much was drawn.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use flowkit::random::Seeded;
///
/// let device = Device::flex();
/// let draw = || Tensor::<1>::random([4], Distribution::Default, &device).into_data();
/// let measured = |before: u64, seed: u64| {
///     device.seed(before);
///     let noise = {
///         let _scope = Seeded::new(&device, seed);
///         draw()
///     };
///     (noise, draw())
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
    /// What the stream goes on from; `None` for a device that gives no numbers any more.
    key: Option<u64>,
}

impl Seeded {
    /// Seeds the device. Reads eight numbers from it first.
    pub fn new(device: &Device, seed: u64) -> Self {
        let scope = Self::hold(device);
        device.seed(seed);
        scope
    }

    /// A scope that is still to be seeded.
    pub(crate) fn hold(device: &Device) -> Self {
        // A lost device has no stream to give back. What is computed on it next reports the loss.
        Self { device: device.clone().without_autodiff(), key: key(device).ok() }
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        if thread::panicking() {
            // A device whose server is gone panics here. A second panic would end the process and hide the first.
            let _ = catch_unwind(AssertUnwindSafe(|| self.device.seed(key)));
        } else {
            self.device.seed(key);
        }
    }
}
