//! A model of a cache that chooses its policy itself.

use plimsoll_core_types::{CachePolicy, Ratio, Reason};

use super::CANDIDATES;
use super::panel::{News, Panel};
use super::selector::{Decision, Holdings, Selector};
use crate::hash::mix;
use crate::policy::core::Core;
use crate::policy::{Policy, PolicyState, model_core};

/// What an [`Adaptive`] cache chooses from, and by how large miniatures.
#[derive(Clone, Debug, PartialEq)]
pub struct AdaptConfig {
    /// What all entries together may weigh.
    pub capacity: u64,
    /// What an entry weighs, about; default 1. From it and the capacity follows how many entries
    /// there are, and so how many keys must be sampled.
    pub mean_weight: f64,
    /// The policies to choose from, the one to start with first; default [`CANDIDATES`]. Those
    /// without a model are left out.
    pub candidates: Vec<CachePolicy>,
    /// How many entries a miniature has; default 4096. A cache that is smaller is simulated whole.
    pub miniature: u32,
}

impl AdaptConfig {
    /// The defaults for a cache of `capacity`.
    pub fn new(capacity: u64) -> Self {
        let candidates = CANDIDATES.to_vec();
        Self { capacity, mean_weight: 1.0, candidates, miniature: 4096 }
    }
}

/// One change of policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// After how many accesses.
    pub at: u64,
    /// What was in force.
    pub from: CachePolicy,
    /// What is.
    pub to: CachePolicy,
    /// Why.
    pub reason: Reason,
}

/// How many changes are remembered.
const SWITCHES: usize = 1024;

/// An exact model of a cache that watches itself by miniatures and changes its policy.
#[derive(Debug)]
pub struct Adaptive {
    live: Core<()>,
    panel: Panel,
    selector: Selector,
    /// Keys whose mixed value is no higher are sampled.
    threshold: u64,
    accesses: u64,
    switches: Vec<Switch>,
}

impl Adaptive {
    /// An empty cache. Where no candidate has a model it is an LRU.
    pub fn new(config: &AdaptConfig) -> Self {
        let weight = if config.mean_weight > 0.0 { config.mean_weight } else { 1.0 };
        let entries = (config.capacity as f64 / weight).max(1.0);
        let rate = (f64::from(config.miniature.max(1)) / entries).min(1.0);
        let mini_capacity = (config.capacity as f64 * rate).round() as u64;
        let mini_entries = (entries * rate).round() as u64;
        let mut panel = Panel::new(&config.candidates, mini_capacity, mini_entries);
        if panel.policies().is_empty() {
            panel = Panel::new(&[CachePolicy::Lru], mini_capacity, mini_entries);
        }
        let first = panel.policies()[0];
        let selector = Selector::new(panel.policies().len(), 0, mini_entries, panel.block_length());
        let live = model_core(first, config.capacity);
        Self {
            live: live.unwrap_or_else(|| Core::lru(config.capacity)).remembering(),
            panel,
            selector,
            threshold: (rate * u64::MAX as f64) as u64,
            accesses: 0,
            switches: Vec::new(),
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> CachePolicy {
        self.live.policy()
    }

    /// The changes so far, the first 1024 of them.
    pub fn switches(&self) -> &[Switch] {
        &self.switches
    }

    /// What each candidate's miniature hits of late.
    pub fn hit_ratios(&self) -> Vec<(CachePolicy, Ratio)> {
        let ratios = self.selector.hit_ratios().map(Ratio::saturating);
        self.panel.policies().iter().copied().zip(ratios).collect()
    }

    fn apply(&mut self, decision: Decision) {
        let what = "hit ratio of the sampled keys".to_owned();
        let (to, reason) = match decision {
            Decision::Switch { to, current, candidate } => {
                (to, Reason::Better { what, current, candidate })
            }
            Decision::RollBack { to, without, with } => (to, Reason::Worse { what, without, with }),
        };
        let (from, to) = (self.live.policy(), self.panel.policies()[to]);
        self.live.set_policy(to);
        if self.switches.len() < SWITCHES {
            self.switches.push(Switch { at: self.accesses, from, to, reason });
        }
    }
}

struct Held<'a> {
    panel: &'a Panel,
    live: &'a Core<()>,
}

impl Holdings for Held<'_> {
    fn live_lacks(&self, to: usize) -> usize {
        self.panel.missing(to, |key| self.live.contains(key))
    }

    fn lacks(&self, from: usize, to: usize) -> usize {
        self.panel.missing(to, |key| self.panel.holds(from, key))
    }
}

impl Policy for Adaptive {
    fn access(&mut self, key: u64, weight: u32) -> bool {
        self.accesses += 1;
        let hit = self.live.access(key, weight);
        if mix(key) <= self.threshold {
            let decision = match self.panel.access(key, weight, hit) {
                Some(News::Full(scouts)) => self.selector.full(&scouts),
                Some(News::Block(block)) => {
                    let held = Held { panel: &self.panel, live: &self.live };
                    self.selector.block(&block, &held)
                }
                None => None,
            };
            if let Some(decision) = decision {
                self.apply(decision);
            }
        }
        hit
    }

    fn remove(&mut self, key: u64) -> bool {
        self.panel.remove(key);
        self.live.remove(key)
    }

    fn set_capacity(&mut self, capacity: u64) {
        let before = self.live.state().capacity.max(1);
        let scaled = self.panel.capacity() as f64 * (capacity as f64 / before as f64);
        self.panel.set_capacity(scaled.round() as u64);
        self.live.set_capacity(capacity);
    }

    fn set_policy(&mut self, policy: CachePolicy) -> bool {
        let at = self.panel.policies().iter().position(|candidate| *candidate == policy);
        at.is_some_and(|at| {
            self.selector.set_current(at);
            self.live.set_policy(policy)
        })
    }

    fn state(&self) -> PolicyState {
        self.live.state()
    }

    fn resident(&self) -> Vec<(u64, u32)> {
        self.live.resident()
    }

    fn contains(&self, key: u64) -> bool {
        self.live.contains(key)
    }
}
