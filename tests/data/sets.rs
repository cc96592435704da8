//! Sets in memory.

use flowkit::data::{Batches, DataError, Images, Labels, chunks};

use super::{assert_messages, case};

/// One image of one pixel in one class.
fn labelled(class: &str) -> Images {
    let labels = Labels::new(vec![0], vec![class.into()]).unwrap();
    Images::new(vec![7], [1, 1, 1]).unwrap().with_labels(labels).unwrap()
}

#[test]
fn bad_sets_and_batches_are_named() {
    let images = |n: usize, shape| Images::new(vec![0; n], shape);
    assert_messages(vec![
        case!(
            "zero dimension",
            images(0, [3, 0, 2]),
            DataError::ImageShape { found: [3, 0, 2] },
            "[3, 0, 2]"
        ),
        case!("overflow", images(0, [usize::MAX, 2, 1]), DataError::ImageShape { .. }, usize::MAX),
        case!(
            "part of an image",
            images(13, [3, 2, 2]),
            DataError::PixelCount { expected: 12, found: 13 },
            12,
            13
        ),
        case!(
            "shapes",
            images(8, [1, 2, 4]).unwrap().concat(&images(8, [1, 4, 2]).unwrap()),
            DataError::ShapesDiffer { expected: [1, 2, 4], found: [1, 4, 2] },
            "[1, 2, 4]",
            "[1, 4, 2]"
        ),
        case!(
            "labels without a name",
            Labels::new(vec![0, 2], vec!["a".into(), "b".into()]),
            DataError::NoSuchClass { item: 1, n_classes: 2, found: 2 },
            "item 1 (counted from 0)",
            "a label in 0..2, found 2"
        ),
        case!(
            "labels for other images",
            images(8, [1, 2, 2])
                .unwrap()
                .with_labels(Labels::new(vec![0; 3], vec!["a".into()]).unwrap()),
            DataError::LabelCount { expected: 2, found: 3 },
            "expected 2 labels, one for each image, found 3"
        ),
        case!(
            "other classes",
            labelled("a").concat(&labelled("b")),
            DataError::ClassesDiffer { .. },
            "[\"a\"]",
            "[\"b\"]"
        ),
        case!(
            "no classes",
            labelled("a").concat(&images(1, [1; 3]).unwrap()),
            DataError::ClassesDiffer { .. },
            "[]"
        ),
        case!(
            "batch of 0",
            Batches::new(5, 0, 1),
            DataError::BatchOfZero,
            "the batch size must be at least 1"
        ),
        case!(
            "chunk of 0",
            chunks(5, 0),
            DataError::BatchOfZero,
            "the batch size must be at least 1"
        ),
        case!(
            "batch of 6",
            Batches::new(5, 6, 1),
            DataError::BatchTooLarge { batch_size: 6, n_items: 5 },
            6,
            5
        ),
        case!(
            "empty set",
            Batches::new(0, 1, 1),
            DataError::BatchTooLarge { batch_size: 1, n_items: 0 },
            1,
            0
        ),
    ]);
}

#[test]
fn chunks_cover_every_item_once() {
    for (n_items, batch_size) in [(0, 3), (1, 3), (3, 3), (7, 3), (7, 100), (7, usize::MAX)] {
        let all: Vec<usize> = chunks(n_items, batch_size).unwrap().flatten().collect();
        assert_eq!(
            all,
            (0..n_items).collect::<Vec<_>>(),
            "{n_items} items, {batch_size} at a time"
        );
    }
}

#[test]
fn labels_follow_their_images() {
    let labels = Labels::new(vec![0, 1, 2, 1], ["a", "b", "c"].map(String::from).to_vec()).unwrap();
    let set = Images::new(vec![10, 11, 12, 13], [1, 1, 1]).unwrap().with_labels(labels).unwrap();
    let of = |set: &Images| -> Vec<(u8, u16)> {
        (0..set.len()).map(|i| (set.image(i)[0], set.labels().unwrap().get(i))).collect()
    };
    assert_eq!(of(&set.select(&[3, 2, 2])), [(13, 1), (12, 2), (12, 2)]);
    assert_eq!(of(&set.clone().take(2)), [(10, 0), (11, 1)]);
    let joined = set.select(&[2]).concat(&set.clone().take(1)).unwrap();
    assert_eq!(of(&joined), [(12, 2), (10, 0)]);
    assert_eq!(joined.labels().unwrap().n_classes(), 3);
}
