//! The balancer without its lock: who gets the next request, and what an answer teaches.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use plimsoll_core_types::{ReplicaId, Timestamp};

use super::argmin::Argmin;
use super::config::{BackendConfig, BalancerConfig, Binding};
use super::report::{BackendReport, BackendStatus, Standing};
use super::scores::Scores;
use super::slot::{Fleet, Foreign, Slot, State, Taken, nanos, since};
use crate::policy::{Candidate, Dice, Policy};

mod choose;
mod eject;

/// Backends are looked at this often even when nothing is heard of them.
const REFRESH_EVERY: Duration = Duration::from_millis(10);
/// How many of them at a time.
const REFRESH_AT_ONCE: usize = 16;
/// Where others send to the same backends, a place is as good as the best when it would be done
/// this share of a typical request later at most.
const NEARLY: f64 = 0.1;
/// How quickly the typical work follows the mean of what is seen.
const TYPICAL_FOLLOWS: f64 = 1.0 / 64.0;

/// Of the time to an answer, at least this share is taken to be work, whatever wait was predicted.
const LEAST_SERVED: f64 = 1.0 / 16.0;

/// No replica's number.
pub(super) const NOBODY: u64 = u64::MAX;

/// How a dispatch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    Badly,
    Cancelled,
}

/// What a dispatch has to give back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    pub(super) place: u32,
    pub(super) id: ReplicaId,
    at: Timestamp,
    /// Nanoseconds of its own work, at pace 1.
    work: f64,
    taken: Taken,
    /// Whether its size was known.
    sized: bool,
    probe: bool,
}

/// Places differ in few bits; what they are mixed with must not.
const fn mixed(place: usize) -> u64 {
    (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Hashes the numbers of replicas, which whoever runs the balancer gives out: one multiplication is
/// enough for those.
#[derive(Clone, Copy, Debug, Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: BalancerConfig,
    scores: Scores,
    /// The place that was said to be the best.
    best: Option<usize>,
    slots: Vec<Slot>,
    places: HashMap<ReplicaId, u32, BuildHasherDefault<Mixer>>,
    vacant: Vec<u32>,
    fleet: Fleet,
    /// Counts dispatches, to order equal scores by age.
    age: u16,
    ejected: usize,
    /// Whether backends have come, gone, or changed their standing.
    changed: bool,
    probing: Vec<u32>,
    next_refresh: Timestamp,
    /// When the first ejected backend may be probed.
    next_return: Timestamp,
    cursor: usize,
    latest: Timestamp,
    dice: Dice,
    policy: Option<Box<dyn Policy>>,
    /// What the policy sees; kept to spare its allocation.
    candidates: Vec<Candidate>,
    median_pace: f64,
    /// What the median is taken of; kept to spare its allocation.
    paces: Vec<f64>,
}

impl Core {
    pub(super) fn new(mut config: BalancerConfig, policy: Option<Box<dyn Policy>>) -> Self {
        config.max_backends = config.max_backends.clamp(1, Argmin::MOST);
        let fleet = Fleet {
            typical: nanos(config.typical).max(1.0),
            slow_start: nanos(config.slow_start),
            late: config.binding == Binding::Late,
        };
        let dice = Dice::new(config.seed);
        Self {
            config,
            scores: Scores::new(),
            best: None,
            slots: Vec::new(),
            places: HashMap::default(),
            vacant: Vec::new(),
            fleet,
            age: 0,
            ejected: 0,
            changed: false,
            probing: Vec::new(),
            next_refresh: Timestamp::ZERO,
            next_return: Timestamp::MAX,
            cursor: 0,
            latest: Timestamp::ZERO,
            dice,
            policy,
            candidates: Vec::new(),
            median_pace: 1.0,
            paces: Vec::new(),
        }
    }

    #[inline]
    fn rescore(&mut self, place: u32) {
        let slot = &mut self.slots[place as usize];
        self.scores.set(place as usize, slot, &self.fleet, self.latest);
    }

    /// Slots of backends in rotation, where they may have changed since this was last asked.
    #[inline]
    pub(super) fn changed_slots(&mut self) -> Option<usize> {
        std::mem::take(&mut self.changed).then(|| self.open_slots())
    }

    fn open_slots(&self) -> usize {
        let open = self.slots.iter().filter(|slot| slot.state == State::Open);
        open.map(|slot| slot.slots as usize).sum()
    }

    /// The number of who would get a typical request now, or [`NOBODY`], where that is another one
    /// than when this was last asked.
    #[inline]
    pub(super) fn changed_best(&mut self) -> Option<u64> {
        let place = self.scores.soonest(self.latest);
        if place == self.best && !self.changed {
            return None;
        }
        self.best = place;
        Some(place.map_or(NOBODY, |place| self.slots[place].id.get()))
    }

    fn distance(&self, backend: &BackendConfig) -> f64 {
        match (self.config.zone, backend.zone) {
            (Some(here), Some(there)) if here != there => nanos(self.config.cross_zone),
            _ => 0.0,
        }
    }

    pub(super) fn add(&mut self, id: ReplicaId, config: &BackendConfig) -> bool {
        self.changed = true;
        let distance = self.distance(config);
        let fresh = Slot::new(id, config, distance, self.fleet.typical, self.latest);
        if let Some(&place) = self.places.get(&id) {
            let slot = &mut self.slots[place as usize];
            slot.resize(&fresh);
            if slot.state == State::Draining {
                slot.state = State::Open;
                slot.returned = self.latest;
            }
            self.rescore(place);
            return true;
        }
        let place = match self.vacant.pop() {
            Some(place) => place,
            None if self.slots.len() < self.config.max_backends => {
                self.scores.reserve(self.slots.len() + 1);
                self.slots.push(fresh.clone());
                (self.slots.len() - 1) as u32
            }
            None => return false,
        };
        self.slots[place as usize] = fresh;
        if let Some(policy) = &mut self.policy {
            policy.replaced(place as usize);
        }
        self.places.insert(id, place);
        self.rescore(place);
        true
    }

    pub(super) fn remove(&mut self, id: ReplicaId) -> bool {
        let Some(place) = self.places.remove(&id) else { return false };
        self.readmit(place);
        self.slots[place as usize].state = State::Leaving;
        self.changed = true;
        self.rescore(place);
        self.vacate_if_idle(place);
        self.keep_cap();
        true
    }

    pub(super) fn drain(&mut self, id: ReplicaId) -> bool {
        let Some(&place) = self.places.get(&id) else { return false };
        self.readmit(place);
        self.slots[place as usize].state = State::Draining;
        self.changed = true;
        self.rescore(place);
        self.keep_cap();
        true
    }

    fn vacate_if_idle(&mut self, place: u32) {
        let slot = &mut self.slots[place as usize];
        if slot.state == State::Leaving && slot.in_flight == 0 {
            slot.state = State::Vacant;
            self.vacant.push(place);
        }
    }

    /// Takes back what was begun, and learns from how it ended.
    pub(super) fn end(&mut self, begun: &Begun, ended: Ended, now: Option<Timestamp>) {
        self.latest = self.latest.max(now.unwrap_or(self.latest));
        let now = self.latest;
        let taken = since(now, begun.at);
        let slot = &mut self.slots[begun.place as usize];
        slot.end(begun.work, &begun.taken, now);
        let mut size = self.fleet.typical;
        match ended {
            Ended::Well => {
                let served = (taken - begun.taken.waits).max(taken * LEAST_SERVED);
                let pace = slot.pace;
                slot.learn_success(now);
                slot.learn_pace(begun.work, served, now);
                size = if begun.sized { begun.work } else { served / pace };
            }
            Ended::Badly => {
                slot.learn_failure();
                slot.learn_at_least(begun.work, taken, now);
            }
            Ended::Cancelled => slot.learn_at_least(begun.work, taken, now),
        }
        if let Some(policy) = &mut self.policy
            && ended != Ended::Cancelled
        {
            let latency = Duration::from_nanos(taken as u64);
            policy.ended(begun.place as usize, latency, ended == Ended::Well, now);
        }
        self.judge(begun, ended);
        if self.slots[begun.place as usize].state == State::Open {
            self.rescore(begun.place);
        } else {
            self.vacate_if_idle(begun.place);
        }
        // After the score, which then need not wait for it: one answer hardly moves it.
        let typical = self.fleet.typical + (size - self.fleet.typical) * TYPICAL_FOLLOWS;
        self.fleet.typical = typical.max(1.0);
    }

    /// Takes what a backend, or whoever watches it, says of it.
    pub(super) fn report(&mut self, id: ReplicaId, report: &BackendReport, now: Timestamp) {
        self.latest = self.latest.max(now);
        let Some(&place) = self.places.get(&id) else { return };
        let slot = &mut self.slots[place as usize];
        if let Some(in_flight) = report.in_progress {
            let others = in_flight as f64 - f64::from(slot.in_flight);
            slot.foreign = Foreign { in_flight: others.max(0.0), known: true };
        }
        if let Some(speed) = report.speed {
            slot.measured(1.0 / speed.get(), now);
        }
        if let Some(policy) = &mut self.policy {
            policy.reported(place as usize, report, self.latest);
        }
        self.rescore(place);
    }

    pub(super) fn statuses(&self) -> Vec<BackendStatus> {
        let known = self.slots.iter().filter(|slot| slot.state != State::Vacant);
        known
            .map(|slot| BackendStatus {
                id: slot.id,
                standing: match slot.state {
                    State::Open => Standing::Open,
                    State::Draining | State::Leaving | State::Vacant => Standing::Draining,
                    State::Ejected { until } => Standing::Ejected { until },
                    State::Probing { .. } => Standing::Probing,
                },
                in_progress: slot.in_flight as usize,
                slots: slot.slots as usize,
                service_time: Duration::from_nanos((self.fleet.typical * slot.pace) as u64),
                errors: plimsoll_core_types::Ratio::saturating(slot.failing),
                ejections: slot.ejections,
            })
            .collect()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.slots.iter().map(|slot| slot.in_flight as usize).sum()
    }

    /// No estimate is so small that a processor works on it by microcode.
    #[cfg(test)]
    pub(super) fn check_numbers(&self) {
        for number in self.slots.iter().flat_map(Slot::estimates).chain([self.fleet.typical]) {
            assert!(number == 0.0 || number.is_normal(), "{number:e} in {:?}", self.slots);
        }
    }

    #[cfg(test)]
    pub(super) fn check_scores(&self) {
        self.scores.check(&self.slots, &self.fleet, self.latest);
    }
}
