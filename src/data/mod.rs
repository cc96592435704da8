//! Image sets: what a flow is trained on.
//!
//! Every source gives the same thing, a [`Split`] of two [`Images`]: byte images in memory, `[n, channels, height, width]`.
//! [`Batches`] says which of them a training step sees, and [`Images::batch`] puts those on a device as integer levels.
//! Nothing here rescales or adds noise: quantization is a transform of the flow, and only it knows about 256 levels.
//!
//! | source | what it reads |
//! |---|---|
//! | [`read`] | a folder of either of the two kinds below |
//! | [`cifar10`] | the CIFAR-10 binary format |
//! | `image_folder` | a folder of PNG and JPEG files (feature `image`) |
//! | `photographs` | 1,152 tiles embedded in the crate (feature `image`) |
//! | `download` | CIFAR-10 from the network (feature `download`) |
//!
//! # Example
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::data::{Batches, Images};
//!
//! let images = Images::new((0..5 * 12).collect(), [3, 2, 2])?; // five images of 12 bytes
//! let batches = Batches::new(images.len(), 2, 7)?;
//! for step in 0..2 * batches.steps_per_epoch() {
//!     let levels = images.batch(&batches.indices(step), &Device::default());
//!     assert_eq!(levels.dims(), [2, 3, 2, 2]);
//! }
//! # Ok::<(), flowkit::data::DataError>(())
//! ```

mod batches;
pub mod cifar10;
#[cfg(feature = "download")]
pub mod download;
mod error;
#[cfg(feature = "image")]
pub mod image_folder;
mod images;
#[cfg(feature = "image")]
mod photographs;
mod read;
#[cfg(feature = "image")]
mod rgb;
mod split;
mod two_moons;

pub use batches::{Batches, chunks};
pub use error::DataError;
pub use images::Images;
#[cfg(feature = "image")]
pub use photographs::photographs;
pub use read::read;
pub use split::Split;
pub use two_moons::TwoMoons;
