//! Which folders are a training and a test set, and what the classes of both are.

use std::fs;

use flowkit::data::image_folder::{Labelling, read_dir, read_held_out, read_split};
use flowkit::data::{DataError, Images, LayoutError, Remark, read};
use tempfile::TempDir;

use super::image_folder::{levels, png};
use super::{assert_messages, case, file, folder};

const SIZE: [usize; 2] = [2, 3];

/// A folder with an image of level 1 in the first path, 2 in the second, and so on.
fn with(paths: &[&str]) -> TempDir {
    let dir = folder();
    for (path, level) in paths.iter().zip(1..) {
        file(dir.path(), path, &png(level));
    }
    dir
}

#[test]
fn train_and_test_are_known_in_any_case_and_form() {
    for [train, test] in [
        ["Train", "Test"],
        ["training", "testing"],
        ["TRAIN", "TEST"],
        ["train", "Testing"],
        ["Training", "test"],
    ] {
        let dir = with(&[
            &format!("{train}/a.png"),
            &format!("{test}/a.png"),
            &format!("{test}/b.png"),
            "val/a.png",
            "a.png",
        ]);
        fs::create_dir(dir.path().join(".hidden")).unwrap();
        let split = read_dir(&dir, SIZE, Labelling::Nothing).unwrap();
        assert_eq!(
            (levels(&split.train), levels(&split.test)),
            (vec![1], vec![2, 3]),
            "{train}, {test}"
        );
        let beside: Vec<_> = split.report.of(Remark::BesideSplit).collect();
        assert_eq!(beside, [dir.path().join("a.png"), dir.path().join("val")]);
        assert_eq!(split.report.of(Remark::Hidden).count(), 1);
    }
}

#[test]
fn folders_that_may_be_a_split_are_not_pooled() {
    let unclear: [&[&str]; 22] = [
        &["train/a.png", "valid/a.png"],
        &["train/a.png", "val/a.png"],
        &["Train/a.png", "validation/a.png"],
        &["training/a.png", "dev/a.png"],
        &["train/a.png", "Eval/a.png"],
        &["train/a.png", "holdout/a.png"],
        &["train/a.png", "held_out/a.png"],
        &["train_set/a.png", "test_set/a.png"],
        &["trainset/a.png", "testset/a.png"],
        &["train2017/a.png", "test2017/a.png", "val2017/a.png"],
        &["data/a.png", "holdout/a.png"],
        &["test/a.png", "TrainImages/a.png"],
        &["seg_train/a.png", "seg_test/a.png"],
        &["trainA/a.png", "testA/a.png"],
        &["Training/a.png", "PublicTest/a.png"],
        &["images/train/a.png", "images/val/a.png"],
        &["inner/Train/a.png", "inner/Test/a.png"],
        &["bottle/train/a.png", "bottle/test/a.png", "cable/train/a.png"],
        &["train/a.png", "training/a.png", "test/a.png"],
        &["train/a.png", "Test/a.png", "testing/a.png"],
        &["ILSVRC2012_img_train/a.png", "ILSVRC2012_img_val/a.png"],
        &["x/y/train_1/a.png", "x/y/train_2/a.png"],
    ];
    for paths in unclear {
        let dir = with(paths);
        for labelling in [Labelling::Nothing, Labelling::SubFolder] {
            let error = read_dir(&dir, SIZE, labelling).expect_err(paths[0]);
            assert!(
                matches!(error, DataError::Layout(LayoutError::UnclearSplit { .. })),
                "{paths:?}: {error:?}"
            );
            let (message, own) = (error.to_string(), paths[0].rsplit('/').nth(1).unwrap());
            for name in
                [own, "`train` or `training`", "`test` or `testing`", "read_held_out", "read_split"]
            {
                // Where the first folder alone is no part of a split, the second is named.
                assert!(
                    message.contains(name) || own == "data",
                    "{paths:?}: \"{message}\" does not name {name}"
                );
            }
        }
        let error = read(&dir).expect_err("any kind");
        assert!(
            matches!(error, DataError::Layout(LayoutError::UnclearSplit { .. })),
            "{paths:?}: {error:?}"
        );
        assert_eq!(
            read_held_out(&dir, SIZE, Labelling::Nothing).unwrap().test.len(),
            1,
            "asked for"
        );
    }
    let half = with(&["TRAINING/a.png", "other/a.png"]);
    assert_messages(vec![case!(
        "a half",
        read_dir(&half, SIZE, Labelling::Nothing),
        DataError::HalfSplit { found: "train", missing: "test", .. },
        "no test folder"
    )]);
}

/// Whether folders of these names, one image each, are refused as a split, in the folder and below
/// another.
fn are_unclear(names: &[&str]) -> bool {
    let refused = ["", "deep/er/"].map(|start| {
        let paths: Vec<String> = names.iter().map(|name| format!("{start}{name}/a.png")).collect();
        let dir = with(&paths.iter().map(String::as_str).collect::<Vec<_>>());
        match read_dir(&dir, SIZE, Labelling::Nothing) {
            Ok(_) => false,
            Err(DataError::Layout(LayoutError::UnclearSplit { found, .. })) => {
                assert!(
                    found.len() > 1 && found.iter().all(|name| names.contains(&&**name)),
                    "{names:?}: {found:?}"
                );
                true
            }
            Err(other) => panic!("{names:?}: {other:?}"),
        }
    });
    assert_eq!(refused[0], refused[1], "{names:?}");
    refused[0]
}

#[test]
fn words_of_a_split_count_when_joined_to_others() {
    for names in [
        &["train60k", "t10k"][..],
        &["cifar10-train", "cifar10-t10k"],
        &["xtrain", "xtest"],
        &["mytrain", "mytest"],
        &["imgtrain", "imgtest"],
        &["Trainingsdaten", "Testdaten"],
        &["trainA", "trainB"],
        &["hr_train", "lr_train"],
        &["images_train", "images_vld"],
        &["x_train", "x_unseen"],
        &["bounding_box_train", "gallery", "query"],
        &["XTRAIN", "XTEST", "XVAL"],
        &["imgtrain", "imgval"],
        &["imagestrain", "imagestest", "annotations"],
        &["mytest", "myval"],
        &["ytrain", "yholdout"],
        &["faces_train", "query_images", "gallery_images"],
        &["testA", "testB"],
        &["gallery", "query"],
        &["x_train", "x_rest", "other"],
        &["train_hr", "rest_hr"],
        &["train60k", "rest10k"],
        &["x_train1", "x_train2", "other"],
        &["dev", "val", "other"],
        &["Val", "mytest", "other"],
    ] {
        assert!(are_unclear(names), "{names:?} are pooled");
    }
}

#[test]
fn ordinary_words_are_classes() {
    for names in [
        &["Dev", "Asha", "Ravi"][..],
        &["Val", "Kim"],
        &["eval", "apply", "quote"],
        &["valid", "invalid"],
        &["development", "sports"],
        &["dev", "trainers", "protest"],
        &["gallery", "museum", "valley"],
        &["bullet_train", "art_gallery", "valley"],
        &["train_interior", "car_interior", "field"],
        &["strainer", "contestant", "restraints"],
        &["carnival", "festival"],
        &["constrained", "greatest"],
        &["unseen", "seen"],
    ] {
        assert!(!are_unclear(names), "{names:?} are refused");
    }
    // A class that is called `train` is half of a split, as the name says.
    let dir = with(&["car/a.png", "train/a.png", "plane/a.png"]);
    assert_messages(vec![case!(
        "a train",
        read_dir(&dir, SIZE, Labelling::SubFolder),
        DataError::HalfSplit { found: "train", missing: "test", .. },
        "no test folder"
    )]);
    let dir = with(&["Dev/a.png", "Asha/a.png", "Ravi/a.png"]);
    let split = read_dir(&dir, SIZE, Labelling::SubFolder).unwrap();
    assert_eq!(split.train.labels().unwrap().names(), ["Asha", "Dev", "Ravi"]);
}

#[test]
fn names_that_only_hold_such_a_word_are_classes() {
    for paths in [
        &["steam-train/a.png", "tram/a.png"][..],
        &["trainers/a.png", "contest/a.png"],
        &["invalid/a.png", "devil/a.png"],
        &["latest/a.png", "evaluator/a.png", "strain/a.png"],
    ] {
        let split = read_dir(with(paths), SIZE, Labelling::SubFolder).expect(paths[0]);
        assert_eq!(split.train.labels().unwrap().n_classes(), paths.len());
    }
}

#[test]
fn any_two_folders_are_a_split_if_asked_for_but_not_one_in_the_other() {
    let dir = with(&["train/cat/a.png", "val/dog/a.png", "val/cat/b.png"]);
    let [train, val] = ["train", "val"].map(|name| dir.path().join(name));
    let split = read_split(&train, &val, SIZE, Labelling::SubFolder).unwrap();
    assert_eq!((levels(&split.train), levels(&split.test)), (vec![1], vec![3, 2]));
    let (train_labels, test_labels) = (split.train.labels().unwrap(), split.test.labels().unwrap());
    assert_eq!(
        (train_labels.names(), test_labels.names()),
        (&["cat", "dog"].map(String::from)[..], train_labels.names())
    );
    assert_eq!([train_labels.get(0), test_labels.get(0), test_labels.get(1)], [0, 0, 1]);
    assert_eq!(split.report.of(Remark::Untrained).collect::<Vec<_>>(), [val.join("dog")]);
    assert_eq!(split.report.of(Remark::Untested).count(), 0);

    let shared = |train, test| read_split(train, test, SIZE, Labelling::Nothing);
    let again = dir.path().join("train/../val");
    assert_messages(vec![
        case!(
            "the same",
            shared(&train, &train),
            DataError::Layout(LayoutError::SharedFolder { .. }),
            train.display()
        ),
        case!(
            "another way",
            shared(&val, &again),
            DataError::Layout(LayoutError::SharedFolder { .. }),
            again.display()
        ),
        case!(
            "a part",
            shared(&dir.path().to_path_buf(), &val),
            DataError::Layout(LayoutError::SharedFolder { .. }),
            val.display()
        ),
    ]);
}

#[test]
fn empty_folders_are_no_classes_and_order_is_that_of_bytes() {
    let dir = with(&["b10/a.png", "b2/a.png", "B/a.png", "ä/a.png"]);
    fs::create_dir_all(dir.path().join("a/deep")).unwrap();
    let split = read_dir(&dir, SIZE, Labelling::SubFolder).unwrap();
    assert_eq!(split.train.labels().unwrap().names(), ["B", "b10", "b2", "ä"]);
    assert_eq!((levels(&split.train), levels(&split.test)), (vec![3, 1, 2], vec![4]));
    assert_eq!(split.report.of(Remark::NoImages).collect::<Vec<_>>(), [dir.path().join("a")]);
    assert_eq!(split.report.of(Remark::Untrained).collect::<Vec<_>>(), [dir.path().join("ä")]);
}

/// What Linux allows in a name. macOS refuses it.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_text_stay_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let dir = folder();
    let put = |part: &str, class: &[u8], level: u8| {
        let class = dir.path().join(part).join(OsStr::from_bytes(class));
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(OsStr::from_bytes(b"\xff.png")), png(level)).unwrap();
    };
    for (class, level) in [(&b"caf\xe9"[..], 1), (b"caf\xe8", 2), ("caf\u{fffd}".as_bytes(), 3)] {
        put("train", class, level);
        put("test", class, 10 + level);
    }
    let split = read_dir(&dir, SIZE, Labelling::SubFolder).unwrap();
    let of = |images: &Images| -> Vec<(u8, u16)> {
        (0..images.len()).map(|i| (images.image(i)[0], images.labels().unwrap().get(i))).collect()
    };
    assert_eq!(of(&split.train), [(2, 0), (1, 1), (3, 2)]);
    assert_eq!(of(&split.test), [(12, 0), (11, 1), (13, 2)]);
    assert_eq!(split.train.labels().unwrap().names(), ["caf\\xE8", "caf\\xE9", "caf\u{fffd}"]);

    put("train", br"caf\xE9", 4);
    assert_messages(vec![case!(
        "a name that reads as another",
        read_dir(&dir, SIZE, Labelling::SubFolder),
        DataError::Layout(LayoutError::SameClassName { .. }),
        r"caf\\xE9",
        dir.path().display()
    )]);
}
