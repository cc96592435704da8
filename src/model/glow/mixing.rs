//! The channel mixing of a Glow step, as the configuration selects it.

use crate::linear::{ChannelMatrix, Conv1x1};
use crate::reshape::Permutation;

crate::choice! {
    /// The channel mixing of a Glow step.
    pub enum GlowMixing: Bijector {
        /// A plain matrix.
        Matrix(ChannelMatrix),
        /// A matrix in PLU form.
        Plu(Conv1x1),
        /// A fixed order.
        Fixed(Permutation),
    }
}
