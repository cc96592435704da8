//! The diagnosis as a table.

use std::fmt::{Display, Formatter, Result as FmtResult};

use super::diagnosis::{Diagnosis, LayerDiagnosis};
use super::measure::{Range, Size};
use crate::counted::counted;

const HEAD: [&str; 13] = [
    "path",
    "layer",
    "params",
    "log_det",
    "own error max/mean",
    "accumulated max/mean",
    "input",
    "output",
    "log-scales",
    "condition",
    "forward",
    "inverse",
    "bad",
];

/// A number in at most eight characters.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if (1e-2..1e4).contains(&size) => format!("{value:.2}"),
        _ if value.is_finite() => format!("{value:.1e}"),
        _ => value.to_string(),
    }
}

fn range(range: &Range) -> String {
    if range.min.is_nan() {
        return "-".to_owned();
    }
    format!("{}..{}", short(range.min), short(range.max))
}

/// A log-scale, rounded to 0 where float32 differences cannot distinguish it from 0.
fn known(log_scale: f64) -> f64 {
    if log_scale.abs() < 1e-5 { 0.0 } else { log_scale }
}

fn size(size: &Size) -> String {
    let short = |value: f64| if value == 0.0 { "0".to_owned() } else { format!("{value:.0e}") };
    format!("{}/{}", short(size.max), short(size.mean))
}

fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.0} %", 100.0 * part / whole) } else { "-".to_owned() }
}

impl Diagnosis {
    fn row(&self, layer: &LayerDiagnosis) -> [String; 13] {
        let sum =
            |seconds: fn(&LayerDiagnosis) -> f64| self.layers.iter().map(seconds).sum::<f64>();
        [
            layer.path.clone(),
            layer.layer.clone(),
            layer.n_params.to_string(),
            short(layer.log_det),
            size(&layer.own),
            size(&layer.accumulated),
            range(&layer.input),
            range(&layer.output),
            range(&Range { min: known(layer.log_scale.min), max: known(layer.log_scale.max) }),
            if layer.condition_number.is_nan() {
                "-".to_owned()
            } else {
                short(layer.condition_number)
            },
            percent(layer.forward_seconds, sum(|layer| layer.forward_seconds)),
            percent(layer.inverse_seconds, sum(|layer| layer.inverse_seconds)),
            layer.non_finite.to_string(),
        ]
    }
}

impl Display for Diagnosis {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        let rows: Vec<[String; 13]> = self.layers.iter().map(|layer| self.row(layer)).collect();
        let widths: [usize; 13] = std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEAD[column].len()]).max().unwrap_or(0)
        });
        let line = |f: &mut Formatter<'_>, cells: [&str; 13]| {
            for (column, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
                match column {
                    0 => write!(f, "{cell:<width$}")?,
                    1 => write!(f, "  {cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)
        };
        line(f, HEAD)?;
        for (index, row) in rows.iter().enumerate() {
            // An empty line precedes a new chain.
            if index > 0 && self.layers[index].starts_chain {
                writeln!(f)?;
            }
            line(f, row.each_ref().map(String::as_str))?;
        }
        write!(
            f,
            "log_det of all layers {} nats, mean of {}",
            short(self.log_det()),
            counted(self.examples, "example")
        )?;
        if let Some(worst) = self.worst_conditioned() {
            write!(
                f,
                "\nworst conditioned     {} {}, {}",
                worst.path,
                worst.layer,
                short(worst.condition_number)
            )?;
        }
        if let Some(least) = self.least_exact() {
            write!(
                f,
                "\nleast exact inverse   {} {}, {}",
                least.path,
                least.layer,
                short(least.own.max)
            )?;
        }
        if let Some(first) = self.first_non_finite() {
            let LayerDiagnosis { path, layer, non_finite, .. } = first;
            let elements = counted(*non_finite, "element");
            write!(f, "\nfirst not finite      {path} {layer}, {elements}")?;
        }
        Ok(())
    }
}
