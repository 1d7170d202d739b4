//! Whose policies the optimizer may choose from, and what the crates that are not modelled do
//! themselves.

use std::fmt;
use std::str::FromStr;

use plimsoll_core_types::CachePolicy;
#[cfg(any(feature = "quick-cache", feature = "foyer"))]
use plimsoll_core_types::Timestamp;

use super::ReplayError;
use crate::adapt::CANDIDATES;
#[cfg(any(feature = "quick-cache", feature = "foyer"))]
use crate::config::CapacityUnit;
#[cfg(any(feature = "quick-cache", feature = "foyer"))]
use crate::engine::{EngineKind, Entry};
#[cfg(any(feature = "quick-cache", feature = "foyer"))]
use crate::hash::Seeded;
use crate::policy::Outcome;

/// Whose policies the optimizer may choose from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// This crate's own engine, which can run any of them; the default.
    #[default]
    Exact,
    /// The moka crate: LRU and `TinyLFU`.
    Moka,
    /// The `quick_cache` crate (feature `quick-cache`): its one policy.
    #[cfg(feature = "quick-cache")]
    QuickCache,
    /// The foyer-memory crate (feature `foyer`): of its policies the one it is built with.
    #[cfg(feature = "foyer")]
    Foyer,
}

/// Every name, and the feature that it needs.
const NAMES: [(&str, Option<&str>); 4] = [
    ("exact", None),
    ("moka", None),
    ("quick-cache", Some("quick-cache")),
    ("foyer", Some("foyer")),
];

impl Engine {
    /// Those of this build.
    pub const BUILT: &'static [Self] = &[
        Self::Exact,
        Self::Moka,
        #[cfg(feature = "quick-cache")]
        Self::QuickCache,
        #[cfg(feature = "foyer")]
        Self::Foyer,
    ];

    /// As it is given and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Moka => "moka",
            #[cfg(feature = "quick-cache")]
            Self::QuickCache => "quick-cache",
            #[cfg(feature = "foyer")]
            Self::Foyer => "foyer",
        }
    }

    /// What its optimizer chooses from, the one to start with first. Of an engine whose policy
    /// can't be changed that is one.
    pub fn candidates(self) -> &'static [CachePolicy] {
        match self {
            Self::Exact => &CANDIDATES,
            Self::Moka => &[CachePolicy::TinyLfu, CachePolicy::Lru],
            #[cfg(feature = "quick-cache")]
            Self::QuickCache => &[CachePolicy::S3Fifo],
            #[cfg(feature = "foyer")]
            Self::Foyer => &[CachePolicy::S3Fifo],
        }
    }

    /// What the engine itself hits, by name, under each policy that it can be built with; none
    /// where the models say that exactly. The first is the one that it would be run with, and as
    /// it can't be changed while it serves, what an optimizer would hit as well.
    pub(super) fn own(self, capacity: u64, accesses: &[(u64, u32)]) -> Vec<(String, Outcome)> {
        let _ = (capacity, accesses);
        match self {
            Self::Exact | Self::Moka => Vec::new(),
            #[cfg(feature = "quick-cache")]
            Self::QuickCache => {
                let outcome = run(EngineKind::QuickCache, CachePolicy::S3Fifo, capacity, accesses);
                vec![(self.name().to_owned(), outcome)]
            }
            #[cfg(feature = "foyer")]
            Self::Foyer => {
                let policies = EngineKind::Foyer.policies().iter();
                let outcome = |policy| {
                    (format!("foyer-{policy}"), run(EngineKind::Foyer, policy, capacity, accesses))
                };
                policies.copied().map(outcome).collect()
            }
        }
    }
}

/// Accesses to the engine itself rather than to a model of it. An entry that weighs nothing is
/// taken to weigh one: these engines would never give it up.
#[cfg(any(feature = "quick-cache", feature = "foyer"))]
fn run(kind: EngineKind, policy: CachePolicy, capacity: u64, accesses: &[(u64, u32)]) -> Outcome {
    let (unit, hasher) = (CapacityUnit::Entries, Seeded::fixed(capacity));
    let engine = kind.build::<u64, ()>(policy, capacity, unit, &hasher);
    let mut outcome = Outcome::default();
    for (key, weight) in accesses {
        let hit = engine.get(key).is_some();
        if !hit && u64::from(*weight) <= capacity {
            let entry = Entry::new((), (*weight).max(1), Timestamp::ZERO, 0);
            engine.insert(*key, entry.into());
        }
        outcome.count(hit, *weight);
    }
    outcome
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Engine {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        if let Some(engine) = Self::BUILT.iter().find(|engine| engine.name() == text) {
            return Ok(*engine);
        }
        let given = text.to_owned();
        let built: Vec<&str> = Self::BUILT.iter().map(|engine| engine.name()).collect();
        let built = built.join(", ");
        Err(match NAMES.iter().find(|(name, _)| *name == text) {
            Some((_, Some(feature))) => ReplayError::NotBuilt { given, feature, built },
            _ => ReplayError::Engine { given, built },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Capacity, Trace, replay};

    #[test]
    fn engines_have_the_names_by_which_they_are_found() {
        for engine in Engine::BUILT {
            assert_eq!(engine.to_string().parse::<Engine>(), Ok(*engine));
            assert!(NAMES.iter().any(|(name, _)| *name == engine.name()));
        }
        for (name, feature) in NAMES {
            let parsed = name.parse::<Engine>();
            let feature = feature.unwrap_or_default();
            let told = |error: ReplayError| error.to_string().contains(&format!("`{feature}`"));
            assert!(parsed.map_or_else(told, |engine| engine.name() == name), "{name}");
        }
        let error = "x".parse::<Engine>().unwrap_err().to_string();
        assert!(error.starts_with("engine is \"x\"; this build has exact, moka"), "{error}");
    }

    #[test]
    fn every_engine_of_the_build_can_be_replayed() {
        let trace = Trace::new((0..20_000_u64).map(|at| at * at % 977), None).unwrap();
        for engine in Engine::BUILT {
            let report = replay(&trace, Capacity::Weight(200), *engine).unwrap();
            let value = |policy: &str| {
                report.rows.iter().find(|row| row.labels["policy"] == policy).unwrap().value
            };
            let (adaptive, belady) = (value("adaptive"), value("belady"));
            assert!(adaptive > 0.05 && adaptive <= belady, "{engine}: {adaptive} of {belady}");
            for (name, outcome) in engine.own(200, trace.accesses()) {
                assert!(outcome.hits > 0 && value(&name) <= belady, "{name}");
            }
        }
    }
}
