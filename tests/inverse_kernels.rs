//! Inverses and log-determinants of small matrices, on every device.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::kernel::matrix_inverse::{self, factor};
use nalgebra::DMatrix;
use rand::SeedableRng;
use rand::rngs::StdRng;

#[path = "common/kernel_case.rs"]
mod kernel_case;

use kernel_case::{Case, check, flat, normal, tensor_of};

/// One entry, fewer and more than the units of a cube's smallest size, and about the most that a
/// kernel takes.
const SIZES: [usize; 9] = [1, 2, 5, 12, 33, 96, 255, 256, 257];

/// Numbers that float32 has.
fn rounded(numbers: &[f64]) -> Vec<f64> {
    numbers.iter().map(|&number| f64::from(number as f32)).collect()
}

fn on(matrices: &[f64], n: usize, device: &Device) -> Tensor<3> {
    let data = TensorData::new(matrices.to_vec(), [matrices.len() / (n * n), n, n]);
    Tensor::from_data(data.convert_dtype(DType::F32), (device, DType::F32))
}

/// `Q·diag(s)·R` with random rotations and singular values from 1 down to `1/condition`.
fn conditioned(n: usize, condition: f64, rng: &mut StdRng) -> Vec<f64> {
    let mut rotation = || DMatrix::from_vec(n, n, normal(n * n, rng)).qr().q();
    let last = (n - 1).max(1) as f64;
    let scales = DMatrix::from_fn(n, n, |row, column| {
        if row == column { condition.powf(-(row as f64) / last) } else { 0.0 }
    });
    let (left, right) = (rotation(), rotation());
    rounded((left * scales * right).as_slice())
}

/// The sum of `ln|det|` and the inverses, row by row, in float64 on the host.
fn exact(matrices: &[f64], n: usize) -> (f64, Vec<f64>) {
    let wide = tensor_of(matrices, &Device::flex()).reshape([matrices.len() / (n * n), n, n]);
    let factored = matrix_inverse::plain::factor(wide);
    (values(factored.log_abs_det())[0], values(factored.inverse()))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Float32 elimination would lose about `condition · n` roundings; only the last one is allowed
/// here, of results, with what the float64 reference itself loses.
#[test]
fn results_are_those_of_float64_to_the_last_rounding() {
    let mut rng = StdRng::seed_from_u64(3);
    for n in SIZES {
        let conditions: &[f64] = if n < 200 { &[1.0, 1e2, 1e4, 1e6] } else { &[1e4] };
        for &condition in conditions {
            let matrices: Vec<f64> =
                (0..3).flat_map(|_| conditioned(n, condition, &mut rng)).collect();
            let (log_det, inverses) = exact(&matrices, n);
            let factored = factor(on(&matrices, n, &Device::default()));
            let found = values(factored.log_abs_det())[0];
            let error = (found - log_det).abs();
            assert!(error <= 1e-6 + 4e-7 * log_det.abs(), "ln|det| of {n}, {condition}: {error:e}");
            let largest = inverses.iter().fold(0.0f64, |most, entry| most.max(entry.abs()));
            for (found, exact) in values(factored.inverse()).iter().zip(&inverses) {
                let error = (found - exact).abs();
                let bound = 1.2e-7 * exact.abs() + 1e-12 * condition * largest;
                assert!(error <= bound, "inverse of {n}, {condition}: {error:e} of {exact}");
            }
        }
    }
}

#[test]
fn gradients_are_their_plain_form() {
    let mut cases = Vec::new();
    for n in [1, 2, 5, 12, 33] {
        let read = move |p: &[Tensor<1>]| {
            let diagonal = Tensor::<2>::eye(n, &p[0].device()).cast(p[0].dtype());
            p[0].clone().reshape([2, n, n]).mul_scalar(0.3 / (n as f64).sqrt())
                + diagonal.unsqueeze()
        };
        cases.push(Case::new(
            format!("log-determinants of {n}"),
            vec![vec![2, n, n]],
            move |p| flat(factor(read(p)).log_abs_det()),
            move |p| flat(matrix_inverse::plain::factor(read(p)).log_abs_det()),
        ));
        cases.push(Case::new(
            format!("inverses of {n}"),
            vec![vec![2, n, n]],
            move |p| flat(factor(read(p)).inverse()),
            move |p| flat(matrix_inverse::plain::factor(read(p)).inverse()),
        ));
    }
    check(cases);
}

#[test]
fn singular_matrices_show_in_the_result() {
    let matrices = [1.0, 2.0, 2.0, 4.0, 2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0];
    let factored = factor(on(&matrices, 2, &Device::default()));
    assert_eq!(values(factored.log_abs_det()), [f64::NEG_INFINITY]);
    let inverses = values(factored.inverse());
    assert!(inverses[..4].iter().chain(&inverses[8..]).all(|entry| entry.is_nan()), "{inverses:?}");
    let expected = [0.5, 0.0, 0.0, f64::from(1.0f32 / 3.0)];
    assert_eq!(inverses[4..8], expected);
}

#[test]
fn lost_entries_are_not_hidden() {
    for entry in [f64::NAN, f64::INFINITY] {
        let factored = factor(on(&[entry, 0.0, 0.0, 1.0], 2, &Device::default()));
        assert!(!values(factored.log_abs_det())[0].is_finite());
        assert!(values(factored.inverse()).iter().any(|entry| !entry.is_finite()));
    }
}

/// Powers of two far from 1: the determinant itself would under- or overflow.
#[test]
fn sizes_far_from_one_do_not_overflow() {
    for exponent in [-100, -30, 30, 100] {
        let scale = 2.0f64.powi(exponent);
        let matrices: Vec<f64> = [0.0, 3.0, 2.0, 1.0].iter().map(|entry| entry * scale).collect();
        let factored = factor(on(&matrices, 2, &Device::default()));
        let expected = 6.0f64.ln() + 2.0 * f64::from(exponent) * 2.0f64.ln();
        let found = values(factored.log_abs_det())[0];
        assert!((found - expected).abs() <= 2e-7 * expected.abs(), "{found} {expected}");
        let (_, inverses) = exact(&matrices, 2);
        for (found, exact) in values(factored.inverse()).iter().zip(inverses) {
            assert!((found - exact).abs() <= 1.2e-7 * exact.abs(), "{found} {exact}");
        }
    }
}

/// Pivots that are far smaller than the largest entry, but normal numbers in float32 and in the
/// kernel.
#[test]
fn pivots_may_be_far_below_the_largest_entry() {
    for (large, small) in [(0, -100), (0, -126), (60, -66), (60, -67), (60, -70), (100, -48)] {
        let [large, small] = [large, small].map(|exponent: i32| 1.625 * 2.0f64.powi(exponent));
        // The pivots are `2·large` and `small`.
        let matrices = [0.0, small, 2.0 * large, large];
        let factored = factor(on(&matrices, 2, &Device::default()));
        let expected = (2.0 * large * small).ln();
        let found = values(factored.log_abs_det())[0];
        let bound = 1e-6 + 2e-7 * expected.abs();
        assert!((found - expected).abs() <= bound, "{large:e}, {small:e}: {found}, not {expected}");
        let inverses = [-0.5 / small, 0.5 / large, 1.0 / small, 0.0];
        for (found, exact) in values(factored.inverse()).iter().zip(inverses) {
            assert!((found - exact).abs() <= 1.2e-7 * exact.abs(), "{large:e}, {small:e}: {found}");
        }
    }
}

/// Whether a device computes with float32 numbers below the normal ones. Others take them for 0.
fn keeps_small_numbers(device: &Device) -> bool {
    let small = Tensor::<1>::from_data([2.0f64.powi(-130) as f32], device);
    small.mul_scalar(2.0f32.powi(100)).into_scalar::<f32>() > 0.0
}

/// Pivots below the normal numbers, in float32 or in the kernel.
#[test]
fn pivots_below_the_normal_numbers_are_themselves_or_zero() {
    let device = Device::default();
    for (large, small) in [(1.0, -130), (1.0, -140), (1.0, -148), (2f64.powi(90), -64)] {
        let small = 1.5 * 2.0f64.powi(small);
        let found = values(factor(on(&[0.0, small, large, 0.0], 2, &device)).log_abs_det())[0];
        if !keeps_small_numbers(&device) {
            assert_eq!(found, f64::NEG_INFINITY, "{large:e}, {small:e}");
            continue;
        }
        let expected = (large * small).ln();
        let bound = 1e-6 + 2e-7 * expected.abs();
        assert!((found - expected).abs() <= bound, "{large:e}, {small:e}: {found}, not {expected}");
    }
}

/// As many matrices as one axis of a grid has cubes, and one more.
#[test]
fn there_may_be_many_matrices() {
    for groups in [65535, 65536] {
        // Most logarithms cancel each other, and their sum in float32 loses little.
        let entry =
            |group: i32| if group % 1000 == 7 { 3.0 } else { [4.0, 0.25][group as usize % 2] };
        let matrices: Vec<f64> = (0..groups).map(entry).collect();
        let factored = factor(on(&matrices, 1, &Device::default()));
        let expected: f64 = matrices.iter().map(|entry| entry.ln()).sum();
        let found = values(factored.log_abs_det())[0];
        assert!((found - expected).abs() <= 1e-5 * expected, "{groups}: {found}, not {expected}");
        for (found, entry) in values(factored.inverse()).iter().zip(&matrices) {
            assert!((found * entry - 1.0).abs() <= 1.2e-7, "{groups}: {found} for {entry}");
        }
    }
}

/// The inverse and the log-determinant of one factorisation, in one graph.
#[test]
fn both_results_of_one_factorisation_have_their_gradients() {
    let n = 5;
    let read = move |p: &[Tensor<1>]| {
        let diagonal = Tensor::<2>::eye(n, &p[0].device()).cast(p[0].dtype());
        p[0].clone().reshape([2, n, n]).mul_scalar(0.2) + diagonal.unsqueeze()
    };
    let case = Case::new(
        "both results".into(),
        vec![vec![2, n, n]],
        move |p| {
            let factored = factor(read(p));
            Tensor::cat(vec![factored.log_abs_det(), flat(factored.inverse())], 0)
        },
        move |p| {
            let factored = matrix_inverse::plain::factor(read(p));
            Tensor::cat(vec![factored.log_abs_det(), flat(factored.inverse())], 0)
        },
    );
    check(vec![case]);
}

#[test]
fn no_matrix_is_no_fault() {
    let factored = factor(on(&[], 3, &Device::default()));
    assert_eq!(values(factored.log_abs_det()), [0.0]);
    assert_eq!(factored.inverse().dims(), [0, 3, 3]);
}
