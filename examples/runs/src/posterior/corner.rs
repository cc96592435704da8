//! A corner plot: histograms of single parameters, and densities of pairs.

use std::fmt::Display;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::Failure;

/// Side of a panel in pixels.
const PANEL: u32 = 170;

/// Bins along each side.
const BINS: usize = 40;

fn fail(error: impl Display) -> Failure {
    Failure::Picture { reason: error.to_string() }
}

/// The bin of a value between two bounds; none outside.
fn bin(value: f64, [low, high]: [f64; 2]) -> Option<usize> {
    let place = (value - low) / (high - low);
    // A value on the upper bound belongs to the last bin.
    (0.0..=1.0).contains(&place).then(|| ((place * BINS as f64) as usize).min(BINS - 1))
}

/// The plot of samples with these columns as an SVG text, each parameter between its bounds.
///
/// # Errors
/// If it cannot be drawn.
pub fn corner(
    names: &[String],
    samples: &[f64],
    lower: &[f64],
    upper: &[f64],
) -> Result<String, Failure> {
    let n = names.len();
    let range = |column: usize| [lower[column], upper[column]];
    let column = |column: usize| samples.iter().skip(column).step_by(n).copied();
    let mut svg = String::new();
    {
        let side = PANEL * n as u32;
        let root = SVGBackend::with_string(&mut svg, (side, side)).into_drawing_area();
        root.fill(&WHITE).map_err(fail)?;
        let areas = root.split_evenly((n, n));
        for (row, name) in names.iter().enumerate() {
            let mut counts = vec![0; BINS];
            column(row).filter_map(|x| bin(x, range(row))).for_each(|at| counts[at] += 1);
            histogram(&areas[row * n + row], name, range(row), &counts)?;
            for other in 0..row {
                let mut counts = vec![0; BINS * BINS];
                for (x, y) in column(other).zip(column(row)) {
                    if let (Some(x), Some(y)) = (bin(x, range(other)), bin(y, range(row))) {
                        counts[y * BINS + x] += 1;
                    }
                }
                pair(&areas[row * n + other], [range(other), range(row)], &counts)?;
            }
        }
        root.present().map_err(fail)?;
    }
    Ok(svg)
}

fn histogram(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    name: &str,
    [low, high]: [f64; 2],
    counts: &[usize],
) -> Result<(), Failure> {
    let tallest = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(name, ("sans-serif", 13))
        .margin(4)
        .x_label_area_size(18)
        .y_label_area_size(30)
        .build_cartesian_2d(low..high, 0.0..1.05 * tallest)
        .map_err(fail)?;
    chart.configure_mesh().disable_mesh().x_labels(3).y_labels(0).draw().map_err(fail)?;
    let width = (high - low) / BINS as f64;
    let bars = counts.iter().enumerate().map(|(bar, &count)| {
        let left = low + width * bar as f64;
        Rectangle::new([(left, 0.0), (left + width, count as f64)], BLUE.mix(0.5).filled())
    });
    chart.draw_series(bars).map_err(fail)?;
    Ok(())
}

fn pair(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    [[left, right], [bottom, top]]: [[f64; 2]; 2],
    counts: &[usize],
) -> Result<(), Failure> {
    let mut chart = ChartBuilder::on(area)
        .margin(4)
        .x_label_area_size(18)
        .y_label_area_size(30)
        .build_cartesian_2d(left..right, bottom..top)
        .map_err(fail)?;
    let (width, height) = ((right - left) / BINS as f64, (top - bottom) / BINS as f64);
    let highest = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let cells = counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(cell, &count)| {
        let (x, y) = (left + width * (cell % BINS) as f64, bottom + height * (cell / BINS) as f64);
        // The root shows the sparse cells too.
        let shade = (count as f64 / highest).sqrt();
        Rectangle::new([(x, y), (x + width, y + height)], BLUE.mix(shade).filled())
    });
    chart.draw_series(cells).map_err(fail)?;
    chart.configure_mesh().disable_mesh().x_labels(3).y_labels(3).draw().map_err(fail)?;
    Ok(())
}
