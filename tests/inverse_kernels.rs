//! Inverses and log-determinants of small matrices, on every device.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::kernel::matrix_inverse::{self, factor};
use nalgebra::DMatrix;
use rand::SeedableRng;
use rand::rngs::StdRng;

#[path = "common/kernel_case.rs"]
mod kernel_case;

use kernel_case::{Case, check, flat, normal};

/// One entry, fewer and more than the units of a cube's smallest size.
const SIZES: [usize; 6] = [1, 2, 5, 12, 33, 96];

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

/// The sum of `ln|det|` and the inverses, row by row, in float64.
fn exact(matrices: &[f64], n: usize) -> (f64, Vec<f64>) {
    let mut log_det = 0.0;
    let mut inverses = Vec::new();
    for rows in matrices.chunks(n * n) {
        let lu = DMatrix::from_row_slice(n, n, rows).full_piv_lu();
        log_det += lu.u().diagonal().iter().map(|pivot| pivot.abs().ln()).sum::<f64>();
        inverses.extend(lu.try_inverse().expect("an inverse").transpose().iter());
    }
    (log_det, inverses)
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
        for condition in [1.0, 1e2, 1e4, 1e6] {
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
