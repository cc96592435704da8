//! Mean 0 and variance 1 as float64 measures them over the float32 numbers that came in.

use burn::tensor::{DType, Tensor, TensorData};
use flowkit::conditioner::layer::{ConvInit, ConvWeight, DataInitConvConfig};
use flowkit::{
    ActNorm, ActNormConfig, Bijector, Flow, PositionNorm, PositionNormConfig, StandardNormal,
};

use super::{around, device, moments, numbers, spacing, table, tensor};
use crate::build::layer;

/// Kelvin, pascal, years, metres of UTM, seconds since 1970, and scales far from 1.
const DATA: [(f64, f64); 20] = [
    (273.15, 1e-2),
    (273.15, 30.0),
    (101_325.0, 0.3),
    (101_325.0, 1e3),
    (2024.0, 1e-2),
    (2024.0, 4.0),
    (5.2e6, 2.0),
    (-5.2e6, 1e3),
    (1.7e9, 1e2),
    (1.7e9, 1e3),
    (1e4, 1.0),
    (0.0, 1e-2),
    (0.0, 1e-9),
    (3e-7, 1e-8),
    (0.0, 1e-25),
    (0.0, 1e18),
    (-4e18, 1e18),
    (0.0, 1e30),
    (7e30, 2e30),
    (0.0, 1e3),
];

/// What a started norm makes of a column: against its own moments.
fn check_column(x: &[f64], z: &[f64], floor: f64, spacings: f64, what: &str) {
    let (mean, deviation) = moments(x.iter().copied());
    let unit = (deviation * deviation + floor).sqrt();
    let left = spacings * spacing(mean) / unit;
    let (found, spread) = moments(z.iter().copied());
    assert!(found.abs() <= left + 2e-6, "{what}: mean {found}, at most {left}");
    assert!((spread / (deviation / unit) - 1.0).abs() < 1e-5, "{what}: deviation {spread}");
    for (x, z) in x.iter().zip(z) {
        let expected = (x - mean) / unit;
        assert!(
            (z - expected).abs() <= left + 1e-5 * (1.0 + expected.abs()),
            "{what}: {z} of {x}, {expected}"
        );
    }
}

fn columns(x: &Tensor<2>) -> Vec<Vec<f64>> {
    let [rows, columns] = x.dims();
    let values = numbers(x);
    (0..columns)
        .map(|column| (0..rows).map(|row| values[row * columns + column]).collect())
        .collect()
}

fn measurements(rows: usize) -> Tensor<2> {
    let columns: Vec<_> = (0..)
        .zip(DATA)
        .map(|(seed, (offset, spread))| around(seed, rows, offset, spread))
        .collect();
    table(&columns)
}

#[test]
fn act_norm_knows_no_units() {
    let x = measurements(3000);
    for factor in [1.0, 3.0] {
        let norm: ActNorm<2> =
            layer(&ActNormConfig::new().with_log_scale_factor(factor), [1, DATA.len()], &device());
        let (norm, z) = norm.initialize(x.clone(), &());
        let bias = numbers(&norm.bias.val());
        for (index, (x, z)) in columns(&x).iter().zip(columns(&z)).enumerate() {
            let (mean, _) = moments(x.iter().copied());
            // The nearest float32.
            assert!(
                (bias[index] + mean).abs() <= 0.500_001 * spacing(mean),
                "{:?}: {}",
                DATA[index],
                bias[index]
            );
            check_column(x, &z, 0.0, 0.500_001, &format!("{:?}", DATA[index]));
        }
    }
}

#[test]
fn position_norm_knows_no_offset() {
    let x = measurements(3000);
    for floor in [1e-8, 1e-2] {
        let norm: PositionNorm<2> = layer(
            &PositionNormConfig::new().with_variance_floor(floor),
            [1, DATA.len()],
            &device(),
        );
        let (norm, z) = norm.initialize(x.clone(), &());
        for ((x, z), data) in columns(&x).iter().zip(columns(&z)).zip(DATA) {
            check_column(x, &z, floor, 1.5, &format!("{data:?}, {floor}"));
        }
        // Back to the numbers that came in, up to their own rounding.
        let back: Tensor<2> = norm.inverse(z, &());
        for ((x, back), data) in columns(&x).iter().zip(columns(&back)).zip(DATA) {
            let (mean, deviation) = moments(x.iter().copied());
            for (x, back) in x.iter().zip(back) {
                let allowed =
                    spacing(mean).max(spacing(*x)) + 1e-6 * (x - mean).abs() + 1e-6 * deviation;
                assert!((back - x).abs() <= allowed, "{data:?}: {back} of {x}");
            }
        }
    }
}

/// The parameters keep their meaning: `z = x·exp(g) + b`.
#[test]
fn position_norm_is_a_scale_and_then_a_shift() {
    let double = |values: [f64; 3]| {
        Tensor::<2>::from_data(
            TensorData::new(values.to_vec(), [1, 3]).convert_dtype(DType::F64),
            (&device(), DType::F64),
        )
    };
    let mut norm: PositionNorm<2> = layer(&PositionNormConfig::new(), [1, 3], &device());
    let (log_scale, bias, x) = ([0.3, -2.0, 1.5], [0.7, -30.0, 2e-3], [1.1, -0.4, 12.0]);
    norm.log_scale = norm.log_scale.map(|_| double(log_scale));
    norm.bias = norm.bias.map(|_| double(bias));
    let (z, log_det) = Bijector::<2>::forward(&norm, double(x), &());
    for (index, z) in numbers(&z).into_iter().enumerate() {
        let expected = x[index] * log_scale[index].exp() + bias[index];
        assert!((z - expected).abs() <= 1e-14 * expected.abs().max(30.0), "{z} {expected}");
    }
    assert!((numbers(&log_det)[0] + 0.2).abs() < 1e-14);
}

/// A naive sum of this many float32 numbers has lost all digits of the variance.
#[test]
fn a_million_rows_are_no_more_than_few() {
    let rows = 1_000_000;
    let data = [(1.7e9, 1e3), (1e4, 1.0)];
    let x = table(&[around(1, rows, data[0].0, data[0].1), around(2, rows, data[1].0, data[1].1)]);
    let flow =
        Flow::new(layer(&ActNormConfig::new(), [1, 2], &device()), StandardNormal::new(), [1, 2])
            .unwrap();
    let flow = flow.initialize(x.clone()).unwrap();
    let (z, _) = flow.bijector.forward(x.clone(), &());
    for ((x, z), data) in columns(&x).iter().zip(columns(&z)).zip(data) {
        check_column(x, &z, 0.0, 0.500_001, &format!("{data:?}"));
    }
}

/// Statistics over batch and positions, with channels of different offsets, in a type of more
/// digits too.
#[test]
fn channels_of_images_have_statistics_of_their_own() {
    let offsets = [273.15, 5.2e6, -101_325.0];
    let shape = [11, 3, 3, 5];
    let values = normal_images(shape, offsets);
    for dtype in [DType::F32, DType::F64] {
        let data = TensorData::new(values.clone(), shape).convert_dtype(dtype);
        let x = Tensor::<4>::from_data(data, (&device(), dtype));
        let mut norm: ActNorm<4> = layer(&ActNormConfig::new(), [1, 3, 1, 1], &device());
        norm.bias = norm.bias.map(|bias| bias.cast(dtype));
        norm.log_scale = norm.log_scale.map(|scale| scale.cast(dtype));
        let (_, z) = norm.initialize(x.clone(), &());
        for channel in 0..3 {
            let of = |x: &Tensor<4>| numbers(&x.clone().narrow(1, channel, 1));
            if dtype == DType::F32 {
                check_column(&of(&x), &of(&z), 0.0, 0.500_001, &format!("channel {channel}"));
            } else {
                let (mean, deviation) = moments(of(&z).into_iter());
                assert!(mean.abs() < 1e-8 && (deviation - 1.0).abs() < 2e-6, "{mean} {deviation}");
            }
        }
    }
}

fn normal_images([batch, channels, h, w]: [usize; 4], offsets: [f64; 3]) -> Vec<f64> {
    let noise = flowkit::testing::elements::normal(5, batch * channels * h * w, 20.0);
    noise.into_iter().enumerate().map(|(i, x)| x + offsets[i / (h * w) % channels]).collect()
}

/// The deviation of a convolution's outputs is what is configured, whatever the size of its inputs.
#[test]
fn convolutions_start_at_their_deviation() {
    for (size, weight) in
        [(1e-7, ConvWeight::Plain), (1.0, ConvWeight::WeightNorm), (1e18, ConvWeight::Plain)]
    {
        let x = tensor(around(3, 6 * 2 * 16, 0.0, size), [6, 2, 4, 4]);
        let start = ConvInit::DataDependent { scale: 0.3 };
        let conv = DataInitConvConfig::new(2, 5)
            .with_init(start)
            .with_weight(weight)
            .build(&device())
            .unwrap();
        let (conv, passed) = conv.initialize(x.clone());
        let y = conv.forward(x);
        for channel in 0..5 {
            for y in [&y, &passed] {
                let (mean, deviation) =
                    moments(numbers(&y.clone().narrow(1, channel, 1)).into_iter());
                assert!(
                    mean.abs() < 1e-6 && (deviation / 0.3 - 1.0).abs() < 1e-5,
                    "{size}: {mean} {deviation}"
                );
            }
        }
    }
}
