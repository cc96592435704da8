//! What a user of flowkit writes: a bijector of their own, and a stack from a configuration file.
//! `tests/compose.rs` uses them.

pub mod arcsinh;
pub mod stack;
