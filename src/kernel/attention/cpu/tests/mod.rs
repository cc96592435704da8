//! Attention against plain loops.

mod gradients;
mod naive;
mod values;
