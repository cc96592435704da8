//! One image with its shape and its label.

/// One image of a set: what burn's data sets and loaders pass on.
///
/// It knows its shape, so that a batch can be made of images alone, after any of burn's
/// `transform`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Levels 0 to 255, plane after plane, each row after row.
    pub pixels: Vec<u8>,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// The class, where the set has labels.
    pub label: Option<u16>,
}
