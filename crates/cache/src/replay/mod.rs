//! What each policy, the optimizer and a clairvoyant would make of recorded keys.
//!
//! ```
//! use plimsoll_cache::replay::{Capacity, Engine, Trace, replay};
//!
//! let keys = (0..40_000_u64).map(|at| (at % 150).to_string() + "\n").collect::<String>();
//! let trace = Trace::parse(&keys)?;
//! let report = replay(&trace, "100".parse::<Capacity>()?, Engine::Exact)?;
//! let value = |policy: &str| {
//!     let row = report.rows.iter().find(|row| row.labels["policy"] == policy);
//!     row.map_or(0.0, |row| row.value)
//! };
//! assert!(value("moka-lru") < 0.01 && value("adaptive") > 0.6);
//! assert!(value("belady") >= value("adaptive"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod engine;
mod trace;

use std::str::FromStr;

use plimsoll_core_types::{Better, CachePolicy, Row};

use crate::adapt::{AdaptConfig, Adaptive, Switch};
use crate::policy::{MODELLED, Outcome, Policy, belady, simulate};

pub use engine::Engine;
pub use trace::{Trace, TraceError};

/// How large the replayed cache is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    /// A share of what the trace's unique keys weigh together, above 0 and at most 1.
    Share(f64),
    /// So many entries, or bytes where the trace has sizes.
    Weight(u64),
}

/// Why a replay can't be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The text is neither a share nor a number.
    #[error(
        "capacity is {given:?}; it must be a share such as 1% (above 0%, at most 100%) or a number above 0"
    )]
    Capacity {
        /// What was given.
        given: String,
    },
    /// Of so few keys the share is not one entry.
    #[error("a capacity of {capacity} holds nothing of a trace whose {keys} keys weigh {weight}")]
    Nothing {
        /// As it is printed.
        capacity: String,
        /// How many unique keys there are.
        keys: usize,
        /// What they weigh.
        weight: u64,
    },
    /// There is no such engine.
    #[error("engine is {given:?}; this build has {built}")]
    Engine {
        /// What was given.
        given: String,
        /// The names of those there are, separated by commas.
        built: String,
    },
    /// The engine is left out of this build.
    #[error(
        "engine {given} is not built in; this build has {built}, and one with the feature `{feature}` has it"
    )]
    NotBuilt {
        /// What was given.
        given: String,
        /// The feature that it needs.
        feature: &'static str,
        /// The names of those there are, separated by commas.
        built: String,
    },
}

impl FromStr for Capacity {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        let error = || ReplayError::Capacity { given: text.to_owned() };
        if let Some(share) = text.trim().strip_suffix('%') {
            let percent: f64 = share.trim().parse().map_err(|_| error())?;
            let valid = percent > 0.0 && percent <= 100.0;
            return if valid { Ok(Self::Share(percent / 100.0)) } else { Err(error()) };
        }
        match text.trim().parse() {
            Ok(0) | Err(_) => Err(error()),
            Ok(weight) => Ok(Self::Weight(weight)),
        }
    }
}

impl std::fmt::Display for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Rounded to what a text can have meant: 0.001 × 100 is not 0.1 in binary.
            Self::Share(share) => write!(f, "{}%", (share * 1e8).round() / 1e6),
            Self::Weight(weight) => write!(f, "{weight}"),
        }
    }
}

impl Capacity {
    fn of(self, trace: &Trace) -> Result<u64, ReplayError> {
        let weight = match self {
            Self::Share(share) => (trace.unique_weight() as f64 * share).round() as u64,
            Self::Weight(weight) => weight,
        };
        if weight > 0 {
            return Ok(weight);
        }
        let (keys, weight) = (trace.unique_keys(), trace.unique_weight());
        Err(ReplayError::Nothing { capacity: self.to_string(), keys, weight })
    }
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayReport {
    /// What the cache could hold.
    pub capacity: u64,
    /// `hit_ratio` (and `weight_hit_ratio` where there are sizes) of each fixed policy, of the
    /// optimizer and of Belady, with the labels `policy` and `capacity`.
    pub rows: Vec<Row>,
    /// The optimizer's changes with their reasons.
    pub switches: Vec<Switch>,
}

/// Runs every modelled policy, the optimizer online, and Belady over `trace`.
///
/// Rows named for a policy, `moka-lru` and `moka-tiny-lfu` among them, are those of its exact
/// model. Of `quick_cache` and foyer, which have none, the crate itself is run; since neither can
/// change its policy while it serves, the optimizer leaves it as it is, and hits what it does.
///
/// # Errors
///
/// When the capacity is less than one entry's worth.
pub fn replay(
    trace: &Trace,
    capacity: Capacity,
    engine: Engine,
) -> Result<ReplayReport, ReplayError> {
    let weight = capacity.of(trace)?;
    let label = capacity.to_string();
    let accesses = trace.accesses();
    let mut rows = Vec::new();
    let mut add = |policy: &str, outcome: Outcome| {
        let row = |name, value| {
            Row::new(name, value, "ratio", Better::Higher)
                .label("policy", policy)
                .label("capacity", &label)
        };
        rows.push(row("hit_ratio", outcome.hit_ratio().get()));
        if trace.has_sizes() {
            rows.push(row("weight_hit_ratio", outcome.weight_hit_ratio().get()));
        }
    };
    for policy in MODELLED {
        add(name(policy).as_str(), simulate(policy, weight, accesses));
    }
    let own = engine.own(weight, accesses);
    for (name, outcome) in &own {
        add(name, *outcome);
    }
    let (outcome, switches) = if let Some((_, outcome)) = own.first() {
        (*outcome, Vec::new())
    } else {
        let (outcome, adaptive) = adapt(trace, weight, engine);
        (outcome, adaptive.switches().to_vec())
    };
    add("adaptive", outcome);
    add("belady", belady(accesses, weight));
    Ok(ReplayReport { capacity: weight, rows, switches })
}

/// Runs only the optimizer over `trace`, with a cache of `capacity`.
pub fn adapt(trace: &Trace, capacity: u64, engine: Engine) -> (Outcome, Adaptive) {
    let config = AdaptConfig {
        mean_weight: trace.early_mean_weight(),
        candidates: engine.candidates().to_vec(),
        ..AdaptConfig::new(capacity)
    };
    let mut adaptive = Adaptive::new(&config);
    let mut outcome = Outcome::default();
    for (key, weight) in trace.accesses() {
        outcome.count(adaptive.access(*key, *weight), *weight);
    }
    (outcome, adaptive)
}

/// The policy's name in reports; moka's two carry its name.
pub fn name(policy: CachePolicy) -> String {
    match policy {
        CachePolicy::Lru | CachePolicy::TinyLfu => format!("moka-{policy}"),
        _ => policy.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_shares_or_numbers() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = text.parse::<Capacity>();
            assert_eq!(parsed.as_ref().map(ToString::to_string).ok().as_deref(), expected);
        };
        check("1%", Some("1%"));
        check("0.1 %", Some("0.1%"));
        check("30%", Some("30%"));
        check("512", Some("512"));
        check("0", None);
        check("0%", None);
        check("101%", None);
        check("NaN%", None);
        check("many", None);
    }

    #[test]
    fn a_share_of_too_few_keys_is_refused() {
        let trace = Trace::parse("a\nb\na\n").unwrap();
        let error = replay(&trace, Capacity::Share(0.001), Engine::Exact).unwrap_err();
        assert!(matches!(error, ReplayError::Nothing { keys: 2, weight: 2, .. }));
    }

    #[test]
    fn sizes_count_as_weights() {
        let lines: Vec<String> =
            (0..3000).map(|at| format!("k{} {}", at % 30, 10 + at % 3)).collect();
        let text = lines.join(
            "
",
        );
        let trace = Trace::parse(&text).unwrap();
        assert_eq!((trace.unique_keys(), trace.unique_weight()), (30, 330));
        let report = replay(&trace, Capacity::Share(1.0), Engine::Moka).unwrap();
        let all_fit =
            |row: &&Row| row.name == "weight_hit_ratio" && row.labels["policy"] == "belady";
        assert!((report.rows.iter().find(all_fit).unwrap().value - 0.99).abs() < 1e-9);
    }
}
