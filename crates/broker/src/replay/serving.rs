//! Requests to models.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use plimsoll_sim::capacity::Work;
use plimsoll_sim::replay::{self, PolicyName, ReplayOptions};
use plimsoll_sim::serving::HostOptions;
use plimsoll_sim::trace::Trace;

use super::progress::Progress;
use super::{Found, ReplayError};

/// Which requests, and under which policies.
#[derive(Args, Clone, Debug)]
pub(super) struct ServingArgs {
    /// Requests of an Azure LLM, Mooncake, `ServeGen` or Azure Functions trace; plain, .gz or .zst
    trace: PathBuf,
    /// A policy; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    policy: Vec<PolicyName>,
    /// What the pool's replicas are measured by: requests or tokens
    #[arg(long, default_value = "requests", value_parser = parse_work)]
    work: Work,
    /// How many models share the host
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    models: u16,
    /// The host's memory as a share of what all models need together
    #[arg(long, default_value_t = 0.5)]
    budget: f64,
    /// Requests per second on the host, in the mean and at most: rates are scaled to it, and of
    /// single requests so many are taken, by lot
    #[arg(long, default_value_t = 0.5)]
    rate: f64,
    /// Names the draw of sizes and of what the trace leaves open
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Begin at this moment of the trace
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = parse_duration)]
    from: Duration,
    /// Replay at most this much of it on the host
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = parse_duration)]
    span: Duration,
    /// Draw capacity, promised, used and forecast over time into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_work(text: &str) -> Result<Work, String> {
    match text {
        "requests" => Ok(Work::Requests),
        "tokens" => Ok(Work::Tokens),
        _ => Err("it must be requests or tokens".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

pub(super) fn run(args: &ServingArgs) -> Result<Found, ReplayError> {
    if !(args.budget > 0.0 && args.budget <= 1.0) {
        let (given, allowed) = (args.budget.to_string(), "above 0 and at most 1");
        return Err(ReplayError::Option { option: "budget", given, allowed });
    }
    if !(args.rate > 0.0 && args.rate.is_finite()) {
        let (given, allowed) = (args.rate.to_string(), "above 0 and finite");
        return Err(ReplayError::Option { option: "rate", given, allowed });
    }
    let progress = Progress::start("reading the trace");
    let trace = Trace::open(&args.trace).map_err(|cause| ReplayError::trace(&args.trace, cause))?;
    progress.say("replaying it under every policy");
    let host = HostOptions {
        seed: args.seed,
        models: usize::from(args.models),
        budget: args.budget,
        rate: args.rate,
        from: args.from,
        span: args.span,
        ..HostOptions::default()
    };
    let options =
        ReplayOptions { policies: args.policy.clone(), work: args.work, host, pool: None };
    let found = replay::serving(&trace, &options)?;
    drop(progress);
    if let Some(path) = &args.svg {
        let drawn = args.policy.first().copied().unwrap_or(PolicyName::Plimsoll);
        let svg = found.svg(drawn)?;
        std::fs::write(path, svg)
            .map_err(|cause| ReplayError::Write { path: path.clone(), cause })?;
    }
    let mut notes = vec![
        format!("{} trace of {}, seed {}", trace.format, span(trace.span()), args.seed),
        format!(
            "pool: one model, as many replicas as the policy says. host: {} models, {:.0}% of \
             which fit",
            args.models,
            args.budget * 100.0,
        ),
    ];
    notes.extend(found.notes.iter().map(|note| format!("note: {note}")));
    Ok(Found { notes, rows: found.rows, by: "policy" })
}

/// A length of time to the minute.
fn span(span: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(span.as_secs() / 60 * 60))
}
