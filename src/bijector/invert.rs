//! The inverse of a bijector, as a bijector.

crate::chain! {
    /// The inverse of a bijector: its `forward` is the inverse of `B`, its `inverse` the forward of
    /// `B`.
    ///
    /// A composition inside it is driven member by member, last to first. Data-dependent
    /// initialisation leaves `B` unchanged: `B` would normalise the output of its own forward,
    /// which is the input here.
    pub struct Invert<B> {
        /// The bijector that runs inverted.
        !pub inner: B,
    }
}

impl<B> Invert<B> {
    /// Inverts `inner`.
    pub fn new(inner: B) -> Self {
        Self { inner }
    }
}
