//! Learned footprints on real series beside the Kubernetes VPA recommender's defaults.

#[path = "../../../crates/memory/tests/validation/series.rs"]
mod series;

use plimsoll_bench::{Better, Row, emit, wanted};
use series::Comparison;

fn main() {
    if !wanted("memory.footprint") {
        return;
    }
    let Some(folder) = plimsoll_testkit::trace("memory.footprint", "series") else { return };
    let Comparison { own, vpa, constant, series } = series::compare(&folder);
    let row = |name: &str, figure: fn((f64, f64)) -> f64, goal: f64| {
        Row::new(name, figure(own) * 100.0, "%", Better::Lower)
            .label("series", &series.to_string())
            .goal(goal)
            .peer("vpa", figure(vpa) * 100.0)
            .peer("clairvoyant-constant", figure(constant) * 100.0)
    };
    emit(&row("memory.footprint_slack", |figures| figures.0, 15.0));
    emit(&row("memory.footprint_violations", |figures| figures.1, vpa.1 * 100.0));
}
