//! One engine's work: what waits, what runs, and when the next of it ends.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use plimsoll_core_types::{Bytes, Timestamp};

use crate::serving::{EngineSpec, Job};

/// A request that has not ended yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) job: Job,
    /// True when it found its model ready.
    pub(super) warm: bool,
    /// How often its engine died under it.
    pub(super) tries: u32,
}

/// A request in service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// When it ends, in the engine's own time, which runs at the speed of its requests.
    ends: f64,
    number: u64,
    pub(super) pending: Pending,
    pub(super) began: Timestamp,
}

/// One engine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) spec: EngineSpec,
    pub(super) queue: VecDeque<Pending>,
    running: BinaryHeap<Reverse<Running>>,
    /// Nanoseconds of service that each request in progress has had since the engine was idle.
    own_time: f64,
    updated: Timestamp,
    started: u64,
    /// Tells events of this engine that have become stale.
    pub(super) epoch: u64,
    pub(super) tokens: Bytes,
    pub(super) hung: bool,
    pub(super) slowed: Option<(f64, Timestamp)>,
    pub(super) probes_lost_until: Timestamp,
    /// What will happen to the next load.
    pub(super) doomed: Option<Doom>,
    /// When the supervisor kills it, where it loads or drains.
    pub(super) overdue: Timestamp,
    pub(super) loaded_at: Timestamp,
}

/// What will happen to a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doom {
    Dies,
    Hangs,
}

impl Machine {
    pub(super) fn new(spec: &EngineSpec) -> Self {
        Self {
            spec: spec.clone(),
            queue: VecDeque::new(),
            running: BinaryHeap::new(),
            own_time: 0.0,
            updated: Timestamp::ZERO,
            started: 0,
            epoch: 0,
            tokens: Bytes::ZERO,
            hung: false,
            slowed: None,
            probes_lost_until: Timestamp::ZERO,
            doomed: None,
            overdue: Timestamp::MAX,
            loaded_at: Timestamp::MAX,
        }
    }

    pub(super) fn in_progress(&self) -> usize {
        self.running.len()
    }

    fn speed(&self) -> f64 {
        let slow = self.slowed.map_or(1.0, |(speed, _)| speed);
        if self.hung { 0.0 } else { slow * self.spec.speed(self.running.len()) }
    }

    /// Lets the engine's own time run up to `now`. To be called before anything changes.
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        let elapsed = now.saturating_since(self.updated).as_nanos() as f64;
        self.own_time += elapsed * self.speed();
        self.updated = now;
        if self.running.is_empty() {
            // So that numbers stay small, and sums exact.
            self.own_time = 0.0;
        }
    }

    /// The next request that there is a slot and room for.
    pub(super) fn next(&mut self) -> Option<Pending> {
        if self.running.len() >= self.spec.model.slots.max(1) {
            return None;
        }
        let tokens = self.spec.tokens(&self.queue.front()?.job);
        let room = self.spec.kv.map_or(Bytes::ZERO, |kv| kv.room);
        if self.tokens.saturating_add(tokens) > room.max(tokens) {
            return None;
        }
        self.queue.pop_front()
    }

    /// Begins a request, the engine being caught up.
    pub(super) fn begin(&mut self, pending: Pending, now: Timestamp) {
        self.started += 1;
        self.tokens = self.tokens.saturating_add(self.spec.tokens(&pending.job));
        let ends = self.own_time + pending.job.service.as_nanos() as f64;
        self.running.push(Reverse(Running { ends, number: self.started, pending, began: now }));
    }

    /// Takes out one request that has ended, the engine being caught up.
    pub(super) fn ended(&mut self) -> Option<Running> {
        // Half a nanosecond is what rounding may lack.
        let first = self.running.peek().filter(|first| first.0.ends <= self.own_time + 0.5)?.0;
        self.running.pop();
        self.tokens = self.tokens.saturating_sub(self.spec.tokens(&first.pending.job));
        Some(first)
    }

    /// When the next request ends, as things are.
    pub(super) fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let speed = self.speed();
        let first = self.running.peek().filter(|_| speed > 0.0)?.0;
        let nanos = ((first.ends - self.own_time).max(0.0) / speed).ceil();
        Some(now + Duration::from_nanos(nanos as u64))
    }

    /// When the last request should have ended, were the engine not hung.
    pub(super) fn last_end(&self, now: Timestamp) -> Timestamp {
        let slow = self.slowed.map_or(1.0, |(speed, _)| speed);
        let speed = slow * self.spec.speed(self.running.len());
        let last = self.running.iter().map(|running| running.0.ends).fold(0.0, f64::max);
        let nanos = ((last - self.own_time).max(0.0) / speed).ceil();
        now + Duration::from_nanos(nanos as u64)
    }

    /// The engine is gone: what it had in progress, the oldest first.
    pub(super) fn die(&mut self) -> Vec<Running> {
        self.epoch += 1;
        self.hung = false;
        self.tokens = Bytes::ZERO;
        let mut lost: Vec<_> = self.running.drain().map(|running| running.0).collect();
        lost.sort_unstable_by_key(|running| running.number);
        self.own_time = 0.0;
        lost
    }
}

impl Ord for Running {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ends.total_cmp(&other.ends).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Running {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Running {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Running {}
