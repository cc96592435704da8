//! Products of matrices that keep the precision of their type, on every device.

use burn::tensor::{DType, Device, Distribution, Tensor};
use flowkit::kernel::exact_product::{self, of_matrices};
use rand::SeedableRng;
use rand::rngs::StdRng;

#[path = "common/kernel_case.rs"]
mod kernel_case;

use kernel_case::{Case, check, flat, normal, tensor_of};

/// `[B, G, m, k, P]`: one of each, sides that differ, more than one cube.
const SHAPES: [[usize; 5]; 6] = [
    [1, 1, 1, 1, 1],
    [2, 1, 12, 12, 256],
    [3, 4, 4, 4, 5],
    [1, 1, 129, 5, 7],
    [5, 3, 2, 33, 1],
    [2, 1, 48, 48, 64],
];

#[test]
fn products_are_their_plain_form() {
    let cases = SHAPES.map(|[batch, groups, m, k, positions]| {
        let (matrices, columns) = ([groups, m, k], [batch, groups, k, positions]);
        let read =
            move |p: &[Tensor<1>]| (p[0].clone().reshape(matrices), p[1].clone().reshape(columns));
        Case::new(
            format!("exact_product {matrices:?} {columns:?}"),
            vec![matrices.to_vec(), columns.to_vec()],
            move |p| flat(exact_product::forward(read(p).0, read(p).1)),
            move |p| flat(exact_product::plain::forward(read(p).0, read(p).1)),
        )
    });
    check(cases.into());
}

#[test]
fn two_matrices_are_one_product() {
    let case = Case::new(
        "of_matrices [7, 3] [3, 5]".into(),
        vec![vec![7, 3], vec![3, 5]],
        |p| flat(of_matrices(p[0].clone().reshape([7, 3]), p[1].clone().reshape([3, 5]))),
        |p| {
            let (left, right) = (p[0].clone().reshape([7, 3]), p[1].clone().reshape([3, 5]));
            flat(exact_product::plain::of_matrices(left, right))
        },
    );
    check(vec![case]);
}

/// A sum of `k` products in float32 has an error of at most `k ε Σ|a x|`. Operands that are rounded
/// to 11 bits on the way have one of `2⁻¹¹ |a x|` in each product, far more than that.
#[test]
fn no_digit_is_lost_on_the_way() {
    let (m, k, n) = (48, 48, 512);
    let mut rng = StdRng::seed_from_u64(11);
    let (left, right) = (normal(m * k, &mut rng), normal(k * n, &mut rng));
    let on = |device: &Device, dtype| {
        let [left, right] = [(&left, [m, k]), (&right, [k, n])].map(|(numbers, shape)| {
            let data = tensor_of(numbers, &Device::flex()).reshape(shape).into_data();
            Tensor::<2>::from_data(data.convert_dtype(dtype), (device, dtype))
        });
        (left, right)
    };
    let numbers = |tensor: Tensor<2>| tensor.into_data().iter::<f64>().collect::<Vec<_>>();
    let (exact_left, exact_right) = on(&Device::flex(), DType::F64);
    let truth = numbers(exact_left.clone().matmul(exact_right.clone()));
    let sizes = numbers(exact_left.abs().matmul(exact_right.abs()));
    let (left, right) = on(&Device::default(), DType::F32);
    let found = numbers(of_matrices(left, right));
    for ((found, truth), size) in found.iter().zip(truth).zip(sizes) {
        let allowed = k as f64 * f64::from(f32::EPSILON) * size;
        assert!((found - truth).abs() <= allowed, "{found} is not {truth}");
    }
}

/// Turned and narrowed tensors are read as what they show.
#[test]
fn views_are_read() {
    let device = Device::default();
    let random =
        |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let columns = random([2, 3, 9, 6]).swap_dims(2, 3).narrow(3, 1, 5);
    let matrices = random([1, 3, 6, 4]).squeeze_dim::<3>(0).swap_dims(1, 2);
    let copy = |columns: &Tensor<4>| Tensor::<4>::from_data(columns.to_data(), &device);
    let copied = Tensor::<3>::from_data(matrices.to_data(), &device);
    let found = exact_product::forward(matrices, columns.clone());
    let difference = found - exact_product::forward(copied, copy(&columns));
    // The CPU's product adds in another order where it need not pack.
    assert!(difference.abs().max().into_scalar::<f32>() < 1e-5);
}
