//! Kernels of the spline against their plain form: values and gradients, on sizes that no cube
//! divides, at ordinary and at extreme parameters, and where an element is at a knot, at the bound
//! or outside.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use flowkit::kernel::spline::{self, SplineEnds, SplineShape};
use rand::SeedableRng;
use rand::rngs::StdRng;

#[path = "common/kernel_case.rs"]
mod kernel_case;

use kernel_case::{Case, check_to, flat, normal};

/// The plain form in float64 has roundings too. A bin of a thousandth of the width multiplies those
/// of its knots, in the derivatives by its square.
const ROUNDINGS: f64 = 8192.0;

/// Sizes `(batch, dims)`.
const SIZES: [[usize; 2]; 4] = [[1, 1], [2, 7], [3, 13], [5, 129]];
const BINS: [usize; 3] = [2, 5, 32];
const ENDS: [SplineEnds; 2] = [SplineEnds::Identity, SplineEnds::Circular];

fn shape(n_bins: usize, ends: SplineEnds) -> SplineShape {
    SplineShape { n_bins, bound: 3.0, min_width: 1e-3, min_height: 2e-3, min_slope: 1e-3, ends }
}

/// Splines of all numbers of bins and all ends.
fn shapes() -> impl Iterator<Item = SplineShape> {
    BINS.into_iter().flat_map(|n_bins| ENDS.map(|ends| shape(n_bins, ends)))
}

/// Whether an element passes unchanged.
fn is_outside(x: f64, spline: SplineShape) -> bool {
    let is_start = spline.ends == SplineEnds::Circular && x == -spline.bound;
    x.abs() >= spline.bound && !is_start
}

/// Which outputs a case returns.
#[derive(Debug, Clone, Copy)]
enum Outputs {
    Latent,
    LogDerivative,
    Both,
}

impl Outputs {
    fn of(self, (z, log_derivative): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
        match self {
            Self::Latent => flat(z),
            Self::LogDerivative => flat(log_derivative),
            Self::Both => Tensor::cat(vec![flat(z), flat(log_derivative)], 0),
        }
    }
}

/// Cases of all sizes, of the kernel and the plain form. Logits and slopes are operands of their
/// own, so the gradients of each are measured by their own size.
fn cases(
    name: &str,
    kernel: fn(Tensor<2>, Tensor<3>, SplineShape) -> Tensor<1>,
    plain: fn(Tensor<2>, Tensor<3>, SplineShape) -> Tensor<1>,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (size, spline) in SIZES.into_iter().flat_map(|size| shapes().map(move |s| (size, s))) {
        let rows = 2 * spline.n_bins;
        let [logits, slopes] =
            [rows, spline.n_params() - rows].map(|rows| [size[0], rows, size[1]]);
        let read = move |p: &[Tensor<1>]| {
            let (logits, slopes) = (p[1].clone().reshape(logits), p[2].clone().reshape(slopes));
            (p[0].clone().reshape(size), Tensor::cat(vec![logits, slopes], 1))
        };
        cases.push(Case::new(
            format!("{name} of {spline:?}, {size:?}"),
            vec![size.to_vec(), logits.to_vec(), slopes.to_vec()],
            move |p| kernel(read(p).0, read(p).1, spline),
            move |p| plain(read(p).0, read(p).1, spline),
        ));
    }
    cases
}

#[test]
fn latents_are_those_of_the_plain_form() {
    check_to(
        ROUNDINGS,
        cases(
            "latents",
            |x, theta, spline| Outputs::Latent.of(spline::forward(x, theta, spline)),
            |x, theta, spline| Outputs::Latent.of(spline::plain::forward(x, theta, spline)),
        ),
    );
}

#[test]
fn log_derivatives_are_those_of_the_plain_form() {
    check_to(
        ROUNDINGS,
        cases(
            "log-derivatives",
            |x, theta, spline| Outputs::LogDerivative.of(spline::forward(x, theta, spline)),
            |x, theta, spline| Outputs::LogDerivative.of(spline::plain::forward(x, theta, spline)),
        ),
    );
}

#[test]
fn both_outputs_are_those_of_the_plain_form() {
    check_to(
        ROUNDINGS,
        cases(
            "both outputs",
            |x, theta, spline| Outputs::Both.of(spline::forward(x, theta, spline)),
            |x, theta, spline| Outputs::Both.of(spline::plain::forward(x, theta, spline)),
        ),
    );
}

#[test]
fn inverses_are_those_of_the_plain_form() {
    check_to(
        ROUNDINGS,
        cases(
            "inverse",
            |z, theta, spline| flat(spline::inverse(z, theta, spline)),
            |z, theta, spline| flat(spline::plain::inverse(z, theta, spline)),
        ),
    );
}

/// What parameters are like.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Parameters {
    Ordinary,
    /// Logits of ±1e4: one bin has nearly all of an axis, the others the minimum.
    OneBin,
    /// Slope parameters of ±50.
    Slopes,
    Both,
}

const PARAMETERS: [Parameters; 4] =
    [Parameters::Ordinary, Parameters::OneBin, Parameters::Slopes, Parameters::Both];

/// Parameters of `n` elements, `[1, 3K − 1, n]`.
fn theta(spline: SplineShape, parameters: Parameters, n: usize, rng: &mut StdRng) -> Vec<f64> {
    let rows = spline.n_params();
    let mut theta = normal(rows * n, rng);
    for (index, value) in theta.iter_mut().enumerate() {
        let is_slope = index / n >= 2 * spline.n_bins;
        match (is_slope, parameters) {
            (false, Parameters::OneBin | Parameters::Both) => *value = value.signum() * 1e4,
            (true, Parameters::Slopes | Parameters::Both) => *value = value.signum() * 50.0,
            _ => {}
        }
    }
    theta
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn tensor<const D: usize>(
    numbers: &[f64],
    shape: [usize; D],
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    let data = TensorData::new(numbers.to_vec(), shape).convert_dtype(dtype);
    Tensor::from_data(data, (device, dtype))
}

/// `n` elements: at the bound and on both sides of it, at the knots in x of every third element's
/// spline, and normal ones. All are float32 numbers.
fn elements(spline: SplineShape, theta: &[f64], n: usize, rng: &mut StdRng) -> Vec<f64> {
    let mut elements = normal(n, rng);
    let bound = spline.bound;
    let below = f64::from((bound as f32).next_down());
    let special = [bound, -bound, below, -below, 3.5, -1e3, 1e30, 0.0];
    elements[..special.len()].copy_from_slice(&special);
    for at in (special.len()..n).step_by(3) {
        let logits: Vec<f64> = (0..spline.n_bins).map(|row| theta[row * n + at]).collect();
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logits.iter().map(|logit| (logit - max).exp()).collect();
        let total: f64 = weights.iter().sum();
        let rest = 1.0 - spline.min_width * spline.n_bins as f64;
        let before = 1 + at % (spline.n_bins - 1);
        let share: f64 =
            weights[..before].iter().map(|weight| spline.min_width + rest * weight / total).sum();
        elements[at] = f64::from((2.0 * bound * share - bound) as f32);
    }
    elements
}

/// The largest error relative to `1 +` the magnitude.
fn error(found: &[f64], truth: &[f64]) -> f64 {
    assert_eq!(found.len(), truth.len());
    let errors =
        found.iter().zip(truth).map(|(found, truth)| (found - truth).abs() / (1.0 + truth.abs()));
    errors.fold(0.0, |worst, error| if error.is_nan() { f64::INFINITY } else { error.max(worst) })
}

/// The precisions of the device. Plain operations in 16 bits, which a CPU takes, are no kernel.
fn precisions() -> Vec<(DType, f64)> {
    let all = [
        (FloatDType::F32, f64::from(f32::EPSILON)),
        (FloatDType::F16, 2f64.powi(-10)),
        (FloatDType::BF16, 2f64.powi(-7)),
    ];
    let device = Device::default();
    let all = all.map(|(dtype, epsilon)| (DType::from(dtype), epsilon));
    let cpu = device == Device::flex();
    let served = |dtype: DType| dtype == DType::F32 || (!cpu && device.supports_dtype(dtype));
    all.into_iter().filter(|(dtype, _)| served(*dtype)).collect()
}

/// Numbers that a precision holds.
fn rounded(numbers: &[f64], dtype: DType) -> Vec<f64> {
    TensorData::new(numbers.to_vec(), [numbers.len()]).convert_dtype(dtype).iter().collect()
}

/// The kernel may lose twice what plain operations of float32 lose, plus some roundings: latents,
/// log-derivatives, and what the inverse makes of the latents.
#[test]
fn extreme_parameters_and_places_are_those_of_the_plain_form() {
    let n = 160;
    for (spline, parameters) in shapes().flat_map(|s| PARAMETERS.map(|p| (s, p))) {
        let mut rng = StdRng::seed_from_u64(spline.n_bins as u64);
        let theta = theta(spline, parameters, n, &mut rng);
        let x = elements(spline, &theta, n, &mut rng);
        for (dtype, epsilon) in precisions() {
            let (x, theta) = (rounded(&x, dtype), rounded(&theta, dtype));
            let rows = [1, spline.n_params(), n];
            type Forward = fn(Tensor<2>, Tensor<3>, SplineShape) -> (Tensor<2>, Tensor<2>);
            type Inverse = fn(Tensor<2>, Tensor<3>, SplineShape) -> Tensor<2>;
            let run = |forward: Forward, inverse: Inverse, device: &Device, dtype: DType| {
                let theta = tensor(&theta, rows, device, dtype);
                let (z, log_derivative) =
                    forward(tensor(&x, [1, n], device, dtype), theta.clone(), spline);
                let back = inverse(z.clone(), theta.clone(), spline);
                let of_same = inverse(tensor(&x, [1, n], device, dtype), theta, spline);
                [z, log_derivative, of_same, back].map(numbers)
            };
            let plain_forward: Forward = spline::plain::forward;
            let (flex, default) = (Device::flex(), Device::default());
            let truth = run(plain_forward, spline::plain::inverse, &flex, DType::F64);
            let plain = run(plain_forward, spline::plain::inverse, &default, DType::F32);
            let found = run(spline::forward, spline::inverse, &default, dtype);
            let names = ["z", "log-derivative", "inverse", "round trip"];
            for (index, name) in names.into_iter().enumerate() {
                // A round trip in 16 bits rounds its latents to them.
                if name == "round trip" && dtype != DType::F32 {
                    continue;
                }
                let error = |found: &[f64]| error(found, &truth[index]);
                // The latent of a round trip is rounded, which a steep inverse multiplies.
                let passes = if name == "round trip" { 4.0 } else { 2.0 };
                let allowed = passes * error(&plain[index]) + 32.0 * epsilon;
                let error = error(&found[index]);
                assert!(
                    error <= allowed,
                    "{spline:?}, {parameters:?}, {dtype:?}, {name}: {error:e} > {allowed:e}"
                );
            }
        }
    }
}

/// One output after the other: no gradient is infinite or NaN, and those of elements outside are
/// that of `x` alone.
#[test]
fn gradients_are_finite_and_stop_at_the_bound() {
    let (n, device) = (160, Device::default().autodiff());
    for (spline, parameters) in shapes().flat_map(|s| PARAMETERS.map(|p| (s, p))) {
        let mut rng = StdRng::seed_from_u64(spline.n_bins as u64);
        let values = theta(spline, parameters, n, &mut rng);
        let x = elements(spline, &values, n, &mut rng);
        for output in 0..3 {
            let leaf = tensor::<2>(&x, [1, n], &device, DType::F32).require_grad();
            let theta = tensor::<3>(&values, [1, spline.n_params(), n], &device, DType::F32);
            let theta = theta.require_grad();
            let found = match output {
                0 => spline::forward(leaf.clone(), theta.clone(), spline).0,
                1 => spline::forward(leaf.clone(), theta.clone(), spline).1,
                _ => spline::inverse(leaf.clone(), theta.clone(), spline),
            };
            let gradients = found.sum().backward();
            let of_x = numbers(leaf.grad(&gradients).unwrap());
            let of_theta = numbers(theta.grad(&gradients).unwrap());
            assert!(of_x.iter().chain(&of_theta).all(|value| value.is_finite()));
            for at in (0..n).filter(|&at| is_outside(x[at], spline)) {
                assert_eq!(of_x[at], if output == 1 { 0.0 } else { 1.0 }, "{}", x[at]);
                assert!((0..spline.n_params()).all(|row| of_theta[row * n + at] == 0.0));
            }
        }
    }
}

/// Arithmetic is in float32, so what 16 bits lose is the rounding of operands and results.
#[test]
fn gradients_in_16_bits_are_those_of_the_plain_form() {
    let n = 160;
    for (dtype, epsilon) in precisions().into_iter().filter(|(dtype, _)| *dtype != DType::F32) {
        for spline in shapes() {
            let mut rng = StdRng::seed_from_u64(spline.n_bins as u64);
            let values = theta(spline, Parameters::Ordinary, n, &mut rng);
            let (x, values) = (rounded(&normal(n, &mut rng), dtype), rounded(&values, dtype));
            let run = |device: &Device, dtype: DType| {
                let device = device.clone().autodiff();
                let x = tensor::<2>(&x, [1, n], &device, dtype).require_grad();
                let theta = tensor::<3>(&values, [1, spline.n_params(), n], &device, dtype);
                let theta = theta.require_grad();
                let (z, log_derivative) = spline::forward(x.clone(), theta.clone(), spline);
                let gradients = (z.mul_scalar(2.0) + log_derivative).sum().backward();
                [numbers(x.grad(&gradients).unwrap()), numbers(theta.grad(&gradients).unwrap())]
            };
            let truth = run(&Device::flex(), DType::F64);
            let found = run(&Device::default(), dtype);
            for (found, truth) in found.iter().zip(&truth) {
                let error = error(found, truth);
                assert!(error <= 2.0 * epsilon, "{spline:?}, {dtype:?}: {error:e}");
            }
        }
    }
}

/// The tails pass to the bit, infinite elements and NaN too, and spoil no other element.
#[test]
fn the_tails_are_the_identity() {
    let spline = shape(5, SplineEnds::Identity);
    let x = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::from(f32::MAX), 3.0, -3.0, 0.5];
    let n = x.len();
    let mut rng = StdRng::seed_from_u64(5);
    let theta = theta(spline, Parameters::Ordinary, n, &mut rng);
    for device in [Device::default(), Device::default().autodiff()] {
        let theta = tensor::<3>(&theta, [1, spline.n_params(), n], &device, DType::F32);
        let x_tensor = tensor::<2>(&x, [1, n], &device, DType::F32);
        let (z, log_derivative) = spline::forward(x_tensor.clone(), theta.clone(), spline);
        let inverse = numbers(spline::inverse(x_tensor, theta, spline));
        let (z, log_derivative) = (numbers(z), numbers(log_derivative));
        for at in 0..n - 1 {
            for found in [z[at], inverse[at]] {
                assert!(found == x[at] || (found.is_nan() && x[at].is_nan()), "{found}");
            }
            assert_eq!(log_derivative[at], 0.0, "{}", x[at]);
        }
        for found in [z[n - 1], inverse[n - 1], log_derivative[n - 1]] {
            assert!(found.is_finite() && found != 0.0, "{found}");
        }
    }
}

/// A parameter that is NaN makes its element NaN, if it is inside.
#[test]
fn parameters_that_are_nan_show() {
    let (n, device) = (5, Device::default());
    for (spline, row) in ENDS.into_iter().flat_map(|ends| {
        let spline = shape(2, ends);
        (0..spline.n_params()).map(move |row| (spline, row))
    }) {
        let mut theta = normal(spline.n_params() * n, &mut StdRng::seed_from_u64(6));
        theta[row * n + 1] = f64::NAN;
        theta[row * n + 3] = f64::NAN;
        let theta = tensor::<3>(&theta, [1, spline.n_params(), n], &device, DType::F32);
        let x = tensor::<2>(&[0.1, -0.2, 0.3, 7.0, 0.0], [1, n], &device, DType::F32);
        let (z, log_derivative) = spline::forward(x.clone(), theta.clone(), spline);
        for found in [z, log_derivative, spline::inverse(x, theta, spline)] {
            let nan: Vec<bool> = numbers(found).iter().map(|value| value.is_nan()).collect();
            assert_eq!(nan, [false, true, false, false, false], "row {row}");
        }
    }
}

/// Turned, narrowed and expanded tensors are read as what they show.
#[test]
fn views_are_read() {
    let (spline, device) = (shape(5, SplineEnds::Identity), Device::default());
    let mut rng = StdRng::seed_from_u64(7);
    let x = tensor::<2>(&normal(7 * 3, &mut rng), [7, 3], &device, DType::F32).swap_dims(0, 1);
    let theta = normal(3 * 16, &mut rng);
    let theta = tensor::<3>(&theta, [3, 16, 1], &device, DType::F32).narrow(1, 1, 14);
    let theta = theta.expand([3, 14, 7]);
    let copy = |x: &Tensor<3>| Tensor::<3>::from_data(x.to_data(), &device);
    let x_copy = Tensor::<2>::from_data(x.to_data(), &device);
    let (found, _) = spline::forward(x.clone(), theta.clone(), spline);
    let (expected, _) = spline::forward(x_copy.clone(), copy(&theta), spline);
    assert_eq!(found.to_data(), expected.to_data());
    let (found, expected) =
        (spline::inverse(x, theta.clone(), spline), spline::inverse(x_copy, copy(&theta), spline));
    assert_eq!(found.to_data(), expected.to_data());
}

/// Fusion records operations and runs them later; the backend below it runs them at once, with the
/// same result.
#[cfg(feature = "_wgpu")]
#[test]
fn the_kernel_runs_without_fusion() {
    use burn::backend::DispatchDevice;
    use burn::backend::ops::FloatTensorOps;
    use burn_cubecl::CubeBackend;
    use flowkit::kernel::spline::{SplineGradient, SplineOps};

    let device = Device::default();
    let DispatchDevice::Cube(plain) = device.as_dispatch() else { return };
    let (spline, mut rng) = (shape(5, SplineEnds::Identity), StdRng::seed_from_u64(8));
    let x = tensor::<2>(&normal(3 * 13, &mut rng), [3, 13], &device, DType::F32);
    let theta = tensor::<3>(&normal(3 * 14 * 13, &mut rng), [3, 14, 13], &device, DType::F32);
    let below = |data: TensorData| CubeBackend::float_from_data(data, plain);
    let read = |tensor| {
        let data = burn::tensor::read_sync(CubeBackend::float_into_data(tensor)).unwrap();
        data.iter::<f64>().collect::<Vec<_>>()
    };
    let operands = || (below(x.to_data()), below(theta.to_data()));
    let output = CubeBackend::spline(operands().0, operands().1, spline);
    let (z, log_derivative) = spline::forward(x.clone(), theta.clone(), spline);
    assert_eq!(read(output), [numbers(z), numbers(log_derivative)].concat());
    let inverse = CubeBackend::spline_inverse(operands().0, operands().1, spline);
    assert_eq!(read(inverse), numbers(spline::inverse(x.clone(), theta.clone(), spline)));

    let ones = Tensor::<3>::ones([2, 3, 13], &device).into_data();
    let (of_x, of_theta) =
        CubeBackend::spline_backward(operands().0, operands().1, below(ones), spline);
    let leaf = |data: TensorData| (data, device.clone().autodiff());
    let (x, theta) = (leaf(x.into_data()), leaf(theta.into_data()));
    let x = Tensor::<2>::from_data(x.0, &x.1).require_grad();
    let theta = Tensor::<3>::from_data(theta.0, &theta.1).require_grad();
    let (z, log_derivative) = spline::forward(x.clone(), theta.clone(), spline);
    let gradients = (z + log_derivative).sum().backward();
    assert_eq!(read(of_x), numbers(x.grad(&gradients).unwrap()));
    assert_eq!(read(of_theta), numbers(theta.grad(&gradients).unwrap()));
}
