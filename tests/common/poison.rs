//! An allocator whose fresh memory is NaN: a number that a kernel should have written and did not
//! is seen in the result.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator. Every byte of what it hands out is `0xFF`, but of what was asked for as
/// zeros.
pub struct Poison;

// SAFETY: memory is the system's, which is written here before anyone else has it, and within its
// layout.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Poison {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = unsafe { System.alloc(layout) };
        if !start.is_null() {
            unsafe { start.write_bytes(0xFF, layout.size()) };
        }
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc_zeroed(layout) }
    }
}
