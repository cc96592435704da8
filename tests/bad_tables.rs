//! The examples of tables and posteriors name what is wrong with their files and flags, before they
//! compute anything.

#[path = "common/program.rs"]
mod program;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Runs an example in a folder, and returns whether it succeeded, with all that it printed.
fn run(name: &str, folder: &Path, args: &str) -> (bool, String) {
    let program = program::example(name, &format!("cargo build --release --example {name}"));
    let mut command = Command::new(program);
    let output = command.current_dir(folder).args(args.split_whitespace()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Runs an example that must fail, without a fit, and returns its last line.
fn refused(name: &str, folder: &Path, args: &str) -> String {
    let (success, text) = run(name, folder, args);
    assert!(!success && !text.contains("Trained on"), "{args}: {text}");
    text.lines().last().unwrap_or_default().to_owned()
}

/// A folder with `rows.csv`: `x` and `y` in (0, 1), the text `kind`, and a `count` that is 40 in
/// the last row and 0 or 1 before.
fn rows() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "x,y,kind,count\n".to_owned();
    for row in 0..300 {
        let x = (f64::from(row) * 0.618).fract() * 0.9 + 0.05;
        let (y, kind) = ((x * 37.0).fract() * 0.9 + 0.05, ["a", "b"][row as usize % 2]);
        let count = if row == 299 { 40 } else { row % 2 };
        writeln!(text, "{x},{y},{kind},{count}").unwrap();
    }
    fs::write(folder.path().join("rows.csv"), text).unwrap();
    folder
}

/// The row of an error is that of the file, wherever the row would be after a split.
#[test]
fn rows_are_those_of_the_file() {
    let folder = rows();
    let file = folder.path().join("rows.csv");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "-0.5,0.5,a,1\n").unwrap();
    for seed in 0..4 {
        let args = format!("--data rows.csv --columns x,y --positive x --seed {seed}");
        let error = refused("table", folder.path(), &args);
        assert!(
            error.starts_with("error: row 301: expected a number between 0 and inf"),
            "{error}"
        );
    }
}

/// A value that only the rows to test on have does not end a run that is already fitted.
#[test]
fn rows_to_test_on_are_checked_before_the_fit() {
    let folder = rows();
    for seed in 0..6 {
        let args = format!("--data rows.csv --columns x,count --epochs 1 --seed {seed}");
        let (success, text) = run("table", folder.path(), &args);
        assert!(success && text.contains("integers from 0 to 40"), "{text}");
    }
    for (test, expected) in [
        ("x,count\n0.5,41\n", "error: test.csv: row 1: expected an integer from 0 to 40"),
        ("x,y\n0.5,0.5\n", "error: expected one of the columns x, y, found \"count\""),
        (
            "x,kind,count\n0.5,c,1\n",
            "error: row 1: expected one of \"a\", \"b\" in column \"kind\"",
        ),
    ] {
        fs::write(folder.path().join("test.csv"), test).unwrap();
        let given = if test.contains("kind") { "--given kind" } else { "" };
        let args = format!("--data rows.csv --columns x,count --test test.csv {given}");
        let error = refused("table", folder.path(), &args);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn bad_flags_of_a_table_are_refused() {
    let folder = rows();
    let text = fs::read_to_string(folder.path().join("rows.csv")).unwrap();
    let more = text.lines().enumerate().map(|(line, text)| match line {
        0 => format!("{text},weight,twice\n"),
        _ => {
            let x: f64 = text.split(',').next().unwrap().parse().unwrap();
            format!("{text},1,{}\n", 2.0 * x)
        }
    });
    fs::write(folder.path().join("more.csv"), more.collect::<String>()).unwrap();
    fs::write(folder.path().join("zero.csv"), "x,y,weight\n0.5,0.5,0\n").unwrap();
    for (args, expected) in [
        ("--data rows.csv --samples 0", "error: --samples 0: must be at least 1"),
        (
            "--data more.csv --columns x,y --weights weight --test zero.csv",
            "error: --weights weight: must be a column that is above 0 for a row to test on",
        ),
        (
            "--data more.csv --columns x,y,twice",
            "error: --columns x,y,twice: must be columns of which none is a linear function",
        ),
    ] {
        let error = refused("table", folder.path(), args);
        assert!(error.starts_with(expected), "{args}: {error}");
    }
    // What a model has learned is not changed by flags.
    for flag in ["--given kind", "--drop-missing", "--weights y", "--epochs 3", "--positive x"] {
        let (_, text) = run("table", folder.path(), &format!("--score m --data rows.csv {flag}"));
        let own = flag.split_whitespace().next().unwrap();
        let refused = text.contains("cannot be used with") && text.contains(own);
        assert!(refused && text.contains("--score"), "{flag}: {text}");
    }
}

/// The Gaussian describes integers with noise, as the flow does: no density is above a probability.
#[test]
fn a_gaussian_of_integers_is_no_density_of_points() {
    let folder = rows();
    let mut text = "rare\n".to_owned();
    (0..400).for_each(|row| writeln!(text, "{}", u8::from(row % 50 == 0)).unwrap());
    fs::write(folder.path().join("rare.csv"), text).unwrap();
    let (success, text) = run("table", folder.path(), "--data rare.csv --epochs 1 --out rare");
    assert!(success, "{text}");
    let report = fs::read_to_string(folder.path().join("rare/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let nats = report["gaussian_nats"].as_f64().unwrap();
    assert!(nats < 0.0, "{nats}");
}

/// A row has one score, whatever else is in the file, and the same one again.
#[test]
fn scores_are_repeated() {
    let folder = rows();
    let fit = "--data rows.csv --columns x,count --given kind --epochs 1 --out model";
    assert!(run("table", folder.path(), fit).0);
    let file = "other,kind,x,count\n,a,0.5,1\nNA,b,0.25,0\n";
    fs::write(folder.path().join("other.csv"), file).unwrap();
    let score = || {
        let (success, text) =
            run("table", folder.path(), "--score model --data other.csv --out scores");
        assert!(success, "{text}");
        fs::read_to_string(folder.path().join("scores/scores.csv")).unwrap()
    };
    let first = score();
    assert_eq!(first.lines().count(), 3, "{first}");
    assert_eq!(first, score());
}

#[test]
fn a_single_row_has_no_error() {
    let folder = rows();
    fs::write(folder.path().join("test.csv"), "x,y\n0.5,0.5\n").unwrap();
    let args = "--data rows.csv --columns x,y --test test.csv --epochs 1";
    let (success, text) = run("table", folder.path(), args);
    let line = text.lines().find(|line| line.starts_with("test ")).unwrap_or_default();
    assert!(success && !line.contains('±'), "{text}");
}

/// A folder with simulations of one parameter whose name has a comma, and an observation.
fn simulations() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "\"parameter_a,b\",data_1\n".to_owned();
    for row in 1..200 {
        let x = f64::from(row) / 100.0 - 1.0;
        writeln!(text, "{x},{}", x + 0.3 * (f64::from(row) * 1.7).sin()).unwrap();
    }
    fs::write(folder.path().join("simulations.csv"), text).unwrap();
    folder
}

const POSTERIOR: &str = "--simulations simulations.csv --lower -1 --upper 1 --updates 1 --layers 1 \
                         --members 1 --width 4 --samples 5";

#[test]
fn bad_observations_are_refused() {
    let folder = simulations();
    for (name, text) in [
        ("far.csv", "data_1\n90\n"),
        ("infinite.csv", "data_1\n1e39\n"),
        ("text.csv", "data_1\nmuch\n"),
        ("all/a/b/observation.csv", "data_1\n0.5\n"),
        ("all/a-b/observation.csv", "data_1\n0.6\n"),
    ] {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    for (args, expected) in [
        ("--observation infinite.csv", "error: infinite.csv: row 1: expected a number between"),
        ("--observation text.csv", "error: text.csv: expected numbers in column \"data_1\""),
        ("--observations all", "error: all/a/b/observation.csv and all/a-b/observation.csv: "),
        ("--observation far.csv --held-out 1", "error: --held-out 1: must be at least 2"),
        ("--observation far.csv --held-out 198", "error: --held-out 198: must be at most 197"),
    ] {
        let error = refused("posterior", folder.path(), &format!("{POSTERIOR} {args}"));
        assert!(error.starts_with(expected), "{args}: {error}");
    }
    let args = format!("{POSTERIOR} --observation far.csv --held-out 20 --out out");
    let (success, text) = run("posterior", folder.path(), &args);
    assert!(success, "{text}");
    let warning = "outside         far.csv: no simulation goes as far in data_1";
    assert!(text.contains(warning), "{text}");
    let samples = fs::read_to_string(folder.path().join("out/posterior.csv")).unwrap();
    assert_eq!(samples.lines().next(), Some("\"parameter_a,b\""));
    let simulations = fs::read_to_string(folder.path().join("simulations.csv")).unwrap();
    let large = simulations + "0.5,1e39\n";
    fs::write(folder.path().join("simulations.csv"), large).unwrap();
    let args = format!("{POSTERIOR} --observation far.csv --held-out 20");
    let error = refused("posterior", folder.path(), &args);
    assert!(error.starts_with("error: simulations.csv: row 200: expected a number"), "{error}");
}

/// Text that is described is known by its classes, in the rows to test on and to score too.
#[test]
fn classes_are_those_of_the_rows_to_fit() {
    let folder = rows();
    let write = |name: &str, kind: &str| {
        let mut text = "x,y,kind,count\n".to_owned();
        for row in 0..20 {
            writeln!(text, "0.{row}5,0.5,{kind},1").unwrap();
        }
        fs::write(folder.path().join(name), text).unwrap();
    };
    write("known.csv", "b");
    write("other.csv", "c");
    let fit = "--data rows.csv --columns x,kind --epochs 1 --samples 10 --out model";
    let error = refused("table", folder.path(), &format!("{fit} --test other.csv"));
    assert!(error.contains("other.csv") && error.contains("found \"c\""), "{error}");
    let (success, text) = run("table", folder.path(), &format!("{fit} --test known.csv"));
    assert!(success, "{text}");
    let samples = fs::read_to_string(folder.path().join("model/samples.csv")).unwrap();
    let mut kinds = samples.lines().skip(1).map(|line| line.split(',').next_back().unwrap());
    assert!(kinds.all(|kind| ["a", "b"].contains(&kind)), "{samples}");
    let score = |data: &str| format!("--data {data} --score model --out model");
    let (success, text) = run("table", folder.path(), &score("known.csv"));
    assert!(success, "{text}");
    let error = refused("table", folder.path(), &score("other.csv"));
    assert!(error.contains("found \"c\""), "{error}");
}
