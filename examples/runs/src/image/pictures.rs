//! Pictures: grids of images and the learning curve.

use std::path::Path;

use burn::tensor::{Int, Tensor};
use image::{Rgb, RgbImage, imageops};
use plotters::prelude::*;

use super::failure::Failure;
use super::history::History;

/// Every pixel of an image becomes a square of this side.
const ZOOM: u32 = 3;

/// Largest magnitude of a value that is drawn, in bits/dim. A single larger one would make the
/// others invisible, and no axis has marks for 1e308. Our choice.
const DRAWN: f64 = 1e4;

/// Levels of which `n_levels` make the range as bytes: the darkest of those that a level stands
/// for, as the released code shows them.
pub fn bytes(levels: Tensor<4, Int>, n_levels: usize) -> Tensor<4, Int> {
    levels.mul_scalar(256 / n_levels as i64)
}

/// A grid of images, left to right and top to bottom, with a thin border between them.
///
/// # Shapes
/// `[n, 1 or 3, height, width]`, levels 0..=255.
pub fn grid(images: Tensor<4, Int>, columns: u32) -> RgbImage {
    let [n, channels, height, width] = images.dims();
    let levels: Vec<u8> =
        images.into_data().iter::<i64>().map(|level| level.clamp(0, 255) as u8).collect();
    let rows = (n as u32).div_ceil(columns);
    let (cell_width, cell_height) = (width as u32 + 1, height as u32 + 1);
    let mut sheet = RgbImage::from_pixel(
        columns * cell_width + 1,
        rows * cell_height + 1,
        Rgb([255, 255, 255]),
    );
    for index in 0..n {
        let left = 1 + (index as u32 % columns) * cell_width;
        let top = 1 + (index as u32 / columns) * cell_height;
        for y in 0..height {
            for x in 0..width {
                let level = |c: usize| {
                    levels[((index * channels + c.min(channels - 1)) * height + y) * width + x]
                };
                sheet.put_pixel(
                    left + x as u32,
                    top + y as u32,
                    Rgb([level(0), level(1), level(2)]),
                );
            }
        }
    }
    imageops::resize(
        &sheet,
        sheet.width() * ZOOM,
        sheet.height() * ZOOM,
        imageops::FilterType::Nearest,
    )
}

/// The learning curve as an SVG text. It says how many values it leaves out.
pub fn curve(curve: &History, path: &Path) -> Result<String, Failure> {
    let fail = |reason: String| Failure::Picture { path: path.to_path_buf(), reason };
    let values = curve
        .train
        .iter()
        .flatten()
        .copied()
        .chain(curve.test.iter().filter_map(|(_, bits)| *bits));
    let (drawn, left_out): (Vec<f64>, Vec<f64>) = values.partition(|bits| bits.abs() <= DRAWN);
    let bounds = drawn.into_iter().fold(None, |bounds, bits| match bounds {
        None => Some((bits, bits)),
        Some((low, high)) => Some((bits.min(low), bits.max(high))),
    });
    // Without values, only the axes are drawn.
    let (low, high) = bounds.unwrap_or((0.0, 1.0));
    let show = |bits: Option<f64>| bits.filter(|bits| bits.abs() <= DRAWN);
    let left_out = match left_out.len() {
        0 => String::new(),
        n => format!("; {n} beyond {DRAWN} left out"),
    };
    let steps = curve.train.len().max(2) as f64;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (720, 420)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| fail(e.to_string()))?;
        let mut chart = ChartBuilder::on(&root)
            .margin(16)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(1.0..steps, (low - 0.1)..(high + 0.1))
            .map_err(|e| fail(e.to_string()))?;
        let mesh = chart
            .configure_mesh()
            .x_desc("update")
            .y_desc(format!("{}{left_out}", curve.unit))
            .draw();
        mesh.map_err(|e| fail(e.to_string()))?;
        let train = curve
            .train
            .iter()
            .enumerate()
            .filter_map(|(i, bits)| Some((i as f64 + 1.0, show(*bits)?)));
        let drawn = chart.draw_series(LineSeries::new(train, BLUE.mix(0.5)));
        let drawn = drawn.map_err(|e| fail(e.to_string()))?;
        drawn
            .label("training batch")
            .legend(|(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], BLUE));
        let test = curve.test.iter().filter_map(|(step, bits)| Some((*step as f64, show(*bits)?)));
        let drawn = chart.draw_series(LineSeries::new(test, RED.stroke_width(2)));
        let drawn = drawn.map_err(|e| fail(e.to_string()))?;
        drawn
            .label("held-out, averaged weights")
            .legend(|(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], RED));
        let legend = chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK)
            .draw();
        legend.map_err(|e| fail(e.to_string()))?;
        root.present().map_err(|e| fail(e.to_string()))?;
    }
    Ok(svg)
}
