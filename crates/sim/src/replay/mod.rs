//! What each policy would do with a trace: the library behind `plimsoll replay serving`.
//!
//! A trace is served twice, in two scenarios that ask two questions.
//!
//! - `pool`: all requests go to one pool of like replicas, whose number changes over time
//!   ([`capacity`](crate::capacity)). How little is enough?
//! - `host`: each client asks for a model of its own, and the models share a machine on which half
//!   of them fit ([`serving`](crate::serving)). Who stays loaded? The requests of a trace with one
//!   client are spread over models by Zipf's law, which the notes say.
//!
//! A program opens a file by [`Trace::open`], calls [`serving`], and prints the rows as JSON or the
//! [`Replay`] itself, which is a table. With the feature `plot` it is a picture too, by
//! `Replay::svg`.
//!
//! ```
//! use std::time::Duration;
//! use plimsoll_sim::generate::Recipe;
//! use plimsoll_sim::replay::{PolicyName, ReplayOptions, serving};
//!
//! let trace = Recipe::conversation().requests(Duration::from_mins(10), 1);
//! let policies = vec![PolicyName::StaticPeak, PolicyName::LruCount];
//! let replay = serving(&trace, &ReplayOptions { policies, ..ReplayOptions::default() })?;
//! let names: Vec<_> = replay.rows.iter().map(|row| row.name.as_str()).collect();
//! assert!(names.contains(&"utilization") && names.contains(&"warm_hit_rate"));
//! # Ok::<(), plimsoll_sim::replay::ReplayError>(())
//! ```

mod parallel;
#[cfg(feature = "plot")]
mod plot;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use plimsoll_core_types::{Better, NameError, Row};
use plimsoll_integration::PlanConfig;
use plimsoll_predict::{ConfigError, Predictor, PredictorConfig};

use crate::capacity::{
    Demand, Forecasting, Oracle, Point, PoolOutcome, PoolSpec, PoolSpecError, Reactive, StaticPeak,
    Vpa, Work,
};
use crate::serving::{
    Clairvoyant, Host, HostOptions, LruByCount, Outcome, Plimsoll, Policy, PolicyError, RunError,
    SAMPLE_EVERY, Scenario, ShortestKeepAlive,
};
use crate::trace::Trace;

#[cfg(feature = "plot")]
pub use plot::PlotError;

/// How many models stay loaded where their count is limited: what Ollama keeps by default.
const KEPT: usize = 3;

/// How a trace is replayed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplayOptions {
    /// Which policies; all where none is named.
    pub policies: Vec<PolicyName>,
    /// What counts as work for the pool. Default requests.
    pub work: Work,
    /// How the host is made.
    pub host: HostOptions,
    /// Other than the pool that [`PoolSpec::for_trace`] makes.
    pub pool: Option<PoolSpec>,
}

/// A policy by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyName {
    /// Production: forecasts, ledger, planner.
    Plimsoll,
    /// As large as the peak demands, always.
    StaticPeak,
    /// The recommender of Kubernetes' vertical autoscaler.
    Vpa,
    /// A target of utilization, as Kubernetes' horizontal autoscaler has it.
    Reactive,
    /// At most three models loaded, the least recently used one gives way.
    LruCount,
    /// One model loaded at a time.
    OneAtATime,
    /// The idle model with the shortest keep-alive gives way.
    ShortestKeepAlive,
    /// Who knows the future.
    Clairvoyant,
}

impl PolicyName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Plimsoll,
        Self::StaticPeak,
        Self::Vpa,
        Self::Reactive,
        Self::LruCount,
        Self::OneAtATime,
        Self::ShortestKeepAlive,
        Self::Clairvoyant,
    ];

    /// As reports and the command line call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::StaticPeak => "static-peak",
            Self::Vpa => "vpa",
            Self::Reactive => "reactive",
            Self::LruCount => "lru-count",
            Self::OneAtATime => "one-at-a-time",
            Self::ShortestKeepAlive => "shortest-keep-alive",
            Self::Clairvoyant => "clairvoyant",
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for PolicyName {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| UnknownPolicy { given: text.to_owned() })
    }
}

/// There is no such policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no policy {given:?}; there are plimsoll, static-peak, vpa, reactive, lru-count, \
     one-at-a-time, shortest-keep-alive and clairvoyant"
)]
pub struct UnknownPolicy {
    given: String,
}

/// Why a trace can't be replayed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// Nothing happens in it.
    #[error("nobody asks for anything in the trace")]
    Silent,
    /// The pool makes no sense.
    #[error("pool: {0}")]
    Pool(#[from] PoolSpecError),
    /// The host makes no sense.
    #[error("host: {0}")]
    Host(#[from] RunError),
    /// The policy of production can't be made.
    #[error("policy: {0}")]
    Policy(#[from] PolicyError),
    /// The predictor can't be made.
    #[error("predictor: {0}")]
    Predictor(#[from] ConfigError),
    /// A name is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What each policy did with a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// `utilization`, `waste`, `late_share`, `error_rate`, `warm_hit_rate`, `wait_p50`,
    /// `wait_p99`, `loads` and `decisions`, with labels `policy` and `scenario`, the pool's first.
    /// A figure that a scenario does not have is absent.
    pub rows: Vec<Row>,
    /// What there is to be said beside figures.
    pub notes: Vec<String>,
    /// The pool over time, for each policy that sized it.
    pub points: BTreeMap<PolicyName, Vec<Point>>,
    /// The pool.
    pub pool: PoolSpec,
}

/// Replays `trace` under each policy.
///
/// # Errors
///
/// When nothing happens in the trace, or an option is out of its bounds.
pub fn serving(trace: &Trace, options: &ReplayOptions) -> Result<Replay, ReplayError> {
    let demand = Demand::of(trace, options.work);
    if demand.parcels.is_empty() || demand.span.is_zero() {
        return Err(ReplayError::Silent);
    }
    let pool = options.pool.unwrap_or_else(|| PoolSpec::for_trace(trace, &demand));
    let all = || PolicyName::ALL.to_vec();
    let policies = if options.policies.is_empty() { all() } else { options.policies.clone() };
    let mut replay = Replay { rows: Vec::new(), notes: Vec::new(), points: BTreeMap::new(), pool };
    let host = Host::of(trace, &options.host);
    let mut on_host = runs(&policies, &pool, &demand, &host);
    let pooled = on_host.split_off(policies.len());
    for (policy, run) in policies.iter().zip(pooled) {
        if let Run::Pool(outcome) = run? {
            replay.add_pool(*policy, outcome);
        }
    }
    if host.spread {
        let models = host.engines.len();
        let note = "the trace has one client; on the host its requests were spread over";
        replay.notes.push(format!("{note} {models} models by Zipf's law"));
    }
    for (policy, run) in policies.iter().zip(on_host) {
        if let Run::Host(outcome, decisions) = run? {
            replay.add_host(*policy, &host, &outcome, decisions);
        }
    }
    Ok(replay)
}

/// What came of a policy in a scenario.
enum Run {
    Pool(PoolOutcome),
    /// With the number of decisions, where the policy counts them.
    Host(Box<Outcome>, Option<usize>),
    /// It has nothing to do there.
    None,
}

/// Each policy on the host, which takes longest, and then each with the pool, side by side.
fn runs(
    policies: &[PolicyName],
    pool: &PoolSpec,
    demand: &Demand,
    host: &Host,
) -> Vec<Result<Run, ReplayError>> {
    let scenarios = [true, false];
    let jobs = scenarios.iter().flat_map(|on_host| policies.iter().map(|name| (*on_host, *name)));
    parallel::all(&jobs.collect::<Vec<_>>(), |(on_host, policy)| {
        Ok(if *on_host {
            let ran = run_host(*policy, host)?;
            ran.map_or(Run::None, |(outcome, decisions)| Run::Host(Box::new(outcome), decisions))
        } else {
            size_pool(*policy, pool, demand)?.map_or(Run::None, Run::Pool)
        })
    })
}

/// A predictor for series with steps of `step`, which looks for a season of a day.
///
/// # Errors
///
/// Never in practice: the config is within its bounds.
pub fn predictor(step: Duration) -> Result<Predictor, ConfigError> {
    let day = (86_400.0 / step.as_secs_f64().max(1.0)) as usize;
    let max_season = day.clamp(144, 288);
    Predictor::new(PredictorConfig { max_season, ..PredictorConfig::default() })
}

/// What a pool's policy does; none where the policy sizes no pools.
fn size_pool(
    policy: PolicyName,
    pool: &PoolSpec,
    demand: &Demand,
) -> Result<Option<PoolOutcome>, ReplayError> {
    let outcome = match policy {
        PolicyName::Plimsoll => {
            pool.run(demand, &mut Forecasting::new(pool, predictor(pool.control)?)?)?
        }
        PolicyName::StaticPeak => pool.run(demand, &mut StaticPeak::new(pool.start))?,
        PolicyName::Vpa => pool.run(demand, &mut Vpa::default())?,
        PolicyName::Reactive => pool.run(demand, &mut Reactive::default())?,
        PolicyName::Clairvoyant => Oracle::best(pool, demand, 0.0)?,
        PolicyName::LruCount | PolicyName::OneAtATime | PolicyName::ShortestKeepAlive => {
            return Ok(None);
        }
    };
    Ok(Some(outcome))
}

/// What a host's policy does, and how many decisions it took; none where the policy runs no hosts.
fn run_host(
    policy: PolicyName,
    host: &Host,
) -> Result<Option<(Outcome, Option<usize>)>, ReplayError> {
    let scenario = Scenario::new(&host.engines, &host.jobs, host.config);
    let run = |policy: &mut dyn Policy| scenario.run(policy).map(|out| Some((out, None)));
    Ok(match policy {
        PolicyName::Plimsoll => {
            let plan = PlanConfig::new(host.config.limit);
            let predictor = Predictor::new(looked_at(host, &plan))?;
            let mut own = Plimsoll::with_plan(plan, Some(predictor))?;
            let outcome = scenario.run(&mut own)?;
            Some((outcome, Some(own.decisions())))
        }
        PolicyName::LruCount => run(&mut LruByCount { count: KEPT })?,
        PolicyName::OneAtATime => run(&mut LruByCount { count: 1 })?,
        PolicyName::ShortestKeepAlive => run(&mut ShortestKeepAlive::default())?,
        PolicyName::Clairvoyant => run(&mut Clairvoyant::new(host.engines.len(), &host.jobs))?,
        PolicyName::StaticPeak | PolicyName::Vpa | PolicyName::Reactive => None,
    })
}

/// A predictor's defaults, without the horizons that are further than any plan for `host` looks.
fn looked_at(host: &Host, plan: &PlanConfig) -> PredictorConfig {
    let longest = host.engines.iter().map(|engine| engine.model.load_time).max();
    // A plan looks as far as a load takes, and two samples more.
    let furthest = plan.lookahead.max(longest.unwrap_or_default() + 2 * SAMPLE_EVERY);
    let steps = furthest.as_nanos().div_ceil(SAMPLE_EVERY.as_nanos());
    let mut config = PredictorConfig::default();
    let nearer = config.horizons.iter().filter(|horizon| (**horizon as u128) < steps).count();
    config.horizons.truncate(nearer + 1);
    config
}

impl Replay {
    fn row(&mut self, name: &str, value: f64, unit: &str, better: Better, of: (PolicyName, &str)) {
        let row = Row::new(name, value, unit, better);
        self.rows.push(row.label("policy", of.0.as_str()).label("scenario", of.1));
    }

    fn add_pool(&mut self, policy: PolicyName, outcome: PoolOutcome) {
        let of = (policy, "pool");
        self.row("utilization", outcome.utilization(), "ratio", Better::Higher, of);
        self.row("waste", outcome.waste() / GIB_HOUR, "GiB·h", Better::Lower, of);
        self.row("late_share", outcome.late_share(), "ratio", Better::Lower, of);
        self.row("error_rate", outcome.error_rate(), "ratio", Better::Lower, of);
        self.row("wait_p50", outcome.wait(0.5).as_secs_f64(), "s", Better::Lower, of);
        self.row("wait_p99", outcome.wait(0.99).as_secs_f64(), "s", Better::Lower, of);
        self.row("loads", outcome.loads as f64, "loads", Better::Lower, of);
        self.row("decisions", outcome.decisions as f64, "decisions", Better::Lower, of);
        self.notes.extend(outcome.notes.into_iter().map(|note| format!("{policy}: {note}")));
        self.points.insert(policy, outcome.points);
    }

    fn add_host(
        &mut self,
        policy: PolicyName,
        host: &Host,
        outcome: &Outcome,
        decisions: Option<usize>,
    ) {
        let of = (policy, "host");
        let wait = self.pool.wait;
        self.row("warm_hit_rate", outcome.warm_hit_rate(), "ratio", Better::Higher, of);
        if let Some(utilization) = outcome.pressed_utilization(&host.config.limit) {
            self.row("utilization", utilization, "ratio", Better::Higher, of);
        }
        let waste = outcome.promised_byte_seconds - outcome.used_byte_seconds;
        self.row("waste", waste / GIB_HOUR, "GiB·h", Better::Lower, of);
        self.row("late_share", outcome.late_share(wait), "ratio", Better::Lower, of);
        self.row("error_rate", outcome.error_rate(), "ratio", Better::Lower, of);
        self.row("wait_p50", outcome.wait(0.5).as_secs_f64(), "s", Better::Lower, of);
        self.row("wait_p99", outcome.wait(0.99).as_secs_f64(), "s", Better::Lower, of);
        self.row("loads", outcome.loads as f64, "loads", Better::Lower, of);
        if let Some(decisions) = decisions {
            self.row("decisions", decisions as f64, "decisions", Better::Lower, of);
        }
    }

    /// The figure `name` of `policy` in `scenario`, where it was measured.
    pub fn figure(&self, name: &str, policy: PolicyName, scenario: &str) -> Option<f64> {
        let is = |row: &&Row| {
            row.name == name
                && row.labels["policy"] == policy.as_str()
                && row.labels["scenario"] == scenario
        };
        self.rows.iter().find(is).map(|row| row.value)
    }
}

/// Byte-seconds in a GiB-hour.
const GIB_HOUR: f64 = (1_u64 << 30) as f64 * 3600.0;
