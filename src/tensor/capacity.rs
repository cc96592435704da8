//! Largest size of a tensor. A larger one is refused before any of it is allocated.
//! ```text
//! elements · bytes of an element ≤ 2^40       1 TiB for one tensor, more than any machine offers
//! ```
//! Below that bound, what fits depends on the machine. On the CPU, the memory for samples is first
//! requested from the allocator and released again, so a number of samples that the allocator
//! refuses is an error and does not end the process. An allocator may promise more memory than
//! there is, which cannot be known in advance.

use crate::counted::counted;
use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device};

/// Most bytes of a tensor.
pub(crate) const MOST_BYTES: u64 = 1 << 40;

/// A count or a shape that is too large to compute with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// A count above its bound.
    #[error("`{what}` must be at most {most}, found {found}")]
    TooMany {
        /// The argument.
        what: &'static str,
        /// Its largest value. For a number of examples, the number that fits into 1 TiB.
        most: u64,
        /// The value that was given.
        found: u64,
    },
    /// A tensor for which the machine has no memory.
    #[error(
        "not enough memory for {} of {} in {dtype:?}; use fewer at a time",
        counted(*found, "example"),
        counted(*dims, "element")
    )]
    NoMemory {
        /// Number of examples.
        found: u64,
        /// Elements of an example.
        dims: u64,
        /// Type of the elements.
        dtype: DType,
    },
}

/// Whether a device may hold a tensor of `n` examples of `dims` elements.
///
/// # Errors
/// [`CapacityError`]; `what` is the name of the count.
pub(crate) fn check_count(
    what: &'static str,
    n: usize,
    dims: usize,
    dtype: DType,
    device: &Device,
) -> Result<(), CapacityError> {
    let (found, dims) = (n as u64, dims as u64);
    // An example was checked when its flow was made.
    let most = MOST_BYTES / (dims * dtype.size() as u64).max(1);
    if found > most {
        return Err(CapacityError::TooMany { what, most, found });
    }
    // At most the bound, so nothing overflows.
    let bytes = found * dims * dtype.size() as u64;
    if available(bytes, device) {
        Ok(())
    } else {
        Err(CapacityError::NoMemory { found, dims, dtype })
    }
}

/// Whether a device has memory for `bytes` bytes, as far as that can be known.
fn available(bytes: u64, device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => {
            let mut probe = Vec::<u8>::new();
            usize::try_from(bytes).is_ok_and(|bytes| probe.try_reserve_exact(bytes).is_ok())
        }
        #[allow(unreachable_patterns)]
        _ => true,
    }
}
