//! Attention, compared with plain loops.

mod gradients;
mod naive;
mod values;
