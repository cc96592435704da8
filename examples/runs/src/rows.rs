//! Rows of a table: means over them, their columns, and samples as a CSV text.

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

/// Samples of the columns `sampled` as rows with the header of a table, in which the columns
/// `others` keep their values.
///
/// # Errors
/// If the table lacks a column.
pub fn csv(
    like: &Table,
    sampled: &[&str],
    others: &[&str],
    samples: &[Vec<f64>],
) -> Result<String, Failure> {
    let names: Vec<&str> =
        like.names().filter(|name| sampled.contains(name) || others.contains(name)).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&names).map_err(fail)?;
    for row in 0..like.len() {
        let mut record = Vec::with_capacity(names.len());
        for name in &names {
            let place = sampled.iter().position(|column| column == name);
            record.push(match (place, &like.column(name)?.values) {
                (Some(place), _) => samples[place][row].to_string(),
                (None, Values::Numbers(numbers)) => numbers[row].to_string(),
                (None, Values::Texts { names, codes }) => names[codes[row] as usize].clone(),
            });
        }
        writer.write_record(&record).map_err(fail)?;
    }
    Ok(String::from_utf8(writer.into_inner().map_err(fail)?).expect("texts are UTF-8"))
}

fn fail(error: impl Display) -> Failure {
    Failure::Picture { reason: error.to_string() }
}
