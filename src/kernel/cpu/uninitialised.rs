//! Memory for the result of a kernel that writes all of it.
//!
//! The memory still holds its previous contents, which must not reach a caller. Three measures
//! prevent that:
//!
//! * [`uninitialised`] requires a [`Checked`], which only the checks of the operands make. So no
//!   kernel gets memory for operands that do not fit each other.
//! * Every kernel asserts the lengths of its results against those of its operands. So no result is
//!   longer than the part that the kernel writes.
//! * The tests of all kernels run under an allocator that fills new memory with NaN, with operands
//!   that fit and with operands that do not.

use super::flex_slices::Number;
use crate::kernel::operands::Checked;

/// `length` arbitrary values, for a result that a kernel then writes in full. Clearing them first
/// took 3 to 5 % of a training step.
pub fn uninitialised<T: Number>(length: usize, _: &Checked) -> Vec<T> {
    // SAFETY: `Checked` shows that the operands fit, so the kernel that is called next writes all
    // of it, as the head of this module explains.
    #[allow(unsafe_code)]
    unsafe {
        arbitrary(length)
    }
}

/// `length` arbitrary values.
///
/// # Safety
/// The caller writes each of them before anyone reads one: they are the contents of freed memory.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
#[allow(unsafe_code, clippy::uninit_vec)]
unsafe fn arbitrary<T: Number>(length: usize) -> Vec<T> {
    let mut elements = Vec::with_capacity(length);
    // SAFETY: the capacity is `length`, and every bit pattern is a valid element (`Pod`). The bytes
    // count as initialised, with whatever they hold: a block of assembly may write to the memory
    // that its pointer names, so the compiler must assume that this one did.
    unsafe {
        std::arch::asm!(
            "/* {0} */",
            in(reg) elements.as_mut_ptr(),
            options(nostack, preserves_flags)
        );
        elements.set_len(length);
    }
    elements
}

/// `length` zeros, for processors without the form above, and for Miri, which runs no assembly.
///
/// # Safety
/// This form is safe; the other form has a contract.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
#[allow(unsafe_code)]
unsafe fn arbitrary<T: Number>(length: usize) -> Vec<T> {
    vec![T::zero(); length]
}
