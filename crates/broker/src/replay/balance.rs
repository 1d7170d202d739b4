//! Requests over backends of unequal speed.

use clap::Args;
use plimsoll_core_types::{Better, Row};
use plimsoll_load::scenario::{BalanceOutcome, BalanceScenario, Contender};

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
    #[arg(long, value_name = "NAME", value_parser = parse_policy)]
    policy: Vec<Contender>,
    /// How many requests
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    requests: u32,
    /// Of arrivals, sizes and choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_policy(text: &str) -> Result<Contender, String> {
    let found = Contender::ALL.into_iter().find(|policy| policy.name() == text);
    let names = Contender::ALL.map(Contender::name).join(", ");
    found.ok_or_else(|| format!("it must be one of {names}"))
}

pub(super) fn run(args: &BalanceArgs) -> Result<Found, ReplayError> {
    if !(args.load > 0.0 && args.load <= 2.0) {
        let (given, allowed) = (args.load.to_string(), "above 0 and at most 2");
        return Err(ReplayError::Option { option: "load", given, allowed });
    }
    let policies =
        if args.policy.is_empty() { Contender::ALL.to_vec() } else { args.policy.clone() };
    let scenario = BalanceScenario {
        load: args.load,
        balancers: usize::from(args.balancers),
        requests: args.requests as usize,
        seed: args.seed,
        ..BalanceScenario::default()
    };
    let progress = Progress::start("balancing");
    let reference = scenario.run(Contender::Clairvoyant);
    let mut rows = Vec::new();
    for policy in policies {
        progress.say(&format!("balancing by {}", policy.name()));
        let outcome =
            if policy == Contender::Clairvoyant { reference } else { scenario.run(policy) };
        add(&mut rows, args, policy, &outcome, &reference);
    }
    drop(progress);
    let note = format!(
        "{} requests at {:.0}% load over {} backends of {} slots, two of them slow at times; {} \
         balancers; seed {}; times in mean sizes",
        args.requests,
        args.load * 100.0,
        scenario.backends,
        scenario.slots,
        args.balancers,
        args.seed,
    );
    Ok(Found { notes: vec![note], rows, by: "policy" })
}

fn add(
    rows: &mut Vec<Row>,
    args: &BalanceArgs,
    policy: Contender,
    outcome: &BalanceOutcome,
    reference: &BalanceOutcome,
) {
    let mut push = |name: &str, value: f64, unit: &str, reference: f64| {
        let row = Row::new(name, value, unit, Better::Lower)
            .label("load", &args.load.to_string())
            .label("balancers", &args.balancers.to_string())
            .label("policy", policy.name());
        rows.push(row.peer(Contender::Clairvoyant.name(), reference));
    };
    push("latency_p50", outcome.latency_p50, "ratio", reference.latency_p50);
    push("latency_p99", outcome.latency_p99, "ratio", reference.latency_p99);
    push("latency_p999", outcome.latency_p999, "ratio", reference.latency_p999);
    push("wait_p99", outcome.wait_p99, "ratio", reference.wait_p99);
    push("slowdown_p99", outcome.slowdown_p99, "ratio", reference.slowdown_p99);
    let times = outcome.slowdown_p99 / reference.slowdown_p99;
    push("slowdown_p99_ratio", times, "ratio", 1.0);
    push("unstable", f64::from(u8::from(outcome.unstable)), "ratio", 0.0);
}
