//! The layer of a table's columns, and the noise of its integers.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::{
    Bijector, ColumnMap, ColumnsConfig, ConfigError, Density, Flow, FlowError,
    IntegerColumnsConfig, LayerConfig, ShapeError, Site, StandardNormal, Surjection,
};

fn device() -> Device {
    Device::flex()
}

fn row(values: &[f64], dtype: DType) -> Tensor<2> {
    let data = TensorData::new(values.to_vec(), [1, values.len()]).convert_dtype(dtype);
    Tensor::from_data(data, (&device(), dtype))
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data().convert_dtype(DType::F64).iter::<f64>().collect()
}

/// The layer beside `ColumnMap::apply` and closed forms of its slope, near bounds and far out.
#[test]
fn columns_are_exact_near_their_bounds() {
    let maps = [
        (ColumnMap::Bounded { lower: 2.0, upper: 3.0, center: 0.5, scale: 2.0 }, 1e-6),
        (ColumnMap::Bounded { lower: 2.0, upper: 3.0, center: 0.5, scale: 2.0 }, 1.0 - 1e-6),
        (ColumnMap::Bounded { lower: -1e-3, upper: 1e6, center: 0.0, scale: 1.0 }, 1e-9),
        (ColumnMap::Positive { lower: -4.0, center: 3.0, scale: 0.1 }, 1e-6),
        (ColumnMap::Positive { lower: 0.0, center: 0.0, scale: 1.0 }, 1e20),
        (ColumnMap::Real { center: 1e3, scale: 1e-2 }, 1000.01),
        (ColumnMap::Circular { lower: 0.0, upper: 24.0 }, 23.5 / 24.0),
        (ColumnMap::Circular { lower: 0.0, upper: 24.0 }, -1.25),
        (ColumnMap::Class { n: 7 }, 3.25),
    ];
    for (map, at) in maps {
        for (dtype, epsilon) in [(DType::F32, f64::from(f32::EPSILON)), (DType::F64, f64::EPSILON)]
        {
            let (x, slope): (f64, fn(f64, f64, f64) -> f64) = match map {
                ColumnMap::Bounded { lower, upper, .. } => {
                    (lower + at * (upper - lower), |x, a, b| (b - a) / ((x - a) * (b - x)))
                }
                ColumnMap::Positive { lower, .. } => (lower + at, |x, a, _| 1.0 / (x - a)),
                ColumnMap::Real { .. } | ColumnMap::Class { .. } => (at, |_, _, _| 1.0),
                ColumnMap::Circular { upper, .. } => {
                    (at * upper, |_, a, b| std::f64::consts::TAU / (b - a))
                }
            };
            // What the type holds of it.
            let x = values(row(&[x], dtype))[0];
            let (lower, upper, scale) = match map {
                ColumnMap::Bounded { lower, upper, scale, .. } => (lower, upper, scale),
                ColumnMap::Positive { lower, scale, .. } => (lower, 0.0, scale),
                ColumnMap::Real { scale, .. } => (0.0, 0.0, scale),
                ColumnMap::Circular { lower, upper } => (lower, upper, 1.0),
                ColumnMap::Class { .. } => (0.0, 0.0, 1.0),
            };
            let (lower, upper) = (values(row(&[lower], dtype))[0], values(row(&[upper], dtype))[0]);
            let of_type = match map {
                ColumnMap::Bounded { center, scale, .. } => {
                    ColumnMap::Bounded { lower, upper, center, scale }
                }
                ColumnMap::Positive { center, scale, .. } => {
                    ColumnMap::Positive { lower, center, scale }
                }
                map => map,
            };
            let layer = ColumnsConfig::new(vec![map]).build(&Site::new([1, 1], &device()));
            let layer = layer.unwrap();
            let (z, log_det) = layer.forward(row(&[x], dtype), &());
            let close = |what: &str, found: f64, truth: f64| {
                let bound = 16.0 * epsilon * (1.0 + truth.abs()) / scale.min(1.0);
                assert!(
                    (found - truth).abs() <= bound,
                    "{map:?}, {dtype:?}: {what} {found} {truth}"
                );
            };
            close("z", values(z.clone())[0], of_type.apply(x));
            let log_slope = (slope(x, lower, upper) / scale).ln();
            close("log-derivative", values(log_det)[0], log_slope);
            let (back, log_det) = layer.inverse_with_log_det(z.clone(), &());
            close("of the inverse", values(log_det)[0], -log_slope);
            let wrapped = match map {
                ColumnMap::Circular { lower, upper } => {
                    lower + (x - lower).rem_euclid(upper - lower)
                }
                _ => x,
            };
            let spread = 64.0 * epsilon * (wrapped.abs() + 1.0);
            assert!((values(back)[0] - wrapped).abs() <= spread, "{map:?}, {dtype:?}");
        }
    }
}

/// Outside the bounds there is no number, and every sample is within them.
#[test]
fn no_mass_is_outside_the_bounds() {
    let maps = vec![ColumnMap::bounded(2.0, 3.0), ColumnMap::positive(-4.0)];
    let layer = ColumnsConfig::new(maps.clone()).build(&Site::new([1, 2], &device())).unwrap();
    for outside in [[1.999, 0.0], [3.001, 0.0], [2.5, -4.001]] {
        assert!(values(layer.forward(row(&outside, DType::F32), &()).1)[0].is_nan());
    }
    for at in [2.0, 3.0] {
        assert!(!values(layer.forward(row(&[at, 0.0], DType::F32), &()).1)[0].is_finite());
    }
    let z: Vec<f64> = (-400..400).map(f64::from).collect();
    for dtype in [DType::F32, DType::F64] {
        for z in z.iter().copied() {
            let back = values(layer.inverse(row(&[z, z.min(80.0)], dtype), &()));
            assert!(2.0 < back[0] && back[0] < 3.0 && back[1] > -4.0, "{z}: {back:?}");
            // A sample has a density, and an integer below it one of the integers.
            let (found, log_det) = layer.forward(row(&back, dtype), &());
            assert!(values(found).iter().chain(&values(log_det)).all(|v| v.is_finite()), "{z}");
        }
        let missing = values(layer.inverse(row(&[f64::NAN, f64::NAN], dtype), &()));
        assert!(missing.iter().all(|x| x.is_nan()), "{missing:?}");
    }
    // The density of a column integrates to 1.
    let flow = Flow::new(layer, StandardNormal::new(), [1, 2]).unwrap().without_data();
    let cells = 4000;
    let at = |i: i32| 2.0 + (f64::from(i) + 0.5) / f64::from(cells);
    let grid: Vec<f64> = (0..cells).flat_map(|i| [at(i), -3.0]).collect();
    let grid = Tensor::from_data(TensorData::new(grid, [4000, 2]), &device());
    let total: f64 = flow.evaluate(grid).unwrap().nats().iter().map(|nats| nats.exp()).sum();
    // At −3 the second column has z = 0 and slope 1.
    let second = (std::f64::consts::TAU).sqrt().recip();
    assert!((total / f64::from(cells) / second - 1.0).abs() < 1e-4, "{}", total);
}

/// The upper end of a circle is its lower one, and no result is there.
#[test]
fn circles_have_one_end() {
    let map = ColumnMap::circular(1000.0, 1024.0);
    assert_eq!(ColumnMap::circular(0.0, 24.0).apply(-1e-30), -std::f64::consts::PI);
    let layer = ColumnsConfig::new(vec![map]).build(&Site::new([1, 1], &device())).unwrap();
    let last = f64::from((std::f64::consts::PI as f32).next_down().next_down());
    for z in [last, last.next_down(), -last, -std::f64::consts::PI, 7.0] {
        let x = values(layer.inverse(row(&[z], DType::F32), &()))[0];
        assert!((1000.0..1024.0).contains(&x), "{z}: {x}");
    }
}

#[test]
fn bad_maps_are_refused() {
    let refused = |maps: Vec<ColumnMap>, dims: usize| {
        let site = Site::<2>::new([1, dims], &device());
        ColumnsConfig::new(maps).plan(&site).unwrap_err().to_string()
    };
    assert_eq!(
        refused(vec![ColumnMap::real()], 2),
        "ColumnsConfig: `maps` must have 2 entries, found 1"
    );
    assert_eq!(
        refused(vec![ColumnMap::real(), ColumnMap::bounded(1.0, 1.0 + 1e-9)], 2),
        ".maps[1]: ColumnsConfig: `upper` must lie in (lower, 1e30], in float32, found \
         1.000000001"
    );
    // Neighbours in float32 have no number between them.
    let next = f64::from(1f32.next_up());
    let neighbours = refused(vec![ColumnMap::bounded(1.0, next)], 1);
    assert!(neighbours.starts_with(".maps[0]: ColumnsConfig: `upper`"), "{neighbours}");
    let zero = ColumnMap::Real { center: 0.0, scale: 0.0 };
    assert_eq!(
        refused(vec![zero], 1),
        ".maps[0]: ColumnsConfig: `scale` must lie in [1e-30, 1e30], found 0"
    );
    let nan = ColumnMap::positive(f64::NAN);
    assert_eq!(
        refused(vec![nan], 1),
        ".maps[0]: ColumnsConfig: `lower` must lie in ±1e30, found NaN"
    );
}

/// Every noise of a cell stays in it, at both ends of the range of a type.
#[test]
fn integers_survive_their_noise() {
    let integers = IntegerColumnsConfig::new(vec![1]).build().unwrap();
    let noise = integers.noise(&Tensor::zeros([100_000, 2], &device()), DType::F32);
    assert!(noise.clone().min().into_scalar::<f32>() > 0.0);
    assert!(noise.max().into_scalar::<f32>() < 1.0);
    for (dtype, most) in [(DType::F32, 65536.0), (DType::F64, f64::from(1u32 << 31) * 16384.0)] {
        let last = if dtype == DType::F32 {
            1.0 - f64::from(f32::EPSILON) / 2.0
        } else {
            1.0 - f64::EPSILON / 2.0
        };
        for x in [1.0 - most, -255.0, -2.0, -1.0, 0.0, 1.0, 7.0, 1023.0, most - 1.0] {
            for u in [1e-12, 0.25, 0.999, last] {
                let data = row(&[0.125, x], dtype);
                let (y, log_weight) = integers.lift(data.clone(), row(&[u], dtype));
                let y = values(y);
                assert!(y[0] == 0.125 && y[1] > x && y[1] < x + 1.0, "{x} + {u}: {}", y[1]);
                assert_eq!(values(log_weight), [0.0]);
                assert_eq!(values(integers.lower(row(&y, dtype))), [0.125, x]);
            }
        }
    }
}

/// However far out the latents are, their integers are among those of the bounds.
#[test]
fn integers_of_far_latents_are_within_the_bounds() {
    let integers = IntegerColumnsConfig::new(vec![0]).build().unwrap();
    let layer = ColumnsConfig::new(vec![ColumnMap::bounded(1.0, 5.0)]);
    let layer = layer.build(&Site::new([1, 1], &device())).unwrap();
    for (z, expected) in [(-60.0, 1.0), (-17.0, 1.0), (17.0, 4.0), (60.0, 4.0)] {
        let y = layer.inverse(row(&[z], DType::F32), &());
        assert_eq!(values(integers.lower(y)), [expected], "{z}");
    }
}

#[test]
fn other_numbers_are_no_integers() {
    let integers = IntegerColumnsConfig::new(vec![2, 0]).build().unwrap();
    let flow = Flow::build(
        &ColumnsConfig::new(vec![ColumnMap::real(); 3]),
        StandardNormal::new(),
        [1, 3],
        &device(),
    )
    .unwrap()
    .behind(integers)
    .without_data();
    let x = |value: f32| Tensor::<2>::from_data([[1.0, 0.5, 2.0], [1.0, 0.5, value]], &device());
    assert!(flow.evaluate(x(3.0)).is_ok());
    for (value, shown) in [(2.5, "2.5"), (65536.0, "65536"), (-65536.0, "-65536")] {
        let error = flow.evaluate(x(value)).unwrap_err();
        assert!(matches!(error, FlowError::Integer { example: 1, column: 2, .. }), "{error}");
        let text = format!(
            "example 1: expected an integer between -65536 and 65536, without these, in column 2, \
             found {shown}"
        );
        assert_eq!(error.to_string(), text);
        // A training step does not read the values: their loss must be NaN.
        let (_, log_weight) = flow.surjection.lift(x(value), Tensor::zeros([2, 2], &device()));
        let log_weight = values(log_weight);
        assert!(log_weight[0] == 0.0 && log_weight[1].is_nan());
    }
    let narrow = Tensor::<2>::zeros([1, 2], &device());
    let error = IntegerColumnsConfig::new(vec![2]).build().unwrap().check(&narrow).unwrap_err();
    assert!(matches!(error, FlowError::Shape(ShapeError::Short { least: 3, .. })), "{error}");
    let twice = IntegerColumnsConfig::new(vec![1, 1]).build().unwrap_err();
    assert!(matches!(twice, ConfigError::RepeatedIndex { .. }));
    assert!(IntegerColumnsConfig::new(vec![]).build().is_err());
}
