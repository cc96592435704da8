//! The loader: prefetch changes nothing, epochs are permutations, any step can be the first, errors
//! come out, threads end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderBuilder};
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Int, Tensor};
use flowkit::data::{
    Augmentation, Batches, DataError, Image, ImageBatch, ImageBatcher, Images, Labels, Loader,
    LoaderConfig, Pass,
};

use super::{assert_messages, case};

/// Images of 3x4 in two classes; image `i` counts up from `i`, and its label is whether `i` is odd.
fn images(n: u8) -> Images {
    let pixels = (0..n).flat_map(|i| (0..12).map(move |j| i.wrapping_add(20 * j))).collect();
    let labels = (0..n).map(|i| u16::from(i % 2)).collect();
    let labels = Labels::new(labels, vec!["even".into(), "odd".into()]).unwrap();
    Images::new(pixels, [1, 3, 4]).unwrap().with_labels(labels).unwrap()
}

fn loader(config: LoaderConfig) -> Loader<ImageBatch> {
    Loader::new(images(11), ImageBatcher, config, &Device::default()).unwrap()
}

/// Levels and labels of a batch.
fn numbers(batch: ImageBatch) -> (Vec<i64>, Vec<i64>) {
    let labels = batch.labels.expect("every image has a label");
    (batch.images.into_data().iter::<i64>().collect(), labels.into_data().iter::<i64>().collect())
}

fn first(batch: ImageBatch) -> Vec<i64> {
    numbers(batch).0.chunks(12).map(|image| image[0]).collect()
}

fn config() -> LoaderConfig {
    let augmentations = vec![
        Augmentation::GLOW_SHIFT,
        Augmentation::Shift { fraction: 0.4 },
        Augmentation::HorizontalFlip,
    ];
    LoaderConfig::new(3).with_seed(9).with_augmentations(augmentations)
}

#[test]
fn prefetch_changes_nothing_and_any_step_can_be_the_first() {
    let all = |prefetch: usize, from: usize| -> Vec<_> {
        let loader = loader(config().with_prefetch(prefetch));
        loader.steps(from).unwrap().take(12 - from).map(|batch| numbers(batch.unwrap())).collect()
    };
    let plain = all(0, 0);
    for prefetch in [1, 2, 7] {
        assert_eq!(all(prefetch, 0), plain, "{prefetch} ahead");
    }
    for from in 0..12 {
        assert_eq!(all(2, from), plain[from..], "from step {from}");
    }
    let other = loader(config().with_seed(8));
    assert_ne!(numbers(other.steps(0).unwrap().next().unwrap().unwrap()), plain[0]);
}

#[test]
fn the_order_is_that_of_batches() {
    let loader = loader(LoaderConfig::new(3).with_seed(9));
    let batches = Batches::new(11, 3, 9).unwrap();
    for (step, batch) in loader.steps(0).unwrap().take(9).enumerate() {
        let (levels, labels) = numbers(batch.unwrap());
        let indices = batches.indices(step);
        let expected = images(11).batch(&indices, &Device::default()).into_data();
        assert_eq!(levels, expected.iter::<i64>().collect::<Vec<_>>(), "step {step}");
        assert_eq!(labels, indices.iter().map(|i| (i % 2) as i64).collect::<Vec<_>>());
    }
}

#[test]
fn an_epoch_is_a_permutation_or_everything_in_order() {
    let shuffled = loader(LoaderConfig::new(3).with_seed(9));
    let mut orders = Vec::new();
    for epoch in 0..5 {
        let order: Vec<i64> =
            shuffled.epoch(epoch).unwrap().flat_map(|batch| first(batch.unwrap())).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 9, "three batches of three different images");
        orders.push(order);
    }
    orders.dedup();
    assert_eq!(orders.len(), 5, "a fresh order each time");

    let sequential = loader(LoaderConfig::new(3).with_pass(Pass::Sequential));
    assert_eq!(sequential.steps_per_epoch(), 4);
    let batches: Vec<_> = sequential.epoch(2).unwrap().map(|batch| first(batch.unwrap())).collect();
    assert_eq!(batches, [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8], vec![9, 10]]);
    let large = loader(LoaderConfig::new(100).with_pass(Pass::Sequential));
    assert_eq!(
        large.epoch(0).unwrap().map(|batch| first(batch.unwrap()).len()).collect::<Vec<_>>(),
        [11]
    );
}

#[test]
fn augmentation_follows_from_seed_step_and_index() {
    let whole = |augmentations: Vec<Augmentation>, epoch: usize| -> Vec<i64> {
        let config =
            LoaderConfig::new(11).with_pass(Pass::Sequential).with_augmentations(augmentations);
        loader(config).epoch(epoch).unwrap().flat_map(|batch| numbers(batch.unwrap()).0).collect()
    };
    let flip = vec![Augmentation::HorizontalFlip];
    let plain = whole(vec![], 0);
    let flipped = whole(flip.clone(), 0);
    let mirrored = plain.chunks(4).flat_map(|row| row.iter().rev()).copied().collect::<Vec<_>>();
    let changed = (0..11)
        .filter(|i| flipped[12 * i..12 * (i + 1)] != plain[12 * i..12 * (i + 1)])
        .collect::<Vec<_>>();
    assert!((1..11).contains(&changed.len()), "some and not all: {changed:?}");
    for i in changed {
        assert_eq!(flipped[12 * i..12 * (i + 1)], mirrored[12 * i..12 * (i + 1)]);
    }
    assert_eq!(whole(flip.clone(), 0), flipped);
    assert_ne!(whole(flip, 1), flipped, "another step");
    assert_eq!(whole(vec![Augmentation::Shift { fraction: 0.0 }], 0), plain);
}

/// A set that counts its readers and cannot give its last items.
struct Flaky {
    images: Images,
    panics: bool,
    alive: Arc<AtomicUsize>,
}

impl Flaky {
    fn new(panics: bool) -> Self {
        Self { images: images(8), panics, alive: Arc::default() }
    }
}

impl Dataset<Image> for Flaky {
    fn get(&self, index: usize) -> Result<Image, DatasetError> {
        self.alive.fetch_add(1, Ordering::SeqCst);
        match index {
            6.. if self.panics => panic!("item {index} is gone"),
            6.. => Err(DatasetError::new(std::io::Error::other(format!("item {index} is gone")))),
            _ => Dataset::get(&self.images, index),
        }
    }

    fn len(&self) -> usize {
        self.images.len()
    }
}

#[test]
fn an_error_comes_out_where_it_belongs_and_is_the_last_item() {
    let config = LoaderConfig::new(2).with_pass(Pass::Sequential);
    for prefetch in [0, 1, 5] {
        let config = config.clone().with_prefetch(prefetch);
        let flaky: Loader<ImageBatch> =
            Loader::new(Flaky::new(false), ImageBatcher, config, &Device::default()).unwrap();
        let mut steps = flaky.steps(0).unwrap();
        for step in 0..3 {
            assert!(steps.next().unwrap().is_ok(), "step {step}");
        }
        let error = steps.next().unwrap();
        assert!(steps.next().is_none() && steps.next().is_none());
        assert_messages(vec![case!(
            "an item that cannot be read",
            error,
            DataError::Dataset { step: 3, .. },
            "step 3",
            "item 6 is gone"
        )]);
        // burn's iterator passes it on
        let epoch: Vec<_> = flaky.iter().collect();
        assert_eq!(epoch.len(), 4);
        assert!(epoch[3].as_ref().unwrap_err().to_string().contains("item 6 is gone"));
    }
    for prefetch in [0, 1, 5] {
        let config = config.clone().with_prefetch(prefetch);
        let panicking: Loader<ImageBatch> =
            Loader::new(Flaky::new(true), ImageBatcher, config, &Device::default()).unwrap();
        let mut steps = panicking.epoch(0).unwrap().skip(3);
        assert_messages(vec![case!(
            "a panic",
            steps.next().unwrap(),
            DataError::Panicked { .. },
            "item 6 is gone"
        )]);
        assert!(steps.next().is_none());
    }
}

#[test]
fn dropping_the_steps_stops_the_thread() {
    let flaky = Flaky::new(false);
    let reads = flaky.alive.clone();
    let config = LoaderConfig::new(1).with_pass(Pass::Sequential).with_prefetch(3);
    let loader: Loader<ImageBatch> =
        Loader::new(flaky, ImageBatcher, config, &Device::default()).unwrap();
    let mut steps = loader.steps(0).unwrap();
    assert!(steps.next().unwrap().is_ok());
    drop(steps); // waits for the thread, which is the only one that reads
    let read = reads.load(Ordering::SeqCst);
    assert!((1..=5).contains(&read), "one given, three ahead, one in work: {read}");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(reads.load(Ordering::SeqCst), read);
    assert!(loader.steps(0).unwrap().next().unwrap().is_ok(), "the loader is as it was");
}

#[test]
fn bad_loaders_are_named() {
    let make = |config: LoaderConfig| -> Result<Loader<Tensor<4, Int>>, DataError> {
        Loader::new(images(5), ImageBatcher, config, &Device::default())
    };
    let shift =
        |fraction| LoaderConfig::new(2).with_augmentations(vec![Augmentation::Shift { fraction }]);
    let empty = Images::new(vec![], [1, 1, 1]).unwrap();
    let sequential = LoaderConfig::new(2).with_pass(Pass::Sequential);
    let nothing: Result<Loader<Tensor<4, Int>>, _> =
        Loader::new(empty, ImageBatcher, sequential, &Device::default());
    assert_messages(vec![
        case!(
            "batch of 0",
            make(LoaderConfig::new(0)),
            DataError::BatchOfZero,
            "the batch size must be at least 1"
        ),
        case!(
            "batch of 6",
            make(LoaderConfig::new(6)),
            DataError::BatchTooLarge { batch_size: 6, n_items: 5 },
            6,
            5
        ),
        case!("no images", nothing, DataError::BatchTooLarge { n_items: 0, .. }, "at most 0"),
        case!(
            "shift out of the frame",
            make(shift(1.0)),
            DataError::ShiftFraction { found: 1.0 },
            "found 1"
        ),
        case!("shift back", make(shift(-0.1)), DataError::ShiftFraction { .. }, "-0.1"),
        case!("shift by NaN", make(shift(f64::NAN)), DataError::ShiftFraction { .. }, "NaN"),
    ]);
}

#[test]
fn it_is_one_of_burns_loaders() {
    let device = Device::default();
    let config = LoaderConfig::new(3).with_seed(9);
    let own = loader(config.clone());
    let firsts = |loader: &dyn DataLoader<ImageBatch>| -> Vec<i64> {
        loader.iter().flat_map(|batch| first(batch.unwrap())).collect()
    };
    let epoch = |epoch: usize| -> Vec<i64> {
        own.epoch(epoch).unwrap().flat_map(|batch| first(batch.unwrap())).collect()
    };
    // one epoch for each iter(), also after a move to a device
    assert_eq!((own.num_items(), firsts(&own), firsts(&own)), (9, epoch(0), epoch(1)));
    let moved = own.to_device(&device);
    assert_eq!((firsts(&*moved), firsts(&own)), (epoch(2), epoch(2)));
    assert_eq!(firsts(&loader(config).starting_at_epoch(7)), epoch(7));

    let mut iterator = own.iter();
    let mut seen = 0;
    while let Some(batch) = iterator.next() {
        seen += first(batch.unwrap()).len();
        let progress = iterator.progress();
        assert_eq!((progress.items_processed, progress.items_total), (seen, 9));
    }
    drop(iterator);

    // slices share out the images, with those of the incomplete batch
    let sequential = loader(LoaderConfig::new(3).with_pass(Pass::Sequential));
    let (left, right) = (sequential.slice(0, 5), sequential.slice(5, 11));
    assert_eq!((firsts(&*left), firsts(&*right)), ((0..5).collect(), (5..11).collect()));
    let mut last: Vec<i64> = own
        .slice(4, 9)
        .iter()
        .chain(own.slice(4, 9).iter())
        .flat_map(|b| first(b.unwrap()))
        .collect();
    last.sort_unstable();
    assert!(last.len() == 12 && last.iter().all(|i| (4..11).contains(i)), "{last:?}");
}

/// Epochs and steps up to the largest number: the right batches or an error, never none.
#[test]
fn epochs_and_steps_are_counted_without_wrapping() {
    for (pass, prefetch) in [(Pass::Shuffled, 0), (Pass::Shuffled, 2), (Pass::Sequential, 2)] {
        let config = LoaderConfig::new(3).with_seed(9).with_pass(pass).with_prefetch(prefetch);
        let n_steps = if pass == Pass::Shuffled { 3 } else { 4 };
        let loader = loader(config.clone());
        let largest = usize::MAX / n_steps - 1;
        let expected: Vec<_> =
            loader.steps(largest * n_steps).unwrap().take(n_steps).map(Result::unwrap).collect();
        let found: Vec<_> = loader.epoch(largest).unwrap().map(Result::unwrap).collect();
        let all = |batches: Vec<ImageBatch>| batches.into_iter().map(numbers).collect::<Vec<_>>();
        let found = all(found);
        assert_eq!((found.len(), &found), (n_steps, &all(expected)));
        for epoch in [largest + 1, largest + 2, usize::MAX / 2 + 1, usize::MAX - 1, usize::MAX] {
            let error = loader.epoch(epoch).err().expect("an epoch without steps").to_string();
            assert_eq!(
                error,
                format!(
                    "the epoch must be at most {largest}, found {epoch}: the step numbers of later \
                     ones do not fit `usize`"
                )
            );
        }
        // The last step is one, and the last.
        assert_eq!(loader.steps(usize::MAX).unwrap().map(Result::unwrap).count(), 1);
        assert_eq!(loader.steps(usize::MAX - 2).unwrap().map(Result::unwrap).count(), 3);
        // As one of burn's loaders: the error is the one item, and no epoch follows the last
        // number.
        let late = self::loader(config).starting_at_epoch(usize::MAX);
        for _ in 0..2 {
            let items: Vec<_> = late.iter().collect();
            assert!(items.len() == 1 && items[0].is_err());
        }
    }
    let one = Loader::<ImageBatch>::new(
        images(2),
        ImageBatcher,
        LoaderConfig::new(2),
        &Device::default(),
    )
    .unwrap();
    assert_eq!(one.epoch(usize::MAX - 1).unwrap().count(), 1);
    assert!(matches!(one.epoch(usize::MAX), Err(DataError::EpochTooLarge { .. })));
    // Room for more batches than can be made is not asked for.
    let config = LoaderConfig::new(3).with_seed(9).with_prefetch(1024);
    let ahead = loader(config.clone());
    assert_eq!(ahead.epoch(1).unwrap().map(Result::unwrap).count(), 3);
    let error = config.with_prefetch(1025).validate().unwrap_err();
    assert!(matches!(error, DataError::PrefetchTooLarge { found: 1025, most: 1024 }));
}

#[test]
#[should_panic(expected = "expected a range within 0..11, found 4..12")]
fn a_slice_past_the_end_is_named() {
    loader(LoaderConfig::new(3)).slice(4, 12);
}

#[test]
fn burns_loader_takes_the_sets() {
    let build = |workers: usize| -> Arc<dyn DataLoader<ImageBatch>> {
        DataLoaderBuilder::new(ImageBatcher)
            .batch_size(4)
            .shuffle(3)
            .num_workers(workers)
            .build(images(11))
    };
    for workers in [0, 2] {
        let mut seen: Vec<i64> =
            build(workers).iter().flat_map(|batch| first(batch.unwrap())).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..11).collect::<Vec<_>>());
    }
}

#[test]
#[should_panic(expected = "the images of a batch must have one shape")]
fn a_batch_of_two_shapes_is_named() {
    use burn::data::dataloader::batcher::Batcher;
    let image = |shape| Image { pixels: vec![0; 12], shape, label: None };
    let _: Tensor<4, Int> =
        ImageBatcher.batch(vec![image([1, 3, 4]), image([1, 4, 3])], &Device::default());
}
