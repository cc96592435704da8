//! How a configuration lets a Glow step mix its channels.

use crate::linear::{ChannelMatrix, Conv1x1};
use crate::reshape::Permutation;

crate::choice! {
    /// The channel mixing of a Glow step.
    pub enum GlowMixing: Bijector {
        /// A plain matrix.
        Matrix(ChannelMatrix),
        /// A matrix in PLU form.
        Plu(Conv1x1),
        /// An order that is not trained.
        Fixed(Permutation),
    }
}
