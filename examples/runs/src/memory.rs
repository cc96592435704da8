//! The program's memory: kept once it is there, and what to say when it runs out.
//!
//! A program that uses it begins with
//! ```text
//! #[global_allocator]
//! static ALLOCATOR: MiMalloc = MiMalloc;
//! ```
//! An allocation that fails ends a Rust program before any error can be made of it. The allocator
//! knows first, and says what to try.

use std::ffi::{c_int, c_void};
use std::io::{Write, stderr};
use std::ptr::null_mut;
use std::sync::OnceLock;

pub use mimalloc::MiMalloc;

/// What to say when memory runs out, put together while there is some.
static ADVICE: OnceLock<String> = OnceLock::new();

/// Makes mimalloc, which must be the program's `#[global_allocator]`, keep what it once had, and
/// speak when there is no more. To be called before there is a second thread.
///
/// A training step allocates and frees the same large buffers over and over. Most allocators give
/// them back to the system, which clears every page when it hands them out again: a third of the
/// time of a step here.
#[allow(unsafe_code)]
pub fn keep() {
    /// `mi_option_purge_delay` of mimalloc.h (2.x and 3.x), which the bindings do not name.
    const PURGE_DELAY: i32 = 15;
    // SAFETY: sets two entries of mimalloc's own tables, from the only thread that runs yet.
    // `say_what_to_try` lives as long as the program, allocates nothing and does not unwind; it
    // needs no argument.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, -1);
        libmimalloc_sys::mi_register_error(Some(say_what_to_try), null_mut());
    }
}

/// What to say if memory runs out from here on. Only the first advice is kept.
pub fn advise(advice: impl FnOnce() -> String) {
    ADVICE.get_or_init(advice);
}

/// mimalloc's callback for errors, one of which is that the system has no memory left.
extern "C" fn say_what_to_try(error: c_int, _: *mut c_void) {
    /// The same on every system that mimalloc knows.
    const ENOMEM: c_int = 12;
    if error == ENOMEM {
        // Before a training there is nothing to advise: what asks for much gives an error of its
        // own. Not `eprintln`, which panics where nobody reads.
        if let Some(advice) = ADVICE.get() {
            let _ = stderr().write_all(advice.as_bytes());
        }
    }
}
