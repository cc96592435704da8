//! The matrix of PLU factors and the inverses of its triangles, on every device.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use flowkit::kernel::plu;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

#[path = "common/kernel_case.rs"]
mod kernel_case;

use kernel_case::{Case, check, error, flat, normal, tensor_of};

/// One entry, fewer and more than the units of a cube.
const SIZES: [usize; 5] = [1, 2, 5, 12, 33];

fn permutation(n: usize) -> Vec<i32> {
    let mut order: Vec<i32> = (0..n as i32).collect();
    order.shuffle(&mut StdRng::seed_from_u64(n as u64));
    order
}

fn on(order: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(order.to_vec(), [order.len()]), device)
}

#[test]
fn matrices_are_their_plain_form() {
    let cases = SIZES.map(|n| {
        let order = permutation(n);
        let again = order.clone();
        let read = move |p: &[Tensor<1>]| {
            let square = |index: usize| p[index].clone().reshape([n, n]);
            (square(0), square(1), p[2].clone())
        };
        Case::new(
            format!("plu of {n}"),
            vec![vec![n, n], vec![n, n], vec![n]],
            move |p| {
                let (lower, upper, diagonal) = read(p);
                let order = on(&order, &diagonal.device());
                flat(plu::matrix(lower, upper, diagonal, order))
            },
            move |p| {
                let (lower, upper, diagonal) = read(p);
                let order = on(&again, &diagonal.device());
                flat(plu::plain::matrix(lower, upper, diagonal, order))
            },
        )
    });
    check(cases.into());
}

/// The triangles of random rotations, whose inverses are no larger than they are.
#[test]
fn inverses_are_those_in_float64() {
    let mut rng = StdRng::seed_from_u64(5);
    for n in SIZES {
        let scale = 0.5 / (n as f64).sqrt();
        let entries = |n: usize, rng: &mut StdRng| -> Vec<f64> {
            normal(n, rng).iter().map(|entry| f64::from((entry * scale) as f32)).collect()
        };
        let (lower, upper) = (entries(n * n, &mut rng), entries(n * n, &mut rng));
        let diagonal: Vec<f64> =
            normal(n, &mut rng).iter().map(|d| d.signum() * (0.5 + d.abs().min(1.0))).collect();
        let tensors = |device: &Device, dtype| {
            let tensor = |numbers: &[f64]| {
                let data = tensor_of(numbers, &Device::flex()).into_data().convert_dtype(dtype);
                Tensor::<1>::from_data(data, (device, dtype))
            };
            let square = |numbers: &[f64]| tensor(numbers).reshape([n, n]);
            (square(&lower), square(&upper), tensor(&diagonal))
        };
        let numbers = |(lower, upper): (Tensor<2>, Tensor<2>)| {
            Tensor::cat(vec![lower, upper], 0).into_data().iter::<f64>().collect::<Vec<_>>()
        };
        let (exact_lower, exact_upper, exact) = tensors(&Device::flex(), DType::F64);
        let truth = numbers(plu::plain::inverses(exact_lower, exact_upper, exact));
        let (device, dtype) = (Device::default(), DType::F32);
        let (lower, upper, diagonal) = tensors(&device, dtype);
        let plain = numbers(plu::plain::inverses(lower.clone(), upper.clone(), diagonal.clone()));
        let found = numbers(plu::inverses(lower, upper, diagonal));
        let allowed = 2.0 * error(&plain, &truth) + 16.0 * f64::from(f32::EPSILON);
        let error = error(&found, &truth);
        assert!(error <= allowed, "{n}: {error:e} > {allowed:e}");
    }
}
