//! The sizes of a call.

use crate::kernel::affine_coupling::AffineForm;
use crate::kernel::cpu::simd::InstructionSet;

/// The place of the transformed elements, and the form, which is not the additive one.
#[derive(Debug, Clone, Copy)]
pub struct AffineCoupling {
    /// Number of elements of an example.
    pub example: usize,
    /// Index of the first transformed element.
    pub start: usize,
    /// Number of transformed elements.
    pub dims: usize,
    pub form: AffineForm,
    pub set: InstructionSet,
}
