//! The maps of a table's columns, its classes and its conditions.

use burn::tensor::{Device, TensorData};
use flowkit::data::Table;
use flowkit::data::table::{Column, ColumnMaps, Conditions, Reason, RepeatedValue, TableError};
use flowkit::{ColumnMap, ColumnsConfig};

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

/// A value that many rows have is named, but not where integers are dequantized.
#[test]
fn repeated_values_are_named() {
    let rain: Vec<f64> =
        (0..200).map(|i| if i % 3 == 0 { 0.37 * f64::from(i) } else { 0.0 }).collect();
    let rolls: Vec<f64> = (0..200).map(|i| f64::from(i % 6)).collect();
    let plain: Vec<f64> = (0..200).map(|i| 0.1 * f64::from(i)).collect();
    let maps = numbers(&[("rain", &rain), ("rolls", &rolls), ("plain", &plain)]);
    let mut maps = maps.column_maps().unwrap();
    let named = |maps: &ColumnMaps| {
        let report = maps.to_string();
        let named = |line: &str| line.contains("where a density may grow without limit");
        report.lines().map(named).collect::<Vec<_>>()
    };
    // 0 is that of rows 1 and 2 of three, and of row 0.
    assert_eq!(maps.columns[0].repeated, Some(RepeatedValue { value: 0.0, rows: 134 }));
    assert_eq!(maps.columns[2].repeated, None);
    assert_eq!(named(&maps), [true, false, false]);
    assert!(maps.to_string().lines().next().unwrap().contains("; 134 rows with 0, where"));
    maps.columns[1].integer = false;
    assert_eq!(named(&maps), [true, true, false]);
    // Of ten rows, each value is that of a tenth.
    assert_eq!(numbers(&[("few", &rain[..10])]).column_maps().unwrap().columns[0].repeated, None);
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
    // The mean of equal numbers may be rounded; they are constant all the same.
    for value in [3.0, 0.1, 1e30, -1.0 / 3.0] {
        let ColumnMap::Real { center, scale } = ColumnMap::real().standardised(&[value; 10]) else {
            panic!("a real map");
        };
        assert_eq!((center, scale), (value, 1.0));
    }
}

/// What the layer computes in float32 decides, not what the file holds.
#[test]
fn maps_suit_the_numbers_in_float32() {
    // 1 in float32, and 0 in float32.
    let mut shares: Vec<f64> = (1..100).map(|i| f64::from(i) / 100.0).collect();
    shares.push(0.999_999_999);
    let table = numbers(&[("share", &shares)]);
    let maps = table.column_maps().unwrap();
    assert!(matches!(maps.columns[0].map, ColumnMap::Real { .. }));
    table.check_maps(&maps).unwrap();
    let mut prices: Vec<f64> = (0..200).map(|i| (f64::from(i) * 0.03).exp()).collect();
    prices.push(1e-50);
    let table = numbers(&[("price", &prices)]);
    let maps = table.column_maps().unwrap();
    assert!(matches!(maps.columns[0].map, ColumnMap::Real { .. }));
    table.check_maps(&maps).unwrap();

    let wide = numbers(&[("a", &[0.0, 1e39, 2e39])]);
    let maps = wide.column_maps().unwrap();
    let error = wide.check_maps(&maps).unwrap_err().to_string();
    assert!(error.starts_with("row 2: ") && error.contains("3402823"), "{error}");
}

#[test]
fn texts_become_classes() {
    let kinds = Column::texts("kind", &["oak", "ash", "oak", "elm"]);
    let table = Table::new(vec![kinds, Column::numbers("a", vec![1.5, 2.5, 3.0, 0.1])]).unwrap();
    let classes = table.classes("kind").unwrap();
    assert_eq!(classes, ["ash", "elm", "oak"]);
    assert_eq!(table.classes("a").unwrap(), ["0.1", "1.5", "2.5", "3"]);
    let coded = table.coded("kind", &classes).unwrap();
    assert_eq!(coded.numbers("kind").unwrap(), [2.0, 0.0, 2.0, 1.0]);
    let mut maps = coded.column_maps().unwrap();
    coded.set_integer_map(&mut maps, "kind", ColumnMap::class(3)).unwrap();
    assert!(maps.to_string().starts_with("kind  3 classes, to be dequantized"), "{maps}");
    coded.check_maps(&maps).unwrap();
    let few = coded.set_integer_map(&mut maps, "kind", ColumnMap::class(2)).unwrap_err();
    assert!(few.to_string().starts_with("row 1: "), "{few}");
    let error = table.coded("kind", &["ash", "oak"]).unwrap_err();
    assert!(matches!(error, TableError::UnknownText { row: 4, .. }), "{error}");
    assert!(matches!(table.coded("b", &classes), Err(TableError::UnknownColumn { .. })));
    let config = ColumnsConfig::new(vec![ColumnMap::class(0)]);
    assert!(config.validate().unwrap_err().to_string().contains("maps[0]"));
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
        (ColumnMap::positive(0.25), 1, "an integer from 1 to 65535"),
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
    let error = table.column_maps().unwrap_err();
    assert!(matches!(error, TableError::Coarse { row: 1, spacing: 128.0, .. }), "{error}");
    assert!(error.to_string().ends_with("subtract a constant from the column"), "{error}");
    let mut maps = numbers(&[("a", &[0.5, 1.5])]).column_maps().unwrap();
    for map in [ColumnMap::real(), ColumnMap::circular(0.0, 86_400.0)] {
        let error = table.set_map(&mut maps, "a", map).unwrap_err();
        assert!(matches!(error, TableError::Coarse { .. }), "{error}");
    }
    // A row that is far from all others is no reason.
    let maps = numbers(&[("a", &[0.5, 1.5, 2.5])]).column_maps().unwrap();
    numbers(&[("a", &[1e9])]).check_maps(&maps).unwrap();
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
