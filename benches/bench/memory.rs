//! The allocator of a benchmark program, which is the one that the examples have.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Never returns memory to the system: clearing the pages of buffers that come back in every step
/// takes a third of its time.
#[allow(unsafe_code, dead_code)]
pub fn keep() {
    /// `mi_option_purge_delay` of mimalloc.h (2.x and 3.x), which the bindings do not name.
    const PURGE_DELAY: i32 = 15;
    // SAFETY: sets one entry of mimalloc's own table of options, from the only thread that runs
    // yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
