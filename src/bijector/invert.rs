//! The inverse of a bijector, as a bijector.

crate::chain! {
    /// The inverse of a bijector: `forward` is the inverse of `B`, `inverse` its forward.
    ///
    /// A composition inside is driven member by member, last to first. Data-dependent
    /// initialisation leaves `B` unchanged: `B` normalises the output of its own forward, which is
    /// the input here.
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
