//! Tables from CSV files.

use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use flate2::Compression;
use flate2::write::GzEncoder;
use flowkit::data::Table;
use flowkit::data::table::{Column, CsvConfig, Missing, TableError, Values};
use flowkit::model::RealNvpConfig;
use flowkit::train::fit::{FitConfig, FitData, FitDataError, FitError, Progress};
use flowkit::{ColumnsConfig, Density, Flow, StandardNormal};

use crate::{file, folder};

const ROWS: &str = "x,kind,y\n1,a,0.5\n2,b,-1e3\n3.5,a,+.25\n";

fn written(dir: &Path, text: &str) -> PathBuf {
    file(dir, "rows.csv", text.as_bytes())
}

fn read(config: &CsvConfig, text: &str) -> Result<Table, TableError> {
    config.read(written(folder().path(), text))
}

/// A column `x` whose numbers are checked to lie between two bounds.
fn within(x: &[f64], lower: f64, upper: f64) -> Result<Table, TableError> {
    let table = Table::new(vec![Column::numbers("x", x.to_vec())])?;
    table.check_columns(&ColumnsConfig::bounded([(lower, upper)])).map(|()| table)
}

#[test]
fn columns_are_numbers_or_text() {
    let table = read(&CsvConfig::new(), ROWS).unwrap();
    assert_eq!(table.names().collect::<Vec<_>>(), ["x", "kind", "y"]);
    assert_eq!(table.numbers("x").unwrap(), [1.0, 2.0, 3.5]);
    assert_eq!(table.numbers("y").unwrap(), [0.5, -1e3, 0.25]);
    let kinds = Values::Texts { names: vec!["a".into(), "b".into()], codes: vec![0, 1, 0] };
    assert_eq!(table.column("kind").unwrap().values, kinds);
    let same = Table::new(vec![
        Column::numbers("x", vec![1.0, 2.0, 3.5]),
        Column::texts("kind", &["a", "b", "a"]),
        Column::numbers("y", vec![0.5, -1e3, 0.25]),
    ]);
    assert_eq!(table, same.unwrap());
}

/// The codes of texts do not depend on the order of the rows.
#[test]
fn texts_are_in_order() {
    let table = read(&CsvConfig::new(), "kind\nb\nc\na\nc\n").unwrap();
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let expected = Values::Texts { names, codes: vec![1, 2, 0, 2] };
    assert_eq!(table.columns()[0].values, expected);
}

#[test]
fn other_ways_to_write_a_table() {
    let expected = read(&CsvConfig::new(), ROWS).unwrap();
    for (config, text) in [
        (CsvConfig::new(), ROWS.replace('\n', "\r\n")),
        (CsvConfig::new(), format!("\u{feff}{ROWS}")),
        (CsvConfig::new(), ROWS.replace(',', " ,\t")),
        (CsvConfig::new(), ROWS.replace("kind", "\"kind\"").replace(",a,", ",\"a\",")),
        (CsvConfig::new(), ROWS.trim_end().to_owned()),
        (CsvConfig::new(), ROWS.replace('\n', "\n\n")),
        (CsvConfig::new().with_delimiter(';'), ROWS.replace(',', ";")),
        (CsvConfig::new().with_delimiter('\t'), ROWS.replace(',', "\t")),
    ] {
        assert_eq!(read(&config, &text).unwrap(), expected, "{text:?}");
    }
    let dir = folder();
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(ROWS.as_bytes()).unwrap();
    let path = file(dir.path(), "rows.csv.gz", &packed.finish().unwrap());
    assert_eq!(Table::read_csv(path).unwrap(), expected);
    let quoted = read(&CsvConfig::new(), "name\n\"a, b\"\n\"say \"\"c\"\"\"\n").unwrap();
    let names = vec!["a, b".to_owned(), "say \"c\"".to_owned()];
    assert_eq!(quoted.columns()[0].values, Values::Texts { names, codes: vec![0, 1] });
}

/// What a column holds that is not read does not matter.
#[test]
fn columns_are_chosen_while_reading() {
    let config = CsvConfig::new().with_columns(vec!["y".into(), "x".into()]);
    let table = read(&config, "x,note,y\n1,,2\n3,7,4\n5,text,6\n").unwrap();
    assert_eq!(table.names().collect::<Vec<_>>(), ["y", "x"]);
    assert_eq!(table.numbers("y").unwrap(), [2.0, 4.0, 6.0]);
}

#[test]
fn rows_without_a_value_are_left_out_and_counted() {
    let text = "x,kind\n1,a\n,b\nNA,c\n2,n/a\n3,?\nnull,a\n4,b\nnan,a\n";
    let table = read(&CsvConfig::new().with_missing(Missing::DropRows), text).unwrap();
    assert_eq!((table.len(), table.dropped()), (2, 6));
    assert_eq!(table.numbers("x").unwrap(), [1.0, 4.0]);
}

#[test]
fn numbers_may_be_names() {
    let config = CsvConfig::new().with_text(vec!["zip".into()]);
    let table = read(&config, "zip\n10\n9\n10\nX\n").unwrap();
    let names = ["10", "9", "X"].map(String::from).to_vec();
    assert_eq!(table.columns()[0].values, Values::Texts { names, codes: vec![0, 1, 0, 2] });
}

/// `(what the file holds, fragments of the message)`.
#[test]
fn bad_files_are_named_by_line_and_column() {
    let cases: [(&[u8], &[&str]); 15] = [
        (b"", &["rows.csv", "names of the columns", "empty"]),
        (b"\n\n", &["rows.csv", "names of the columns", "empty"]),
        (b"x,y\n", &["rows.csv", "at least one row", "none"]),
        (b"x,,y\n1,2,3\n", &["a name for each column", "column 2"]),
        (b"x,y,x\n1,2,3\n", &["\"x\"", "columns 1 and 3"]),
        (b"1,2\n3,4\n", &["names of the columns", "only numbers"]),
        (b"x,y\n1,2\n3\n", &["line 3", "2 cells", "found 1"]),
        (b"x,y\n1,2\n3,4,5\n", &["line 3", "2 cells", "found 3"]),
        (b"x,y\n1,2\n3,\n", &["line 3", "\"y\" of row 2", "found \"\"", "DropRows"]),
        (b"x,y\n1,2\nNaN,2\n", &["line 3", "\"x\" of row 2", "found \"NaN\""]),
        (b"x,y\n1,2\n3,inf\n", &["line 3", "finite", "\"y\" of row 2", "\"inf\""]),
        (b"x,y\n1,2\n3,1e999\n", &["line 3", "finite", "\"y\" of row 2", "\"1e999\""]),
        (b"x,y\n1,2\n3,abc\n", &["\"y\"", "\"2\" in line 2", "\"abc\" in line 3", "`text`"]),
        (b"x,y\n1,abc\n3,2\n", &["\"y\"", "\"2\" in line 3", "\"abc\" in line 2"]),
        (b"x,y\n1,2\n3,\xff\n", &["line 3", "UTF-8", "column 2"]),
    ];
    let dir = folder();
    for (bytes, fragments) in cases {
        let path = file(dir.path(), "rows.csv", bytes);
        let message = Table::read_csv(&path).unwrap_err().to_string();
        for fragment in fragments {
            assert!(message.contains(fragment), "{message:?} does not name {fragment:?}");
        }
    }
    for path in [dir.path().to_path_buf(), dir.path().join("none.csv")] {
        let error = Table::read_csv(&path).unwrap_err();
        assert!(matches!(error, TableError::Io { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn bad_choices_are_named() {
    let table = read(&CsvConfig::new(), ROWS).unwrap();
    let config = CsvConfig::new();
    let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let cases: Vec<(Result<Table, TableError>, &[&str])> = vec![
        (table.select(&["x", "z"]), &["x, kind, y", "\"z\""]),
        (table.select(&["x", "x"]), &["once", "\"x\" twice"]),
        (table.select::<&str>(&[]), &["at least one column"]),
        (table.without(&["z"]), &["\"z\""]),
        (table.without(&["x", "y", "kind"]), &["at least one column"]),
        (table.weighted_by("y"), &["row 2", "[0, ∞)", "\"y\"", "-1000"]),
        (table.weighted_by("kind"), &["numbers", "\"kind\"", "\"a\""]),
        (table.split(0.1, 0).map(|(rest, _)| rest), &["3 rows", "0.1"]),
        (table.split(f64::NAN, 0).map(|(rest, _)| rest), &["3 rows", "NaN"]),
        (table.split(1.0, 0).map(|(rest, _)| rest), &["3 rows", "found 1"]),
        (
            within(&[1.0, 0.5, 0.25], 0.0, 1.0),
            &["row 1", "between 0 and 1", "column \"x\"", "found 1"],
        ),
        (within(&[0.5, f64::MIN_POSITIVE, 0.25], 0.0, 1.0), &["row 2", "\"x\"", "found 0.00"]),
        (within(&[0.5, 0.5, 0.99999999], 0.0, 1.0), &["row 3", "\"x\"", "found 0.99999999"]),
        (within(&[0.5, 0.5, 1.5], 0.0, 1.0), &["row 3", "\"x\"", "found 1.5"]),
        (
            table.check_columns(&ColumnsConfig::bounded([(0.0, 1.0)])).map(|()| table.clone()),
            &["a map for each of 3 columns, found 1"],
        ),
        (
            table.check_columns(&ColumnsConfig::bounded([(-1e9, 1e9); 3])).map(|()| table.clone()),
            &["numbers", "\"kind\""],
        ),
        (Table::new(Vec::new()), &["at least one column"]),
        (
            Table::new(vec![Column::numbers("a", vec![1.0]), Column::texts("b", &["c", "d"])]),
            &["1 row", "\"b\"", "found 2"],
        ),
        (
            Table::new(vec![Column::numbers("a", vec![1.0]), Column::numbers("a", vec![2.0])]),
            &["once", "\"a\""],
        ),
        (read(&config.clone().with_columns(columns(&["x", "z"])), ROWS), &["x, kind, y", "\"z\""]),
        (read(&config.clone().with_columns(columns(&["x", "x"])), ROWS), &["once", "\"x\""]),
        (read(&config.clone().with_text(columns(&["z"])), ROWS), &["x, kind, y", "\"z\""]),
        (read(&config.clone().with_delimiter('→'), ROWS), &["ASCII", "'→'"]),
        (read(&config.clone().with_delimiter('"'), ROWS), &["quote"]),
    ];
    assert!(within(&[0.5, 0.25], 0.0, 1.0).is_ok());
    for (result, fragments) in cases {
        let message = result.unwrap_err().to_string();
        for fragment in fragments {
            assert!(message.contains(fragment), "{message:?} does not name {fragment:?}");
        }
    }
}

#[test]
fn densities_need_columns_that_vary() {
    let table = |second: Vec<f64>| {
        let texts = Column::texts("kind", &["a", "a", "a"]);
        Table::new(vec![
            Column::numbers("x", vec![1.0, 2.0, 3.0]),
            Column::numbers("y", second),
            texts,
        ])
        .unwrap()
    };
    table(vec![1.0, 2.0, 4.0]).check_varied().unwrap();
    let constant = table(vec![5.0; 3]).check_varied().unwrap_err().to_string();
    assert!(constant.contains("\"y\"") && constant.contains("5 in each row"), "{constant}");
    let same = table(vec![1.0, 2.0, 3.0]).check_varied().unwrap_err().to_string();
    assert!(same.contains("\"x\" and \"y\""), "{same}");
}

#[test]
fn a_split_shares_no_row() {
    let rows: Vec<f64> = (0..100).map(f64::from).collect();
    let table =
        Table::new(vec![Column::numbers("x", rows.clone()), Column::numbers("w", rows.clone())]);
    let table = table.unwrap().weighted_by("w").unwrap();
    let (rest, part) = table.split(0.3, 5).unwrap();
    assert_eq!((rest.len(), part.len()), (70, 30));
    let mut all = [rest.numbers("x").unwrap(), part.numbers("x").unwrap()].concat();
    assert!(rest.numbers("x").unwrap().is_sorted() && part.numbers("x").unwrap().is_sorted());
    assert_eq!(part.weights().unwrap(), part.numbers("x").unwrap(), "weights go with their rows");
    all.sort_by(f64::total_cmp);
    assert_eq!(all, rows);
    assert_eq!(table.split(0.3, 5).unwrap().1, part, "the same seed");
    assert_ne!(table.split(0.3, 6).unwrap().1, part, "another seed");
}

#[test]
fn a_flow_is_fitted_to_a_table() {
    let device = Device::flex();
    let numbers = |shift: f64| (0..64).map(|i| (f64::from(i) * shift).sin()).collect::<Vec<_>>();
    let table = Table::new(vec![
        Column::numbers("x", numbers(0.7)),
        Column::numbers("y", numbers(1.3)),
        Column::numbers("w", (0..64).map(|i| f64::from(i % 2)).collect()),
    ]);
    let table = table.unwrap().weighted_by("w").unwrap();
    let points = table.points(&device).unwrap();
    assert_eq!(points.dims(), [64, 2]);
    let row: Tensor<2> = table.batch(&[3], &device);
    assert_eq!(row.into_data(), points.narrow(0, 3, 1).into_data());
    let flow =
        || Flow::build(&RealNvpConfig::new(2), StandardNormal::new(), [1, 2], &device).unwrap();
    let config = FitConfig::new().with_epochs(1).with_progress(Progress::None);
    let fitted = config.fit(flow(), &table).unwrap();
    // Half of the rows have weight 0.
    let report = &fitted.report;
    assert_eq!(report.held_out.examples(), 3);
    assert_eq!(fitted.flow.sample(2).unwrap().dims(), [2, 2]);
    let text =
        Table::new(vec![Column::texts("kind", &["a", "b"]), Column::texts("k", &["a", "b"])]);
    let text = text.unwrap();
    assert_eq!(FitData::check(&text), Err(FitDataError::Text { column: "kind".into() }));
    assert!(matches!(config.fit(flow(), &text), Err(FitError::Data(FitDataError::Text { .. }))));
}

/// Whatever follows a quote that nothing closes would be one cell, and its rows be lost.
#[test]
fn quotes_are_closed() {
    let open = |text: &str, expected: u64| match read(&CsvConfig::new(), text) {
        Err(TableError::OpenQuote { line, .. }) => assert_eq!(line, expected, "{text:?}"),
        other => panic!("{text:?}: {other:?}"),
    };
    open("x,kind\n1,a\n2,\"b\n3,c\n4,d\n", 3);
    open("x,kind\n1,a\n2,\"b", 3);
    open("x,kind\n1,\"", 2);
    open("\"x,kind\n1,a\n", 1);
    open("x\n\"1\n2\n", 2);
    open("kind\na\n\"\"\"\n", 3);
    open("\n\r\n\"x,kind\n1,a\n", 3);
    open("x,kind\r\n1,a\r\n\r\n2,\"b\r\n3,c\r\n", 4);
    for (text, rows) in [
        ("x,kind\n1,\"a\nb\"\n2,\"b\"\"\"", 2),
        ("x,kind\n1,a\"\n2,b\n", 2),
        ("kind\n\"\"\"\"\na\n", 2),
        ("kind\na\n\"\"\"\"\n", 2),
        ("kind\r\na\r\nb", 2),
    ] {
        assert_eq!(read(&CsvConfig::new(), text).unwrap().len(), rows, "{text:?}");
    }
    let tabs = CsvConfig::new().with_delimiter('\t');
    assert_eq!(read(&tabs, "x\ty\n1\t2\n").unwrap().len(), 1);
}

/// Whatever ends the lines, and however many are empty, an error names the line that an editor
/// shows.
#[test]
fn lines_are_those_of_the_file() {
    for end in ["\n", "\r\n", "\r"] {
        let file = |rows: &[&str]| rows.join(end);
        let ragged = file(&["", "x,kind", "1,a", "", "", "2,\"b", "c\"", "3"]);
        match read(&CsvConfig::new(), &ragged) {
            Err(TableError::Ragged { line: 8, expected: 2, found: 1, .. }) => {}
            other => panic!("{end:?}: {other:?}"),
        }
        match read(&CsvConfig::new(), &file(&["x,y", "1,2", "3,NA", ""])) {
            Err(TableError::Missing { line: 3, row: 2, .. }) => {}
            other => panic!("{end:?}: {other:?}"),
        }
        match read(&CsvConfig::new(), &file(&["x,y", "", "1,2", "3,a"])) {
            Err(TableError::Mixed { cells, .. }) => {
                assert_eq!((cells.number_line, cells.text_line), (3, 4), "{end:?}");
            }
            other => panic!("{end:?}: {other:?}"),
        }
    }
}

#[test]
fn columns_of_numbers_hold_numbers() {
    for found in [f64::NAN, f64::INFINITY] {
        let error = Table::new(vec![Column::numbers("w", vec![1.0, found])]).unwrap_err();
        assert!(matches!(error, TableError::NoNumber { row: 2, .. }), "{error}");
    }
}

#[test]
fn codes_of_texts_have_names() {
    let table = |names: &[&str], codes: &[u32]| {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let values = Values::Texts { names, codes: codes.to_vec() };
        Table::new(vec![Column { name: "kind".into(), values }])
    };
    assert_eq!(table(&["a", "b"], &[1, 0, 1]).unwrap().len(), 3);
    match table(&["a", "b"], &[1, 0, 2]).unwrap_err() {
        TableError::Code { row: 3, expected: 2, found: 2, .. } => {}
        error => panic!("{error}"),
    }
    for names in [["b", "a"], ["a", "a"]] {
        match table(&names, &[0]).unwrap_err() {
            TableError::Names { first, second, .. } => assert_eq!([first, second], names),
            error => panic!("{error}"),
        }
    }
}
