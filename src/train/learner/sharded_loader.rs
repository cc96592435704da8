//! A loader that divides each batch into one part for each device.

use std::ops::Range;
use std::sync::Arc;

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::{Device, Int, Tensor};

use crate::counted::counted;
use crate::data::DataError;

/// A batch that can be divided along its first axis.
pub trait Shard: Send + Sized + 'static {
    /// Number of its examples.
    fn n_examples(&self) -> usize;

    /// Some of its examples, in their order.
    fn examples(self, range: Range<usize>) -> Self;
}

impl<const D: usize> Shard for Tensor<D> {
    fn n_examples(&self) -> usize {
        self.dims()[0]
    }

    fn examples(self, range: Range<usize>) -> Self {
        self.narrow(0, range.start, range.len())
    }
}

impl<const D: usize> Shard for Tensor<D, Int> {
    fn n_examples(&self) -> usize {
        self.dims()[0]
    }

    fn examples(self, range: Range<usize>) -> Self {
        self.narrow(0, range.start, range.len())
    }
}

/// Wraps any of burn's loaders for training on `n` devices. Its steps use the batches that a single
/// device would use.
/// ```text
/// batch of a step      examples 0 .. B                 the same for every number of devices
/// device i             examples iB/n .. (i+1)B/n
/// ```
/// burn divides the data set into `n` ranges and gives each device its own, so the batches, and
/// with them the run, depend on the number of devices. This loader uses burn's ranges only as the
/// numbers of the devices, and divides the batches instead.
///
/// Batches must be divisible by `n`: otherwise [`DataError::UnequalParts`] ends the training.
/// `Pass::Shuffled` has no smaller last batch.
///
/// Every device's loader reads whole batches and drops the other parts. For images that are decoded
/// in memory this cost is negligible beside a step.
///
/// # Example
/// ```
/// use std::sync::Arc;
///
/// use burn::data::dataloader::split::split_dataloader;
/// use burn::tensor::{Device, Int, Tensor};
/// use flowkit::data::{ImageBatcher, Images, Loader, LoaderConfig, Pass};
/// use flowkit::train::learner::ShardedLoader;
///
/// let device = Device::flex();
/// let images = Images::new((0..8).collect(), [1, 1, 1])?;
/// let config = LoaderConfig::new(4).with_pass(Pass::Sequential);
/// let loader: Loader<Tensor<4, Int>> = Loader::new(images, ImageBatcher, config, &device)?;
/// let loader = ShardedLoader::new(Arc::new(loader), 2)?;
/// let [_, second] =
///     split_dataloader(Arc::new(loader), &[device.clone(), device]).try_into().ok().unwrap();
/// let levels: Vec<Vec<i64>> =
///     second.iter().map(|part| part.unwrap().into_data().iter().collect()).collect();
/// assert_eq!(levels, [[2, 3], [6, 7]]);
/// # Ok::<(), flowkit::data::DataError>(())
/// ```
pub struct ShardedLoader<O> {
    loader: Arc<dyn DataLoader<O>>,
    n_parts: usize,
    /// Which part of each batch; `None`: the whole batch.
    part: Option<usize>,
}

impl<O> ShardedLoader<O> {
    /// For `n_parts` devices.
    ///
    /// # Errors
    /// [`DataError::Parts`] if `n_parts` is 0 or exceeds the number of examples in an epoch.
    pub fn new(loader: Arc<dyn DataLoader<O>>, n_parts: usize) -> Result<Self, DataError> {
        let n_items = loader.num_items();
        if n_parts == 0 || n_parts > n_items {
            return Err(DataError::Parts { n_items, n_parts });
        }
        Ok(Self { loader, n_parts, part: None })
    }
}

impl<O: Shard> DataLoader<O> for ShardedLoader<O> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<O> + 'a> {
        Box::new(Parts { batches: self.loader.iter(), n_parts: self.n_parts, part: self.part })
    }

    fn num_items(&self) -> usize {
        let all = self.loader.num_items();
        if self.part.is_some() { all / self.n_parts } else { all }
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<O>> {
        let loader = self.loader.to_device(device);
        Arc::new(Self { loader, n_parts: self.n_parts, part: self.part })
    }

    /// The part of every batch that belongs to the device for which burn selects this range.
    ///
    /// # Panics
    /// If the range is not one of `n_parts` equal ranges: the training has another number of
    /// devices.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<O>> {
        let (all, n) = (self.num_items(), self.n_parts);
        let length = all / n;
        let part = start / length;
        let expected = part * length..if part.checked_add(1) == Some(n) {
            all
        } else {
            part.saturating_add(1).saturating_mul(length)
        };
        assert!(
            self.part.is_none() && expected == (start..end),
            "ShardedLoader: expected one of {n} equal parts of {}, one for each device, found \
             {start}..{end}",
            counted(all, "example")
        );
        Arc::new(Self { loader: self.loader.clone(), n_parts: n, part: Some(part) })
    }
}

struct Parts<'a, O> {
    batches: Box<dyn DataLoaderIterator<O> + 'a>,
    n_parts: usize,
    part: Option<usize>,
}

impl<O: Shard> Iterator for Parts<'_, O> {
    type Item = Result<O, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        let Some(part) = self.part else { return Some(batch) };
        Some(batch.and_then(|batch| {
            let (batch_size, n_parts) = (batch.n_examples(), self.n_parts);
            if !batch_size.is_multiple_of(n_parts) {
                return Err(DatasetError::new(DataError::UnequalParts { batch_size, n_parts }));
            }
            let length = batch_size / n_parts;
            Ok(batch.examples(part * length..(part + 1) * length))
        }))
    }
}

impl<O: Shard> DataLoaderIterator<O> for Parts<'_, O> {
    fn progress(&self) -> Progress {
        let mut progress = self.batches.progress();
        if self.part.is_some() {
            progress.items_processed /= self.n_parts;
            progress.items_total /= self.n_parts;
        }
        progress
    }
}
