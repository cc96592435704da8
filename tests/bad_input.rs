//! What a user can get wrong at the program's door: each a message that names what and where, a
//! non-zero exit, and nothing half-written.

#[path = "common/build.rs"]
mod build;
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::build::{fixed, fixed_image};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use flowkit::conditioner::layer::{
    ChannelNormConfig, ConvInit, ConvWeight, DataInitConvConfig, GatedAttentionConfig,
    GatedConvConfig,
};
use flowkit::law::{AffineConfig, AffineForm, MixLogCdfConfig};
use flowkit::model::flow_plus_plus::{
    CouplingLaw, DequantizationConfig, EncoderBlock, FlowPlusPlusConfig, FlowPlusPlusEncoderConfig,
    FlowPlusPlusPreset, Resolution,
};
use flowkit::train::{Checkpoint, Trainer};
use flowkit::{
    ChannelMatrixConfig, ChannelOrder, ConfigError, ConvStyle, CouplingConfig, Density, Flow,
    FlowError, GatedNetConfig, LayerConfig, LogitConfig, Mixing, NetConfig, NetSite, Pattern,
    PositionNormConfig, Site, SqueezeConfig, StandardNormal, UniformDequantizationConfig,
};

/// Why there is no network for halves of the shape `[C, H, W]`.
fn gated([c, h, w]: [usize; 3], config: GatedNetConfig) -> Result<(), ConfigError> {
    let site = NetSite::new([1, c, h, w], [1, c, h, w], vec![0.0; 3], &Device::flex());
    config.num_params(&site).map(|_| ())
}

fn run(arguments: &[&str], out: &Path) -> Output {
    Command::new(program::program()).args(arguments).arg("--out").arg(out).output().unwrap()
}

fn record(label: u8) -> Vec<u8> {
    let mut record = vec![label];
    record.extend((0..3072).map(|i| (i % 251) as u8));
    record
}

fn folder_with(root: &Path, name: &str, files: &[(&str, Vec<u8>)]) -> String {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    for (file, bytes) in files {
        fs::write(folder.join(file), bytes).unwrap();
    }
    folder.to_str().unwrap().into()
}

fn png(width: u32, height: u32, gray: bool) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    if gray {
        image::GrayImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    } else {
        image::RgbImage::new(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    }
    bytes.into_inner()
}

/// A run of one step, for its checkpoint.
fn trained(root: &Path) -> PathBuf {
    let out = root.join("good");
    let output = run(&["--steps", "1", "--batch", "1"], &out);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    out.join("checkpoint.safetensors")
}

#[test]
fn the_program_names_what_is_wrong_and_writes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let checkpoint = trained(root);
    let good = fs::read(&checkpoint).unwrap();
    let put = |name: &str, bytes: &[u8]| -> String {
        let path = root.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().into()
    };
    let truncated = put("truncated.safetensors", &good[..good.len() / 2]);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let damaged = put("damaged.safetensors", &flipped);
    let text = put("text.safetensors", b"not a checkpoint");
    let other = root.join("other.safetensors");
    Checkpoint::new(Default::default()).unwrap().save(&other).unwrap();
    let other = other.to_str().unwrap().to_string();

    let batches =
        |train: Vec<u8>, test: Vec<u8>| vec![("data_batch_1.bin", train), ("test_batch.bin", test)];
    let empty = folder_with(root, "empty", &batches(vec![], record(0)));
    let short = folder_with(root, "short", &batches(record(1), record(0)[..3000].to_vec()));
    let label = folder_with(root, "label", &batches([record(1), record(77)].concat(), record(0)));
    let alone = folder_with(root, "alone", &[("data_batch_1.bin", record(0))]);
    let nothing = folder_with(root, "nothing", &[]);
    let images = |bytes: Vec<u8>| vec![("a.png", png(32, 32, false)), ("b.png", bytes)];
    let size = folder_with(root, "size", &images(png(31, 32, false)));
    let small = folder_with(root, "small", &images(png(32, 32, false)));
    let gray = folder_with(root, "gray", &images(png(32, 32, true)));
    let broken = folder_with(root, "broken", &images(b"no picture".to_vec()));
    let few = folder_with(root, "few", &batches(record(1), record(0)));

    let table: Vec<(Vec<&str>, Vec<&str>)> = vec![
        (vec!["--data", "/nowhere/at/all"], vec!["/nowhere/at/all"]),
        (vec!["--data", &empty], vec!["data_batch_1.bin", "empty"]),
        (vec!["--data", &short], vec!["test_batch.bin", "3073", "3000"]),
        (vec!["--data", &label], vec!["data_batch_1.bin", "record 1", "77"]),
        (vec!["--data", &alone], vec!["test_batch.bin"]),
        (vec!["--data", &nothing], vec!["nothing"]),
        (vec!["--data", &size], vec!["b.png", "32", "31"]),
        (vec!["--data", &gray], vec!["b.png", "L8"]),
        (vec!["--data", &broken], vec!["b.png"]),
        (vec!["--data", &few, "--steps", "1"], vec!["16", "1"]),
        (vec!["--batch", "0"], vec!["--batch 0", "at least 1"]),
        (vec!["--steps", "0"], vec!["--steps 0", "at least 1"]),
        (vec!["--lr", "-1"], vec!["--lr -1", "positive"]),
        (vec!["--eval", &text, "--dequant", "uniform"], vec!["--dequant", "--eval"]),
        (vec!["--lr", "NaN"], vec!["--lr NaN", "positive"]),
        (vec!["--ema", "1"], vec!["decay", "[0, 1)", "found 1"]),
        (vec!["--preset", "huge"], vec!["huge", "imagenet64, celeba64, celeba128"]),
        (
            vec!["--preset", "imagenet64"],
            vec!["expected examples of shape [3, 64, 64], found [3, 32, 32]"],
        ),
        (vec!["--preset", "celeba128", "--data", &small], vec!["a.png", "128", "32"]),
        (vec!["--sample", &truncated], vec!["truncated.safetensors", "truncated"]),
        (vec!["--sample", &damaged], vec!["damaged.safetensors", "CRC-32"]),
        (vec!["--sample", &text], vec!["text.safetensors"]),
        (vec!["--sample", &other], vec!["other.safetensors", "no Flow++ model"]),
        (vec!["--sample", "/nowhere.safetensors"], vec!["/nowhere.safetensors"]),
        (vec!["--eval", &truncated], vec!["truncated.safetensors"]),
        (
            vec!["--eval", &text, "--importance-samples", "0"],
            vec!["--importance-samples 0", "at least 1"],
        ),
        (vec!["--temperature", "1"], vec!["--sample"]),
    ];
    for (index, (arguments, expected)) in table.iter().enumerate() {
        let out = root.join(format!("out{index}"));
        let output = run(arguments, &out);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} went through");
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
        for part in expected {
            assert!(message.contains(part), "{arguments:?}: {part:?} is not in {message:?}");
        }
        let left: Vec<_> = fs::read_dir(&out)
            .map(|files| files.flatten().map(|f| f.path()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }

    // A folder that cannot be made, since a file is in its place.
    let blocked = root.join("text.safetensors").join("out");
    let output = run(&["--steps", "1"], &blocked);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success()
            && message.contains("cannot write to")
            && message.contains("text.safetensors"),
        "{message}"
    );

    // The good one is good: evaluated and sampled.
    let good = checkpoint.to_str().unwrap();
    let output = run(&["--sample", good, "--temperature", "0.5"], &root.join("sampled"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(root.join("sampled/samples.png").exists());
}

#[test]
fn a_device_that_is_not_built_in_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    for device in ["wgpu", "cuda"] {
        let built = (device == "wgpu" && cfg!(feature = "_wgpu"))
            || (device == "cuda" && cfg!(feature = "cuda"));
        if built {
            continue;
        }
        let output = run(&["--device", device], root.path());
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && message.contains(&format!("--features {device}")),
            "{message}"
        );
    }
}

/// Configurations that describe nothing, and what their errors say.
#[test]
fn configurations_say_what_is_wrong() {
    let flow = FlowPlusPlusConfig::tiny;
    let normalised = || DataInitConvConfig::new(1, 1).with_weight(ConvWeight::WeightNorm);
    let scaled = |resolution| {
        let mut config = flow();
        config.stages[0].resolution = resolution;
        config.validate()
    };
    let encoded = |n_encoder_blocks, encoder_block| {
        let mut config = flow();
        if let DequantizationConfig::Variational(noise) = &mut config.dequantization {
            (noise.n_encoder_blocks, noise.encoder_block) = (n_encoder_blocks, encoder_block);
        }
        config.validate()
    };
    let encoder = FlowPlusPlusEncoderConfig::new(Pattern::Stripes, 4, 1, EncoderBlock::Conv);
    let odd = Site::new([1, 3, 2, 5], &Device::flex());
    let cases: Vec<(Result<(), ConfigError>, &str)> = vec![
        (
            MixLogCdfConfig::new(0).validate(),
            "MixLogCdfConfig: `n_components` must be at least 1, found 0",
        ),
        (
            MixLogCdfConfig::new(1).with_min_log_scale(-100.0).validate(),
            "must lie in [-80, 80], found -100",
        ),
        (
            LogitConfig::new().with_margin(0.5).validate(),
            "LogitConfig: `margin` must lie in [0, 0.499], found 0.5",
        ),
        (LogitConfig::new().with_margin(f64::NAN).validate(), "found NaN"),
        (
            PositionNormConfig::new().with_variance_floor(0.0).validate(),
            "`variance_floor` must lie in (0, ∞), found 0",
        ),
        (
            ChannelMatrixConfig::new().with_n_groups(0).validate(),
            "ChannelMatrixConfig: `n_groups` must be at least 1",
        ),
        (
            UniformDequantizationConfig::new().with_n_levels(1).validate(),
            "`n_levels` must lie in [2, ∞), found 1",
        ),
        (
            flow().with_n_levels(1 << 20).validate(),
            "`n_levels` must be at most 65536 in F32, found 1048576",
        ),
        (
            MixLogCdfConfig::new(1).with_max_log_scale(Some(1.0)).validate(),
            "must lie in [max(2, min_log_scale), 80]",
        ),
        (
            MixLogCdfConfig::new(1).with_max_log_scale(Some(f64::NAN)).validate(),
            "`max_log_scale` must lie in",
        ),
        (
            gated([2, 4, 4], GatedNetConfig::new(10, 1)),
            "`n_filters` = 10 must be a multiple of `heads` = 4",
        ),
        (
            gated(
                [2, 4, 4],
                GatedNetConfig::new(8, 1).with_style(ConvStyle::new().with_dropout(1.0)),
            ),
            "`dropout` must lie in [0, 1), found 1",
        ),
        (gated([0, 4, 4], GatedNetConfig::new(8, 1)), "`identity` must be at least 1"),
        (flow().with_law(CouplingLaw::mix_log_cdf(0)).validate(), "`n_components`"),
        (flow().with_mixing(Mixing::Attention { heads: 0 }).validate(), "`heads`"),
        (
            FlowPlusPlusConfig { image: [3, 31, 32], ..flow() }.validate(),
            "axis 2 must be a multiple of 2",
        ),
        (
            FlowPlusPlusConfig { image: [3, 32, 31], ..flow() }.validate(),
            "axis 3 must be a multiple of 2",
        ),
        (FlowPlusPlusConfig { image: [0, 32, 32], ..flow() }.validate(), "`image[0]`"),
        (FlowPlusPlusConfig { stages: vec![], ..flow() }.validate(), "`stages`"),
        (
            DataInitConvConfig::new(1, 1).with_kernel(2).validate(),
            "`kernel` must lie in the odd numbers, found 2",
        ),
        (ChannelNormConfig::new(0).validate(), "ChannelNormConfig: `n_channels`"),
        (
            GatedConvConfig::new(4).with_style(ConvStyle::new().with_dropout(-0.1)).validate(),
            "GatedConvConfig: `dropout`",
        ),
        (
            GatedAttentionConfig::new(6).validate(),
            "`n_filters` = 6 must be a multiple of `heads` = 4",
        ),
        (
            flowkit::conditioner::layer::GatedBlockConfig::new(0).with_mixing(None).validate(),
            "GatedConvConfig: `n_filters`",
        ),
        (
            normalised().with_init(ConvInit::FanIn).validate(),
            "`weight` = WeightNorm needs a data-dependent `init`",
        ),
        (
            normalised().with_init(ConvInit::Normal { deviation: 0.1 }).validate(),
            "DataInitConvConfig: `weight`",
        ),
        (
            flow().with_style(ConvStyle::fan_in().with_weight(ConvWeight::WeightNorm)).validate(),
            "GatedNetConfig: `weight`",
        ),
        (
            scaled(Resolution::SqueezeRepeatedly { times: 1 }),
            "StageConfig: `resolution.times` must lie in [2, ∞), found 1",
        ),
        (
            scaled(Resolution::SqueezeRepeatedly { times: 6 }),
            "Squeeze: axis 2 must be a multiple of 2",
        ),
        (
            encoded(0, EncoderBlock::Conv),
            "VariationalConfig: `n_encoder_blocks` must be at least 1",
        ),
        (
            encoded(1, EncoderBlock::Attention { heads: 5 }),
            "`n_filters` = 16 must be a multiple of `heads` = 5",
        ),
        (encoder.num_params(&odd).map(|_| ()), "Partition: axis 3 must be a multiple of 2"),
    ];
    for (result, expected) in cases {
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "{expected:?} is not in {message:?}");
    }
}

#[test]
fn shapes_and_values_are_checked_at_the_door() {
    let device = Device::flex();
    let squeeze = || fixed_image(&SqueezeConfig::new(ChannelOrder::ChannelMajor));
    let odd = Flow::new(squeeze(), StandardNormal::new(), [1, 1, 3, 4]).unwrap_err();
    assert!(odd.to_string().contains("Squeeze: axis 2 must be a multiple of 2"), "{odd}");
    let none = Flow::new(squeeze(), StandardNormal::new(), [1, 0, 4, 4]).unwrap_err();
    assert!(none.to_string().contains("expected at least one element"), "{none}");

    let coupling =
        CouplingConfig::new(AffineConfig::new(AffineForm::Exponential), GatedNetConfig::new(8, 1));
    let given = Tensor::<2>::zeros([1, 3], &device);
    let coupling = coupling.build(&Site::given([1, 2, 4, 4], &given, &device)).unwrap();
    let unfit = Flow::new(coupling, StandardNormal::new(), [1, 2, 4, 4]).unwrap_err();
    let expected = "GatedNet: expected a condition, found no condition";
    assert_eq!(unfit.to_string(), expected);

    let flow = Flow::new(fixed(&LogitConfig::new()), StandardNormal::new(), [1, 4])
        .unwrap()
        .without_data();
    let pixels = Tensor::<2>::from_data(
        [[0.1f32, 0.2, 0.3, 0.4], [0.1, f32::NAN, 0.3, f32::INFINITY]],
        &device,
    );
    let error = flow.evaluate(pixels).unwrap_err();
    assert!(
        matches!(error, FlowError::NonFiniteInput { count: 2, total: 8, example: 1 }),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the input is not finite: 2 of 8 elements, the first in example 1"
    );
    let error = flow.evaluate(Tensor::<2>::zeros([2, 5], &device)).unwrap_err();
    assert!(error.to_string().contains("expected length 4 along axis 1"), "{error}");
    let error = flow.evaluate(Tensor::<2>::full([1, 4], 7.0, &device)).unwrap_err();
    assert!(matches!(error, FlowError::NonFiniteLikelihood { example: 0, .. }), "{error}");
    assert!(matches!(flow.sample(0), Err(FlowError::NoSamples { what: "n" })));

    let bound = Flow::new(fixed(&LogitConfig::new()), StandardNormal::new(), [1, 2])
        .unwrap()
        .behind(UniformDequantizationConfig::new().build().unwrap())
        .without_data();
    let levels = |values: [i64; 4]| {
        Tensor::<2, Int>::from_data(TensorData::new(values.to_vec(), [2, 2]), &device)
    };
    let error = bound.evaluate(levels([0, 255, 3, 256])).unwrap_err();
    assert!(matches!(error, FlowError::Level { example: 1, found: 256, levels: 256 }), "{error}");
    assert_eq!(error.to_string(), "example 1: expected levels in 0..=255, found 256");
    assert!(bound.evaluate(levels([-1, 255, 3, 0])).is_err());
    let error = bound.evaluate_importance_weighted(levels([1, 2, 3, 4]), 0).unwrap_err();
    assert!(matches!(error, FlowError::NoSamples { what: "samples" }), "{error}");
}

#[test]
fn a_checkpoint_of_another_architecture_is_refused() {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.safetensors");
    let model = FlowPlusPlusConfig::tiny().build(&device).unwrap().without_data();
    let mut trainer = Trainer::new(model, FlowPlusPlusPreset::Tiny.training()).unwrap();
    trainer.save(&path, Default::default()).unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    let wide = FlowPlusPlusConfig::tiny().with_n_filters(20).build(&device).unwrap();
    let error = Trainer::load_average(&checkpoint, wide).unwrap_err().to_string();
    assert!(error.contains("average.") && error.contains("20") && error.contains("16"), "{error}");
    let deep = FlowPlusPlusConfig::tiny().with_n_blocks(2).build(&device).unwrap();
    let error = Trainer::resume(&checkpoint, deep).err().unwrap().to_string();
    let expected = "conditioner.net.blocks.1`: the module has `GatedBlock`, the checkpoint was \
                    saved with nothing";
    assert!(error.contains(expected), "{error}");
    // The one it was made for takes it.
    let x = Tensor::<4>::random([1, 3, 32, 32], Distribution::Uniform(0.0, 256.0), &Device::flex())
        .int();
    let same =
        Trainer::load_average(&checkpoint, FlowPlusPlusConfig::tiny().build(&device).unwrap())
            .unwrap();
    same.evaluate(x).unwrap();
}
