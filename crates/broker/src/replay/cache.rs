//! Keys of a cache.

use std::path::PathBuf;

use clap::Args;
use plimsoll_cache::replay::{Capacity, Engine, Trace, replay};

use super::progress::Progress;
use super::{Found, ReplayError};

/// Which keys, and how large a cache.
#[derive(Args, Clone, Debug)]
pub(super) struct CacheArgs {
    /// Keys in order of access: `.u32` or `.u32.zst`, or text with a key (and a size) on each line
    trace: PathBuf,
    /// How much the cache holds: a share of all keys, as `1%`, or entries (bytes, with sizes)
    #[arg(long, default_value = "1%", value_name = "SHARE|NUMBER")]
    capacity: Capacity,
    /// Whose policies the online choice is from: exact, moka, quick-cache or foyer, where built in
    #[arg(long, default_value = "exact")]
    engine: Engine,
    /// Sizes of a `.u32` trace's accesses, in a file of numbers of its own
    #[arg(long, value_name = "FILE")]
    sizes: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: &CacheArgs) -> Result<Found, ReplayError> {
    let progress = Progress::start("reading the trace");
    let trace = match &args.sizes {
        None => Trace::read(&args.trace),
        Some(sizes) => Trace::read_sized(&args.trace, sizes),
    };
    let trace = trace.map_err(|cause| ReplayError::trace(&args.trace, cause))?;
    progress.say("replaying it under every policy");
    let report = replay(&trace, args.capacity, args.engine)?;
    drop(progress);
    let mut notes = vec![format!(
        "{} accesses of {} keys; the cache holds {} of {}",
        trace.accesses().len(),
        trace.unique_keys(),
        report.capacity,
        trace.unique_weight(),
    )];
    let switch = |switch: &plimsoll_cache::adapt::Switch| {
        let plimsoll_cache::adapt::Switch { at, from, to, reason } = switch;
        format!("access {at}: from {from} to {to}: {reason}")
    };
    notes.extend(report.switches.iter().map(switch));
    Ok(Found { notes, rows: report.rows, by: "policy" })
}
