//! The pool over time, as a picture.

use plotters::prelude::*;

use super::{PolicyName, Replay};

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The policy sized no pool.
    #[error("{policy} sizes no pool, so that there is nothing to show over time")]
    NothingToShow {
        /// Which.
        policy: PolicyName,
    },
    /// The picture could not be drawn.
    #[error("drawing failed: {cause}")]
    Drawing {
        /// What is wrong.
        cause: String,
    },
}

const SIZE: (u32, u32) = (1000, 420);
/// More points than this are not told apart in so small a picture.
const MOST_POINTS: usize = 2000;

impl Replay {
    /// An SVG of capacity, promised, used and forecast over time, in replicas, under `policy`.
    ///
    /// # Errors
    ///
    /// When the policy sized no pool, or drawing fails.
    pub fn svg(&self, policy: PolicyName) -> Result<String, PlotError> {
        let points = self.points.get(&policy).filter(|points| !points.is_empty());
        let points = points.ok_or(PlotError::NothingToShow { policy })?;
        let step = points.len().div_ceil(MOST_POINTS);
        let hours = |point: &super::Point| point.at.as_secs_f64() / 3600.0;
        let line = |value: fn(&super::Point) -> Option<f64>| -> Vec<(f64, f64)> {
            let known = points.iter().step_by(step);
            known.filter_map(|point| Some((hours(point), value(point)?))).collect()
        };
        let lines = [
            ("used", line(|point| Some(point.used)), RGBColor(31, 119, 180)),
            ("promised", line(|point| Some(point.promised)), RGBColor(214, 39, 40)),
            ("capacity", line(|point| Some(point.capacity)), RGBColor(127, 127, 127)),
            ("forecast", line(|point| point.forecast), RGBColor(44, 160, 44)),
        ];
        let mut svg = String::new();
        draw(&mut svg, policy, &lines, points.last().map_or(1.0, hours))
            .map_err(|cause| PlotError::Drawing { cause })?;
        Ok(svg)
    }
}

type Lines = [(&'static str, Vec<(f64, f64)>, RGBColor)];

fn draw(svg: &mut String, policy: PolicyName, lines: &Lines, end: f64) -> Result<(), String> {
    let say = |error: &dyn std::fmt::Display| error.to_string();
    let values = lines.iter().flat_map(|(_, line, _)| line.iter().map(|(_, value)| *value));
    let most = values.fold(1.0, f64::max) * 1.05;
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|e| say(&e))?;
    let title = format!("{policy}: replicas over hours");
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(45)
        .build_cartesian_2d(0.0..end.max(1e-6), 0.0..most)
        .map_err(|e| say(&e))?;
    chart.configure_mesh().x_desc("hours").y_desc("replicas").draw().map_err(|e| say(&e))?;
    for (name, line, colour) in lines.iter().filter(|(_, line, _)| !line.is_empty()) {
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(line.iter().copied(), &colour))
            .map_err(|e| say(&e))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour));
    }
    chart
        .configure_series_labels()
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()
        .map_err(|e| say(&e))?;
    root.present().map_err(|e| say(&e))
}
