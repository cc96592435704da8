//! Rows of a table: means over them, their columns, and samples as a CSV text.

use std::collections::BTreeMap;
use std::fmt::Display;

use burn::tensor::Tensor;
use flowkit::data::Table;
use flowkit::data::table::Values;

use crate::plane::Failure;

/// The weighted mean and its standard error, which a single value does not have.
pub fn mean_and_error(values: &[f64], weights: Option<&[f64]>) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let total = weights.map_or(n, |weights| weights.iter().sum());
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]) / total;
    let mean: f64 = values.iter().enumerate().map(|(row, value)| weight(row) * value).sum();
    let square = |(row, value): (usize, &f64)| (weight(row) * (value - mean)).powi(2);
    let variance: f64 = values.iter().enumerate().map(square).sum();
    (mean, (values.len() > 1).then(|| (variance * n / (n - 1.0)).sqrt()))
}

/// The columns of points.
pub fn columns(points: &Tensor<2>) -> Vec<Vec<f64>> {
    let width = points.dims()[1];
    let values: Vec<f64> = points.clone().into_data().iter::<f64>().collect();
    (0..width).map(|column| values.iter().skip(column).step_by(width).copied().collect()).collect()
}

/// A CSV file with the columns of `like` that are sampled or `kept`, in their order. A column of
/// classes is sampled as their numbers.
///
/// # Errors
/// If the table lacks a column.
pub fn csv(
    like: &Table,
    samples: &BTreeMap<&str, &[f64]>,
    classes: &BTreeMap<String, Vec<String>>,
    kept: &[&str],
) -> Result<String, Failure> {
    let known = |name: &&str| samples.contains_key(name) || kept.contains(name);
    let names: Vec<&str> = like.names().filter(known).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&names).map_err(fail)?;
    for row in 0..like.len() {
        let mut record = Vec::with_capacity(names.len());
        for name in &names {
            let cell = match (samples.get(name), classes.get(*name), &like.column(name)?.values) {
                // A code is an integer from 0, within the classes that the flow was built for.
                (Some(sampled), Some(classes), _) => classes[sampled[row] as usize].clone(),
                (Some(sampled), None, _) => sampled[row].to_string(),
                (None, _, Values::Numbers(numbers)) => numbers[row].to_string(),
                (None, _, Values::Texts { names, codes }) => names[codes[row] as usize].clone(),
            };
            record.push(cell);
        }
        writer.write_record(&record).map_err(fail)?;
    }
    Ok(String::from_utf8(writer.into_inner().map_err(fail)?).expect("texts are UTF-8"))
}

fn fail(error: impl Display) -> Failure {
    Failure::Picture { reason: error.to_string() }
}
