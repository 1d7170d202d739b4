//! A snapshot with its indexes, each made the first time that somebody asks by it.
//!
//! A plan looks for engines, forecasts and waiters by name over and over; with a search through
//! the lists each time, a round over a thousand models would take a thousand times as long as one
//! over thirty.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use plimsoll_core_types::{
    EngineSnapshot, ForecastHealth, ModelId, ResourceForecast, SystemSnapshot, Timestamp,
};

#[derive(Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) snapshot: &'a SystemSnapshot,
    engines: OnceCell<HashMap<&'a str, &'a EngineSnapshot>>,
    forecasts: OnceCell<HashMap<&'a str, &'a ResourceForecast>>,
    waiters: OnceCell<HashMap<&'a str, Timestamp>>,
    holders: OnceCell<HashSet<&'a str>>,
}

impl<'a> Sight<'a> {
    pub(crate) const fn new(snapshot: &'a SystemSnapshot) -> Self {
        Self {
            snapshot,
            engines: OnceCell::new(),
            forecasts: OnceCell::new(),
            waiters: OnceCell::new(),
            holders: OnceCell::new(),
        }
    }

    /// The engine of the model of this name.
    pub(crate) fn engine(&self, model: &str) -> Option<&'a EngineSnapshot> {
        let all = || first(self.snapshot.engines.iter().map(|e| (e.model.as_str(), e)));
        self.engines.get_or_init(all).get(model).copied()
    }

    /// The forecast of `model`'s request rate, where it is to be trusted.
    pub(crate) fn skilled(&self, model: &ModelId) -> Option<&'a ResourceForecast> {
        let all = || first(self.snapshot.forecasts.iter().map(|f| (f.key.subject.as_str(), f)));
        let found = self.forecasts.get_or_init(all).get(model.as_str())?;
        matches!(found.health, ForecastHealth::Skilled { .. }).then_some(found)
    }

    /// Since when `consumer` has waited for a lease, where it does.
    pub(crate) fn waits_since(&self, consumer: &str) -> Option<Timestamp> {
        let all = || {
            let mut since = HashMap::new();
            for waiter in &self.snapshot.pool.waiters {
                let oldest = since.entry(waiter.consumer.as_str()).or_insert(waiter.since);
                *oldest = waiter.since.min(*oldest);
            }
            since
        };
        self.waiters.get_or_init(all).get(consumer).copied()
    }

    /// True where the pool lists a lease of `consumer`.
    pub(crate) fn holds_lease(&self, consumer: &str) -> bool {
        let all = || self.snapshot.pool.leases.iter().map(|l| l.consumer.as_str()).collect();
        self.holders.get_or_init(all).contains(consumer)
    }
}

/// Of several entries of one name, the first.
fn first<'a, T>(entries: impl Iterator<Item = (&'a str, T)>) -> HashMap<&'a str, T> {
    let mut map = HashMap::with_capacity(entries.size_hint().0);
    for (name, value) in entries {
        map.entry(name).or_insert(value);
    }
    map
}
