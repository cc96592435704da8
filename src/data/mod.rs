//! Data to train flows on: image sets, tables and two moons.
//!
//! [`Table`] reads rows of numbers and texts from a CSV file; the rest of this page is about
//! images.
//!
//! Every source of images returns a [`Split`] of two [`Images`]: byte images in memory,
//! `[n, channels, height, width]`, with [`Labels`] if the source has them. A [`Loader`] makes
//! batches of them, read ahead in a thread, in the order of [`Batches`]: which images a training
//! step sees is a function of the seed and the step. Without a loader, [`Images::batch`] copies any
//! of them to a device. Nothing here rescales images or adds noise: quantization is a transform of
//! the flow, and only that transform depends on the 256 levels.
//!
//! [`Images`] implement burn's data set, [`ImageBatcher`] its batcher and [`Loader`] its data
//! loader, so each can be replaced by burn's or your own. burn's `DataLoader` shuffles too, but its
//! order depends on the epochs that ran before in the same process.
//!
//! | source | what it reads | labels |
//! |---|---|---|
//! | [`read`] | a folder of any of the three kinds below | |
//! | [`cifar10`] | the CIFAR-10 binary format | yes |
//! | [`mnist`] | the idx format of MNIST and EMNIST, packed or not | yes |
//! | `image_folder` | a folder of PNG and JPEG files (feature `image`) | on request |
//! | `photographs` | 1,152 tiles embedded in the crate (feature `image`) | |
//! | `download` | CIFAR-10 from the network (feature `download`) | yes |
//!
//! Nothing is left out silently: [`Split::report`] lists the files that a reader did not read, with
//! the reason, and an ambiguous folder is an error. Files that are hidden or created by an
//! operating system are not data.
//!
//! # Example
//!
//! ```
//! use burn::tensor::Device;
//! use flowkit::data::{ImageBatch, ImageBatcher, Images, Loader, LoaderConfig};
//!
//! let images = Images::new((0..5 * 12).collect(), [3, 2, 2])?; // five images of 12 bytes
//! let config = LoaderConfig::new(2).with_seed(7);
//! let loader = Loader::new(images, ImageBatcher, config, &Device::default())?;
//! for batch in loader.steps(0)?.take(4) {
//!     let batch: ImageBatch = batch?;
//!     assert_eq!(batch.images.dims(), [2, 3, 2, 2]);
//! }
//! # Ok::<(), flowkit::data::DataError>(())
//! ```

mod augmentation;
mod batcher;
mod batches;
pub mod cifar10;
#[cfg(feature = "download")]
pub mod download;
mod error;
mod folder;
mod gzip;
mod idx;
mod image;
#[cfg(feature = "image")]
pub mod image_folder;
mod images;
mod item_error;
mod labels;
mod layout_error;
mod loader;
pub mod mnist;
mod panic_message;
mod pass;
#[cfg(feature = "image")]
mod photographs;
mod plane;
mod prefetch;
mod read;
mod report;
#[cfg(feature = "image")]
mod rgb;
mod split;
pub mod table;
mod two_moons;

pub use augmentation::Augmentation;
pub use batcher::{ImageBatch, ImageBatcher};
pub use batches::{Batches, chunks};
pub use error::DataError;
pub use image::Image;
pub use images::Images;
pub use item_error::ItemError;
pub use labels::Labels;
pub use layout_error::LayoutError;
#[cfg(feature = "train")]
pub(crate) use loader::next_epoch;
pub use loader::{Loader, LoaderConfig, Steps};
pub use pass::Pass;
#[cfg(feature = "image")]
pub use photographs::photographs;
pub use plane::Plane;
pub use read::read;
pub use report::{Remark, Report, ReportEntry};
pub use split::Split;
pub use table::Table;
pub use two_moons::TwoMoons;
