//! Requests over backends of unequal speed.

use clap::Args;
use plimsoll_load::scenario::{BalanceScenario, Contender, ReplayOptions, replay};

use super::progress::Progress;
use super::{Found, ReplayError};

/// Which load, and under which policies.
#[derive(Args, Clone, Debug)]
pub(super) struct BalanceArgs {
    /// Arrivals as a share of what the backends can serve
    #[arg(long, default_value_t = 0.85)]
    load: f64,
    /// How many balancers share the backends, without hearing of each other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    balancers: u16,
    /// A policy; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    policy: Vec<Contender>,
    /// How many requests a run has
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    requests: u32,
    /// How many runs, seeded 1, 2 and so on, are averaged
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    seeds: u16,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(args: &BalanceArgs) -> Result<Found, ReplayError> {
    let options = ReplayOptions {
        load: args.load,
        balancers: usize::from(args.balancers),
        policies: args.policy.clone(),
        requests: args.requests as usize,
        seeds: u64::from(args.seeds),
    };
    let progress = Progress::start("balancing under every policy");
    let rows = replay(&options)?;
    drop(progress);
    let BalanceScenario { backends, slots, .. } = BalanceScenario::default();
    let note = format!(
        "{} runs of {} requests at {:.0}% load over {backends} backends of {slots} slots, one \
         always slow and one for a fifth of the run; {} balancers; times in mean sizes",
        args.seeds,
        args.requests,
        args.load * 100.0,
        args.balancers,
    );
    Ok(Found { notes: vec![note], rows, by: "policy" })
}
