//! Batches of images, read ahead in a thread.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress, batcher::Batcher};
use burn::data::dataset::{Dataset, DatasetError, transform::PartialDataset};
use burn::tensor::Device;

use super::{
    Augmentation, DataError, Image, ItemError, Pass, augmentation::augment,
    panic_message::panic_message, pass::Plan, prefetch::Prefetch,
};

/// Most batches that are read ahead. Each is held in memory until it is used, and a place is
/// reserved for it. If reading is slower than training, reading more batches ahead makes it no
/// faster.
const MOST_AHEAD: usize = 1024;

config! {
    /// Configuration of a [`Loader`].
    #[derive(Debug, PartialEq)]
    pub struct LoaderConfig {
        /// Number of images in a batch.
        pub batch_size: usize,
        /// Which images each step returns.
        pub pass: Pass = Pass::Shuffled,
        /// The seed, which with the step determines the order and the augmentation.
        pub seed: u64 = 0,
        /// Number of batches that a thread reads ahead, at most one epoch's and at most 1024; with
        /// 0 each batch is read when it is requested. It does not affect batches or errors.
        pub prefetch: usize = 2,
        /// Random changes of the images, in this order.
        pub augmentations: Vec<Augmentation> = Vec::new(),
    }
}

impl LoaderConfig {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// [`DataError::BatchOfZero`], [`DataError::PrefetchTooLarge`], or the error of an
    /// [`Augmentation`].
    pub fn validate(&self) -> Result<(), DataError> {
        if self.batch_size == 0 {
            return Err(DataError::BatchOfZero);
        }
        if self.prefetch > MOST_AHEAD {
            return Err(DataError::PrefetchTooLarge { found: self.prefetch, most: MOST_AHEAD });
        }
        self.augmentations.iter().try_for_each(Augmentation::validate)
    }
}

/// Batches of any data set of [`Image`]s, read ahead in a thread.
///
/// The batch of a step is a function of the configuration and of the step's number.
/// [`Loader::steps`] starts at any step, so a resumed run sees exactly the batches that the
/// uninterrupted run would have seen. The thread requests images from the data set and augments
/// them; [`Images`](super::Images) holds images decoded in memory, and another data set may read
/// and decode them at that moment. Tensors are made by the thread that requests the batch, so the
/// work of a GPU stays on one stream.
///
/// It also implements burn's [`DataLoader`], with one epoch for each `iter()`: see
/// [`Loader::starting_at_epoch`] for a resumed `Learner`.
///
/// # Example
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use flowkit::data::{Images, ImageBatcher, Loader, LoaderConfig};
///
/// let images = Images::new((0..5 * 12).collect(), [3, 2, 2])?;
/// let config = LoaderConfig::new(2).with_seed(7);
/// let device = Device::default();
/// let loader: Loader<Tensor<4, Int>> = Loader::new(images, ImageBatcher, config, &device)?;
/// for batch in loader.steps(3)?.take(4) {
///     assert_eq!(batch?.dims(), [2, 3, 2, 2]); // steps 3 to 6
/// }
/// # Ok::<(), flowkit::data::DataError>(())
/// ```
pub struct Loader<O> {
    reader: Reader,
    prefetch: usize,
    batcher: Arc<dyn Batcher<Image, O>>,
    device: Device,
    /// The epoch that the next `iter()` returns.
    epoch: AtomicUsize,
}

impl<O> Loader<O> {
    /// A loader of `dataset` that makes its batches on `device`.
    ///
    /// # Errors
    ///
    /// Those of [`LoaderConfig::validate`]; [`DataError::BatchTooLarge`] if the set has no complete
    /// batch or, in sequential order, no image.
    pub fn new(
        dataset: impl Dataset<Image> + 'static,
        batcher: impl Batcher<Image, O> + 'static,
        config: LoaderConfig,
        device: &Device,
    ) -> Result<Self, DataError> {
        config.validate()?;
        let plan = Plan::new(config.pass, dataset.len(), config.batch_size, config.seed)?;
        let (prefetch, dataset) = (config.prefetch, Arc::new(dataset));
        let reader = Reader { dataset, plan, config: Arc::new(config), shape: Arc::default() };
        Ok(Self {
            reader,
            prefetch,
            batcher: Arc::new(batcher),
            device: device.clone(),
            epoch: AtomicUsize::new(0),
        })
    }

    /// This loader as a burn `DataLoader` whose next `iter()` returns the epoch with this number,
    /// from 0.
    pub fn starting_at_epoch(self, epoch: usize) -> Self {
        Self { epoch: AtomicUsize::new(epoch), ..self }
    }

    /// The number of batches in an epoch. At least 1.
    pub fn steps_per_epoch(&self) -> usize {
        self.reader.plan.steps_per_epoch()
    }

    /// The batches of `step`, `step + 1` and so on through the epochs, up to the step `usize::MAX`.
    /// Steps count from 0.
    ///
    /// # Errors
    ///
    /// [`DataError::NoThread`]. A batch is an error if the data set fails: [`DataError::Dataset`],
    /// or [`DataError::Panicked`]; [`DataError::Items`] if it returns more or fewer images than
    /// requested, images of different shapes, or images whose number of bytes does not match their
    /// shape. An error is the last item.
    pub fn steps(&self, step: usize) -> Result<Steps<O>, DataError> {
        self.range(step..=usize::MAX)
    }

    /// The batches of one epoch, which counts from 0.
    ///
    /// # Errors
    ///
    /// Those of [`Loader::steps`], and [`DataError::EpochTooLarge`] for an epoch whose step numbers
    /// do not fit `usize`.
    pub fn epoch(&self, epoch: usize) -> Result<Steps<O>, DataError> {
        let n_steps = self.steps_per_epoch();
        let end = epoch.checked_add(1).and_then(|next| next.checked_mul(n_steps));
        let end =
            end.ok_or(DataError::EpochTooLarge { epoch, largest: usize::MAX / n_steps - 1 })?;
        self.range(end - n_steps..=end - 1)
    }

    fn range(&self, steps: RangeInclusive<usize>) -> Result<Steps<O>, DataError> {
        let reader = self.reader.clone();
        let mut failed = false;
        let items = steps.map_while(move |step| {
            let images = (!failed).then(|| reader.read(step))?;
            failed = images.is_err();
            Some(images)
        });
        let items: Box<dyn Iterator<Item = Result<Vec<Image>, DataError>> + Send> =
            match self.prefetch {
                0 => Box::new(guarded(items)),
                depth => Box::new(Prefetch::new(items, depth.min(self.steps_per_epoch()))?),
            };
        Ok(Steps { items, batcher: self.batcher.clone(), device: self.device.clone() })
    }

    fn with_device(&self, device: &Device) -> Self {
        Self {
            reader: self.reader.clone(),
            prefetch: self.prefetch,
            batcher: self.batcher.clone(),
            device: device.clone(),
            epoch: AtomicUsize::new(self.epoch.load(Ordering::Relaxed)),
        }
    }
}

/// The batches of a range of steps, from [`Loader::steps`] or [`Loader::epoch`]. Dropping it stops
/// its thread.
pub struct Steps<O> {
    items: Box<dyn Iterator<Item = Result<Vec<Image>, DataError>> + Send>,
    batcher: Arc<dyn Batcher<Image, O>>,
    device: Device,
}

impl<O> Iterator for Steps<O> {
    type Item = Result<O, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let images = self.items.next()?;
        Some(images.map(|images| self.batcher.batch(images, &self.device)))
    }
}

/// An iterator whose panic becomes its last item, an error, as in a thread that reads ahead.
fn guarded<T>(
    mut items: impl Iterator<Item = Result<T, DataError>>,
) -> impl Iterator<Item = Result<T, DataError>> {
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        // State that a panic leaves unfinished is not used again.
        let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| items.next()));
        next.unwrap_or_else(|panic| {
            over = true;
            Some(Err(DataError::Panicked { reason: panic_message(panic.as_ref()) }))
        })
    })
}

/// The state that the thread uses.
#[derive(Clone)]
struct Reader {
    dataset: Arc<dyn Dataset<Image>>,
    plan: Plan,
    config: Arc<LoaderConfig>,
    /// The shape of the first image that was read, by this loader or by the one from which it was
    /// made.
    shape: Arc<OnceLock<[usize; 3]>>,
}

impl Reader {
    /// Checks that a data set returned the images that were requested, all of one shape.
    fn check(&self, indices: &[usize], images: &[Image]) -> Result<(), ItemError> {
        let (expected, found) = (indices.len(), images.len());
        if expected != found {
            return Err(ItemError::Count { expected, found });
        }
        for (&item, &Image { ref pixels, shape, .. }) in indices.iter().zip(images) {
            let bytes =
                shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
            if bytes.is_none_or(|bytes| bytes == 0 || bytes != pixels.len()) {
                return Err(ItemError::Pixels { item, shape, found: pixels.len() });
            }
            let expected = *self.shape.get_or_init(|| shape);
            if expected != shape {
                return Err(ItemError::Shape { item, expected, found: shape });
            }
        }
        Ok(())
    }

    fn read(&self, step: usize) -> Result<Vec<Image>, DataError> {
        let indices = self.plan.indices(step);
        let images = self
            .dataset
            .get_many(indices.clone())
            .map_err(|source| DataError::Dataset { step, source })?;
        self.check(&indices, &images).map_err(|source| DataError::Items { step, source })?;
        let LoaderConfig { augmentations, seed, .. } = &*self.config;
        let numbered = indices.into_iter().zip(images);
        Ok(numbered
            .map(|(index, image)| augment(image, augmentations, *seed, [step, index]))
            .collect())
    }
}

impl<O: Send + 'static> DataLoader<O> for Loader<O> {
    /// The next epoch.
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<O> + 'a> {
        let epoch = next_epoch(&self.epoch);
        let (steps, failed) = match self.epoch(epoch) {
            Ok(steps) => (Some(steps), None),
            Err(error) => (None, Some(error)),
        };
        Box::new(Epoch { plan: self.reader.plan, steps, failed, done: 0 })
    }

    /// The number of images in an epoch, without those of an incomplete last batch if the order
    /// leaves it out.
    fn num_items(&self) -> usize {
        self.reader.plan.items(self.steps_per_epoch())
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<O>> {
        Arc::new(self.with_device(device))
    }

    /// A loader of the images `start..end` of the data set. If `end` is `num_items()`, as in the
    /// last of several slices, it takes the images of an incomplete batch too.
    ///
    /// # Panics
    ///
    /// If the slice ends beyond the data set, or does not hold one complete batch.
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<O>> {
        let n_items = self.reader.dataset.len();
        let end = if end == self.num_items() { n_items } else { end };
        assert!(
            end <= n_items,
            "a slice of a loader: expected a range within 0..{n_items}, found {start}..{end}"
        );
        let mut slice = self.with_device(&self.device);
        let LoaderConfig { pass, batch_size, seed, .. } = *self.reader.config;
        slice.reader.plan = match Plan::new(pass, end.saturating_sub(start), batch_size, seed) {
            Ok(plan) => plan,
            Err(error) => panic!("the slice {start}..{end} of a loader: {error}"),
        };
        slice.reader.dataset =
            Arc::new(PartialDataset::new(self.reader.dataset.clone(), start, end));
        Arc::new(slice)
    }
}

/// Returns the number of the next epoch and advances the counter, which stops at the largest
/// number.
pub(crate) fn next_epoch(epoch: &AtomicUsize) -> usize {
    let next = |epoch: usize| Some(epoch.saturating_add(1));
    // `next` is never `None`, so both branches return the number before.
    epoch.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_else(|epoch| epoch)
}

/// An epoch as an iterator of a burn loader.
struct Epoch<O> {
    plan: Plan,
    steps: Option<Steps<O>>,
    /// The reason if there are no steps.
    failed: Option<DataError>,
    done: usize,
}

impl<O> Iterator for Epoch<O> {
    type Item = Result<O, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(DatasetError::new(error)));
        }
        let batch = self.steps.as_mut()?.next()?;
        self.done += 1;
        Some(batch.map_err(DatasetError::new))
    }
}

impl<O> DataLoaderIterator<O> for Epoch<O> {
    fn progress(&self) -> Progress {
        let total = self.plan.items(self.plan.steps_per_epoch());
        Progress::new(self.plan.items(self.done), total, Some("items".into()))
    }
}
