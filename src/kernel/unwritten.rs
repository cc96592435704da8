//! Memory for the result of a kernel that writes all of it.
//!
//! What is handed out holds whatever was in that memory before, so it must not reach a caller. Three things see to that:
//!
//! * [`unwritten`] asks for [`Checked`], which only the checks of the operands make: no kernel gets memory for operands
//!   that do not fit each other.
//! * Every kernel asserts the lengths of its results against those of its operands, so that none is longer than what it
//!   writes.
//! * The tests of all kernels run under an allocator that hands out NaN, with operands that fit and with operands that
//!   do not.

use super::host::Number;
use super::operands::Checked;

/// So many arbitrary numbers, for a result that a kernel then writes in full: clearing it first took 3 to 5 % of a step.
pub fn unwritten<T: Number>(length: usize, _: &Checked) -> Vec<T> {
    // SAFETY: the operands fit, so the kernel that is called next writes all of it, as the head of this module says.
    #[allow(unsafe_code)]
    unsafe {
        arbitrary(length)
    }
}

/// So many arbitrary numbers.
///
/// # Safety
/// The caller writes each of them before anyone reads one: they are what freed memory held.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
#[allow(unsafe_code, clippy::uninit_vec)]
unsafe fn arbitrary<T: Number>(length: usize) -> Vec<T> {
    let mut numbers = Vec::with_capacity(length);
    // SAFETY: the capacity is `length`, and every pattern of bits is a number (`Pod`). The bytes are initialised, to
    // whatever they hold: a block of assembly that is given a pointer may write behind it, and the compiler has to take
    // it that this one did.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) numbers.as_mut_ptr(), options(nostack, preserves_flags));
        numbers.set_len(length);
    }
    numbers
}

/// So many zeros, where Rust has no assembly to spare them.
///
/// # Safety
/// None is needed here; the other form has a contract.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
#[allow(unsafe_code)]
unsafe fn arbitrary<T: Number>(length: usize) -> Vec<T> {
    vec![T::zero(); length]
}
