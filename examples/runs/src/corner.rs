//! A corner plot: each pair of columns as points, each column as a histogram, for two sets of rows.

use std::fmt::Display;

use plotters::prelude::*;

use crate::plane::Failure;

/// Side of a panel, in pixels.
const PANEL: u32 = 170;
/// Most points of a panel and of a set.
const POINTS: usize = 1000;
/// Number of bars of a histogram.
const BARS: usize = 40;
/// Most columns that are drawn.
const COLUMNS: usize = 8;
/// Share of the rows that is cut off at each end of an axis.
const TAIL: f64 = 0.005;

fn fail(error: impl Display) -> Failure {
    Failure::Picture { reason: error.to_string() }
}

/// Rows that are drawn in one colour.
pub struct Set<'a> {
    /// What the rows are.
    pub name: &'a str,
    /// The columns, each with its rows.
    pub columns: &'a [Vec<f64>],
}

/// The range of a column, without the ends of both sets.
fn range(sets: &[Set<'_>; 2], column: usize) -> (f64, f64) {
    let mut ends = (f64::INFINITY, f64::NEG_INFINITY);
    for set in sets {
        let mut sorted = set.columns[column].clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        ends = (ends.0.min(at(TAIL)), ends.1.max(at(1.0 - TAIL)));
    }
    let margin = 0.05 * (ends.1 - ends.0).max(1e-12 * ends.1.abs()).max(f64::MIN_POSITIVE);
    (ends.0 - margin, ends.1 + margin)
}

/// The share of the rows in each bar, divided by its width.
fn histogram(values: &[f64], (low, high): (f64, f64)) -> Vec<f64> {
    let width = (high - low) / BARS as f64;
    let mut counts = vec![0.0; BARS];
    for value in values.iter().filter(|value| (low..high).contains(*value)) {
        counts[(((value - low) / width) as usize).min(BARS - 1)] += 1.0;
    }
    counts.iter().map(|count| count / (values.len() as f64 * width)).collect()
}

/// The plot as an SVG text: the first columns, at most eight.
pub fn picture(names: &[&str], sets: &[Set<'_>; 2]) -> Result<String, Failure> {
    let n = names.len().min(COLUMNS);
    let ranges: Vec<(f64, f64)> = (0..n).map(|column| range(sets, column)).collect();
    let colors = [RGBColor(70, 70, 70), RGBColor(214, 90, 20)];
    let mut svg = String::new();
    {
        let side = PANEL * n.max(2) as u32;
        let root = SVGBackend::with_string(&mut svg, (side, side + 24)).into_drawing_area();
        root.fill(&WHITE).map_err(fail)?;
        let (title, root) = root.split_vertically(24);
        for (place, (set, color)) in sets.iter().zip(colors).enumerate() {
            let style = ("sans-serif", 15).into_font().color(&color);
            let at = (8 + 120 * place as i32, 5);
            title.draw_text(set.name, &style, at).map_err(fail)?;
        }
        let panels = root.split_evenly((n.max(2), n.max(2)));
        for row in 0..n {
            for column in 0..=row {
                let area = &panels[row * n.max(2) + column];
                let mut chart = ChartBuilder::on(area);
                let (below, left) = (row + 1 == n, column == 0 && row > 0);
                chart.margin(3).x_label_area_size(if below { 28 } else { 4 });
                chart.y_label_area_size(if column == 0 { 50 } else { 4 });
                let (x, y) = (ranges[column], ranges[row]);
                if row == column {
                    chart.caption(names[row], ("sans-serif", 13));
                    let bars = sets.each_ref().map(|set| histogram(&set.columns[row], x));
                    let highest = bars.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
                    let mut chart =
                        chart.build_cartesian_2d(x.0..x.1, 0.0..1.1 * highest).map_err(fail)?;
                    let mut mesh = chart.configure_mesh();
                    mesh.disable_mesh().x_labels(if below { 3 } else { 0 }).y_labels(0);
                    mesh.draw().map_err(fail)?;
                    let width = (x.1 - x.0) / BARS as f64;
                    for (heights, color) in bars.iter().zip(colors) {
                        // The outline of the bars, two corners each.
                        let line = heights.iter().enumerate().flat_map(|(bar, &height)| {
                            let left = x.0 + width * bar as f64;
                            [(left, height), (left + width, height)]
                        });
                        chart.draw_series(LineSeries::new(line, color)).map_err(fail)?;
                    }
                } else {
                    let mut chart = chart.build_cartesian_2d(x.0..x.1, y.0..y.1).map_err(fail)?;
                    let mut mesh = chart.configure_mesh();
                    mesh.disable_mesh();
                    mesh.x_labels(if below { 3 } else { 0 }).y_labels(if left { 3 } else { 0 });
                    if below {
                        mesh.x_desc(names[column]);
                    }
                    if left {
                        mesh.y_desc(names[row]);
                    }
                    mesh.draw().map_err(fail)?;
                    for (set, color) in sets.iter().zip(colors) {
                        // From the whole set, which may be in the order of a column.
                        let step = set.columns[row].len().div_ceil(POINTS).max(1);
                        let pairs = set.columns[column].iter().zip(&set.columns[row]);
                        let pairs = pairs.step_by(step);
                        let inside = pairs
                            .filter(|(a, b)| (x.0..x.1).contains(*a) && (y.0..y.1).contains(*b));
                        let dots =
                            inside.map(|(&a, &b)| Circle::new((a, b), 1, color.mix(0.5).filled()));
                        chart.draw_series(dots).map_err(fail)?;
                    }
                }
            }
        }
        root.present().map_err(fail)?;
    }
    Ok(svg)
}
