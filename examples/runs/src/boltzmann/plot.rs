//! The two-point function of a flow beside that of a Markov chain.

use std::fmt::Display;

use plotters::prelude::*;

use super::Observables;
use crate::plane::Failure;

fn fail(error: impl Display) -> Failure {
    Failure::Picture { reason: error.to_string() }
}

/// `G(t)` of a flow (points with errors) and of a chain (line), as an SVG text.
pub fn two_point_plot(flow: &Observables, chain: &Observables) -> Result<String, Failure> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (480, 360)).into_drawing_area();
        root.fill(&WHITE).map_err(fail)?;
        let values = || flow.two_point.iter().chain(&chain.two_point);
        let most = values().map(|g| g.value + g.standard_error).fold(0.0, f64::max);
        let least = values().map(|g| g.value - g.standard_error).fold(0.0, f64::min);
        let last = flow.two_point.len() as f64 - 1.0;
        let mut chart = ChartBuilder::on(&root)
            .caption("two-point function: flow (points), Metropolis (line)", ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(45)
            .build_cartesian_2d(-0.2..last + 0.2, least..1.1 * most)
            .map_err(fail)?;
        chart.configure_mesh().x_desc("t").y_desc("G(t)").draw().map_err(fail)?;
        let line = chain.two_point.iter().enumerate().map(|(t, g)| (t as f64, g.value));
        chart.draw_series(LineSeries::new(line, &BLACK)).map_err(fail)?;
        for (t, g) in flow.two_point.iter().enumerate() {
            let (t, bar) = (t as f64, g.standard_error);
            let bar = vec![(t, g.value - bar), (t, g.value + bar)];
            chart.draw_series([PathElement::new(bar, BLUE)]).map_err(fail)?;
            chart.draw_series([Circle::new((t, g.value), 3, BLUE.filled())]).map_err(fail)?;
        }
        root.present().map_err(fail)?;
    }
    Ok(svg)
}
