//! Vector arithmetic: one scalar source for every instruction set.
//!
//! A kernel is generic scalar code over [`Real`] in loops over `[T; LANES]`, which the compiler
//! turns into vector instructions. It is compiled once per instruction set; [`InstructionSet`]
//! picks one at run time. Two rules keep it vectorisable:
//! * every function that a kernel calls is `#[inline(always)]`: a call would leave the instruction
//!   set of the kernel;
//! * no branch on a lane's value inside a lane loop, only selections.
//!
//! A type parameter, [`MultiplyAdd`], determines whether a product and a sum are rounded once or
//! twice: on a machine without the instruction, the correctly rounded `mul_add` of the standard
//! library is a call that takes some hundred cycles.

mod activations;
mod elementary;
mod instruction_set;
mod real;

pub use activations::{elu_pair, elu_pair_slopes, sigmoid};
pub use elementary::{clamp, exp, exp_in_range, larger, ln, log1p_of_unit, tanh};
pub use instruction_set::{InstructionSet, Kernel};
pub use real::{Fused, MultiplyAdd, Real, Unfused};

/// Elements that a lane loop processes at once: one vector of f32 in AVX-512, and enough
/// independent work to hide latencies elsewhere.
pub const LANES: usize = 16;

/// Elements that are processed at once.
pub type Lanes<T> = [T; LANES];
