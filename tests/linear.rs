//! Linear blocks: what the table of all bijectors cannot see.

#[path = "common/build.rs"]
mod build;
#[path = "common/draws.rs"]
mod draws;

use std::collections::BTreeMap;

use crate::build::layer;
use crate::draws::{seeded, turn};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::train::Checkpoint;
use flowkit::{
    ActNormConfig, Bijector, ChannelMatrix, Conditioning, Conv1x1, Conv1x1Config, Conv1x1Init,
    Householder, HouseholderConfig, Order, Permutation, PermutationConfig, PositionNormConfig,
    tensor::parameter,
};
use nalgebra::DMatrix;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

fn order_of(permutation: &Permutation) -> Vec<i64> {
    permutation.indices.val().into_data().iter::<i64>().collect()
}

#[test]
fn orders_are_what_they_say() {
    let device = Device::default();
    let make =
        |order| order_of(&layer(&PermutationConfig::new().with_order(order), [1, 12], &device));
    assert_eq!(make(Order::Reversed), (0..12).rev().collect::<Vec<i64>>());
    // Independent ChaCha8 and Fisher-Yates in Python: the same on every machine.
    assert_eq!(make(Order::Shuffled { seed: 7 }), [4, 1, 7, 10, 11, 6, 8, 3, 2, 0, 5, 9]);
    assert_ne!(make(Order::Shuffled { seed: 8 }), make(Order::Shuffled { seed: 7 }));
    let _turn = seeded(&device, 3);
    assert_eq!(make(Order::Shuffled { seed: 7 }), make(Order::Shuffled { seed: 7 }));
}

/// Also for numbers that arithmetic would change: infinities, and the smallest there are.
#[test]
fn permutations_move_bits() {
    let device = Device::default();
    let permutation =
        layer(&PermutationConfig::new().with_order(Order::Shuffled { seed: 1 }), [1, 5], &device);
    let values = [[f32::INFINITY, f32::MAX, -1.5, 1e-38, f32::NEG_INFINITY]];
    let x = Tensor::<2>::from_data(values, &device);
    let (z, log_det) = permutation.forward(x.clone(), &());
    assert_eq!(log_det.into_scalar::<f32>(), 0.0);
    assert_eq!(permutation.inverse(z, &()).to_data(), x.to_data());
}

/// A matrix that begins as a permutation moves numbers, and changes none; two of them differ.
#[test]
fn a_matrix_can_begin_as_a_permutation() {
    let device = Device::default();
    let _turn = seeded(&device, 1);
    let x = Tensor::<2>::from_data([[1.5f32, -2.0, 4.0, -8.0, 16.0, 32.0, -64.0, 128.0]], &device);
    let numbers = |x: Tensor<2>| x.into_data().iter::<f64>().collect::<Vec<_>>();
    let mut orders = Vec::new();
    for conditioning in
        [Conditioning::Free, Conditioning::Bounded { max_triangle: 0.5, max_log_scale: 1.0 }]
    {
        let config = Conv1x1Config::new().with_conditioning(conditioning);
        let conv = layer(&config.with_init(Conv1x1Init::Permutation), [1, 8], &device);
        let (z, log_det) = conv.forward(x.clone(), &());
        assert_eq!(log_det.into_scalar::<f32>(), 0.0);
        let (mut moved, mut given) = (numbers(z), numbers(x.clone()));
        orders.push(moved.clone());
        moved.sort_by(f64::total_cmp);
        given.sort_by(f64::total_cmp);
        assert_eq!(moved, given, "{conditioning:?}");
    }
    assert_ne!(orders[0], orders[1]);
}

/// A checkpoint carries the order, whatever the model that takes it was built with.
#[test]
fn an_order_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("permutation.safetensors");
    let device = Device::default();
    let make = |seed| {
        layer(&PermutationConfig::new().with_order(Order::Shuffled { seed }), [1, 9], &device)
    };
    let mut checkpoint = Checkpoint::new(BTreeMap::new()).unwrap();
    checkpoint.insert("permutation", &make(1)).unwrap();
    checkpoint.save(&path).unwrap();
    let loaded = Checkpoint::load(&path).unwrap().apply("permutation", make(2)).unwrap();
    assert_ne!(order_of(&make(2)), order_of(&make(1)));
    assert_eq!(order_of(&loaded), order_of(&make(1)));
}

fn normal(seed: u64, n: usize, deviation: f64) -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..n).map(|_| deviation * Distribution::<f64>::sample(&StandardNormal, &mut rng)).collect()
}

fn tensor<const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    dtype: DType,
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.inner().into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

fn square(tensor: Tensor<2>) -> DMatrix<f64> {
    let [rows, columns] = tensor.dims();
    DMatrix::from_row_slice(rows, columns, &numbers(tensor))
}

/// `H(v_n)·…·H(v_1)`, one reflection after the other.
fn reflections(vectors: &[f64], c: usize) -> DMatrix<f64> {
    vectors.chunks(c).fold(DMatrix::identity(c, c), |product, v| {
        let v = nalgebra::DVector::from_row_slice(v);
        let own = DMatrix::identity(c, c) - (2.0 / v.norm_squared()) * &v * v.transpose();
        own * product
    })
}

#[test]
fn householder_is_the_product_of_its_reflections() {
    let device = Device::flex();
    for (n, c) in [(1, 1), (1, 5), (3, 5), (5, 5)] {
        let vectors = normal(1, n * c, 1.0);
        let layer = Householder {
            vectors: Param::from_tensor(tensor(vectors.clone(), [n, c], DType::F64, &device)),
        };
        let expected = reflections(&vectors, c);
        assert!((square(layer.matrix()) - &expected).amax() < 1e-14, "{n} of {c}");
        assert!((expected.determinant() - (-1f64).powi(n as i32)).abs() < 1e-12);
        // The inverse is the reversed order.
        let reversed: Vec<f64> = vectors.chunks(c).rev().flatten().copied().collect();
        let x = tensor(normal(2, c, 1.0), [1, c], DType::F64, &device);
        let back = Bijector::<2>::inverse(&layer, x.clone(), &());
        let expected = reflections(&reversed, c) * square(x).transpose();
        assert!((square(back).transpose() - expected).amax() < 1e-14);
    }
}

/// Vectors of any length reflect, one of zeros does not: orthogonal in every case, with finite
/// gradients.
#[test]
fn householder_stays_orthogonal_for_every_vector() {
    let c = 6;
    let device = Device::default().autodiff();
    for (size, identity) in
        [(0.0, true), (1e-37, true), (1e-25, false), (1e-10, false), (1e10, false), (1e30, false)]
    {
        let mut vectors = normal(3, 2 * c, 1.0);
        vectors[..c].iter_mut().for_each(|value| *value *= size);
        let make = |values: &[f64]| {
            let value = tensor::<2>(values.to_vec(), [values.len() / c, c], DType::F32, &device);
            Householder { vectors: Param::from_tensor(value) }
        };
        let layer = make(&vectors);
        let matrix = square(layer.matrix());
        let error = (&matrix * matrix.transpose() - DMatrix::identity(c, c)).amax();
        assert!(error < 16.0 * f64::from(f32::EPSILON), "size {size}: {error}");
        let still = (square(make(&vectors[..c]).matrix()) - DMatrix::identity(c, c)).amax() == 0.0;
        assert_eq!(still, identity, "size {size}");
        let x = tensor::<2>(normal(4, 3 * c, 1.0), [3, c], DType::F32, &device);
        let weights = tensor::<2>(normal(5, 3 * c, 1.0), [3, c], DType::F32, &device);
        let found = (layer.forward(x, &()).0 * weights).sum().backward();
        let gradient = numbers(layer.vectors.val().grad(&found).unwrap());
        assert!(gradient.iter().all(|value| value.is_finite()), "size {size}: {gradient:?}");
        assert_eq!(gradient[..c].iter().all(|value| *value == 0.0), identity, "size {size}");
        // Orthogonal to the vector, so that a step never shortens it.
        let own = &numbers(layer.vectors.val())[c..];
        let dot: f64 = own.iter().zip(&gradient[c..]).map(|(v, g)| v * g).sum();
        let length = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!(dot.abs() < 1e-5 * length(own) * length(&gradient[c..]), "size {size}: {dot}");
    }
}

#[test]
fn householder_starts_at_different_reflections() {
    let _turn = turn();
    let layer = layer(&HouseholderConfig::new(3), [1, 4], &Device::default());
    let matrix = square(layer.matrix());
    assert!((&matrix - DMatrix::identity(4, 4)).amax() > 0.1, "{matrix}");
}

/// A convolution with other float parameters.
fn with(
    conv: Conv1x1,
    lower: Vec<f64>,
    upper: Vec<f64>,
    log_scale: Vec<f64>,
    dtype: DType,
) -> Conv1x1 {
    let n = log_scale.len();
    let device = conv.log_scale.val().device();
    let mut conv = conv;
    conv.lower = Param::from_tensor(tensor(lower, [n, n], dtype, &device));
    conv.upper = Param::from_tensor(tensor(upper, [n, n], dtype, &device));
    conv.log_scale = Param::from_tensor(tensor(log_scale, [n], dtype, &device));
    conv
}

/// A convolution whose start follows from a seed.
fn conv(n: usize, conditioning: Conditioning, seed: u64, device: &Device) -> Conv1x1 {
    let _turn = seeded(device, seed);
    layer(&Conv1x1Config::new().with_conditioning(conditioning), [1, n], device)
}

/// Normal parameters, and the two that the bound was derived from: all of one sign, and one large
/// number.
fn parameters(n: usize, size: f64) -> Vec<[Vec<f64>; 3]> {
    let random = [normal(1, n * n, size), normal(2, n * n, size), normal(3, n, size)];
    let ends = |i: usize| if i < n / 2 { size } else { -size };
    let same = [vec![size; n * n], vec![-size; n * n], (0..n).map(ends).collect()];
    let corner = |i: usize| if i == n - 1 || i == n * (n - 1) { size } else { 0.0 };
    let alone = [
        (0..n * n).map(corner).collect(),
        (0..n * n).map(corner).collect(),
        (0..n).map(ends).collect(),
    ];
    vec![random, same, alone]
}

#[test]
fn the_bound_on_the_condition_number_holds() {
    let device = Device::flex();
    let mut closest = 0.0f64;
    for n in [1, 2, 3, 12, 48] {
        for (max_triangle, max_log_scale) in [(0.1, 0.5), (0.5, 1.0), (0.9, 3.0)] {
            let conditioning = Conditioning::Bounded { max_triangle, max_log_scale };
            let bound = conditioning.bound().unwrap();
            let start = conv(n, conditioning, 1, &device);
            assert_eq!(start.num_params(), conv(n, Conditioning::Free, 1, &device).num_params());
            assert!((start.condition_number() - 1.0).abs() < 1e-6);
            for size in [0.1, 1.0, 10.0, 1e3, 1e30] {
                for [lower, upper, log_scale] in parameters(n, size) {
                    let conv = with(start.clone(), lower, upper, log_scale, DType::F64);
                    let found = conv.condition_number();
                    assert!(
                        found <= bound * (1.0 + 1e-12),
                        "{n} channels at {size}: {found} above {bound}"
                    );
                    closest = closest.max(found / bound);
                }
            }
        }
    }
    println!("the largest is {closest:.2} of the bound");
    assert!(closest > 0.1, "the bound is a statement about something else: {closest}");
}

/// What the bound is for: a round trip in float32 at 48 channels, whatever the parameters. The free
/// form loses it.
#[test]
fn bounded_convolutions_come_back_in_float32() {
    let device = Device::default();
    let n = 48;
    let bounded = Conditioning::Bounded { max_triangle: 0.5, max_log_scale: 1.0 };
    let round_trip = |conditioning: Conditioning, [lower, upper, log_scale]: [Vec<f64>; 3]| {
        let conv = with(conv(n, conditioning, 1, &device), lower, upper, log_scale, DType::F32);
        let x = tensor::<2>(normal(9, 64 * n, 1.0), [64, n], DType::F32, &device);
        let back = Bijector::<2>::inverse(&conv, conv.forward(x.clone(), &()).0, &());
        numbers(back - x).into_iter().fold(0.0, |max: f64, own| {
            if own.is_nan() || own.abs() > max { own.abs() } else { max }
        })
    };
    for size in [1.0, 1e3, 1e18] {
        for own in parameters(n, size) {
            let error = round_trip(bounded, own);
            assert!(error < 1e-4, "{size}: {error}");
        }
    }
    let free = round_trip(Conditioning::Free, parameters(n, 1.0).remove(0));
    assert!(free.is_nan() || free > 1.0, "{free}");
}

/// The inverse on the device is as good as one formed in float64 on the host.
#[test]
fn the_inverse_is_as_accurate_as_one_in_float64() {
    let device = Device::default();
    for n in [3, 12, 48, 96] {
        for noise in [0.0, 0.05] {
            let (mut own, mut host) = (0.0f64, 0.0f64);
            for seed in 0..4 {
                let conv = conv(n, Conditioning::Free, seed, &device);
                let moved = |param: Vec<f64>, seed: u64| -> Vec<f64> {
                    param
                        .iter()
                        .zip(normal(seed, param.len(), noise))
                        .map(|(old, noise)| old + noise)
                        .collect()
                };
                let lower = moved(numbers(conv.lower.val()), 10 * seed + 1);
                let upper = moved(numbers(conv.upper.val()), 10 * seed + 2);
                let log_scale = moved(numbers(conv.log_scale.val()), 10 * seed + 3);
                let conv = with(conv, lower, upper, log_scale, DType::F32);
                let x = tensor::<2>(normal(seed, 32 * n, 1.0), [32, n], DType::F32, &device);
                let z = conv.forward(x.clone(), &()).0;
                let largest =
                    |values: Vec<f64>| values.into_iter().map(f64::abs).fold(0.0, f64::max);
                own += largest(numbers(Bijector::<2>::inverse(&conv, z.clone(), &()) - x.clone()));
                let inverse = square(conv.matrix()).try_inverse().unwrap();
                let inverse = tensor::<2>(inverse.as_slice().to_vec(), [n, n], DType::F32, &device);
                // Columns of the inverse are rows of its transpose, which vectors in rows are
                // multiplied by.
                host += largest(numbers(z.matmul(inverse) - x));
            }
            println!(
                "{n:>3} channels, noise {noise}: {:.1e}, float64 on the host {:.1e}",
                own / 4.0,
                host / 4.0
            );
            assert!(own <= 3.0 * host + 1e-6, "{n} channels, noise {noise}: {own} {host}");
        }
    }
}

#[test]
fn condition_numbers_are_those_of_the_matrices() {
    let device = Device::flex();
    let matrices =
        tensor::<3>(vec![2.0, 0.0, 0.0, 8.0, 0.0, -0.5, 4.0, 0.0], [2, 2, 2], DType::F64, &device);
    let layer = ChannelMatrix { matrices: Param::from_tensor(matrices) };
    assert!((layer.condition_number() - 16.0).abs() < 1e-12);
    let with = |values: Vec<f64>| ChannelMatrix {
        matrices: Param::from_tensor(tensor(values, [1, 2, 2], DType::F64, &device)),
    };
    assert!(with(vec![1.0, 2.0, 2.0, 4.0]).condition_number() > 1e15);
    assert_eq!(with(vec![0.0; 4]).condition_number(), f64::INFINITY);
    assert!(with(vec![1.0, f64::NAN, 0.0, 1.0]).condition_number().is_nan());
    let norm = build::layer(&ActNormConfig::new(), [1, 3], &device);
    assert_eq!(norm.condition_number(), 1.0);
    let value = Tensor::<2>::from_data([[0.5, -1.0, 2.0]], &device);
    let mut norm = build::layer(&ActNormConfig::new().with_log_scale_factor(2.0), [1, 3], &device);
    norm.log_scale = parameter::set(norm.log_scale, value.clone());
    assert!((norm.condition_number() - 6f64.exp()).abs() < 1e-3);
    let mut norm = build::layer(&PositionNormConfig::new(), [1, 3], &device);
    norm.log_scale = parameter::set(norm.log_scale, value);
    assert!((norm.condition_number() - 3f64.exp()).abs() < 1e-5);
}

/// The reciprocal of the largest numbers is subnormal, which devices may take for 0.
#[test]
fn householder_takes_vectors_of_any_length() {
    let device = Device::default();
    let matrix = |size: f32| {
        let vectors = Tensor::<2>::from_data([[size, -0.5 * size, 0.25 * size]], &device);
        Householder { vectors: Param::from_tensor(vectors) }
            .matrix()
            .into_data()
            .iter::<f32>()
            .collect::<Vec<_>>()
    };
    // Powers of two, so that the direction is the same to the last bit.
    for exponent in [-99, -20, 20, 126, 127] {
        assert_eq!(matrix(2f32.powi(exponent)), matrix(1.0), "2^{exponent}");
    }
}
