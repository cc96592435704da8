//! Attention on the device under test: views, large scores, 16-bit types, the log-sums, and the
//! backend below fusion. `network_kernels.rs` compares its values and gradients with the reference.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::kernel::attention::{self, AttentionOps, plain};
use flowkit::testing::tolerance::roughness;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

/// Projected images `[B, 3F, H, W]`.
#[derive(Debug, Clone, Copy)]
struct Case {
    shape: [usize; 4],
    heads: usize,
}

/// With more positions than a block of the GPU's kernels has.
const CASE: Case = Case { shape: SHAPE, heads: HEADS };
const SHAPE: [usize; 4] = [2, 18, 5, 9];
const HEADS: usize = 3;

/// Numbers as the type holds them.
fn normal(n: usize, scale: f64, seed: u64, dtype: DType) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    let numbers: Vec<f64> = (0..n).map(|_| rng.sample::<f64, _>(StandardNormal) * scale).collect();
    TensorData::new(numbers, [n]).convert_dtype(dtype).iter::<f64>().collect()
}

fn tensor<const D: usize>(
    numbers: &[f64],
    shape: [usize; D],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), shape), (device, dtype))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

impl Case {
    fn projected(&self, scale: f64, dtype: DType) -> Vec<f64> {
        normal(self.shape.iter().product(), scale, 1, dtype)
    }

    /// The gradient that reaches the mixed values.
    fn weights(&self, dtype: DType) -> Vec<f64> {
        normal(self.shape.iter().product::<usize>() / 3, 1.0, 2, dtype)
    }

    /// The mixed values, and the gradient of the projected ones.
    fn outcome(
        &self,
        operation: fn(Tensor<4>, usize) -> Tensor<4>,
        projected: &[f64],
        device: &Device,
        dtype: DType,
    ) -> [Vec<f64>; 2] {
        let graph = device.clone().autodiff();
        let projected = tensor(projected, self.shape, &graph, dtype).require_grad();
        let output = operation(projected.clone(), self.heads);
        assert_eq!(output.dtype(), dtype);
        let values = numbers(output.clone().inner());
        let weights = tensor(&self.weights(dtype), output.dims(), &graph, dtype);
        let gradients = (output * weights).sum().backward();
        [values, numbers(projected.grad(&gradients).unwrap())]
    }
}

/// Largest error relative to the largest number.
fn error(found: &[f64], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    assert!(found.iter().all(|number| number.is_finite()), "{found:?}");
    let largest = truth.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    let errors = found.iter().zip(truth).map(|(found, truth)| (found - truth).abs() / largest);
    errors.fold(0.0, f64::max)
}

/// Whole blocks of positions, and many of them. Sums over so many terms lose in any order, so the
/// kernel may lose twice what plain operations lose.
#[test]
fn attention_of_many_positions_is_its_reference() {
    let device = Device::default();
    for (channels, heads) in [(3, 3), (24, 1)] {
        let case = Case { shape: [1, 3 * channels, 32, 32], heads };
        let projected = case.projected(1.0, DType::F32);
        let truth = case.outcome(plain::forward, &projected, &Device::flex(), DType::F64);
        let reference = case.outcome(plain::forward, &projected, &device, DType::F32);
        let found = case.outcome(attention::forward, &projected, &device, DType::F32);
        for ((found, reference), truth) in found.iter().zip(&reference).zip(&truth) {
            let allowed = 2.0 * error(reference, truth) + 16.0 * f64::from(f32::EPSILON);
            let error = error(found, truth);
            assert!(error <= allowed, "{case:?}: {error:e} > {allowed:e}");
        }
    }
}

/// In 16-bit types the arithmetic is in float32, so the error is that of the results' rounding.
#[test]
fn attention_is_its_reference_in_every_type() {
    let device = Device::default();
    let known = [
        (DType::F32, f64::from(f32::EPSILON)),
        (DType::F16, 2f64.powi(-10)),
        (DType::BF16, 2f64.powi(-7)),
    ];
    for (dtype, epsilon) in known {
        if !device.supports_dtype(dtype) || !serves(&device, dtype) {
            println!("skipped: {device:?} has no {dtype:?}, or no kernel for it");
            continue;
        }
        let projected = CASE.projected(1.0, dtype);
        let truth = CASE.outcome(plain::forward, &projected, &Device::flex(), DType::F64);
        let found = CASE.outcome(attention::forward, &projected, &device, dtype);
        // The gradient is weighted by an output that was rounded to the type.
        for (name, found, truth) in
            [("value", &found[0], &truth[0]), ("gradient", &found[1], &truth[1])]
        {
            let (error, allowed) = (error(found, truth), 8.0 * epsilon * roughness(&device));
            assert!(error <= allowed, "{dtype:?}, {name}: {error:e} > {allowed:e}");
        }
    }
}

/// Whether a kernel runs, and not the plain operations in the type itself.
fn serves(device: &Device, dtype: DType) -> bool {
    let cpu = format!("{device:?}").contains("Flex");
    (if cpu { attention::SERVED.cpu } else { attention::SERVED.gpu }).contains(&dtype)
}

/// Scores of some ten thousands: exponentials of them, or of their negatives, would overflow.
#[test]
fn attention_holds_at_large_scores() {
    let (device, flex) = (Device::default(), Device::flex());
    let n = SHAPE.iter().product();
    let constant = |query: f64, key: f64| -> Vec<f64> {
        let part = n / SHAPE[0] / 3;
        let number = |index: usize| match index / part % 3 {
            0 => query,
            1 => key,
            _ => (index % 7) as f64 - 3.0,
        };
        (0..n).map(number).collect()
    };
    for (name, projected) in [
        ("of both signs", CASE.projected(100.0, DType::F32)),
        ("all large", constant(100.0, 70.0)),
        ("all far below 0", constant(-100.0, 70.0)),
    ] {
        let truth = CASE.outcome(plain::forward, &projected, &flex, DType::F64);
        let reference = CASE.outcome(plain::forward, &projected, &device, DType::F32);
        let found = CASE.outcome(attention::forward, &projected, &device, DType::F32);
        for ((found, reference), truth) in found.iter().zip(&reference).zip(&truth) {
            // A score of 1e4 is rounded by 1e-3, and a probability by this fraction of it.
            let allowed = 2.0 * error(reference, truth) + 1e-2;
            let error = error(found, truth);
            assert!(error <= allowed, "{name}: {error:e} > {allowed:e}");
        }
    }
}

/// Shows the same elements in other places.
type View = fn(Tensor<4>) -> Tensor<4>;

/// Views are read as what they show, with their gradients.
#[test]
fn attention_reads_views() {
    let (device, dtype) = (Device::default(), DType::F32);
    let [batch, channels, height, width] = SHAPE;
    let projected = CASE.projected(1.0, dtype);
    let flat = tensor(&projected, SHAPE, &device, dtype);
    let wide = Tensor::cat(vec![flat.clone().neg(), flat.clone(), flat.clone()], 1);
    let expected = CASE.outcome(attention::forward, &projected, &device, dtype);
    let views: [(&str, Tensor<4>, View); 3] = [
        ("a transposed image", flat.clone().swap_dims(2, 3).mul_scalar(1.0), |stored| {
            stored.swap_dims(2, 3)
        }),
        ("channels last", flat.clone().permute([0, 2, 3, 1]).mul_scalar(1.0), |stored| {
            stored.permute([0, 3, 1, 2])
        }),
        ("some channels of more", wide, |stored| stored.narrow(1, SHAPE[1], SHAPE[1])),
    ];
    for (name, stored, view) in views {
        // Data from the host has no strides of its own.
        let shape = stored.dims();
        let stored = tensor(&numbers(stored), shape, &device.clone().autodiff(), dtype);
        let stored = stored.require_grad();
        let output = attention::forward(view(stored.clone()), HEADS);
        assert_eq!(numbers(output.clone().inner()), expected[0], "{name}");
        // The gradient of the output is a view too.
        let [turned, back] = [[0, 2, 3, 1], [0, 3, 1, 2]];
        let weights =
            tensor(&CASE.weights(dtype), [batch, channels / 3, height, width], &device, dtype);
        let weights = Tensor::from_inner(weights.permute(turned).mul_scalar(1.0));
        let gradients = (output * weights.permute(back)).sum().backward();
        let gradient = view(stored.grad(&gradients).unwrap());
        assert_eq!(numbers(gradient), expected[1], "gradient of {name}");
    }
}

/// `ln Σ_j e^(s_ij)`, in the type of the arithmetic.
#[test]
fn log_sums_have_the_precision_of_the_arithmetic() {
    let (device, flex) = (Device::default(), Device::flex());
    let [batch, channels, height, width] = SHAPE;
    let shape = [batch, channels, height * width];
    for dtype in [DType::F32, DType::F16] {
        if !device.supports_dtype(dtype) || !serves(&device, dtype) {
            continue;
        }
        let projected = CASE.projected(3.0, dtype);
        let log_sums = |device: &Device, dtype: DType| {
            let projected = tensor(&projected, shape, device, dtype).into_dispatch();
            let (_, log_sums) = <Dispatch as AttentionOps>::self_attention(projected, HEADS);
            Tensor::<3>::from_dispatch(log_sums)
        };
        let found = log_sums(&device, dtype);
        assert_eq!((found.dims(), found.dtype()), ([batch, HEADS, height * width], DType::F32));
        let error = error(&numbers(found), &numbers(log_sums(&flex, DType::F64)));
        assert!(error < 16.0 * f64::from(f32::EPSILON) * roughness(&device), "{error:e}");
    }
}

/// NaN stays in its head.
#[test]
fn heads_stay_apart() {
    let (device, dtype) = (Device::default(), DType::F32);
    let mut projected = CASE.projected(1.0, dtype);
    let clean = CASE.outcome(attention::forward, &projected, &device, dtype);
    let positions = SHAPE[2] * SHAPE[3];
    projected[(6 + 2) * positions + 40] = f64::NAN; // a key of the second head
    let found = CASE.outcome(attention::forward, &projected, &device, dtype);
    let head = 2 * positions..4 * positions;
    for (index, (found, clean)) in found[0].iter().zip(&clean[0]).enumerate() {
        if head.contains(&index) {
            assert!(found.is_nan(), "{index}");
        } else {
            assert_eq!(found, clean, "{index}");
        }
    }
    for (index, (found, clean)) in found[1].iter().zip(&clean[1]).enumerate() {
        let inside = index < SHAPE[1] * positions && head.contains(&(index % (6 * positions)));
        assert!(inside || found == clean, "gradient {index}");
    }
}

/// The backend below fusion runs operations at once, with the same result. It refuses log-sums that
/// are not in the type of the arithmetic.
#[cfg(feature = "_wgpu")]
#[test]
fn attention_runs_without_fusion() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use burn::backend::ops::FloatTensorOps;
    use burn::backend::{DispatchDevice, TensorMetadata};
    use burn_cubecl::CubeBackend;
    use flowkit::kernel::attention::AttentionGradient;

    let (device, dtype) = (Device::default(), DType::F32);
    let DispatchDevice::Cube(plain) = device.as_dispatch() else { return };
    let [batch, channels, height, width] = SHAPE;
    let projected = CASE.projected(1.0, dtype);
    let below = |numbers: &[f64], channels: usize| {
        let data = TensorData::new(numbers.to_vec(), [batch, channels, height * width]);
        CubeBackend::float_from_data(data.convert_dtype(dtype), plain)
    };
    let read = |tensor| -> Vec<f64> {
        let data = burn::tensor::read_sync(CubeBackend::float_into_data(tensor)).unwrap();
        data.iter::<f64>().collect()
    };
    let expected = CASE.outcome(attention::forward, &projected, &device, dtype);
    let operand = below(&projected, channels);
    let (output, log_sums) = CubeBackend::self_attention(operand.clone(), HEADS);
    assert_eq!(log_sums.shape().to_vec(), [batch, HEADS, height * width]);
    let gradient = below(&CASE.weights(dtype), channels / 3);
    let of_projected = CubeBackend::self_attention_backward(
        operand.clone(),
        output.clone(),
        log_sums.clone(),
        gradient.clone(),
        HEADS,
    );
    assert_eq!([read(output.clone()), read(of_projected)], expected);
    if device.supports_dtype(DType::F16) {
        let narrow = CubeBackend::float_cast(log_sums, burn::tensor::FloatDType::F16);
        let refused = catch_unwind(AssertUnwindSafe(|| {
            CubeBackend::self_attention_backward(operand, output, narrow, gradient, HEADS)
        }));
        let message = refused.expect_err("log-sums in float16");
        let message = message.downcast_ref::<String>().unwrap();
        assert!(message.contains("`log_sums` must be of F32"), "{message}");
    }
}
