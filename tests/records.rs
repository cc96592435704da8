//! Checkpoints: save, load into another module, bit for bit; and every way in which a file can be
//! wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::module::{Module, Param, ParamId};
use burn::nn::{Linear, LinearConfig, LinearLayout};
use burn::tensor::{Bool, DType, Device, Distribution, Int, Tensor, TensorData};
use flowkit::train::{Checkpoint, CheckpointError};
use tempfile::TempDir;

/// All kinds of parameters, lazy ones and ones with a save mapper among them.
#[derive(Module, Debug)]
struct Net {
    layers: Vec<Linear>,
    pair: (Param<Tensor<1>>, Param<Tensor<3>>),
    double: Param<Tensor<1>>,
    half: Param<Tensor<1>>,
    order: Param<Tensor<1, Int>>,
    started: Param<Tensor<1, Bool>>,
    frozen: Param<Tensor<1>>,
    optional: Option<Param<Tensor<1>>>,
}

fn random(shape: usize, dtype: DType, device: &Device) -> Tensor<1> {
    Tensor::<1>::random([shape], Distribution::Normal(0.0, 1.0), device).cast(dtype).detach()
}

fn net(number: i32, device: &Device) -> Net {
    let order = Tensor::from_data([number, number + 1, 7], device);
    let started = Tensor::from_data([number > 0, true], device);
    Net {
        layers: vec![
            LinearConfig::new(3, 2).init(device),
            LinearConfig::new(4, 5).with_layout(LinearLayout::Col).init(device),
        ],
        pair: (
            Param::from_tensor(random(3, DType::F32, device)),
            Param::from_tensor(Tensor::random([2, 1, 3], Distribution::Default, device)),
        ),
        double: Param::from_tensor(random(2, DType::F64, device)),
        half: Param::from_tensor(random(2, DType::F16, device)),
        order: Param::initialized(ParamId::new(), order),
        started: Param::initialized(ParamId::new(), started),
        frozen: Param::from_tensor(random(2, DType::F32, device)).set_require_grad(false),
        optional: (number != 9).then(|| Param::from_data([f32::MIN_POSITIVE, -0.0], device)),
    }
}

/// All values, in the form in which they are held.
fn data(net: &Net) -> Vec<TensorData> {
    let mut data = Vec::new();
    for layer in &net.layers {
        data.push(layer.weight.val().into_data());
        data.extend(layer.bias.iter().map(|bias| bias.val().into_data()));
    }
    data.push(net.pair.0.val().into_data());
    data.push(net.pair.1.val().into_data());
    data.push(net.double.val().into_data());
    data.push(net.half.val().into_data());
    data.push(net.order.val().into_data());
    data.push(net.started.val().into_data());
    data.push(net.frozen.val().into_data());
    data.extend(net.optional.iter().map(|param| param.val().into_data()));
    data
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    (folder, path)
}

fn checkpoint(net: &Net) -> Checkpoint {
    let metadata = BTreeMap::from([
        ("step".into(), "12".into()),
        ("config".into(), "{\"layers\":\t2}\u{e9}".into()),
    ]);
    let mut checkpoint = Checkpoint::new(metadata).unwrap();
    checkpoint.insert("model", net).unwrap();
    checkpoint.insert("ema", &net.valid()).unwrap();
    checkpoint.insert_bytes("optimizer", vec![1, 2, 255]).unwrap();
    checkpoint
}

#[test]
fn a_module_comes_back_bit_for_bit() {
    let device = Device::flex().autodiff();
    let (_folder, path) = folder();
    let saved = net(1, &device);
    checkpoint(&saved).save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded, checkpoint(&saved));
    assert_eq!(loaded.metadata("step"), Some("12"));
    assert_eq!(loaded.metadata("flowkit.format"), None);
    assert_eq!(loaded.bytes("optimizer").unwrap(), [1, 2, 255]);

    let other = net(-5, &device);
    let _ = data(&other); // initialise one target, leave the other lazy
    for target in [other, net(-6, &device)] {
        let ids = [target.layers[0].weight.id, target.order.id];
        let restored = loaded.apply("model", target).unwrap();
        assert_eq!(data(&restored), data(&saved));
        assert_eq!([restored.layers[0].weight.id, restored.order.id], ids);
        assert!(restored.layers[0].weight.val().is_require_grad());
        assert!(restored.double.val().is_require_grad());
        assert!(!restored.frozen.val().is_require_grad());
        // It is a leaf of a new graph: a gradient reaches it.
        let gradients = restored.layers[0].weight.val().sum().backward();
        assert!(restored.layers[0].weight.val().grad(&gradients).is_some());
    }

    let resumed = loaded.resume("model", net(3, &device)).unwrap();
    // Identities stay those of the module: two models from one file are two.
    let again = loaded.resume("model", net(3, &device)).unwrap();
    assert_ne!(resumed.layers[1].weight.id, saved.layers[1].weight.id);
    assert_ne!(resumed.layers[1].weight.id, again.layers[1].weight.id);
    let average = loaded.apply("ema", net(4, &device).valid()).unwrap();
    assert!(!average.layers[0].weight.val().is_autodiff());
    assert_eq!(data(&average), data(&saved));
    assert!(
        average.train().layers[0].weight.val().is_require_grad(),
        "training can go on from the average"
    );
}

#[test]
fn the_same_contents_are_the_same_bytes() {
    let (folder, path) = folder();
    let net = net(1, &Device::flex());
    checkpoint(&net).save(&path).unwrap();
    let again = folder.path().join("again");
    Checkpoint::load(&path).unwrap().save(&again).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("model.pair.1").unwrap().shape(), [2, 1, 3]);
}

#[test]
fn a_lazy_target_stays_lazy_until_it_is_filled() {
    let device = Device::flex();
    let model: Linear = LinearConfig::new(3, 2).init(&device);
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    checkpoint.insert("model", &model).unwrap();
    let target: Linear = LinearConfig::new(3, 2).init(&device);
    let witness = target.clone(); // shares the lazy state of the target
    let restored = checkpoint.apply("model", target).unwrap();
    assert!(!witness.weight.is_initialized(), "the values of the target were made for nothing");
    assert_eq!(restored.weight.val().into_data(), model.weight.val().into_data());
}

/// A bare parameter has an empty path.
#[test]
fn a_bare_parameter_is_a_module() {
    let (_folder, path) = folder();
    let device = Device::flex();
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    checkpoint.insert("w", &Param::<Tensor<1>>::from_data([1.0, 2.0], &device)).unwrap();
    checkpoint.save(&path).unwrap();
    let zero = Param::<Tensor<1>>::from_data([0.0, 0.0], &device);
    let one = Checkpoint::load(&path).unwrap().apply("w", zero).unwrap();
    assert_eq!(one.val().into_data(), TensorData::from([1.0f32, 2.0]));
}

#[test]
fn another_architecture_is_named() {
    let device = Device::flex();
    let stored = checkpoint(&net(1, &device));
    let fresh = || net(2, &device);

    let mut lacks = Checkpoint::new(BTreeMap::new()).unwrap();
    lacks.insert("model", &net(9, &device)).unwrap();
    let error = lacks.apply("model", fresh()).unwrap_err();
    assert!(
        matches!(
            &error,
            CheckpointError::MissingTensor { name, shape }
                if name == "model.optional" && *shape == [2]
        ),
        "{error}"
    );
    let error = stored.apply("model", net(9, &device)).unwrap_err();
    assert!(
        matches!(
            &error,
            CheckpointError::UnexpectedTensors { names } if *names == ["model.optional"]
        ),
        "{error}"
    );
    let mut wide = fresh();
    wide.layers[0] = LinearConfig::new(3, 4).init(&device);
    let error = stored.apply("model", wide).unwrap_err();
    assert!(
        matches!(&error, CheckpointError::ShapeMismatch { name, expected, found }
            if name == "model.layers.0.weight" && *expected == [3, 4] && *found == [3, 2]),
        "{error}"
    );
    let mut single = fresh();
    single.double = Param::from_tensor(random(2, DType::F32, &device));
    let error = stored.apply("model", single).unwrap_err();
    assert!(
        matches!(
            &error,
            CheckpointError::DTypeMismatch { name, expected: DType::F32, found: DType::F64 }
                if name == "model.double"
        ),
        "{error}"
    );
    let error = stored.apply("mode", fresh()).unwrap_err();
    assert!(
        matches!(
            &error,
            CheckpointError::MissingSection { available, .. } if *available == ["ema", "model"]
        ),
        "{error}"
    );
    assert!(matches!(stored.bytes("model"), Err(CheckpointError::MissingSection { .. })));
}

#[test]
fn names_are_checked() {
    let net = net(1, &Device::flex());
    let mut stored = checkpoint(&net);
    assert!(matches!(stored.insert("model", &net), Err(CheckpointError::DuplicatePath { .. })));
    assert!(matches!(
        stored.insert_bytes("ema", vec![]),
        Err(CheckpointError::DuplicatePath { .. })
    ));
    for name in ["", "a.b", "__metadata__"] {
        assert!(matches!(
            stored.insert_bytes(name, vec![]),
            Err(CheckpointError::InvalidSection { .. })
        ));
    }
    let reserved = BTreeMap::from([("flowkit.crc32".into(), "0".into())]);
    assert!(matches!(Checkpoint::new(reserved), Err(CheckpointError::ReservedKey { .. })));
}

#[test]
fn a_file_that_cannot_be_reached_is_named() {
    let (folder, path) = folder();
    let stored = checkpoint(&net(1, &Device::flex()));
    let nowhere = folder.path().join("no/such/folder/file");
    let error = stored.save(&nowhere).unwrap_err();
    assert!(matches!(&error, CheckpointError::Write { path, .. } if *path == nowhere), "{error}");
    let error = Checkpoint::load(&nowhere).unwrap_err();
    assert!(matches!(&error, CheckpointError::Read { path, .. } if *path == nowhere), "{error}");

    // A folder in the place of the file fails at the rename, after everything has been written.
    fs::create_dir(&path).unwrap();
    let error = stored.save(&path).unwrap_err();
    assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
}

fn load(path: &Path, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    fs::write(path, bytes).unwrap();
    Checkpoint::load(path)
}

#[test]
fn damage_is_told_apart() {
    let (_folder, path) = folder();
    checkpoint(&net(1, &Device::flex())).save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();

    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(load(&path, &flipped), Err(CheckpointError::Checksum { .. })));
    let cut = load(&path, &bytes[..bytes.len() - 1]);
    assert!(matches!(cut, Err(CheckpointError::NotSafetensors { .. })));
    assert!(matches!(load(&path, b""), Err(CheckpointError::NotSafetensors { .. })));
    assert!(matches!(
        load(&path, b"not a checkpoint at all"),
        Err(CheckpointError::NotSafetensors { .. })
    ));
    assert!(matches!(
        load(&path, b"\x02\0\0\0\0\0\0\0{}"),
        Err(CheckpointError::NotCheckpoint { .. })
    ));
    let text = b"\"flowkit.format\":\"2\"";
    let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
    let mut newer = bytes.clone();
    newer[at + text.len() - 2] = b'3';
    assert!(matches!(
        load(&path, &newer),
        Err(CheckpointError::UnsupportedVersion { found, .. }) if found == "3"
    ));
    // Headers that promise more than there is.
    let mut huge = bytes.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(load(&path, &huge).is_err());
    let header = concat!(
        r#"{"a":{"dtype":"F32","shape":[4611686018427387903],"#,
        r#""data_offsets":[0,18446744073709551612]}}"#
    )
    .as_bytes();
    let lie: Vec<u8> =
        (header.len() as u64).to_le_bytes().into_iter().chain(header.to_vec()).collect();
    assert!(load(&path, &lie).is_err());
    assert!(load(&path, &bytes).is_ok());
}

/// Every truncation, and every byte changed in several ways: an error or the same contents, never a
/// panic.
#[test]
fn no_byte_string_panics() {
    let (_folder, path) = folder();
    let device = Device::flex();
    let mut original = Checkpoint::new(BTreeMap::from([("step".into(), "12".into())])).unwrap();
    let flag =
        Param::initialized(ParamId::new(), Tensor::<1, Bool>::from_data([true, false], &device));
    original.insert("m", &(Param::<Tensor<1>>::from_data([1.5, -2.0], &device), flag)).unwrap();
    original.insert_bytes("o", vec![7; 5]).unwrap();
    original.save(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        assert!(load(&path, &bytes[..length]).is_err(), "cut at {length}");
    }
    let mut same = 0;
    for at in 0..bytes.len() {
        for change in [0x01, 0x04, 0x20, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            if let Ok(loaded) = load(&path, &damaged) {
                assert_eq!(loaded, original, "byte {at} changed by {change:#x}");
                same += 1;
            }
        }
    }
    assert!(same < bytes.len() / 8, "{same} changes went unseen");
}
