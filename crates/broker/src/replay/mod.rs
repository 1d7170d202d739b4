//! `plimsoll replay`: what Plimsoll, and others, would do with a recorded workload.
//!
//! The replays are those of the crates; here they get a command line, a table and a report.

mod balance;
mod cache;
mod progress;
mod series;
mod serving;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use plimsoll_core_types::Row;

use crate::output::line;

/// What to replay.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Requests to models: who stays loaded, and how many replicas are enough
    Serving(serving::ServingArgs),
    /// Keys of a cache: the hits of each policy, of the online choice and of the clairvoyant
    Cache(cache::CacheArgs),
    /// A series of measurements: forecasts beside naive ones, from every origin
    Series(series::SeriesArgs),
    /// Requests over backends of unequal speed: what each balancing policy makes of them
    Balance(balance::BalanceArgs),
}

/// Why nothing was replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// A file can't be read.
    #[error("{}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    /// A file is not what it should be.
    #[error("{}: {cause}", path.display())]
    Trace { path: PathBuf, cause: Box<dyn std::error::Error + Send + Sync> },
    /// A value of the command line is out of its bounds.
    #[error("--{option} is {given}; it must be {allowed}")]
    Option { option: &'static str, given: String, allowed: &'static str },
    /// The cache can't be replayed.
    #[error(transparent)]
    Cache(#[from] plimsoll_cache::replay::ReplayError),
    /// The balancing scenario is out of its bounds.
    #[error("--{0}")]
    Balance(#[from] plimsoll_load::scenario::ReplayError),
    /// The requests can't be replayed.
    #[error(transparent)]
    Serving(#[from] plimsoll_sim::replay::ReplayError),
    /// The series can't be.
    #[error(transparent)]
    Series(#[from] plimsoll_predict::ConfigError),
    /// There is no picture.
    #[error("--svg: {0}")]
    Plot(#[from] plimsoll_sim::replay::PlotError),
    /// A file can't be written.
    #[error("writing {}: {cause}", path.display())]
    Write { path: PathBuf, cause: std::io::Error },
}

impl ReplayError {
    /// That `path` is not what it should be.
    fn trace(path: &Path, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Trace { path: path.to_owned(), cause: Box::new(cause) }
    }
}

/// What a replay found.
struct Found {
    /// Said in a line each, before the table; in the report, beside its rows.
    notes: Vec<String>,
    rows: Vec<Row>,
    /// The label whose values are the table's lines.
    by: &'static str,
}

/// Replays, and prints what came of it.
pub(crate) fn run(args: &ReplayArgs) -> Result<(), ReplayError> {
    let (found, json) = match &args.what {
        What::Serving(args) => (serving::run(args)?, args.json),
        What::Cache(args) => (cache::run(args)?, args.json),
        What::Series(args) => (series::run(args)?, args.json),
        What::Balance(args) => (balance::run(args)?, args.json),
    };
    if json {
        line(&show::json(found.rows, found.notes));
        return Ok(());
    }
    for note in &found.notes {
        line(note);
    }
    line(&show::tables(&found.rows, found.by));
    Ok(())
}
