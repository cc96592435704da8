//! Files and texts from anywhere: whatever they hold, a reader returns or names an error.
//!
//! For each input it must hold that
//! * the result is `Ok`, or an error with a text;
//! * nothing panics and nothing aborts;
//! * the memory in use at any moment is bounded by a constant and a multiple of the input's bytes;
//! * it ends within 10 seconds.
//!
//! Inputs are small valid files (`corpus`, and what the tests make themselves), changed by a few
//! edits. Edits know the format, and checksums are corrected: a reader that stops at a checksum
//! hides what it does after it.
//!
//! ```console
//! # a second for each target
//! cargo test --release --test fuzz
//! # a minute for each target with `idx` in its name
//! FLOWKIT_FUZZ_SECONDS=60 cargo test --release --test fuzz idx
//! # other inputs
//! FLOWKIT_FUZZ_SEED=7 cargo test --release --test fuzz
//! ```
//!
//! # Libraries
//! Edits are values of a `proptest` strategy, so it draws them from a seed and shrinks a failure to
//! its fewest edits. `cargo fuzz` and `cargo bolero` are guided by coverage, but their engines need
//! a nightly compiler. Without one, bolero draws random bytes, and no image or checkpoint ever
//! begins with those.

mod archive;
mod bytes;
mod checkpoint;
mod cifar10;
mod config;
#[path = "../common/configurations.rs"]
#[allow(dead_code)]
mod configurations;
mod csv;
mod document;
mod folders;
mod idx;
#[cfg(feature = "image")]
mod images;
mod npy;
mod patches;
mod peers;
mod pickle;
mod resume;
mod shown;
mod state_dict;
mod stored;
mod target;
#[path = "../common/zip.rs"]
#[allow(dead_code)]
mod zip;

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
