//! What a user of flowkit writes to have parts of their own in flows that a file describes. The
//! tests, `tests/compose.rs`, fit such flows, save, load and sample them.
//!
//! | part | of its own | enum of it and of flowkit's |
//! |---|---|---|
//! | bijector | [`arcsinh`] | [`choices::MyLayerConfig`] |
//! | composition | [`rotated`] | [`choices::MyLayerConfig`] |
//! | law | [`sinh_arcsinh`] | [`choices::MyLaw`] |
//! | network | [`sines`] | [`choices::MyNet`] |

pub mod arcsinh;
pub mod choices;
pub mod rotated;
pub mod sines;
pub mod sinh_arcsinh;
