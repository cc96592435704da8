//! Plots of ranks and of expected coverage.

use std::fmt::Display;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Coverage, Ranks};
use crate::flow::diagnose::PlotError;
use crate::whole_file;

/// Side of a panel in pixels.
const PANEL: u32 = 260;

/// Most panels of a row.
const COLUMNS: usize = 5;

/// Most bars of a histogram.
const BARS: usize = 20;

/// Draws into an SVG of the given size and writes it, whole or not at all.
fn write(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), String>,
) -> Result<(), PlotError> {
    let fail = |reason: String| PlotError { path: path.to_owned(), reason };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(text).map_err(fail)?;
        draw(&root).map_err(fail)?;
        root.present().map_err(text).map_err(fail)?;
    }
    let written = whole_file::write(path, |file| file.write_all(svg.as_bytes()));
    written.map_err(|error| fail(error.to_string()))
}

fn text(error: impl Display) -> String {
    error.to_string()
}

impl Ranks {
    /// Draws the histogram of each parameter's ranks as an SVG. The grey band holds 99 of 100 bars
    /// of a calibrated density. `names` are those of the parameters.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// # Panics
    /// If there are fewer names than parameters.
    pub fn plot(&self, names: &[String], path: impl AsRef<Path>) -> Result<(), PlotError> {
        let panels = self.p_values().len();
        let columns = panels.min(COLUMNS);
        let rows = panels.div_ceil(columns);
        let size = (PANEL * columns as u32, PANEL * rows as u32);
        write(path.as_ref(), size, |root| {
            let areas = root.split_evenly((rows, columns));
            (0..panels).zip(&areas).try_for_each(|(parameter, area)| {
                self.panel(parameter, &names[parameter], area).map_err(text)
            })
        })
    }

    fn panel<B: DrawingBackend>(
        &self,
        parameter: usize,
        name: &str,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let histogram = self.histogram(parameter, BARS);
        let bins = histogram.counts.len() as f64;
        let (low, high) = histogram.band;
        let tallest = histogram.counts.iter().copied().max().unwrap_or(0).max(high);
        let caption = format!("{name}: p = {:.2}", self.p_values()[parameter]);
        let mut chart = ChartBuilder::on(area)
            .caption(caption, ("sans-serif", 14))
            .margin(6)
            .x_label_area_size(24)
            .y_label_area_size(34)
            .build_cartesian_2d(0.0..1.0, 0.0..1.1 * tallest.max(1) as f64)?;
        let mesh = &mut chart.configure_mesh();
        mesh.disable_mesh().x_labels(3).y_labels(4).x_desc("rank").draw()?;
        let band = [(0.0, low as f64), (1.0, high as f64)];
        chart.draw_series([Rectangle::new(band, BLACK.mix(0.15).filled())])?;
        chart.draw_series(histogram.counts.iter().enumerate().map(|(bar, &count)| {
            let corners = [(bar as f64 / bins, 0.0), ((bar + 1) as f64 / bins, count as f64)];
            Rectangle::new(corners, BLUE.mix(0.5).filled())
        }))?;
        let line = [(0.0, histogram.expected), (1.0, histogram.expected)];
        chart.draw_series(LineSeries::new(line, BLACK))?;
        Ok(())
    }
}

impl Coverage {
    /// Draws expected coverage over credibility as an SVG, with the diagonal.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        write(path.as_ref(), (PANEL * 3 / 2, PANEL * 3 / 2), |root| self.curve(root).map_err(text))
    }

    fn curve<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let caption = format!("expected coverage: p = {:.2}", self.p_value());
        let mut chart = ChartBuilder::on(area)
            .caption(caption, ("sans-serif", 14))
            .margin(6)
            .x_label_area_size(34)
            .y_label_area_size(40)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        let mesh = &mut chart.configure_mesh();
        mesh.x_labels(5).y_labels(5).light_line_style(TRANSPARENT);
        mesh.x_desc("credibility").y_desc("expected coverage").draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4)))?;
        let points = (0..=100).map(|percent| f64::from(percent) / 100.0);
        chart.draw_series(LineSeries::new(points.map(|at| (at, self.expected(at))), BLUE))?;
        Ok(())
    }
}
