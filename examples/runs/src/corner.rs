//! A corner plot: each column as a histogram, each pair of columns as points, or as shades of their
//! density if there is one set of rows.

use std::fmt::Display;

use plotters::coord::Shift;
use plotters::prelude::*;

/// Side of a panel, in pixels.
const PANEL: u32 = 170;
/// Most points of a panel and of a set.
const POINTS: usize = 1000;
/// Number of bars of a histogram.
const BARS: usize = 40;
/// Most columns that are drawn.
const COLUMNS: usize = 12;
/// Share of the rows that is cut off at each end of an axis.
const TAIL: f64 = 0.005;

/// A picture that plotters refuses to draw.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the corner plot: {0}")]
pub struct NotDrawn(String);

fn fail(error: impl Display) -> NotDrawn {
    NotDrawn(error.to_string())
}

/// Rows that are drawn in one colour.
pub struct Set<'a> {
    /// What the rows are.
    pub name: &'a str,
    /// The columns, each with its rows.
    pub columns: &'a [Vec<f64>],
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Range = (f64, f64);

const COLORS: [RGBColor; 2] = [RGBColor(70, 70, 70), RGBColor(214, 90, 20)];

/// The range of a column, without the ends of all sets.
fn range(sets: &[Set<'_>], column: usize) -> Range {
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

/// The bar of a value; none outside. A value at the upper end belongs to the last.
fn bar(value: f64, (low, high): Range) -> Option<usize> {
    let place = (value - low) / (high - low);
    (0.0..=1.0).contains(&place).then(|| ((place * BARS as f64) as usize).min(BARS - 1))
}

/// The share of the rows in each bar, divided by its width.
fn histogram(values: &[f64], range: Range) -> Vec<f64> {
    let width = (range.1 - range.0) / BARS as f64;
    let mut counts = vec![0.0; BARS];
    values.iter().filter_map(|&value| bar(value, range)).for_each(|bar| counts[bar] += 1.0);
    counts.iter().map(|count| count / (values.len() as f64 * width)).collect()
}

/// Which labels a panel has.
struct Labels<'a> {
    below: Option<&'a str>,
    left: Option<&'a str>,
    first: bool,
}

/// The histograms of one column.
fn bars(
    area: &Area<'_>,
    name: &str,
    sets: &[&[f64]],
    x: Range,
    below: bool,
) -> Result<(), NotDrawn> {
    let heights: Vec<Vec<f64>> = sets.iter().map(|values| histogram(values, x)).collect();
    let highest = heights.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(name, ("sans-serif", 13))
        .margin(3)
        .x_label_area_size(if below { 28 } else { 4 })
        .y_label_area_size(4)
        .build_cartesian_2d(x.0..x.1, 0.0..1.1 * highest)
        .map_err(fail)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh().x_labels(if below { 3 } else { 0 }).y_labels(0).draw().map_err(fail)?;
    let width = (x.1 - x.0) / BARS as f64;
    for (heights, color) in heights.iter().zip(COLORS) {
        // The outline of the bars, two corners each.
        let line = heights.iter().enumerate().flat_map(|(bar, &height)| {
            let left = x.0 + width * bar as f64;
            [(left, height), (left + width, height)]
        });
        chart.draw_series(LineSeries::new(line, color)).map_err(fail)?;
    }
    Ok(())
}

/// One pair of columns: shades of a single set, points of several.
fn pair(
    area: &Area<'_>,
    sets: &[(&[f64], &[f64])],
    [x, y]: [Range; 2],
    labels: &Labels<'_>,
) -> Result<(), NotDrawn> {
    let mut chart = ChartBuilder::on(area)
        .margin(3)
        .x_label_area_size(if labels.below.is_some() { 28 } else { 4 })
        .y_label_area_size(if labels.first { 50 } else { 4 })
        .build_cartesian_2d(x.0..x.1, y.0..y.1)
        .map_err(fail)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_mesh().x_labels(0).y_labels(0);
    if let Some(name) = labels.below {
        mesh.x_labels(3).x_desc(name);
    }
    if let Some(name) = labels.left {
        mesh.y_labels(3).y_desc(name);
    }
    mesh.draw().map_err(fail)?;
    if let [(columns, rows)] = sets {
        let mut counts = vec![0; BARS * BARS];
        for (&a, &b) in columns.iter().zip(*rows) {
            if let (Some(a), Some(b)) = (bar(a, x), bar(b, y)) {
                counts[b * BARS + a] += 1;
            }
        }
        let (width, height) = ((x.1 - x.0) / BARS as f64, (y.1 - y.0) / BARS as f64);
        let highest = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let cells = filled.map(|(cell, &count)| {
            let left = x.0 + width * (cell % BARS) as f64;
            let bottom = y.0 + height * (cell / BARS) as f64;
            // The root shows the sparse cells too.
            let shade = (f64::from(count) / highest).sqrt();
            let corners = [(left, bottom), (left + width, bottom + height)];
            Rectangle::new(corners, COLORS[0].mix(shade).filled())
        });
        chart.draw_series(cells).map_err(fail)?;
        return Ok(());
    }
    for ((columns, rows), color) in sets.iter().zip(COLORS) {
        // From the whole set, which may be in the order of a column.
        let step = rows.len().div_ceil(POINTS).max(1);
        let pairs = columns.iter().zip(*rows).step_by(step);
        let inside = pairs.filter(|(a, b)| (x.0..x.1).contains(*a) && (y.0..y.1).contains(*b));
        let dots = inside.map(|(&a, &b)| Circle::new((a, b), 1, color.mix(0.5).filled()));
        chart.draw_series(dots).map_err(fail)?;
    }
    Ok(())
}

/// The plot of one or two sets as an SVG text: the first columns, at most twelve. Without `ranges`,
/// each column is drawn as far as its rows reach, but for a few.
///
/// # Errors
/// If it cannot be drawn.
pub fn picture(
    names: &[&str],
    sets: &[Set<'_>],
    ranges: Option<&[Range]>,
) -> Result<String, NotDrawn> {
    let n = names.len().min(COLUMNS);
    let ranges: Vec<Range> = (0..n)
        .map(|column| ranges.map_or_else(|| range(sets, column), |all| all[column]))
        .collect();
    let mut svg = String::new();
    {
        let side = PANEL * n.max(2) as u32;
        let root = SVGBackend::with_string(&mut svg, (side, side + 24)).into_drawing_area();
        root.fill(&WHITE).map_err(fail)?;
        let (title, root) = root.split_vertically(24);
        for (place, (set, color)) in sets.iter().zip(COLORS).enumerate() {
            let style = ("sans-serif", 15).into_font().color(&color);
            let at = (8 + 120 * place as i32, 5);
            title.draw_text(set.name, &style, at).map_err(fail)?;
        }
        let panels = root.split_evenly((n.max(2), n.max(2)));
        for row in 0..n {
            for column in 0..=row {
                let area = &panels[row * n.max(2) + column];
                let below = row + 1 == n;
                if row == column {
                    let values: Vec<&[f64]> =
                        sets.iter().map(|set| set.columns[row].as_slice()).collect();
                    bars(area, names[row], &values, ranges[row], below)?;
                    continue;
                }
                let pairs: Vec<(&[f64], &[f64])> = sets
                    .iter()
                    .map(|set| (set.columns[column].as_slice(), set.columns[row].as_slice()))
                    .collect();
                let first = column == 0;
                let labels = Labels {
                    below: below.then_some(names[column]),
                    left: first.then_some(names[row]),
                    first,
                };
                pair(area, &pairs, [ranges[column], ranges[row]], &labels)?;
            }
        }
        root.present().map_err(fail)?;
    }
    Ok(svg)
}
