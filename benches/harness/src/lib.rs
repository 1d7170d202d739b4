//! What the benches share.
//!
//! A room's benches are a package of their own, `benches/<room>` (`plimsoll-bench-<room>`), so
//! that peers are compiled for their own room only. `cargo xtask bench` runs every bench program
//! several times over and takes medians, so each run can be short.
//!
//! - A time is measured by criterion, in a group named like its row, with labels as
//!   `memory.reject{threads=2}`, and one function for each contender: [`OWN`] and the peers.
//! - What is no time of one iteration (throughput, fairness, bytes, allocations) is [`emit`]ted as
//!   a [`Row`] with its peers.
//! - What a row should reach is said by [`goal`] or [`goal_times`].
//! - Contenders whose figure drifts with the machine take turns in a [`contest`].
//!
//! ```no_run
//! use plimsoll_bench::{OWN, criterion, goal_times};
//!
//! fn main() {
//!     let mut criterion = criterion();
//!     goal_times("pool.get_drop", "floor", 2.5);
//!     let mut group = criterion.benchmark_group("pool.get_drop");
//!     group.bench_function(OWN, |b| b.iter(|| 1 + 1));
//!     group.bench_function("floor", |b| b.iter(|| 1 + 1));
//!     group.finish();
//!     criterion.final_summary();
//! }
//! ```

mod contest;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

pub use ::criterion;
use ::criterion::Criterion;
pub use plimsoll_core_types::{Better, Row};
pub use plimsoll_testkit::{Counting, allocations};

pub use contest::{Contender, contest};

/// The contender that is ours.
pub const OWN: &str = "plimsoll";

/// True where the run only shows that every bench works.
pub fn smoke() -> bool {
    std::env::var_os("PLIMSOLL_BENCH_SMOKE").is_some_and(|set| set == "1")
}

/// `full`, or `small` in a smoke run.
pub fn size<T>(full: T, small: T) -> T {
    if smoke() { small } else { full }
}

/// Criterion, set for short runs that are repeated, and for the command line's filter.
pub fn criterion() -> Criterion {
    let (samples, warm_up, measure) = size((20, 200, 600), (10, 20, 60));
    Criterion::default()
        .without_plots()
        .sample_size(samples)
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(measure))
        .configure_from_args()
}

/// True where the command line's filter, if any, lets rows named `name` through. For figures that
/// criterion does not measure.
pub fn wanted(name: &str) -> bool {
    let mut filters = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    filters.peek().is_none() || filters.any(|filter| name.contains(&filter))
}

/// Writes a figure down, and prints it.
///
/// # Panics
///
/// When a figure is not finite, which JSON can't say.
pub fn emit(row: &Row) {
    write(&serde_json::to_string(row).expect("a row is plain data"));
    let peers: Vec<_> =
        row.peers.iter().map(|(name, value)| format!("{name} {}", figure(*value))).collect();
    let (name, labels, unit) = (&row.name, &row.labels, &row.unit);
    say(&format!("{name} {labels:?}: {} {unit}; {}", figure(row.value), peers.join(", ")));
}

/// Four digits after the point, or four that tell something.
fn figure(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 { format!("{value:.3e}") } else { format!("{value:.4}") }
}

/// The row named `row` (with its labels) should reach `value`.
pub fn goal(row: &str, value: f64) {
    write(&serde_json::json!({ "row": row, "goal": { "value": value } }).to_string());
}

/// The row named `row` (with its labels) should reach `times` the figure of `peer` in the same run.
pub fn goal_times(row: &str, peer: &str, times: f64) {
    let goal = serde_json::json!({ "times_peer": { "peer": peer, "times": times } });
    write(&serde_json::json!({ "row": row, "goal": goal }).to_string());
}

/// Appends a line to the file that `cargo xtask bench` reads, where it runs this.
fn write(line: &str) {
    let Some(path) = std::env::var_os("PLIMSOLL_BENCH_ROWS") else { return };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    if let Err(error) = written {
        say(&format!("{}: {error}", path.to_string_lossy()));
    }
}

fn say(text: &str) {
    // A reader that has gone away loses a notice, never a figure.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
