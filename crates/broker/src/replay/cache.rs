//! Keys of a cache.

use std::path::PathBuf;

use clap::Args;
use plimsoll_cache::adapt::Switch;
use plimsoll_cache::replay::{Capacity, Engine, Trace, replay};

use super::progress::Progress;
use super::{Found, ReplayError};

/// Which keys, and how large a cache.
#[derive(Args, Clone, Debug)]
pub(super) struct CacheArgs {
    /// Keys in order of access: `.u32` or `.u32.zst`, or text with a key (and a size) on each line
    trace: PathBuf,
    /// How much the cache holds: a share of all keys, as `1%`, or entries (bytes, with sizes);
    /// several, as `1%,10%`, are replayed one after the other
    #[arg(long, default_value = "1%", value_name = "SHARE|NUMBER", value_delimiter = ',')]
    capacity: Vec<Capacity>,
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
    let (accesses, keys) = (trace.accesses().len(), trace.unique_keys());
    let (mut notes, mut rows) = (vec![format!("{accesses} accesses of {keys} keys")], Vec::new());
    for capacity in &args.capacity {
        progress.say(&format!("replaying it under every policy, capacity {capacity}"));
        let report = replay(&trace, *capacity, args.engine)?;
        let (holds, all) = (report.capacity, trace.unique_weight());
        notes.push(format!("capacity {capacity}: the cache holds {holds} of {all}"));
        notes.extend(report.switches.iter().map(told));
        rows.extend(report.rows);
    }
    Ok(Found { notes, rows, by: "policy" })
}

/// A change of policy, for people.
fn told(switch: &Switch) -> String {
    let Switch { at, from, to, reason } = switch;
    format!("  access {at}: from {from} to {to}: {reason}")
}
