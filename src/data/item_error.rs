//! Errors of data sets that do not return the images that a loader requested.

use thiserror::Error;

/// What a data set gave a loader instead of the images that it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ItemError {
    /// More or fewer items.
    #[error("{expected} items were asked for, the data set gave {found}")]
    Count {
        /// Items that were asked for.
        expected: usize,
        /// Items that came.
        found: usize,
    },
    /// An image whose shape differs from that of the first image of the loader.
    #[error(
        "item {item} is an image of shape {found:?}, others are of {expected:?} (channels, height, width)"
    )]
    Shape {
        /// Its number in the data set, from 0.
        item: usize,
        /// Shape of the first image that was read.
        expected: [usize; 3],
        /// Shape of this one.
        found: [usize; 3],
    },
    /// An image whose bytes are not those of its shape.
    #[error(
        "item {item} has {found} bytes, which are no image of shape {shape:?} (channels, height, width)"
    )]
    Pixels {
        /// Its number in the data set, from 0.
        item: usize,
        /// Its shape.
        shape: [usize; 3],
        /// Its bytes.
        found: usize,
    },
}
