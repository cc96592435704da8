//! Numbers computed elsewhere, with more digits: the MixLogCDF law, and small cases of every block.
//!
//! `FLOWKIT_CASES` and `FLOWKIT_DIGITS` name other files of MixLogCDF cases with the same layouts.

#[path = "cases/blocks.rs"]
mod blocks;
mod common;
#[path = "cases/digits.rs"]
mod digits;
#[path = "cases/mixture.rs"]
mod mixture;
#[path = "cases/training.rs"]
mod training;

use burn::tensor::Tensor;
use common::build;
use serde_json::Value;

use common::tolerance::{elementwise, limit};
use common::{Precision, values};

/// The number, or all numbers in nested lists, row by row.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        _ => vec![value.as_f64().unwrap_or_else(|| panic!("a number expected, found {value}"))],
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number expected, found {value}"))
}

/// Differences that exceed their limits, so that one does not hide the next.
struct Findings {
    precision: Precision,
    case: String,
    list: Vec<String>,
}

impl Findings {
    /// Compares element by element, to the limit of the type.
    fn check<const D: usize>(&mut self, what: &str, found: Tensor<D>, truth: &Value) {
        self.check_to(limit(self.precision), what, &values(found), &numbers(truth));
    }

    /// Compares element by element: the difference over the larger of 1 and the size of the truth.
    fn check_to(&mut self, limit: f64, what: &str, found: &[f64], truth: &[f64]) {
        self.record(elementwise(found, truth), limit, what, found, truth);
    }

    /// Compares one number by its difference.
    fn check_absolute(&mut self, limit: f64, what: &str, found: &[f64], truth: &Value) {
        let truth = number(truth);
        let error = elementwise(found, &[truth]) * truth.abs().max(1.0);
        self.record(error, limit, what, found, &[truth]);
    }

    fn record(&mut self, error: f64, limit: f64, what: &str, found: &[f64], truth: &[f64]) {
        let Self { precision, case, .. } = self;
        println!("{precision:?} {error:8.1e} of {limit:8.1e}  {case}: {what}");
        // A limit that is NaN, because it was derived from a result that is, allows nothing.
        let close = error <= limit;
        if !close {
            let difference = format!("{error:.2e} exceeds {limit:.1e}: {found:?}, not {truth:?}");
            let line = format!("{precision:?}: {case}: {what}: {difference}");
            self.list.push(line);
        }
    }
}

/// Runs `test` in float64 and in float32 and demands that it found nothing.
fn each_precision(mut test: impl FnMut(&mut Findings)) {
    let mut list = Vec::new();
    for precision in Precision::BOTH {
        let mut findings = Findings { precision, case: String::new(), list: Vec::new() };
        test(&mut findings);
        list.extend(findings.list);
    }
    assert!(list.is_empty(), "\n{}", list.join("\n"));
}
