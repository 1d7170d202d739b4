//! When to change the policy, and when to change back.
//!
//! Followers with different memories each follow the candidate that was best within theirs: a
//! short one is quick where phases differ, a long one is steady where they only alternate. What
//! each would have hit, less what its own changes would have cost, says which follower to trust.
//!
//! A lead of one candidate over another is believed where it exceeds both its own spread, block by
//! block, and what the change costs: the entries that the other would hold by now and the live
//! cache has to fetch. After a change the live cache is compared, over the same accesses, with the
//! miniature of the policy that was left: harm that is beyond chance is undone at the end of the
//! first window, and the policy must then earn twice the lead. The first half of that window is
//! left out: it is the time in which the cache fetches what it lacks, which was weighed when the
//! change was made.
//!
//! Source: the paired comparison of policies on common random numbers (Law, *Simulation Modeling
//! and Analysis*, ch. 10); discounting and its mixtures as in Herbster and Warmuth, *Tracking the
//! Best Expert* (Machine Learning 1998); weighing the cost of moving as in Borodin, Linial and Saks,
//! *An Optimal On-Line Algorithm for Metrical Task System* (JACM 1992).

use super::panel::Block;

/// For how many turnovers of the cache each follower's memory lasts, about.
const MEMORIES: [f64; 3] = [2.0, 16.0, 128.0];

/// For how many turnovers a change is tried before it is judged.
const WINDOW: f64 = 4.0;

/// For how many turnovers followers are compared.
const TRUST: f64 = 16.0;

/// Fewer blocks than this are no window.
const LEAST_BLOCKS: f64 = 8.0;

/// Fewer accesses than this are no window, however small the cache.
const LEAST_WINDOW: f64 = 4096.0;

/// The share of the cache that a change costs at the least.
const COPYING: f64 = 0.02;

/// Which share of the missing entries has to be fetched, relative to the hit ratio.
const FETCH: f64 = 0.5;

/// A lead must exceed its spread so many times.
const SPREADS: f64 = 1.0;

/// The scouts' lead must be this share of their accesses.
const SCOUTS_LEAD: f64 = 0.003;

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

/// What entries there are where.
pub(crate) trait Holdings {
    /// Of the entries that candidate `to` would hold, how many the live cache lacks.
    fn live_lacks(&self, to: usize) -> usize;

    /// Of the entries that candidate `to` would hold, how many candidate `from` would lack.
    fn lacks(&self, from: usize, to: usize) -> usize;
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

/// Follows the candidate that is best within its memory.
#[derive(Debug)]
struct Follower {
    decay: f64,
    current: usize,
    accesses: f64,
    hits: Vec<f64>,
    /// Squared differences of each pair, block by block.
    squares: Vec<f64>,
    /// What it would have hit of late, less what its changes would have cost.
    gained: f64,
}

/// Compares candidates.
#[derive(Debug)]
pub(crate) struct Selector {
    current: usize,
    entries: f64,
    window: f64,
    trust: f64,
    followers: Vec<Follower>,
    /// The follower that is trusted.
    trusted: usize,
    trial: Option<Trial>,
    /// By candidate: how many times larger than usual its lead must be.
    caution: Vec<f64>,
}

impl Selector {
    /// Among `candidates`, the first of which is in force, by blocks of `block_length` accesses to
    /// miniatures of `entries` entries.
    pub(crate) fn new(candidates: usize, current: usize, entries: u64, block_length: u32) -> Self {
        let entries = entries as f64;
        let blocks = |turnovers: f64| {
            let least = LEAST_WINDOW * turnovers / WINDOW;
            let length = (turnovers * entries).max(least);
            (length / f64::from(block_length)).max(LEAST_BLOCKS)
        };
        let follower = |turnovers: f64| Follower {
            decay: 1.0 - 1.0 / blocks(turnovers),
            current,
            accesses: 0.0,
            hits: vec![0.0; candidates],
            squares: vec![0.0; candidates * candidates],
            gained: 0.0,
        };
        Self {
            current,
            entries,
            window: blocks(WINDOW),
            trust: 1.0 - 1.0 / blocks(TRUST),
            followers: MEMORIES.into_iter().map(follower).collect(),
            trusted: 0,
            trial: None,
            caution: vec![1.0; candidates],
        }
    }

    /// Somebody else chose the policy.
    pub(crate) fn set_current(&mut self, current: usize) {
        self.current = current;
        self.followers.iter_mut().for_each(|follower| follower.current = current);
        self.trial = None;
    }

    /// What the miniature of each candidate hits of late; zero before the first block.
    pub(crate) fn hit_ratios(&self) -> impl Iterator<Item = f64> + '_ {
        let follower = &self.followers[0];
        (0..follower.hits.len()).map(|candidate| follower.ratio(candidate))
    }

    /// The choice when the cache is full for the first time, which costs nothing.
    pub(crate) fn full(&mut self, scouts: &Block) -> Option<Decision> {
        let hits = |candidate: usize| f64::from(scouts.hits[candidate]);
        let best = best(scouts.hits.len(), hits)?;
        let accesses = f64::from(scouts.accesses);
        let lead = hits(best) - hits(self.current);
        if lead <= SCOUTS_LEAD * accesses {
            return None;
        }
        let current = hits(self.current) / accesses.max(1.0);
        self.set_current(best);
        Some(Decision::Switch { to: best, current, candidate: hits(best) / accesses.max(1.0) })
    }

    /// Takes a block of accesses in, and says what to change.
    pub(crate) fn block(&mut self, block: &Block, holdings: &impl Holdings) -> Option<Decision> {
        for follower in &mut self.followers {
            follower.gained =
                follower.gained * self.trust + f64::from(block.hits[follower.current]);
            follower.take(block);
            follower.follow(self.entries, holdings);
        }
        if let Some(decision) = self.validate(block) {
            return Some(decision);
        }
        let gained = |at: usize| self.followers[at].gained;
        let ahead = best(self.followers.len(), gained)?;
        // Between equals nothing is gained by a change of mind.
        if gained(ahead) > gained(self.trusted) + COPYING * self.entries {
            self.trusted = ahead;
        }
        let follower = &self.followers[self.trusted];
        let to = follower.current;
        if to == self.current {
            return None;
        }
        let (current, candidate) = (follower.ratio(self.current), follower.ratio(to));
        let noise = COPYING * self.entries + follower.spread(self.current, to);
        let fetched = holdings.live_lacks(to) as f64 * candidate * FETCH;
        let lead = follower.hits[to] - follower.hits[self.current];
        if lead <= (noise + fetched) * self.caution[to] {
            return None;
        }
        let before = self.current;
        let (blocks, accesses, live, without, squares) = (0.0, 0.0, 0.0, 0.0, 0.0);
        self.trial = Some(Trial { before, blocks, accesses, live, without, squares });
        self.current = to;
        Some(Decision::Switch { to, current, candidate })
    }

    /// Compares the live cache with the policy that it left, and undoes a change that did harm.
    fn validate(&mut self, block: &Block) -> Option<Decision> {
        let trial = self.trial.as_mut()?;
        let (live, without) = (f64::from(block.live), f64::from(block.hits[trial.before]));
        trial.blocks += 1.0;
        if trial.blocks * 2.0 < self.window {
            return None;
        }
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
}

impl Follower {
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

    fn follow(&mut self, entries: f64, holdings: &impl Holdings) {
        let Some(to) = best(self.hits.len(), |candidate| self.hits[candidate]) else { return };
        let lead = self.hits[to] - self.hits[self.current];
        let noise = COPYING * entries + self.spread(self.current, to);
        if to == self.current || lead <= noise {
            return;
        }
        let fetched = holdings.lacks(self.current, to) as f64 * self.ratio(to) * FETCH;
        if lead > noise + fetched {
            self.gained -= fetched;
            self.current = to;
        }
    }

    fn spread(&self, a: usize, b: usize) -> f64 {
        SPREADS * self.squares[a * self.hits.len() + b].sqrt()
    }

    fn ratio(&self, candidate: usize) -> f64 {
        self.hits[candidate] / self.accesses.max(1.0)
    }
}

/// The one of `count` with the most of `value`; of equals the first.
fn best(count: usize, value: impl Fn(usize) -> f64) -> Option<usize> {
    (0..count).rev().max_by(|a, b| value(*a).total_cmp(&value(*b)))
}
