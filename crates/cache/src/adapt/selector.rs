//! When to change the policy, and when to change back.
//!
//! Each candidate's hits are summed with exponentially fading weights, and so are the squares of
//! every pair's differences block by block: the lead of one candidate over another is believed
//! where it exceeds both its own spread and what copying costs. After a change the live cache is
//! compared, over the same accesses, with the miniature of the policy that was left: harm that is
//! beyond chance is undone at the end of the first window, and the policy must then earn twice the
//! lead.
//!
//! Source: the paired comparison of policies on common random numbers (Law, *Simulation Modeling
//! and Analysis*, ch. 10); discounting as in Herbster and Warmuth, *Tracking the Best Expert*
//! (Machine Learning 1998).

use super::panel::Block;

/// For how many turnovers of the cache accesses count, about.
const TURNOVERS: f64 = 8.0;

/// Fewer blocks than this are no window.
const LEAST_BLOCKS: f64 = 8.0;

/// Fewer accesses than this are no window, however small the cache.
const LEAST_WINDOW: f64 = 4096.0;

/// Entries that a change may cost, as a share of all.
const COPYING: f64 = 0.01;

/// A lead must exceed its spread so many times.
const SPREADS: f64 = 1.0;

/// The scouts' lead must be this share of their accesses.
const SCOUTS_LEAD: f64 = 0.005;

/// How many times larger a lead must be after a change was undone, at the most.
const MOST_CAUTION: f64 = 16.0;

/// What the selector says after a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decision {
    /// Change to a candidate that is better.
    Switch { to: usize, current: f64, candidate: f64 },
    /// Change back to the one before: the change did harm.
    RollBack { to: usize, without: f64, with: f64 },
}

/// A change that has not been validated yet.
#[derive(Clone, Copy, Debug)]
struct Trial {
    before: usize,
    blocks: f64,
    accesses: f64,
    live: f64,
    without: f64,
    squares: f64,
}

/// Compares candidates.
#[derive(Debug)]
pub(crate) struct Selector {
    current: usize,
    entries: f64,
    decay: f64,
    window: f64,
    accesses: f64,
    hits: Vec<f64>,
    /// Squared differences of each pair, block by block.
    squares: Vec<f64>,
    trial: Option<Trial>,
    /// By candidate: how many times larger than usual its lead must be.
    caution: Vec<f64>,
}

impl Selector {
    /// Among `candidates`, the first of which is in force, by blocks of `block_length` accesses to
    /// miniatures of `entries` entries.
    pub(crate) fn new(candidates: usize, current: usize, entries: u64, block_length: u32) -> Self {
        let entries = entries as f64;
        let length = (TURNOVERS * entries).max(LEAST_WINDOW);
        let window = (length / f64::from(block_length)).max(LEAST_BLOCKS);
        Self {
            current,
            entries,
            decay: 1.0 - 1.0 / window,
            window,
            accesses: 0.0,
            hits: vec![0.0; candidates],
            squares: vec![0.0; candidates * candidates],
            trial: None,
            caution: vec![1.0; candidates],
        }
    }

    /// Somebody else chose the policy.
    pub(crate) fn set_current(&mut self, current: usize) {
        self.current = current;
        self.trial = None;
    }

    /// What the miniature of each candidate hits of late; zero before the first block.
    pub(crate) fn hit_ratios(&self) -> impl Iterator<Item = f64> + '_ {
        self.hits.iter().map(|hits| hits / self.accesses.max(1.0))
    }

    /// The choice when the cache is full for the first time, which costs nothing.
    pub(crate) fn full(&mut self, scouts: &Block) -> Option<Decision> {
        let hits = |candidate: usize| f64::from(scouts.hits[candidate]);
        let best = self.best(hits)?;
        let accesses = f64::from(scouts.accesses);
        let lead = hits(best) - hits(self.current);
        if lead <= SCOUTS_LEAD * accesses {
            return None;
        }
        let current = hits(self.current) / accesses.max(1.0);
        self.current = best;
        Some(Decision::Switch { to: best, current, candidate: hits(best) / accesses.max(1.0) })
    }

    /// Takes a block of accesses in, and says what to change.
    pub(crate) fn block(&mut self, block: &Block) -> Option<Decision> {
        self.take(block);
        if let Some(decision) = self.validate(block) {
            return Some(decision);
        }
        let best = self.best(|candidate| self.hits[candidate])?;
        let lead = self.hits[best] - self.hits[self.current];
        let spread = self.squares[best * self.hits.len() + self.current].sqrt();
        let least = (COPYING * self.entries + SPREADS * spread) * self.caution[best];
        if best == self.current || lead <= least {
            return None;
        }
        let ratio = |candidate: usize| self.hits[candidate] / self.accesses.max(1.0);
        let (current, candidate) = (ratio(self.current), ratio(best));
        self.trial = Some(Trial {
            before: self.current,
            blocks: 0.0,
            accesses: 0.0,
            live: 0.0,
            without: 0.0,
            squares: 0.0,
        });
        self.current = best;
        Some(Decision::Switch { to: best, current, candidate })
    }

    fn take(&mut self, block: &Block) {
        let count = self.hits.len();
        self.accesses = self.accesses * self.decay + f64::from(block.accesses);
        for (sum, hits) in self.hits.iter_mut().zip(&block.hits) {
            *sum = *sum * self.decay + f64::from(*hits);
        }
        for a in 0..count {
            for b in 0..count {
                let difference = f64::from(block.hits[a]) - f64::from(block.hits[b]);
                let sum = &mut self.squares[a * count + b];
                *sum = *sum * self.decay + difference * difference;
            }
        }
    }

    /// Compares the live cache with the policy that it left, and undoes a change that did harm.
    fn validate(&mut self, block: &Block) -> Option<Decision> {
        let trial = self.trial.as_mut()?;
        let (live, without) = (f64::from(block.live), f64::from(block.hits[trial.before]));
        trial.blocks += 1.0;
        trial.accesses += f64::from(block.accesses);
        trial.live += live;
        trial.without += without;
        trial.squares += (without - live) * (without - live);
        if trial.blocks < self.window {
            return None;
        }
        let trial = self.trial.take()?;
        let harm = trial.without - trial.live;
        if harm <= SPREADS * trial.squares.sqrt() {
            self.caution[self.current] = (self.caution[self.current] / 2.0).max(1.0);
            return None;
        }
        let caution = &mut self.caution[self.current];
        *caution = (*caution * 2.0).min(MOST_CAUTION);
        self.current = trial.before;
        let (without, with) = (trial.without / trial.accesses, trial.live / trial.accesses);
        Some(Decision::RollBack { to: trial.before, without, with })
    }

    /// The candidate with the most of `value`; of equals the first.
    fn best(&self, value: impl Fn(usize) -> f64) -> Option<usize> {
        (0..self.hits.len()).rev().max_by(|a, b| value(*a).total_cmp(&value(*b)))
    }
}
