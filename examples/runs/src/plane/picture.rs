//! Three panels side by side, such as data, density and samples; one row for each condition.

use std::fmt::Display;

use burn::tensor::{Device, Tensor, TensorData};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Failure;

/// What is drawn for one condition.
pub struct Row {
    /// Points of the first panel, such as data.
    pub data: Vec<[f64; 2]>,
    /// Density at each of [`grid`]'s points.
    pub density: Vec<f64>,
    /// Points that were sampled.
    pub samples: Vec<[f64; 2]>,
}

/// The part of the plane that is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Its lower left corner.
    pub corner: [f64; 2],
    /// Side of a cell of the density. There are 120 cells along x and 90 along y.
    pub side: f64,
}

impl Window {
    /// For two moons: x from -1.5 to 2.5, y from -1.25 to 1.75.
    pub const MOONS: Self = Self { corner: [-1.5, -1.25], side: 4.0 / 120.0 };

    /// The window with this middle, `width` wide and three quarters of it high.
    pub fn around(middle: [f64; 2], width: f64) -> Self {
        let side = width / CELLS[0] as f64;
        let corner = [0, 1].map(|axis| middle[axis] - 0.5 * side * CELLS[axis] as f64);
        Self { corner, side }
    }
}

/// Cells of the density along x and y.
const CELLS: [usize; 2] = [120, 90];
/// A panel, in pixels.
const PANEL: [u32; 2] = [360, 290];

/// Middles of the density's cells, row by row: `[n, 2]`.
pub fn grid(window: Window, device: &Device) -> Tensor<2> {
    let Window { corner, side } = window;
    let middle = |axis: usize, cell: usize| (corner[axis] + side * (cell as f64 + 0.5)) as f32;
    let cells =
        (0..CELLS[1]).flat_map(|y| (0..CELLS[0]).flat_map(move |x| [middle(0, x), middle(1, y)]));
    Tensor::from_data(TensorData::new(cells.collect::<Vec<_>>(), [CELLS[0] * CELLS[1], 2]), device)
}

fn fail(error: impl Display) -> Failure {
    Failure::Picture { reason: error.to_string() }
}

/// The picture as an SVG text, with the captions of the panels.
pub fn picture(window: Window, captions: [&str; 3], rows: &[Row]) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let size = (3 * PANEL[0], rows.len() as u32 * PANEL[1]);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(fail)?;
        for (row, area) in rows.iter().zip(root.split_evenly((rows.len(), 1))) {
            let panels = area.split_evenly((1, 3));
            panel(&panels[0], window, captions[0], &row.data, &[])?;
            panel(&panels[1], window, captions[1], &[], &row.density)?;
            panel(&panels[2], window, captions[2], &row.samples, &[])?;
        }
        root.present().map_err(fail)?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    window: Window,
    caption: &str,
    points: &[[f64; 2]],
    density: &[f64],
) -> Result<(), Failure> {
    let Window { corner: [left, bottom], side } = window;
    let [right, top] = [left + side * CELLS[0] as f64, bottom + side * CELLS[1] as f64];
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
            (left + side * (index % CELLS[0]) as f64, bottom + side * (index / CELLS[0]) as f64);
        // What is as good as white is left out: most of the plane.
        (shade > 0.01)
            .then(|| Rectangle::new([(x, y), (x + side, y + side)], BLUE.mix(shade).filled()))
    });
    chart.draw_series(cells).map_err(fail)?;
    chart
        .draw_series(points.iter().map(|&[x, y]| Circle::new((x, y), 1, BLUE.mix(0.6).filled())))
        .map_err(fail)?;
    chart.configure_mesh().disable_mesh().x_labels(5).y_labels(5).draw().map_err(fail)?;
    Ok(())
}
