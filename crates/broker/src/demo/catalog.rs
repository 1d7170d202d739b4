//! The demo's models: sized so that together they are more than twice what there is.

use std::time::Duration;

use plimsoll_core_types::{Bytes, Millicores, ModelId, Priority, ResourceVector, Slots, TenantId};

use crate::config::{EngineConfig, Footprint, ModelConfig};
use crate::fleet::{EngineSpec, ModelSpec};

/// What an embedded engine takes beside its weights.
const BASE: Bytes = Bytes::from_mib(4);
/// Owners of models are told to declare with a margin; these declare with this much, in percent.
const MARGIN: u64 = 30;
/// The smallest weights worth a process.
const LEAST_WEIGHTS: Bytes = Bytes::from_mib(12);

/// How requests for a model come in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pattern {
    /// At random, so many a second.
    Steady { per_second: f64 },
    /// In bursts that recur: one every `period` from `offset` on, each `length` long, with so
    /// many requests a second.
    Bursts { period: f64, offset: f64, length: f64, per_second: f64 },
}

impl Pattern {
    /// True where requests come all the time.
    pub(super) const fn is_steady(self) -> bool {
        matches!(self, Self::Steady { .. })
    }
}

/// A model of the demo.
#[derive(Clone, Debug)]
pub(super) struct DemoModel {
    pub(super) spec: ModelSpec,
    pub(super) pattern: Pattern,
}

impl DemoModel {
    /// The same as a config would say it.
    pub(super) fn config(&self) -> ModelConfig {
        let spec = &self.spec;
        let weights = match spec.engine {
            EngineSpec::Embedded { weights, .. } => weights,
            _ => Bytes::ZERO,
        };
        ModelConfig {
            id: spec.id.clone(),
            engine: EngineConfig::Embedded { weights },
            memory: Footprint::Declared(spec.declared.memory()),
            cpu: Some(spec.declared.cpu()),
            accelerator: None,
            replicas: 1,
            slots: spec.slots,
            keep_alive: spec.keep_alive,
            pin: spec.pinned,
            priority: spec.priority,
            fallback: None,
            load_within: spec.load_within,
            tenant: spec.tenant.clone(),
            upstream: None,
        }
    }
}

struct Entry {
    name: &'static str,
    /// Declared memory in thousandths of the budget.
    share: u64,
    rounds: u32,
    pattern: Pattern,
}

const fn steady(per_second: f64) -> Pattern {
    Pattern::Steady { per_second }
}

const fn bursts(period: f64, offset: f64, length: f64, per_second: f64) -> Pattern {
    Pattern::Bursts { period, offset, length, per_second }
}

/// The models that can be loaded take 1.85 times the budget, with the one that never can 2.95.
const ENTRIES: [Entry; 8] = [
    Entry { name: "mail", share: 100, rounds: 8, pattern: steady(18.0) },
    Entry { name: "notes", share: 140, rounds: 8, pattern: steady(9.0) },
    Entry { name: "search", share: 200, rounds: 12, pattern: bursts(8.0, 2.0, 1.6, 28.0) },
    Entry { name: "support", share: 260, rounds: 12, pattern: bursts(8.0, 6.0, 1.6, 24.0) },
    Entry { name: "legal", share: 320, rounds: 12, pattern: bursts(11.0, 4.0, 1.2, 14.0) },
    Entry { name: "images", share: 380, rounds: 12, pattern: bursts(13.0, 9.0, 1.2, 12.0) },
    Entry { name: "archive", share: 450, rounds: 12, pattern: bursts(17.0, 5.5, 0.8, 8.0) },
    Entry { name: "colossus", share: 1100, rounds: 12, pattern: bursts(12.0, 7.0, 0.5, 2.0) },
];

/// The demo's models for a budget of `budget` memory and `cores`.
pub(super) fn models(budget: Bytes, cores: Millicores, seed: u64) -> Vec<DemoModel> {
    let model = |(index, entry): (usize, &Entry)| {
        let weights = weights_for(budget, entry.share);
        let memory = declared_for(weights);
        // CPU is shared by turns, not held: a lease holds the least that an engine can run with.
        let cpu = Millicores::new((cores.get() / 20).clamp(1, 100));
        let declared = ResourceVector::new().with_memory(memory).with_cpu(cpu);
        let spec = ModelSpec {
            id: ModelId::new(entry.name).expect("the catalog's names are well formed"),
            declared: declared.with_slots(Slots::ZERO),
            engine: EngineSpec::Embedded {
                weights,
                rounds: entry.rounds,
                seed: seed.wrapping_add(index as u64),
            },
            slots: 4,
            load_time: Some(Duration::from_millis(500)),
            load_within: Duration::from_mins(1),
            drain_within: Duration::from_secs(2),
            priority: Priority::Normal,
            tenant: TenantId::DEFAULT,
            pinned: false,
            keep_alive: None,
        };
        DemoModel { spec, pattern: entry.pattern }
    };
    ENTRIES.iter().enumerate().map(model).collect()
}

/// What the smallest model declares, whatever the budget.
pub(super) fn least_declared() -> Bytes {
    declared_for(LEAST_WEIGHTS)
}

fn weights_for(budget: Bytes, share: u64) -> Bytes {
    let declared = u128::from(budget.get()) * u128::from(share) / 1000;
    let weights = declared * 100 / u128::from(100 + MARGIN);
    let weights = Bytes::new(u64::try_from(weights).unwrap_or(u64::MAX));
    weights.saturating_sub(BASE).max(LEAST_WEIGHTS)
}

fn declared_for(weights: Bytes) -> Bytes {
    let actual = u128::from(weights.saturating_add(BASE).get());
    Bytes::new(u64::try_from(actual * u128::from(100 + MARGIN) / 100).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_they_are_two_to_three_times_the_budget() {
        let budget = Bytes::from_mib(512);
        let models = models(budget, Millicores::from_cores(2), 1);
        let all: Bytes = models.iter().map(|model| model.spec.declared.memory()).sum();
        let share = all.share_of(budget).get();
        assert!((2.0..=3.0).contains(&share), "{share}");
        let fits = models.iter().filter(|model| model.spec.declared.memory() <= budget).count();
        assert_eq!(fits, models.len() - 1, "all but one can be loaded alone");
    }

    #[test]
    fn no_budget_makes_a_model_smaller_than_the_smallest() {
        for budget in [Bytes::ZERO, Bytes::from_mib(1), Bytes::MAX] {
            let models = models(budget, Millicores::ZERO, 1);
            assert!(models.iter().all(|model| model.spec.declared.memory() >= least_declared()));
        }
    }
}
