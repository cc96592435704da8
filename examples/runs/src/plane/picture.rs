//! Data, density and samples side by side, one row for each condition.

use std::fmt::Display;

use burn::tensor::{Device, Tensor, TensorData};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Failure;

/// What is drawn for one condition.
pub struct Row {
    /// Points of the data.
    pub data: Vec<[f64; 2]>,
    /// Density at each of [`grid`]'s points.
    pub density: Vec<f64>,
    /// Points that were sampled.
    pub samples: Vec<[f64; 2]>,
}

/// The part of the plane that is drawn: x from -1.5 to 2.5, y from -1.25 to 1.75.
const CORNER: [f64; 2] = [-1.5, -1.25];
/// Cells of the density along x and y, and the side of one.
const CELLS: [usize; 2] = [120, 90];
const SIDE: f64 = 4.0 / 120.0;
/// A panel, in pixels.
const PANEL: [u32; 2] = [360, 290];

/// Middles of the density's cells, row by row: `[n, 2]`.
pub fn grid(device: &Device) -> Tensor<2> {
    let middle = |axis: usize, cell: usize| (CORNER[axis] + SIDE * (cell as f64 + 0.5)) as f32;
    let cells =
        (0..CELLS[1]).flat_map(|y| (0..CELLS[0]).flat_map(move |x| [middle(0, x), middle(1, y)]));
    Tensor::from_data(TensorData::new(cells.collect::<Vec<_>>(), [CELLS[0] * CELLS[1], 2]), device)
}

fn fail(error: impl Display) -> Failure {
    Failure::Picture { reason: error.to_string() }
}

/// The picture as an SVG text.
pub fn picture(rows: &[Row]) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let size = (3 * PANEL[0], rows.len() as u32 * PANEL[1]);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(fail)?;
        for (row, area) in rows.iter().zip(root.split_evenly((rows.len(), 1))) {
            let panels = area.split_evenly((1, 3));
            panel(&panels[0], "data", &row.data, &[])?;
            panel(&panels[1], "density", &[], &row.density)?;
            panel(&panels[2], "samples", &row.samples, &[])?;
        }
        root.present().map_err(fail)?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    caption: &str,
    points: &[[f64; 2]],
    density: &[f64],
) -> Result<(), Failure> {
    let [left, bottom] = CORNER;
    let [right, top] = [left + SIDE * CELLS[0] as f64, bottom + SIDE * CELLS[1] as f64];
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(20)
        .y_label_area_size(30)
        .build_cartesian_2d(left..right, bottom..top)
        .map_err(fail)?;
    let highest = density.iter().copied().fold(0.0, f64::max);
    let cells = density.iter().enumerate().filter_map(|(index, &value)| {
        let shade = value / highest;
        let (x, y) =
            (left + SIDE * (index % CELLS[0]) as f64, bottom + SIDE * (index / CELLS[0]) as f64);
        // What is as good as white is left out: most of the plane.
        (shade > 0.01)
            .then(|| Rectangle::new([(x, y), (x + SIDE, y + SIDE)], BLUE.mix(shade).filled()))
    });
    chart.draw_series(cells).map_err(fail)?;
    chart
        .draw_series(points.iter().map(|&[x, y]| Circle::new((x, y), 1, BLUE.mix(0.6).filled())))
        .map_err(fail)?;
    chart.configure_mesh().disable_mesh().x_labels(5).y_labels(5).draw().map_err(fail)?;
    Ok(())
}
