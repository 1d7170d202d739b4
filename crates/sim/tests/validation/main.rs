//! The deterministic targets, on real traces, beside baselines and the oracle.
//!
//! Each figure is written down with its goal, met or not. A test fails where a goal is missed that
//! was reached before.

mod beside_off;
mod hosts;
mod pools;

use plimsoll_core_types::Row;
use plimsoll_sim::trace::Trace;
use plimsoll_testkit::{report, trace as file};

fn open(relative: &str) -> Option<Trace> {
    file("validation", relative).map(|path| Trace::open(&path).unwrap())
}

/// Writes a figure down for the report, and for people: goal, verdict, peers and oracle.
#[expect(clippy::print_stdout, reason = "the verdicts are for people")]
fn judge(row: &Row) {
    report(row);
    let verdict = match (row.goal, row.reached()) {
        (Some(goal), Some(true)) => format!("goal {goal:.4} reached"),
        (Some(goal), _) => format!("goal {goal:.4} MISSED"),
        (None, _) => "no goal".to_owned(),
    };
    let labels: Vec<_> = row.labels.values().map(String::as_str).collect();
    let peers = row.peers.iter().map(|(name, value)| format!("{name} {value:.4}"));
    println!(
        "{:24} {:32} {:.4} {verdict}; {}",
        row.name,
        labels.join(" "),
        row.value,
        peers.collect::<Vec<_>>().join(", ")
    );
}
