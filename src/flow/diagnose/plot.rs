//! The diagnosis as a plot: four panels over the layers.

use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::diagnosis::{Diagnosis, LayerDiagnosis};
use crate::whole_file;

/// A plot that could not be drawn or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct PlotError {
    /// Path of the file.
    pub path: PathBuf,
    /// The reason.
    pub reason: String,
}

/// Width of a layer in pixels, and of the margin beside the layers.
const COLUMN: u32 = 26;
const SIDE: u32 = 120;
/// Height of a panel in pixels, and of the names below the last panel.
const PANEL: u32 = 170;
const NAMES: u32 = 200;

/// One line of a panel: name, colour, value of a layer.
type Series = (&'static str, RGBColor, fn(&LayerDiagnosis) -> f64);

/// Values of a panel; those on a logarithmic axis are `log10`.
struct Panel {
    title: &'static str,
    series: Vec<Series>,
}

fn panels() -> [Panel; 4] {
    let log = |title, series| Panel { title, series };
    [
        Panel {
            title: "log-determinant, nats",
            series: vec![("log_det", BLUE, |layer| layer.log_det)],
        },
        log(
            "largest round-trip error, powers of 10",
            vec![
                ("of the layer alone", BLUE, |layer| layer.own.max.log10()),
                ("accumulated from the latents", RED, |layer| layer.accumulated.max.log10()),
            ],
        ),
        log(
            "condition number, powers of 10",
            vec![("condition", BLUE, |layer| layer.condition_number.log10())],
        ),
        Panel {
            title: "milliseconds",
            series: vec![
                ("forward", BLUE, |layer| 1e3 * layer.forward_seconds),
                ("inverse", RED, |layer| 1e3 * layer.inverse_seconds),
            ],
        },
    ]
}

impl Diagnosis {
    /// Draws log-determinants, errors, condition numbers and times of all layers as an SVG. Layers
    /// with elements that are not finite have a red background. Values that are not finite, and
    /// errors of 0, are omitted.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<(), PlotError> {
        let path = path.as_ref();
        let fail = |reason: String| PlotError { path: path.to_owned(), reason };
        let svg = self.svg().map_err(fail)?;
        whole_file::write(path, |file| file.write_all(svg.as_bytes()))
            .map_err(|error| fail(error.to_string()))
    }

    fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        {
            let panels = panels();
            let height = PANEL * panels.len() as u32;
            let width = SIDE + COLUMN * (self.layers.len() as u32).max(16);
            let root =
                SVGBackend::with_string(&mut svg, (width, height + NAMES)).into_drawing_area();
            root.fill(&WHITE).map_err(|error| error.to_string())?;
            let mut rest = root.clone();
            for (index, panel) in panels.iter().enumerate() {
                let last = index + 1 == panels.len();
                let (area, below) = rest.split_vertically(if last { PANEL + NAMES } else { PANEL });
                self.panel(panel, &area, if last { NAMES } else { 8 })
                    .map_err(|error| error.to_string())?;
                rest = below;
            }
            root.present().map_err(|error| error.to_string())?;
        }
        Ok(svg)
    }

    fn panel<B: DrawingBackend>(
        &self,
        panel: &Panel,
        area: &DrawingArea<B, Shift>,
        names: u32,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let n = self.layers.len();
        let values = self.extent(panel);
        let mut chart = ChartBuilder::on(area)
            .caption(panel.title, ("sans-serif", 14))
            .margin(6)
            .x_label_area_size(names)
            .y_label_area_size(60)
            .build_cartesian_2d(-0.5..n as f64 - 0.5, values.clone())?;
        let mesh = &mut chart.configure_mesh();
        mesh.disable_x_mesh().x_labels(0).y_labels(6).light_line_style(TRANSPARENT).draw()?;
        if names == NAMES {
            // plotters centres the labels of an axis, which is wrong for rotated ones.
            let style =
                TextStyle::from(("sans-serif", 11).into_font().transform(FontTransform::Rotate90));
            let style = style.pos(Pos::new(HPos::Left, VPos::Center));
            let (columns, rows) = area.get_pixel_range();
            for (index, layer) in self.layers.iter().enumerate() {
                let (x, y) = chart.backend_coord(&(index as f64, values.start));
                let name = format!("{} {}", layer.path, layer.layer);
                area.draw(&Text::new(
                    name,
                    (x - columns.start, y - rows.start + 8),
                    style.clone(),
                ))?;
            }
        }
        let broken = self.layers.iter().enumerate().filter(|(_, layer)| layer.non_finite > 0);
        chart.draw_series(broken.map(|(index, _)| {
            let x = index as f64;
            Rectangle::new([(x - 0.5, values.start), (x + 0.5, values.end)], RED.mix(0.2).filled())
        }))?;
        for (label, colour, value) in panel.series.iter().copied() {
            let points = || {
                self.layers
                    .iter()
                    .enumerate()
                    .map(move |(index, layer)| (index as f64, value(layer)))
            };
            let known = || points().filter(|(_, value)| value.is_finite());
            let style = colour.mix(0.7);
            chart
                .draw_series(LineSeries::new(known(), style))?
                .label(label)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour));
            chart.draw_series(known().map(|point| Circle::new(point, 2, colour.filled())))?;
        }
        if panel.series.len() > 1 {
            let labels = &mut chart.configure_series_labels();
            labels
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.6))
                .draw()?;
        }
        Ok(())
    }

    /// The range of the finite values of a panel, with a margin.
    fn extent(&self, panel: &Panel) -> Range<f64> {
        let values = panel.series.iter().flat_map(|(_, _, value)| self.layers.iter().map(value));
        let finite = values.filter(|value| value.is_finite());
        let (low, high) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return 0.0..1.0;
        }
        let air = 0.1 * (high - low).max(0.1 * high.abs()).max(1e-3);
        low - air..high + air
    }
}
