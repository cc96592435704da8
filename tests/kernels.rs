//! Kernels against their references: values and gradients, on sizes that no vector divides, from
//! tensors that are not contiguous, at ordinary and at extreme parameters, in every precision of
//! the device.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use flowkit::kernel::mixture_logistic::{self, plain};
use flowkit::testing::tolerance::roughness;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

mod common;
#[path = "common/poison.rs"]
mod poison;

#[global_allocator]
static ALLOCATOR: poison::Poison = poison::Poison;

/// Sizes `(batch, dims)`.
const SIZES: [(usize, usize); 5] = [(1, 1), (2, 7), (3, 13), (5, 129), (2, 1030)];
const COMPONENTS: [usize; 4] = [1, 2, 5, 32];
const MIN_LOG_SCALE: f64 = -7.0;

/// What the numbers are like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    /// As a network gives them.
    Ordinary,
    /// Components thousands of their widths away, narrower than the bound and much wider than the
    /// data; log-weights hundreds apart.
    Extreme,
}

impl Range {
    /// Those that a precision can hold: f16 ends at 65504, which extreme latents exceed.
    fn of(dtype: DType) -> Vec<Self> {
        if dtype == DType::F16 { vec![Self::Ordinary] } else { vec![Self::Ordinary, Self::Extreme] }
    }
}

/// `x`, `theta` and the weights of the outputs in a loss, of numbers that every precision holds.
struct Inputs {
    size: (usize, usize),
    k: usize,
    x: Vec<f64>,
    theta: Vec<f64>,
    weights: [Vec<f64>; 2],
}

impl Inputs {
    fn new(size: (usize, usize), k: usize, range: Range, dtype: DType) -> Self {
        let mut rng = StdRng::seed_from_u64((size.0 * 1000 + size.1) as u64 * 100 + k as u64);
        let (batch, dims) = size;
        // Rounded to the precision of the test, so that the truth is that of the same numbers.
        let mut normal = |scale: f64, shift: f64| {
            let number: f64 = rng.sample(StandardNormal);
            rounded(number * scale + shift, dtype)
        };
        let (spread, narrow, weigh) = match range {
            Range::Ordinary => (1.0, 0.5, 1.0),
            Range::Extreme => (300.0, 5.0, 60.0),
        };
        let x = (0..batch * dims).map(|_| normal(spread, 0.0)).collect();
        let mut theta = Vec::new();
        for _ in 0..batch {
            for row in 0..2 + 3 * k {
                let (scale, shift) = match row {
                    0 => (1.0, 0.0),
                    1 => (spread, 0.0),
                    row if row < 2 + k => (weigh, 0.0),
                    row if row < 2 + 2 * k => (spread, 0.0),
                    _ => (narrow, -1.0),
                };
                theta.extend((0..dims).map(|_| normal(scale, shift)));
            }
        }
        let mut weights = || (0..batch * dims).map(|_| normal(1.0, 0.0)).collect();
        let weights = [weights(), weights()];
        Self { size, k, x, theta, weights }
    }

    /// The largest error of `z = e^{tanh a}·t + b` relative to 1 and its terms: where they cancel,
    /// the last digits are those of the terms.
    fn error_of_z(&self, found: &[f64], truth: &[f64]) -> f64 {
        let (batch, dims) = self.size;
        let rows = 2 + 3 * self.k;
        let shift = |index: usize| self.theta[(index / dims * rows + 1) * dims + index % dims];
        assert!(
            found.len() == batch * dims && found.iter().all(|value| value.is_finite()),
            "z: {found:?}"
        );
        let errors = found.iter().zip(truth).enumerate();
        let errors = errors.map(|(i, (found, truth))| {
            (found - truth).abs() / (1.0 + truth.abs() + shift(i).abs())
        });
        errors.fold(0.0, f64::max)
    }

    fn x_on(&self, device: &Device, dtype: DType) -> Tensor<2> {
        tensor(self.x.clone(), [self.size.0, self.size.1], device, dtype)
    }

    fn theta_on(&self, device: &Device, dtype: DType) -> Tensor<3> {
        tensor(self.theta.clone(), [self.size.0, 2 + 3 * self.k, self.size.1], device, dtype)
    }
}

fn rounded(number: f64, dtype: DType) -> f64 {
    TensorData::from([number]).convert_dtype(dtype).iter::<f64>().collect::<Vec<_>>()[0]
}

fn tensor<const D: usize>(
    numbers: Vec<f64>,
    shape: [usize; D],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers, shape), (device, dtype))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// An operation with the signature of [`mixture_logistic::forward`].
type Forward = fn(Tensor<2>, Tensor<3>, f64) -> (Tensor<2>, Tensor<2>);

/// Outputs that a loss is made of.
const LOSSES: [[f64; 2]; 3] = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];

/// Outputs of an operation, and its gradients for each loss: `(name, values)`, one group of
/// parameters a name.
fn outcome(
    operation: Forward,
    inputs: &Inputs,
    device: &Device,
    dtype: DType,
) -> Vec<(String, Vec<f64>)> {
    let (batch, dims) = inputs.size;
    let k = inputs.k;
    let device = device.clone().autodiff();
    let mut found = Vec::new();
    for loss in LOSSES {
        let x = inputs.x_on(&device, dtype).require_grad();
        let theta = inputs.theta_on(&device, dtype).require_grad();
        let (z, log_derivative) = operation(x.clone(), theta.clone(), MIN_LOG_SCALE);
        assert_eq!((z.dims(), z.dtype()), ([batch, dims], dtype));
        if found.is_empty() {
            found.push(("z".to_owned(), numbers(z.clone().inner())));
            found.push(("log-derivative".to_owned(), numbers(log_derivative.clone().inner())));
        }
        let weighted = |output: Tensor<2>, index: usize| {
            let weights = inputs.weights[index].iter().map(|weight| weight * loss[index]).collect();
            (output * tensor(weights, [batch, dims], &device, dtype)).sum()
        };
        // One output alone is a graph without the other.
        let sum = match loss {
            [_, 0.0] => weighted(z, 0),
            [0.0, _] => weighted(log_derivative, 1),
            _ => weighted(z, 0) + weighted(log_derivative, 1),
        };
        let gradients = sum.backward();
        found.push((format!("∂x of loss {loss:?}"), numbers(x.grad(&gradients).unwrap())));
        let theta = theta.grad(&gradients).unwrap();
        for (name, start, rows) in
            [("a", 0, 1), ("b", 1, 1), ("ℓ", 2, k), ("μ", 2 + k, k), ("s", 2 + 2 * k, k)]
        {
            let rows = theta.clone().narrow(1, start, rows);
            found.push((format!("∂{name} of loss {loss:?}"), numbers(rows)));
        }
    }
    found
}

/// The largest error relative to what it is measured by: outputs each by itself, gradients by the
/// largest of their group.
fn error(name: &str, found: &[f64], truth: &[f64]) -> f64 {
    let largest = truth.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    let by = |value: f64| if name.starts_with('∂') { largest } else { 1.0 + value.abs() };
    let errors = found.iter().zip(truth).map(|(found, truth)| (found - truth).abs() / by(*truth));
    assert!(
        found.len() == truth.len() && found.iter().all(|value| value.is_finite()),
        "{name}: {found:?}"
    );
    errors.fold(0.0, f64::max)
}

/// Distance from 1 to the next number of a precision.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F32 => f64::from(f32::EPSILON),
        DType::F16 => 2f64.powi(-10),
        _ => 2f64.powi(-7),
    }
}

/// Float64 on the CPU, and what the device that is tested knows of the others.
fn precisions() -> Vec<(Device, DType)> {
    let device = Device::default();
    let others = [FloatDType::F32, FloatDType::F16, FloatDType::BF16].map(DType::from);
    let others = others.into_iter().filter(|dtype| device.supports_dtype(*dtype));
    [(Device::flex(), DType::F64)]
        .into_iter()
        .chain(others.map(|dtype| (device.clone(), dtype)))
        .collect()
}

/// A kernel may lose what plain operations of the same precision lose, and a few roundings more:
/// what both lose to `x − μ` of components far away is in the numbers, not in the kernel.
#[test]
fn mixture_logistic_is_its_reference() {
    for (device, dtype) in precisions() {
        let rounding = epsilon(dtype) * roughness(&device);
        for range in Range::of(dtype) {
            for (size, k) in SIZES.into_iter().flat_map(|size| COMPONENTS.map(|k| (size, k))) {
                let inputs = Inputs::new(size, k, range, dtype);
                let truth = outcome(plain::forward, &inputs, &Device::flex(), DType::F64);
                let plain_dtype = if dtype == DType::F64 { dtype } else { DType::F32 };
                let plain = outcome(plain::forward, &inputs, &device, plain_dtype);
                let found = outcome(mixture_logistic::forward, &inputs, &device, dtype);
                for (((name, truth), (_, plain)), (_, found)) in
                    truth.iter().zip(&plain).zip(&found)
                {
                    let error = |found: &[f64]| match name.as_str() {
                        "z" => inputs.error_of_z(found, truth),
                        name => error(name, found, truth),
                    };
                    let (allowed, error) = (2.0 * error(plain) + 64.0 * rounding, error(found));
                    assert!(
                        error <= allowed,
                        "{dtype:?} {range:?} {size:?} K = {k}, {name}: {error:e} > {allowed:e}"
                    );
                }
            }
        }
    }
}

/// Views have strides: the kernel reads them as they are or copies them, and finds the same.
#[test]
fn mixture_logistic_reads_views() {
    let (device, dtype) = (Device::default(), DType::F32);
    let inputs = Inputs::new((3, 13), 5, Range::Ordinary, dtype);
    let (x, theta) = (inputs.x_on(&device, dtype), inputs.theta_on(&device, dtype));
    let (z, log_derivative) = mixture_logistic::forward(x.clone(), theta.clone(), MIN_LOG_SCALE);
    let expected = [z, log_derivative].map(numbers);
    let transposed = x.clone().transpose().add_scalar(0.0).transpose();
    let flipped = theta.clone().flip([2]).add_scalar(0.0).flip([2]);
    let inner =
        Tensor::cat(vec![theta.clone().neg(), theta.clone(), theta.clone()], 1).narrow(1, 17, 17);
    let every_second = Tensor::stack::<4>(vec![theta.clone(), theta.clone().neg()], 3)
        .narrow(3, 0, 1)
        .squeeze_dim::<3>(3);
    let expanded = x.clone().narrow(0, 1, 1).expand([3, 13]);
    for (what, x, theta) in [
        ("a transposed x", transposed, theta.clone()),
        ("a flipped theta", x.clone(), flipped),
        ("rows of a longer theta", x.clone(), inner),
        ("every second number", x.clone(), every_second),
    ] {
        let (z, log_derivative) =
            mixture_logistic::forward(x.clone(), theta.clone(), MIN_LOG_SCALE);
        assert_eq!([z.clone(), log_derivative].map(numbers), expected, "{what}");
        let back = numbers(mixture_logistic::inverse(z, theta, MIN_LOG_SCALE));
        let far =
            back.iter().zip(&inputs.x).map(|(found, x)| (found - x).abs()).fold(0.0, f64::max);
        assert!(far < 1e-4, "{what}: {far}");
    }
    let (z, _) = mixture_logistic::forward(expanded.clone(), theta.clone(), MIN_LOG_SCALE);
    let (same, _) = mixture_logistic::forward(expanded.add_scalar(0.0), theta, MIN_LOG_SCALE);
    assert_eq!(numbers(z), numbers(same), "an expanded x");
}

/// Every element stands at its root, to rounding of the latent and of the solution, or says that it
/// does not.
#[test]
fn mixture_logistic_inverse_is_exact() {
    for (device, dtype) in precisions() {
        let rounding = epsilon(dtype) * roughness(&device);
        for range in Range::of(dtype) {
            for (size, k) in SIZES.into_iter().flat_map(|size| COMPONENTS.map(|k| (size, k))) {
                let inputs = Inputs::new(size, k, range, dtype);
                let flex = Device::flex();
                let precise = |x: Tensor<2>| {
                    plain::forward(x, inputs.theta_on(&flex, DType::F64), MIN_LOG_SCALE)
                };
                let (z, _) = precise(inputs.x_on(&flex, DType::F64));
                let z = tensor(numbers(z), [size.0, size.1], &device, dtype);
                let solution = mixture_logistic::solve(
                    z.clone(),
                    inputs.theta_on(&device, dtype),
                    MIN_LOG_SCALE,
                );
                assert!(
                    solution.solved.all().into_scalar::<bool>(),
                    "{dtype:?} {range:?} {size:?} K = {k}: unsolved"
                );
                let x = numbers(solution.x);
                let (reached, log_derivative) =
                    precise(tensor(x.clone(), [size.0, size.1], &flex, DType::F64));
                let (z, reached, log_derivative) =
                    (numbers(z), numbers(reached), numbers(log_derivative));
                for i in 0..x.len() {
                    // What the spacings of `x`, of the means and shifts, and of the latent make of
                    // the exact root.
                    let far = if range == Range::Extreme { 1200.0 } else { 4.0 };
                    let (x_size, z_size) = (x[i].abs() + far, z[i].abs() + far);
                    let allowed = 32.0 * rounding * (z_size + x_size * log_derivative[i].exp());
                    let error = (reached[i] - z[i]).abs();
                    assert!(
                        error <= allowed,
                        "{dtype:?} {range:?} {size:?} K = {k}: {error:e} > {allowed:e} at x = {}",
                        x[i]
                    );
                }
            }
        }
    }
}

/// The implicit gradients are those of the reference's solver.
#[test]
fn mixture_logistic_inverse_is_differentiable() {
    for (device, dtype) in precisions() {
        let inputs = Inputs::new((3, 13), 5, Range::Ordinary, dtype);
        let gradients = |kernel: bool, device: &Device, dtype: DType| {
            let device = device.clone().autodiff();
            let z = inputs.x_on(&device, dtype).require_grad();
            let theta = inputs.theta_on(&device, dtype).require_grad();
            let x = if kernel {
                mixture_logistic::inverse(z.clone(), theta.clone(), MIN_LOG_SCALE)
            } else {
                let (log_scale, shift, mixture) = plain::parts(theta.clone(), MIN_LOG_SCALE);
                mixture.inverse((z.clone() - shift) * log_scale.neg().exp())
            };
            let weights = tensor(inputs.weights[0].clone(), [3, 13], &device, dtype);
            let gradients = (x * weights).sum().backward();
            [numbers(z.grad(&gradients).unwrap()), numbers(theta.grad(&gradients).unwrap())]
        };
        let truth = gradients(false, &Device::flex(), DType::F64);
        let found = gradients(true, &device, dtype);
        for (name, truth, found) in [("∂z", &truth[0], &found[0]), ("∂theta", &truth[1], &found[1])]
        {
            let (error, allowed) =
                (error(name, found, truth), 64.0 * epsilon(dtype) * roughness(&device));
            assert!(error <= allowed, "{dtype:?} {name}: {error:e} > {allowed:e}");
        }
    }
}

/// A number that is none spoils itself alone, and an infinite latent has no root.
#[test]
fn mixture_logistic_keeps_elements_apart() {
    let (device, dtype) = (Device::flex(), DType::F32);
    for dims in [1, 5, 70] {
        let inputs = Inputs::new((2, dims), 3, Range::Ordinary, dtype);
        let theta = inputs.theta_on(&device, dtype);
        let outputs = |x: &[f64]| {
            let x = tensor(x.to_vec(), [2, dims], &device, dtype);
            let (z, log_derivative) = mixture_logistic::forward(x, theta.clone(), MIN_LOG_SCALE);
            [numbers(z), numbers(log_derivative)]
        };
        let roots = |z: &[f64]| {
            let z = tensor(z.to_vec(), [2, dims], &device, dtype);
            numbers(mixture_logistic::inverse(z, theta.clone(), MIN_LOG_SCALE))
        };
        let (clean, clean_roots) = (outputs(&inputs.x), roots(&inputs.x));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut x = inputs.x.clone();
            x[dims] = bad;
            for (found, clean) in outputs(&x).iter().zip(&clean).chain([(&roots(&x), &clean_roots)])
            {
                for i in (0..2 * dims).filter(|&i| i != dims) {
                    assert_eq!(found[i], clean[i], "{bad} beside element {i}");
                }
                assert!(!bad.is_nan() || found[dims].is_nan());
            }
            assert!(roots(&x)[dims].is_nan(), "a root at {bad}");
        }
    }
}

/// Fusion records operations and runs them later; the backend below it runs them at once, with the
/// same result.
#[cfg(feature = "_wgpu")]
#[test]
fn kernels_run_without_fusion() {
    use burn::backend::ops::FloatTensorOps;
    use burn::backend::{DispatchDevice, TensorMetadata};
    use burn_cubecl::CubeBackend;
    use flowkit::kernel::mixture_logistic::MixtureLogisticOps;

    let device = Device::default();
    let DispatchDevice::Cube(plain) = device.as_dispatch() else { return };
    let inputs = Inputs::new((3, 13), 5, Range::Ordinary, DType::F32);
    let (x, theta) = (inputs.x_on(&device, DType::F32), inputs.theta_on(&device, DType::F32));
    let below = |tensor: TensorData| CubeBackend::float_from_data(tensor, plain);
    let output =
        CubeBackend::mixture_logistic(below(x.to_data()), below(theta.to_data()), MIN_LOG_SCALE);
    assert_eq!(output.shape().to_vec(), [2, 3, 13]);
    let output = burn::tensor::read_sync(CubeBackend::float_into_data(output)).unwrap();
    let (z, log_derivative) = mixture_logistic::forward(x, theta, MIN_LOG_SCALE);
    let expected = [numbers(z), numbers(log_derivative)].concat();
    assert_eq!(output.iter::<f64>().collect::<Vec<_>>(), expected);
}
