//! Memory for the result of a kernel that writes all of it.

use super::host::Number;

/// So many arbitrary numbers, for a result that is then written in full: clearing it first took 3 to 5 % of a step.
///
/// `tests/kernels.rs`, `tests/network_kernels.rs` and `tests/training_kernels.rs` run under an allocator that hands out NaN, so a number that a kernel leaves out is seen.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
#[allow(unsafe_code, clippy::uninit_vec)]
pub fn unwritten<T: Number>(length: usize) -> Vec<T> {
    let mut numbers = Vec::with_capacity(length);
    // SAFETY: the capacity is `length`, and every pattern of bits is a number (`Pod`). The bytes are initialised, to whatever they hold: a block
    // of assembly that is given a pointer may write behind it, and the compiler has to take it that this one did.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) numbers.as_mut_ptr(), options(nostack, preserves_flags));
        numbers.set_len(length);
    }
    numbers
}

/// So many zeros, where Rust has no assembly to spare them.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
pub fn unwritten<T: Number>(length: usize) -> Vec<T> {
    vec![T::zero(); length]
}
