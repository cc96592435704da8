//! One image with its shape and its label.

/// One image of a set, the item of burn's data sets and loaders.
///
/// It holds its shape, so a batch can be made from images alone, after any of burn's `transform`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Levels 0 to 255, plane after plane, each row after row.
    pub pixels: Vec<u8>,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// The class, if the set has labels.
    pub label: Option<u16>,
}
