//! The inverse of a bijector, as a bijector.

crate::chain! {
    /// A bijector the other way round: `forward` is the inverse of `B`, `inverse` its forward.
    ///
    /// A composition inside is driven member by member, last to first. A data-dependent start passes through unchanged: `B`
    /// normalises what comes out of its own forward, which is here the input.
    pub struct Invert<B> {
        /// The bijector that runs backwards.
        !pub inner: B,
    }
}

impl<B> Invert<B> {
    /// Turns `inner` round.
    pub fn new(inner: B) -> Self {
        Self { inner }
    }
}
