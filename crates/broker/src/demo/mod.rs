//! `plimsoll demo`: real processes, real memory, real requests, in a deliberately small budget.

mod answers;
mod baselines;
mod catalog;
mod driver;
mod host;
mod run;
mod summary;
mod traffic;
mod view;

use clap::Args;
use plimsoll_core_types::{Bytes, Millicores};

pub(crate) use run::run;

/// What the demo can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Memory that all models together may take
    #[arg(long, default_value = "512MiB", value_name = "QUANTITY")]
    pub(crate) budget: Bytes,
    /// CPU that all models together may take [default: what this host has]
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) cores: Option<Millicores>,
    /// How long requests come in, 10 to 600
    #[arg(long, default_value_t = 40, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u32).range(10..=600))]
    pub(crate) seconds: u32,
    /// Seed of the requests and of the models' weights
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Port of the front on loopback; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Print every event, not only the first few of each kind
    #[arg(long)]
    pub(crate) all_events: bool,
    /// Print one report object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why the demo can't run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// Not even the smallest model fits.
    #[error(
        "--budget {given} is too small: the smallest model needs {least}; use at least {least}"
    )]
    BudgetTooSmall { given: Bytes, least: Bytes },
    /// The host has less.
    #[error(
        "--budget {given} is more than this host has: {capacity}, of which {free} are free now; use at most {free}"
    )]
    BudgetTooLarge { given: Bytes, capacity: Bytes, free: Bytes },
    /// Less than a thousandth of a core, or more than there is.
    #[error("--cores {given} is out of range; use 100m to {effective}")]
    Cores { given: Millicores, effective: Millicores },
    /// The front's port is taken.
    #[error("--port {port} can't be bound: {cause}; use another one, or 0 for a free one")]
    Port { port: u16, cause: std::io::Error },
    /// The host does not tell what it has.
    #[error(transparent)]
    Probe(#[from] plimsoll_core_types::ProbeError),
    /// Something else that should not happen.
    #[error("{step} failed: {cause}")]
    Internal { step: &'static str, cause: String },
}

impl DemoError {
    /// True where the user can mend it on the command line.
    pub(crate) const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::BudgetTooSmall { .. }
                | Self::BudgetTooLarge { .. }
                | Self::Cores { .. }
                | Self::Port { .. }
        )
    }

    pub(crate) fn internal(step: &'static str, cause: &dyn std::fmt::Display) -> Self {
        Self::Internal { step, cause: cause.to_string() }
    }
}
