//! Where the bars of a chart go.

use serde::Serialize;

use crate::report::{Better, Row, figure};

/// Bars share this width; names stand left of it, figures right.
const WIDTH: f64 = 340.0;
/// A bar and the gap below it.
const STEP: usize = 24;
/// Figures further apart than this are drawn on a logarithmic scale.
const DECADES_FROM: f64 = 40.0;
/// Space below and above the figures on a logarithmic scale, as a factor.
const MARGIN: f64 = 1.6;

/// A chart, ready to be drawn.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    height: usize,
    is_logarithmic: bool,
    bars: Vec<Bar>,
    /// Where the goal's line stands.
    goal: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Bar {
    name: String,
    top: usize,
    width: f64,
    /// Where the least and the most of the passes stand.
    spread: Option<[f64; 2]>,
    text: String,
    is_own: bool,
}

/// The bars of `row` and its peers, the best first.
pub(super) fn chart(row: &Row) -> Chart {
    let own = ("plimsoll", row.value);
    let peers = row.peers.iter().map(|(name, value)| (name.as_str(), *value));
    let mut all: Vec<_> = peers.chain([own]).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    if row.better == Better::Higher {
        all.reverse();
    }
    let scale = Scale::of(all.iter().map(|(_, value)| *value).chain(row.goal));
    let bars = all.iter().enumerate().map(|(at, (name, value))| Bar {
        name: (*name).to_owned(),
        top: at * STEP,
        width: scale.place(*value),
        spread: row.spread.get(*name).map(|ends| ends.map(|end| scale.place(end))),
        text: text(row, name, *value),
        is_own: *name == own.0,
    });
    Chart {
        height: all.len() * STEP,
        is_logarithmic: scale.is_logarithmic,
        bars: bars.collect(),
        goal: row.goal.map(|goal| scale.place(goal)),
    }
}

/// A peer's figure, and how many times ours it is.
fn text(row: &Row, name: &str, value: f64) -> String {
    if name == "plimsoll" || row.value == 0.0 {
        return figure(value);
    }
    format!("{} ({}×)", figure(value), figure(value / row.value))
}

struct Scale {
    least: f64,
    most: f64,
    is_logarithmic: bool,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(0.0, f64::max);
        let least = values.fold(f64::INFINITY, f64::min);
        let is_logarithmic = least > 0.0 && most / least > DECADES_FROM;
        if is_logarithmic {
            Self { least: least / MARGIN, most: most * MARGIN, is_logarithmic }
        } else {
            Self { least: 0.0, most: most.max(f64::MIN_POSITIVE), is_logarithmic }
        }
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            (value / self.least).ln() / (self.most / self.least).ln()
        } else {
            value / self.most
        };
        (share.clamp(0.0, 1.0) * WIDTH * 10.0).round() / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_stands_first_and_far_apart_figures_get_decades() {
        let mut row = Row::count("a.b", 10, "ns", Better::Lower);
        row.peers.insert("floor".to_owned(), 5.0);
        row.peers.insert("slow".to_owned(), 1000.0);
        let chart = chart(&row);
        let names: Vec<_> = chart.bars.iter().map(|bar| bar.name.as_str()).collect();
        assert_eq!(names, ["floor", "plimsoll", "slow"]);
        assert!(chart.is_logarithmic);
        assert!(chart.bars.windows(2).all(|pair| pair[0].width < pair[1].width));
        assert_eq!(chart.bars[2].text, "1000 (100×)");
    }

    #[test]
    fn nothing_measured_is_no_width() {
        let chart = chart(&Row::count("a.b", 0, "lost", Better::Lower));
        assert_eq!(chart.bars[0].width, 0.0);
    }
}
