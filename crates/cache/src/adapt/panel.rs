//! Miniatures of every candidate over the same accesses.
//!
//! Source: Waldspurger, Saemundsson, Ahmad, Park, *Cache Modeling and Optimization using
//! Miniature Simulations* (USENIX ATC 2017).

use plimsoll_core_types::CachePolicy;

use crate::policy::core::Core;
use crate::policy::{Policy, model_core};

/// Scouts are so many times smaller than the miniatures.
const SCOUT_PART: u64 = 2;

/// A cache counts as full from this share of its capacity on.
const FULL: f64 = 0.95;

/// Into how many blocks a turnover of the miniature is divided.
const BLOCKS_PER_TURNOVER: u64 = 8;

/// Hits of one block of accesses, by candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) accesses: u32,
    pub(crate) hits: Vec<u32>,
    /// What the live cache hit of the same accesses.
    pub(crate) live: u32,
}

/// What the miniatures have to say after an access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The miniatures are full: what the scouts, much smaller and so full much earlier, hit until
    /// now. From here on policies differ, so this is the moment to choose one for nothing.
    Full(Block),
    /// One more block of accesses is over.
    Block(Block),
}

/// Miniatures of the candidates.
#[derive(Debug)]
pub(crate) struct Panel {
    policies: Vec<CachePolicy>,
    minis: Vec<Core<()>>,
    scouts: Vec<Core<()>>,
    scouted: Block,
    block: Block,
    block_length: u32,
}

impl Panel {
    /// Miniatures of `capacity` each; those of `policies` that have no model are left out.
    /// `entries` is how many entries fit, about.
    pub(crate) fn new(policies: &[CachePolicy], capacity: u64, entries: u64) -> Self {
        let known = |policy: &&CachePolicy| model_core(**policy, 1).is_some();
        let policies: Vec<_> = policies.iter().filter(known).copied().collect();
        let all = |capacity| policies.iter().filter_map(|p| model_core(*p, capacity)).collect();
        let (minis, scouts) = (all(capacity.max(1)), all((capacity / SCOUT_PART).max(4)));
        let empty = Block { accesses: 0, hits: vec![0; policies.len()], live: 0 };
        let block_length = (entries / BLOCKS_PER_TURNOVER).clamp(32, 4096) as u32;
        Self { policies, minis, scouts, scouted: empty.clone(), block: empty, block_length }
    }

    pub(crate) fn policies(&self) -> &[CachePolicy] {
        &self.policies
    }

    pub(crate) fn block_length(&self) -> u32 {
        self.block_length
    }

    /// Shows a sampled access to all; `hit` is whether the live cache had it.
    pub(crate) fn access(&mut self, key: u64, weight: u32, hit: bool) -> Option<News> {
        for (mini, hits) in self.minis.iter_mut().zip(&mut self.block.hits) {
            *hits += u32::from(mini.access(key, weight));
        }
        self.block.accesses += 1;
        self.block.live += u32::from(hit);
        if !self.scouts.is_empty() {
            for (scout, hits) in self.scouts.iter_mut().zip(&mut self.scouted.hits) {
                *hits += u32::from(scout.access(key, weight));
            }
            self.scouted.accesses += 1;
            if self.is_full() {
                self.scouts = Vec::new();
                return Some(News::Full(self.scouted.clone()));
            }
        }
        if self.block.accesses < self.block_length {
            return None;
        }
        let empty = Block { accesses: 0, hits: vec![0; self.policies.len()], live: 0 };
        Some(News::Block(std::mem::replace(&mut self.block, empty)))
    }

    /// True once policies differ.
    fn is_full(&self) -> bool {
        let full = |mini: &Core<()>| {
            let state = mini.state();
            state.weight as f64 >= state.capacity as f64 * FULL
        };
        self.minis.iter().any(full)
    }

    /// Whether a candidate's miniature has an entry of `key`.
    pub(crate) fn holds(&self, candidate: usize, key: u64) -> bool {
        self.minis[candidate].contains(key)
    }

    /// How many entries of a candidate's miniature somebody else does not hold.
    pub(crate) fn missing(&self, candidate: usize, holds: impl Fn(u64) -> bool) -> usize {
        let resident = self.minis[candidate].resident();
        resident.iter().filter(|(key, _)| !holds(*key)).count()
    }

    /// Forgets a key that was invalidated.
    pub(crate) fn remove(&mut self, key: u64) {
        for mini in self.minis.iter_mut().chain(&mut self.scouts) {
            mini.remove(key);
        }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.minis.first().map_or(0, |mini| mini.state().capacity)
    }

    /// Changes the capacity of the miniatures.
    pub(crate) fn set_capacity(&mut self, capacity: u64) {
        self.minis.iter_mut().for_each(|mini| mini.set_capacity(capacity.max(1)));
    }
}
