//! Numbers and operands that a kernel must not swallow, on every device: a NaN or an infinity in a
//! parameter, a root that a type cannot hold, and parameters that do not fit.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::kernel::affine_coupling::{self, AffineForm};
use flowkit::kernel::spline::{self, SplineEnds, SplineShape};
use flowkit::kernel::{mixture_logistic, plu};

#[path = "common/kernel_case.rs"]
#[expect(dead_code, reason = "`kernel_errors` needs a part of it")]
mod kernel_case;
const MIN_LOG_SCALE: f64 = -7.0;

fn devices() -> [Device; 2] {
    [Device::flex(), Device::default()]
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// A maximum that ignores NaN would turn it into the bound of the log-scale.
#[test]
fn a_nan_in_theta_is_seen() {
    let (dims, k) = (3, 2);
    for device in devices() {
        for row in 0..2 + 3 * k {
            let mut theta = vec![0.25; (2 + 3 * k) * dims];
            theta[row * dims + 1] = f64::NAN;
            let theta = TensorData::new(theta, [1, 2 + 3 * k, dims]);
            let theta = Tensor::<3>::from_data(theta, (&device, DType::F32));
            let x = Tensor::<2>::from_data([[0.5, -0.5, 1.5]], (&device, DType::F32));
            let (z, log_derivative) =
                mixture_logistic::forward(x.clone(), theta.clone(), MIN_LOG_SCALE);
            let root = mixture_logistic::inverse(x, theta, MIN_LOG_SCALE);
            // The shift does not affect the derivative.
            let outputs = [(z, true), (log_derivative, row != 1), (root, true)];
            for (index, (output, affected)) in outputs.into_iter().enumerate() {
                let nan: Vec<bool> = numbers(output).iter().map(|value| value.is_nan()).collect();
                assert_eq!(nan, [false, affected, false], "output {index}, row {row}, {device:?}");
            }
        }
    }
}

/// `x ≈ 82026`, where float16 ends at 65504.
#[test]
fn a_root_beyond_the_type_is_none() {
    for device in devices() {
        for (dtype, expected) in [(DType::F16, f64::NAN), (DType::BF16, 82_026.0)] {
            if !device.supports_dtype(dtype) {
                println!("skipped: {device:?} has no {dtype:?}");
                continue;
            }
            let theta = [[[0.0], [0.0], [0.0], [60_000.0], [10.0]]];
            let theta = Tensor::<3>::from_data(theta, (&device, dtype));
            let z = Tensor::<2>::from_data([[1.0]], (&device, dtype));
            let x = numbers(mixture_logistic::inverse(z, theta, MIN_LOG_SCALE))[0];
            let near = (x - expected).abs() < 0.01 * expected;
            assert!(near || (expected.is_nan() && x.is_nan()), "{x}, {dtype:?} on {device:?}");
        }
    }
}

/// 0 times an infinite shift is NaN, so a kernel must not compute it.
#[test]
fn an_infinite_shift_is_an_infinite_latent() {
    for device in devices() {
        let graph = device.clone().autodiff();
        for form in
            [AffineForm::Exponential, AffineForm::Sigmoid, AffineForm::Bounded, AffineForm::Normal]
        {
            let x = Tensor::<3>::from_data([[[0.5, -0.5]]], &graph).require_grad();
            let theta = [[[0.1, 0.2, f64::INFINITY, -1.0]]];
            let theta = Tensor::<3>::from_data(theta, &graph).reshape([1, 2, 2]);
            let (z, log_det) = affine_coupling::forward(x.clone(), theta.clone(), form, 0..1);
            let found = numbers(z.clone());
            let sign = if form == AffineForm::Normal { -1.0 } else { 1.0 };
            assert_eq!(found[0], f64::INFINITY * sign, "{form:?} on {device:?}");
            assert!(found[1].is_finite() && numbers(log_det)[0].is_finite());
            let gradients = z.sum().backward();
            let of_x = numbers(x.grad(&gradients).expect("a leaf has a gradient"));
            assert!(of_x.iter().all(|value| value.is_finite()), "{form:?} on {device:?}: {of_x:?}");
            let z = Tensor::<3>::from_data([[[0.5, -0.5]]], &device);
            let x = numbers(affine_coupling::inverse(z, theta.inner(), form, 0..1));
            assert!(x[0].is_infinite() && x[1].is_finite(), "{form:?} on {device:?}: {x:?}");
        }
    }
}

fn refusal(call: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("a refusal");
    *panic.downcast::<String>().expect("a text")
}

#[test]
fn what_does_not_fit_is_refused() {
    for device in devices() {
        let square = || Tensor::<2>::eye(4, &device);
        let permutation = Tensor::<1, Int>::from_data([0, 1, 2], &device);
        let diagonal = Tensor::<1>::ones([4], &device);
        let text = refusal(|| drop(plu::matrix(square(), square(), diagonal, permutation)));
        assert!(text.contains("permutation") && text.contains('4'), "{text}");
        let shape = |n_bins| SplineShape {
            n_bins,
            bound: 3.0,
            min_width: 1e-3,
            min_height: 1e-3,
            min_slope: 1e-3,
            ends: SplineEnds::Identity,
        };
        for (n_bins, rows) in [(0, 1), (1, 2)] {
            let theta = || Tensor::<3>::zeros([2, rows, 3], &device);
            let x = || Tensor::<2>::zeros([2, 3], &device);
            for text in [
                refusal(|| drop(spline::forward(x(), theta(), shape(n_bins)))),
                refusal(|| drop(spline::inverse(x(), theta(), shape(n_bins)))),
                refusal(|| drop(spline::plain::forward(x(), theta(), shape(n_bins)))),
            ] {
                assert!(text.contains("at least 2 bins"), "{text}");
            }
        }
    }
}

/// The memory of a tensor may be longer than its elements: CUDA rounds rows up.
#[cfg(feature = "_wgpu")]
#[test]
fn what_lies_behind_a_tensor_is_not_read() {
    use burn::backend::DispatchDevice;
    use burn::backend::ops::FloatTensorOps;
    use burn::tensor::Shape;
    use burn_cubecl::CubeBackend;
    use flowkit::kernel::adam::{AdamOps, Rates};
    use flowkit::kernel::global_norm::GlobalNormOps;
    use flowkit::kernel::moving_average::MovingAverageOps;
    use flowkit::kernel::tensors::Tensors;

    let device = Device::default();
    let DispatchDevice::Cube(plain) = device.as_dispatch() else { return };
    let (length, memory) = (96, 128);
    let padded = |value: f32| {
        let mut values = vec![value; length];
        values.resize(memory, f32::NAN);
        let mut tensor = CubeBackend::float_from_data(TensorData::new(values, [memory]), plain);
        *tensor.meta.shape_mut() = Shape::new([length]);
        tensor
    };
    let check = |name: &str, tensor, expected: f64| {
        let found = burn::tensor::read_sync(CubeBackend::float_into_data(tensor)).unwrap();
        let near = |value: f64| (value - expected).abs() < 1e-5 * expected;
        assert!(found.iter::<f64>().all(near), "{name}: {found:?}, not {expected}");
    };
    let rates = Rates { beta_1: 0.9, beta_2: 0.99, rate: 0.1, epsilon: 1e-8 };
    let (moved, ..) = CubeBackend::adam(padded(1.0), padded(2.0), padded(0.0), padded(0.0), rates);
    check("adam", moved, 1.0 - 0.1 * 0.2 / 0.04f64.sqrt());
    check("moving_average", CubeBackend::moving_average(padded(1.0), padded(2.0), 0.25), 1.25);
    let norm = CubeBackend::global_norm(Tensors(vec![padded(2.0), padded(1.0)]));
    check("global_norm", norm, (5.0 * length as f64).sqrt());
}
