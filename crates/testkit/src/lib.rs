//! What tests of several crates share: seeds, scale, figures for the report, and the visible skip of
//! tests whose data is absent.
//!
//! A test that draws random numbers takes its seed from [`seed`], which prints it, so that
//! `PLIMSOLL_SEED=… cargo test …` replays the run. A test whose size is a matter of patience
//! multiplies it by [`scale`]. A test that reads real traces asks [`trace`] for them and returns
//! when there are none; the line it leaves on standard error is not captured by the test runner,
//! and `cargo xtask test` counts it as skipped. A test that measures something that is the same on
//! every machine (a hit ratio, a utilization in virtual time) hands it to [`report`]. One that holds
//! a hot path to its allocations counts them with [`allocations`]. One that feeds a parser with what
//! is wrong makes it with [`Garble`].

mod allocations;
mod garble;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

pub use allocations::{Counting, allocations};
pub use garble::Garble;
use plimsoll_core_types::Row;

/// The seed of this run: `PLIMSOLL_SEED` when set, else `default`.
///
/// Prints `seed NAME SEED` so that a failure names what replays it.
///
/// # Panics
///
/// When `PLIMSOLL_SEED` is set and is no unsigned integer.
pub fn seed(name: &str, default: u64) -> u64 {
    let seed = match std::env::var("PLIMSOLL_SEED") {
        Ok(text) => text.parse().expect("PLIMSOLL_SEED: an unsigned integer"),
        Err(_) => default,
    };
    say(&format!("seed: {name}: PLIMSOLL_SEED={seed}"));
    seed
}

/// `count` multiplied by `PLIMSOLL_SCALE` (default 1), at least 1.
///
/// The default run of the suite uses 1; `cargo xtask test --all` uses 10.
///
/// # Panics
///
/// When `PLIMSOLL_SCALE` is set and is no unsigned integer.
pub fn scale(count: usize) -> usize {
    let factor: usize = match std::env::var("PLIMSOLL_SCALE") {
        Ok(text) => text.parse().expect("PLIMSOLL_SCALE: an unsigned integer"),
        Err(_) => 1,
    };
    count.saturating_mul(factor).max(1)
}

/// The path of a shared trace, such as `serving/azure_llm_2023_code.csv.gz`, or `None` with a
/// visible line when it is not at hand.
///
/// Looks in `PLIMSOLL_TRACES`, else in `shared/traces` beside the checkout.
pub fn trace(test: &str, relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PLIMSOLL_TRACES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/traces")),
        PathBuf::from,
    );
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    skip(test, &format!("no trace {relative}; set PLIMSOLL_TRACES to the folder that holds it"));
    None
}

/// Puts a figure into the report of `cargo xtask test`, and says it on standard error. A goal that
/// it misses is thereby written down as missed; whether the test fails too is the test's to say.
///
/// # Panics
///
/// When `PLIMSOLL_ROWS` names a file that can't be written.
pub fn report(row: &Row) {
    let json = serde_json::to_string(row).expect("a row is plain data");
    say(&format!("row: {json}"));
    if let Some(path) = std::env::var_os("PLIMSOLL_ROWS") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.expect("PLIMSOLL_ROWS: a file that can be written");
        // One write a line: several test programs may append at once.
        file.write_all(format!("{json}\n").as_bytes()).expect("writing to PLIMSOLL_ROWS");
    }
}

/// Says on standard error, past the test runner's capture, that `test` did not run and why.
pub fn skip(test: &str, why: &str) {
    say(&format!("skipped: {test}: {why}"));
}

fn say(line: &str) {
    // A closed standard error loses a notice, never a test.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
