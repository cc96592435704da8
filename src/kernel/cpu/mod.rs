//! What the kernels of the CPU share. It knows no operation.
//!
//! | module | content |
//! |---|---|
//! | [`simd`] | vectors, elementary functions, and the choice of an instruction set |
//! | [`remainder`] | the last elements of a slice, too few for a vector |
//! | [`matmul`], [`transpose`] | products and transposes of matrices |
//! | [`tasks`] | how work is split among threads |
//! | [`scratch`], [`uninitialised`] | memory of a task, and memory for results |
//! | [`flex_slices`] | tensors of burn's CPU backend as slices |

pub mod flex_slices;
pub mod matmul;
pub mod remainder;
pub mod scratch;
pub mod simd;
pub mod tasks;
pub mod transpose;
pub mod uninitialised;
