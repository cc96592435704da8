//! The maps of a table's columns, its conditions, and its columns of integers.

use burn::tensor::{DType, Device, Tensor, TensorData};
use flowkit::data::Table;
use flowkit::data::table::{Column, ColumnMaps, Conditions, Reason, TableError};
use flowkit::{
    Bijector, ColumnMap, ColumnsConfig, ConfigError, Density, Flow, FlowError,
    IntegerColumnsConfig, LayerConfig, ShapeError, Site, StandardNormal, Surjection,
};

fn device() -> Device {
    Device::flex()
}

fn numbers(columns: &[(&str, &[f64])]) -> Table {
    let column = |(name, values): &(&str, &[f64])| Column::numbers(*name, values.to_vec());
    Table::new(columns.iter().map(column).collect()).unwrap()
}

fn of(name: &str, values: &[f64]) -> (ColumnMap, bool, Reason) {
    let maps = numbers(&[(name, values)]).column_maps().unwrap();
    let column = &maps.columns[0];
    (column.map, column.integer, column.reason)
}

/// Each rule of the table in the documentation of `column_maps`.
#[test]
fn maps_are_inferred() {
    let (map, integer, reason) = of("class", &[0.0, 2.0, 5.0, 2.0]);
    assert!(matches!(map, ColumnMap::Bounded { lower: 0.0, upper: 6.0, .. }) && integer);
    assert_eq!(reason, Reason::FewIntegers { least: 0.0, most: 5.0 });

    let counts: Vec<f64> = (0..200).map(|i| (f64::from(i) * 0.03).exp().floor()).collect();
    let (map, integer, reason) = of("counts", &counts);
    assert!(matches!(map, ColumnMap::Positive { lower: 0.0, .. }) && integer);
    assert!(matches!(reason, Reason::Skewed { skewness, .. } if skewness > 1.0));

    let years: Vec<f64> = (0..200).map(|i| f64::from(1800 + i)).collect();
    assert!(matches!(of("years", &years), (ColumnMap::Real { .. }, true, Reason::Plain { .. })));

    let shares: Vec<f64> = (1..100).map(|i| f64::from(i) / 100.0).collect();
    let (map, integer, reason) = of("shares", &shares);
    assert!(matches!(map, ColumnMap::Bounded { lower: 0.0, upper: 1.0, .. }) && !integer);
    assert_eq!(reason, Reason::Share);

    let prices: Vec<f64> = (0..200).map(|i| (f64::from(i) * 0.03).exp()).collect();
    assert!(matches!(of("prices", &prices).0, ColumnMap::Positive { lower: 0.0, .. }));

    let heights: Vec<f64> = (-50..50).map(|i| 1.7 + 0.001 * f64::from(i)).collect();
    assert!(matches!(of("heights", &heights), (ColumnMap::Real { .. }, false, _)));

    // Of values that float32 rounds to a bound there is no logit and no logarithm.
    let mut shares = shares;
    shares.push(1.0 - 1e-9);
    assert!(matches!(of("shares", &shares).0, ColumnMap::Real { .. }));
    let mut prices = prices;
    prices.push(1e-50);
    assert!(matches!(of("prices", &prices).0, ColumnMap::Real { .. }));
    let table = numbers(&[("prices", &prices)]);
    table.check_maps(&table.column_maps().unwrap()).unwrap();

    // Too large for noise in float32.
    assert!(!of("large", &[0.0, 1e6, 2e6]).1);
}

/// Each map gives the column mean 0 and deviation 1, integers by the middle of their cells.
#[test]
fn maps_standardise() {
    let values: Vec<f64> = (0..100).map(|i| (f64::from(i) * 0.05).exp()).collect();
    for map in [ColumnMap::real(), ColumnMap::positive(0.5), ColumnMap::bounded(0.0, 200.0)] {
        let mapped: Vec<f64> =
            values.iter().map(|&value| map.standardised(&values).apply(value)).collect();
        let mean = mapped.iter().sum::<f64>() / 100.0;
        let variance = mapped.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 100.0;
        assert!(mean.abs() < 1e-12 && (variance - 1.0).abs() < 1e-12, "{map:?}");
    }
    assert_eq!(ColumnMap::real().standardised(&[3.0, 3.0]).apply(3.0), 0.0);
}

#[test]
fn a_chosen_map_replaces_an_inferred_one() {
    let table = numbers(&[("a", &[1.0, 2.0, 3.0]), ("b", &[0.5, 1.5, 9.5])]);
    let mut maps = table.column_maps().unwrap();
    assert_eq!(maps.integers().unwrap().columns, [0]);
    table.set_map(&mut maps, "a", ColumnMap::real()).unwrap();
    assert_eq!(maps.columns[0].map, ColumnMap::real().standardised(&[1.0, 2.0, 3.0]));
    assert_eq!((maps.columns[0].reason, maps.integers().is_none()), (Reason::Set, true));
    let text = serde_json::to_string(&maps).unwrap();
    assert_eq!(serde_json::from_str::<ColumnMaps>(&text).unwrap(), maps);

    let refused = |found: Result<(), TableError>| found.unwrap_err().to_string();
    let outside = refused(table.set_map(&mut maps, "b", ColumnMap::bounded(0.0, 9.0)));
    let expected = "row 3: expected a number between 0 and 9, without these, in column \"b\", \
                    found 9.5";
    assert_eq!(outside, expected);
    let fraction = refused(table.set_integer_map(&mut maps, "b", ColumnMap::real()));
    assert_eq!(fraction, "row 1: expected an integer in column \"b\", found 0.5");
    let unknown = refused(table.set_map(&mut maps, "c", ColumnMap::real()));
    assert_eq!(unknown, "expected one of the columns a, b, found \"c\"");
    table.set_integer_map(&mut maps, "a", ColumnMap::positive(0.0)).unwrap();
    assert_eq!(maps.integers().unwrap().columns, [0]);
    assert_eq!(maps.columns[0].map, ColumnMap::positive(0.0).standardised(&[1.5, 2.5, 3.5]));
}

#[test]
fn another_table_is_checked() {
    let table = numbers(&[("a", &[1.0, 2.0, 3.0]), ("b", &[0.1, 5.0, 900.0])]);
    let maps = table.column_maps().unwrap();
    table.check_maps(&maps).unwrap();
    let check = |columns: &[(&str, &[f64])]| numbers(columns).check_maps(&maps).unwrap_err();
    let error = check(&[("a", &[1.0, 4.0]), ("b", &[1.0, 1.0])]);
    assert_eq!(
        error.to_string(),
        "row 2: expected an integer from 1 to 3 in column \"a\", found 4"
    );
    let error = check(&[("a", &[1.5]), ("b", &[1.0])]);
    assert_eq!(error.to_string(), "row 1: expected an integer in column \"a\", found 1.5");
    let error = check(&[("b", &[1.0]), ("a", &[1.0])]);
    assert_eq!(error.to_string(), "expected the columns a, b, found b, a");
    let constant = numbers(&[("a", &[2.0, 2.0])]).column_maps().unwrap_err();
    assert!(matches!(constant, TableError::Constant { .. }));
}

/// The whole cell of an integer must lie between the bounds, or its noise would leave them.
#[test]
fn cells_of_integers_are_between_the_bounds() {
    let table = numbers(&[("a", &[0.0, 2.0, 5.0])]);
    let mut maps = table.column_maps().unwrap();
    let mut set = |map| table.set_integer_map(&mut maps, "a", map);
    set(ColumnMap::positive(0.0)).unwrap();
    set(ColumnMap::bounded(-0.5, 6.0)).unwrap();
    for (map, row, expected) in [
        (ColumnMap::positive(0.25), 1, "an integer from 1 to inf"),
        (ColumnMap::bounded(0.25, 9.0), 1, "an integer from 1 to 8"),
        (ColumnMap::bounded(-1.0, 5.75), 3, "an integer from -1 to 4"),
        (ColumnMap::bounded(-1.0, 5.0), 3, "an integer from -1 to 4"),
    ] {
        let error = set(map).unwrap_err().to_string();
        let begin = format!("row {row}: expected {expected} in column \"a\"");
        assert!(error.starts_with(&begin), "{error}");
    }
}

/// Seconds since 1970 are 128 apart in float32.
#[test]
fn columns_that_float32_rounds_to_few_values_are_refused() {
    let seconds = |spread: f64| -> Vec<f64> {
        (0..100).map(|i| 1.7e9 + spread * f64::from(i % 10) / 10.0 + 0.5).collect()
    };
    let (day, year) = (seconds(86_400.0), seconds(3e7));
    let table = numbers(&[("a", &day)]);
    let mut maps = table.column_maps().unwrap();
    let error = table.check_maps(&maps).unwrap_err();
    assert!(matches!(error, TableError::Coarse { row: 1, spacing: 128.0, .. }), "{error}");
    assert!(error.to_string().ends_with("subtract a constant from the column"), "{error}");
    let error = table.set_map(&mut maps, "a", ColumnMap::real()).unwrap_err();
    assert!(matches!(error, TableError::Coarse { .. }), "{error}");
    let near: Vec<f64> = day.iter().map(|x| x - 1.7e9).collect();
    for fine in [year, near, vec![0.0, 1e-20, 2.5e-20], vec![-3e4 + 0.5, 3e4 + 0.5]] {
        let table = numbers(&[("a", &fine)]);
        table.check_maps(&table.column_maps().unwrap()).unwrap();
    }
}

#[test]
fn conditions_are_standardised_or_one_hot() {
    let table = Table::new(vec![
        Column::numbers("size", vec![1.0, 3.0]),
        Column::texts("kind", &["b", "a"]),
    ])
    .unwrap();
    let conditions = table.conditions(&["kind", "size"]).unwrap();
    let device = device();
    let condition = conditions.tensor(&table, &device).unwrap().into_data();
    condition.assert_eq(&TensorData::from([[0.0f32, 1.0, -1.0], [1.0, 0.0, 1.0]]), true);
    let text = serde_json::to_string(&conditions).unwrap();
    assert_eq!(serde_json::from_str::<Conditions>(&text).unwrap(), conditions);

    let other = Table::new(vec![Column::numbers("size", vec![1.0]), Column::texts("kind", &["c"])]);
    let error = conditions.tensor(&other.unwrap(), &device).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 1: expected one of \"a\", \"b\" in column \"kind\", found \"c\""
    );
    let error = conditions.tensor(&numbers(&[("size", &[1.0])]), &device).unwrap_err();
    assert!(matches!(error, TableError::UnknownColumn { found, .. } if found == "kind"));
    // A column that names the rows.
    let texts = |n: usize| -> Vec<String> { (0..n).map(|row| format!("u{row}")).collect() };
    let named = |n: usize| Table::new(vec![Column::texts("id", &texts(n))]).unwrap();
    assert_eq!(named(1000).conditions(&["id"]).unwrap().width(), 1000);
    let error = named(1001).conditions(&["id"]).unwrap_err();
    assert!(matches!(error, TableError::TooManyTexts { found: 1001, .. }), "{error}");
    // Classes that are written as numbers in one file and as text in another.
    let years = Table::new(vec![Column::texts("year", &["2020", "2021"])]).unwrap();
    let as_numbers = numbers(&[("year", &[2021.0])]);
    let condition = years.conditions(&["year"]).unwrap().tensor(&as_numbers, &device).unwrap();
    condition.into_data().assert_eq(&TensorData::from([[0.0f32, 1.0]]), true);
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
    ];
    for (map, at) in maps {
        for (dtype, epsilon) in [(DType::F32, f64::from(f32::EPSILON)), (DType::F64, f64::EPSILON)]
        {
            let (x, slope): (f64, fn(f64, f64, f64) -> f64) = match map {
                ColumnMap::Bounded { lower, upper, .. } => {
                    (lower + at * (upper - lower), |x, a, b| (b - a) / ((x - a) * (b - x)))
                }
                ColumnMap::Positive { lower, .. } => (lower + at, |x, a, _| 1.0 / (x - a)),
                ColumnMap::Real { .. } => (at, |_, _, _| 1.0),
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
        for x in [-most, -255.0, -2.0, -1.0, 0.0, 1.0, 7.0, 1023.0, most] {
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
    for (value, shown) in [(2.5, "2.5"), (65537.0, "65537")] {
        let error = flow.evaluate(x(value)).unwrap_err();
        assert!(matches!(error, FlowError::Integer { example: 1, column: 2, .. }), "{error}");
        let text = format!("example 1: expected an integer in ±65536 in column 2, found {shown}");
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
