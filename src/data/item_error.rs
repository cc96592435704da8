//! Errors of data sets that do not return the images that a loader requested.

use crate::counted::counted;
use thiserror::Error;

/// A data set returned something other than the images that a loader requested.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ItemError {
    /// More or fewer items.
    #[error("expected {} from the data set, found {found}", counted(*expected, "item"))]
    Count {
        /// Number of items that were requested.
        expected: usize,
        /// Number of items that were returned.
        found: usize,
    },
    /// An image whose shape differs from that of the first image of the loader.
    #[error(
        "item {item}: expected an image of shape {expected:?} (channels, height, width), found \
         {found:?}"
    )]
    Shape {
        /// Its number in the data set, from 0.
        item: usize,
        /// Shape of the first image that was read.
        expected: [usize; 3],
        /// Shape of this one.
        found: [usize; 3],
    },
    /// An image whose number of bytes does not match its shape.
    #[error(
        "item {item}: expected the bytes of an image of shape {shape:?} (channels, height, width), \
         found {found} bytes"
    )]
    Pixels {
        /// Its number in the data set, from 0.
        item: usize,
        /// Its shape.
        shape: [usize; 3],
        /// Number of its bytes.
        found: usize,
    },
}
