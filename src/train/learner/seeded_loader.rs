//! A loader that seeds the device for each batch, so that the noise of a step follows from its
//! seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;

use crate::data::{DataError, next_epoch};
use crate::random::Seeded;
use crate::train::{Purpose, StepSeed};

/// Wraps any of burn's loaders and seeds the device before it returns a batch. The noise of a step
/// then follows from the seed and the step, and not from what ran before.
///
/// Training samples new noise in each epoch. Evaluation samples the same noise in every epoch, so
/// two epochs differ only by their weights.
///
/// The loader controls the device's generator from `iter()` until the iterator is dropped, which
/// burn does at the end of an epoch. Random values sampled in between (by a metric or a batcher)
/// also follow from seed and step. Afterwards the device's stream continues in a way that depends
/// only on its state before the epoch, as after a [`Seeded`] scope.
///
/// The generator of a device is global to the process, so this loader serves a single device: the
/// workers of a strategy with several devices would affect each other.
pub struct SeededLoader<O> {
    loader: Arc<dyn DataLoader<O>>,
    seeds: StepSeed,
    purpose: Purpose,
    device: Device,
    /// The epoch of the next `iter()`.
    epoch: AtomicUsize,
}

impl<O> SeededLoader<O> {
    /// For the training of the run with the seed `run`. The next `iter()` is epoch `epoch`, from 0.
    pub fn training(loader: Arc<dyn DataLoader<O>>, run: u64, epoch: usize) -> Self {
        Self::new(loader, StepSeed::new(run), Purpose::Training, Device::default(), epoch)
    }

    /// For the evaluation of the run with the seed `run`.
    pub fn evaluation(loader: Arc<dyn DataLoader<O>>, run: u64) -> Self {
        Self::new(loader, StepSeed::new(run), Purpose::Evaluation, Device::default(), 0)
    }

    fn new(
        loader: Arc<dyn DataLoader<O>>,
        seeds: StepSeed,
        purpose: Purpose,
        device: Device,
        epoch: usize,
    ) -> Self {
        Self { loader, seeds, purpose, device, epoch: AtomicUsize::new(epoch) }
    }

    fn around(&self, loader: Arc<dyn DataLoader<O>>, device: &Device) -> Self {
        let epoch = self.epoch.load(Ordering::Relaxed);
        Self::new(loader, self.seeds, self.purpose, device.clone(), epoch)
    }
}

impl<O: Send + 'static> DataLoader<O> for SeededLoader<O> {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<O> + 'a> {
        let epoch = next_epoch(&self.epoch);
        // Each step of each epoch has its own number: no epoch has 2^32 steps.
        let first = if self.purpose == Purpose::Training {
            (epoch as u64).checked_mul(1 << 32)
        } else {
            Some(0)
        };
        let failed =
            first.is_none().then_some(DataError::EpochTooLarge { epoch, largest: LAST_EPOCH });
        Box::new(SeededEpoch {
            batches: self.loader.iter(),
            loader: self,
            step: first.unwrap_or(0),
            failed,
            over: false,
            _scope: Seeded::hold(&self.device),
        })
    }

    fn num_items(&self) -> usize {
        self.loader.num_items()
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<O>> {
        Arc::new(self.around(self.loader.to_device(device), device))
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<O>> {
        Arc::new(self.around(self.loader.slice(start, end), &self.device))
    }
}

/// The last epoch whose step numbers do not overflow.
const LAST_EPOCH: usize = u32::MAX as usize;

struct SeededEpoch<'a, O> {
    batches: Box<dyn DataLoaderIterator<O> + 'a>,
    loader: &'a SeededLoader<O>,
    step: u64,
    /// Why there are no batches: returned as the first and last item.
    failed: Option<DataError>,
    over: bool,
    _scope: Seeded,
}

impl<O> Iterator for SeededEpoch<'_, O> {
    type Item = Result<O, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.over = true;
            return Some(Err(DatasetError::new(error)));
        }
        if self.over {
            return None;
        }
        let batch = self.batches.next()?;
        // After the batch, which may sample random values too.
        self.loader.device.seed(self.loader.seeds.seed(self.step, self.loader.purpose));
        self.step += 1;
        Some(batch)
    }
}

impl<O> DataLoaderIterator<O> for SeededEpoch<'_, O> {
    fn progress(&self) -> Progress {
        self.batches.progress()
    }
}
