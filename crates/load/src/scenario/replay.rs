//! The balancing scenario as a command runs it: options in, rows of the report out.

use std::str::FromStr;

use plimsoll_core_types::{Better, Row};
use serde::{Deserialize, Serialize};

use super::balance::{BalanceOutcome, BalanceScenario, Contender};

/// What [`replay`] is to run.
///
/// ```
/// use plimsoll_load::scenario::{ReplayOptions, replay};
///
/// let options = ReplayOptions {
///     load: 0.7,
///     policies: vec!["predicted-completion".parse()?, "p2c-least-request".parse()?],
///     requests: 3_000,
///     seeds: 1,
///     ..ReplayOptions::default()
/// };
/// let rows = replay(&options)?;
/// assert!(rows.iter().any(|row| row.name == "load.slowdown_p99_ratio"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplayOptions {
    /// Arrivals as a share of what the backends can serve; above 0, at most 2. Default 0.85.
    pub load: f64,
    /// How many balancers share the requests; 1 to 256. Default 1. Where there are several, each
    /// hears of the backends' loads ten times a second.
    pub balancers: usize,
    /// Whom to run; all where there are none. Default none.
    pub policies: Vec<Contender>,
    /// Requests of a run; 1,000 to 10,000,000. Default 100,000.
    pub requests: usize,
    /// How many runs are averaged, seeded 1, 2, and so on; 1 to 32. Default 3.
    pub seeds: u64,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { load: 0.85, balancers: 1, policies: Vec::new(), requests: 100_000, seeds: 3 }
    }
}

/// What is wrong with [`ReplayOptions`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {given}; allowed is {allowed}")]
pub struct ReplayError {
    /// Which option.
    pub field: &'static str,
    /// What was given.
    pub given: f64,
    /// What is allowed.
    pub allowed: &'static str,
}

/// No policy has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no policy is called {given:?}; there are {}", names())]
pub struct UnknownPolicy {
    /// What was given.
    pub given: String,
}

fn names() -> String {
    Contender::ALL.map(Contender::name).join(", ")
}

impl FromStr for Contender {
    type Err = UnknownPolicy;

    /// The policy of that [`name`](Self::name).
    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        let found = Self::ALL.into_iter().find(|contender| contender.name() == name);
        found.ok_or_else(|| UnknownPolicy { given: name.to_owned() })
    }
}

impl ReplayOptions {
    fn check(&self) -> Result<(), ReplayError> {
        let check = |field, given: f64, allowed: bool, what| {
            if allowed { Ok(()) } else { Err(ReplayError { field, given, allowed: what }) }
        };
        let (balancers, requests) = (self.balancers, self.requests);
        check("load", self.load, self.load > 0.0 && self.load <= 2.0, "above 0, at most 2")?;
        check("balancers", balancers as f64, (1..=256).contains(&balancers), "1 to 256")?;
        let enough = (1_000..=10_000_000).contains(&requests);
        check("requests", requests as f64, enough, "1000 to 10000000")?;
        check("seeds", self.seeds as f64, (1..=32).contains(&self.seeds), "1 to 32")
    }

    /// The means over all seeds, in the order of the fields of a row.
    fn run(&self, contender: Contender) -> BalanceOutcome {
        let mut mean = BalanceOutcome::default();
        let share = 1.0 / self.seeds as f64;
        for seed in 1..=self.seeds {
            let scenario = BalanceScenario {
                load: self.load,
                balancers: self.balancers,
                requests: self.requests,
                seed,
                ..BalanceScenario::default()
            };
            let outcome = scenario.run(contender);
            mean.latency_p50 += outcome.latency_p50 * share;
            mean.latency_p99 += outcome.latency_p99 * share;
            mean.latency_p999 += outcome.latency_p999 * share;
            mean.wait_p99 += outcome.wait_p99 * share;
            mean.slowdown_p99 += outcome.slowdown_p99 * share;
            mean.unstable |= outcome.unstable;
        }
        mean
    }
}

/// Runs the anchor scenario ([`BalanceScenario`]) under each policy, beside the clairvoyant, and
/// answers with the report's rows. For each policy, in mean sizes: `load.latency_p50`,
/// `load.latency_p99`, `load.latency_p999`, `load.wait_p99` (`load.wait_p99_stale` for several
/// balancers), `load.slowdown_p99`, and `load.slowdown_p99_ratio`, which is the slowdown beside the
/// clairvoyant's. All have the labels `load`, `balancers` and `policy`; those of a policy that can't
/// carry the load also `unstable`, as their figures grow with the length of the run.
///
/// Deterministic: the same options give the same rows.
///
/// # Errors
///
/// When an option is out of its range.
pub fn replay(options: &ReplayOptions) -> Result<Vec<Row>, ReplayError> {
    options.check()?;
    let clairvoyant = options.run(Contender::Clairvoyant);
    let policies: &[Contender] =
        if options.policies.is_empty() { &Contender::ALL } else { &options.policies };
    let mut rows = Vec::new();
    for &policy in policies {
        let outcome =
            if policy == Contender::Clairvoyant { clairvoyant } else { options.run(policy) };
        rows.extend(rows_of(options, policy, &outcome, &clairvoyant));
    }
    Ok(rows)
}

type Figure = fn(&BalanceOutcome) -> f64;

fn rows_of(
    options: &ReplayOptions,
    policy: Contender,
    outcome: &BalanceOutcome,
    clairvoyant: &BalanceOutcome,
) -> [Row; 6] {
    let wait = if options.balancers > 1 { "load.wait_p99_stale" } else { "load.wait_p99" };
    let figures: [(&str, Figure); 5] = [
        ("load.latency_p50", |outcome| outcome.latency_p50),
        ("load.latency_p99", |outcome| outcome.latency_p99),
        ("load.latency_p999", |outcome| outcome.latency_p999),
        (wait, |outcome| outcome.wait_p99),
        ("load.slowdown_p99", |outcome| outcome.slowdown_p99),
    ];
    let labelled = |row: Row, reference: f64| {
        let row = row
            .label("load", &options.load.to_string())
            .label("balancers", &options.balancers.to_string())
            .label("policy", policy.name())
            .peer("clairvoyant", reference);
        if outcome.unstable { row.label("unstable", "true") } else { row }
    };
    let [p50, p99, p999, wait, slowdown] = figures.map(|(name, figure)| {
        let unit = if name == "load.slowdown_p99" { "times" } else { "services" };
        labelled(Row::new(name, figure(outcome), unit, Better::Lower), figure(clairvoyant))
    });
    let ratio = outcome.slowdown_p99 / clairvoyant.slowdown_p99;
    let ratio = Row::new("load.slowdown_p99_ratio", ratio, "ratio", Better::Lower);
    [p50, p99, p999, wait, slowdown, labelled(ratio, 1.0)]
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_found_by_its_name() {
        for contender in Contender::ALL {
            assert_eq!(contender.name().parse(), Ok(contender));
        }
        let unknown = "fastest".parse::<Contender>().unwrap_err().to_string();
        assert!(unknown.contains("predicted-completion-late, round-robin"), "{unknown}");
    }

    #[test]
    fn rows_replay_and_stand_beside_the_clairvoyant() {
        let options = ReplayOptions {
            balancers: 2,
            policies: vec![Contender::ShortestQueue, Contender::RoundRobin],
            requests: 4_000,
            seeds: 1,
            ..ReplayOptions::default()
        };
        let rows = replay(&options).unwrap();
        assert_eq!(rows, replay(&options).unwrap());
        assert_eq!(rows.len(), 12);
        assert!(rows.iter().all(|row| row.peers.contains_key("clairvoyant")));
        let ratio = rows.iter().find(|row| row.name == "load.slowdown_p99_ratio").unwrap();
        assert!(ratio.value > 1.0 && ratio.labels["policy"] == "shortest-queue");
        assert!(rows.iter().any(|row| row.name == "load.wait_p99_stale"));
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let check = |options: ReplayOptions, field| {
            assert_eq!(replay(&options).unwrap_err().field, field);
        };
        check(ReplayOptions { load: f64::NAN, ..ReplayOptions::default() }, "load");
        check(ReplayOptions { load: 3.0, ..ReplayOptions::default() }, "load");
        check(ReplayOptions { balancers: 0, ..ReplayOptions::default() }, "balancers");
        check(ReplayOptions { requests: 1, ..ReplayOptions::default() }, "requests");
        check(ReplayOptions { seeds: 0, ..ReplayOptions::default() }, "seeds");
    }
}
