//! The balancer without its lock: who gets the next request, and what an answer teaches.

use std::collections::HashMap;
use std::time::Duration;

use plimsoll_core_types::{ReplicaId, Timestamp};

use super::argmin::{Argmin, Score, Winner};
use super::config::{BackendConfig, BalancerConfig, Binding, Sharing};
use super::error::DispatchError;
use super::report::{BackendReport, BackendStatus, Standing};
use super::slot::{Fleet, Foreign, Slot, State, Taken, nanos};
use super::work::Work;
use crate::policy::{Candidate, Dice, Policy};
use crate::random::Random;

mod eject;

/// Backends are looked at this often even when nothing is heard of them.
const REFRESH_EVERY: Duration = Duration::from_millis(10);
/// How many of them at a time.
const REFRESH_AT_ONCE: usize = 16;
/// Where others send to the same backends, a place is as good as the best when it would be done
/// this share of a typical request later at most.
const NEARLY: f64 = 0.15;
/// Moments in the busy argmin are counted from an epoch no older than this, which keeps them exact
/// to some 60 nanoseconds.
const EPOCH: Duration = Duration::from_secs(1);
/// How quickly the typical work follows the mean of what is seen.
const TYPICAL_FOLLOWS: f64 = 1.0 / 64.0;

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
    /// Nanoseconds of work before and of it, at pace 1.
    expected: f64,
    taken: Taken,
    /// Whether its size was known.
    sized: bool,
    probe: bool,
}

/// Places differ in few bits; what they are mixed with must not.
const fn mixed(place: usize) -> u64 {
    (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: BalancerConfig,
    /// Backends with a free slot: nanoseconds from a dispatch until it would be done.
    idle: Argmin,
    /// Backends that are full: nanoseconds from the epoch until one more would be done. Apart from
    /// the others because those moments come nearer while nothing is written.
    busy: Argmin,
    epoch: Timestamp,
    slots: Vec<Slot>,
    places: HashMap<ReplicaId, u32>,
    vacant: Vec<u32>,
    fleet: Fleet,
    /// Counts writes, to order equal scores by age.
    age: u16,
    ejected: usize,
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
            idle: Argmin::new(),
            busy: Argmin::new(),
            epoch: Timestamp::ZERO,
            slots: Vec::new(),
            places: HashMap::new(),
            vacant: Vec::new(),
            fleet,
            age: 0,
            ejected: 0,
            probing: Vec::new(),
            next_refresh: Timestamp::ZERO,
            next_return: Timestamp::MAX,
            cursor: 0,
            latest: Timestamp::ZERO,
            dice,
            policy,
            candidates: Vec::new(),
            median_pace: 1.0,
        }
    }

    fn rescore(&mut self, place: u32) {
        let slot = &self.slots[place as usize];
        let completion = slot.completion(self.fleet.typical, &self.fleet, self.latest);
        let (idle, busy) = match completion {
            None => (Score::NEVER, Score::NEVER),
            Some(from_now) if slot.is_queueing() => {
                (Score::NEVER, Score::new(from_now + self.since_epoch()))
            }
            Some(from_now) => (Score::new(from_now), Score::NEVER),
        };
        self.age = self.age.wrapping_add(1);
        self.idle.set(place as usize, idle, self.age);
        self.busy.set(place as usize, busy, self.age);
    }

    fn since_epoch(&self) -> f64 {
        self.latest.saturating_since(self.epoch).as_nanos() as f64
    }

    /// Counts moments from now on from now on.
    fn move_epoch(&mut self) {
        self.epoch = self.latest;
        for place in 0..self.slots.len() {
            if self.slots[place].is_queueing() {
                self.rescore(place as u32);
            }
        }
    }

    /// The place that should be done first with a request of `work`; none where none takes any.
    fn first(&self, work: f64) -> Option<usize> {
        let completion = |winner: &Winner| {
            let slot = &self.slots[winner.place];
            slot.completion(work, &self.fleet, self.latest).unwrap_or(f64::MAX)
        };
        match (self.idle.min(), self.busy.min()) {
            (Some(idle), Some(busy)) => {
                Some(if completion(&busy) < completion(&idle) { busy.place } else { idle.place })
            }
            (idle, busy) => idle.or(busy).map(|winner| winner.place),
        }
    }

    /// Who would get a typical request now.
    pub(super) fn best(&self) -> Option<ReplicaId> {
        let soonest = match (self.idle.min(), self.busy.min()) {
            (Some(idle), Some(busy)) => {
                let busy_from_now = f64::from(busy.score.nanos()) - self.since_epoch();
                if busy_from_now < f64::from(idle.score.nanos()) { busy } else { idle }
            }
            (idle, busy) => idle.or(busy)?,
        };
        Some(self.slots[soonest.place].id)
    }

    fn distance(&self, backend: &BackendConfig) -> f64 {
        match (self.config.zone, backend.zone) {
            (Some(here), Some(there)) if here != there => nanos(self.config.cross_zone),
            _ => 0.0,
        }
    }

    pub(super) fn add(&mut self, id: ReplicaId, config: &BackendConfig) -> bool {
        let distance = self.distance(config);
        let fresh = Slot::new(id, config, distance, self.fleet.typical, self.latest);
        if let Some(&place) = self.places.get(&id) {
            let slot = &mut self.slots[place as usize];
            (slot.slots, slot.distance) = (fresh.slots, fresh.distance);
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
                self.idle.reserve(self.slots.len() + 1);
                self.busy.reserve(self.slots.len() + 1);
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
        self.rescore(place);
        self.vacate_if_idle(place);
        self.keep_cap();
        true
    }

    pub(super) fn drain(&mut self, id: ReplicaId) -> bool {
        let Some(&place) = self.places.get(&id) else { return false };
        self.readmit(place);
        self.slots[place as usize].state = State::Draining;
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

    /// Who gets `work` now.
    pub(super) fn begin(&mut self, work: &Work, now: Timestamp) -> Result<Begun, DispatchError> {
        self.latest = self.latest.max(now);
        if now >= self.next_refresh {
            self.refresh();
        }
        if now >= self.next_return {
            self.begin_probes();
        }
        let own = work.expected.map_or(self.fleet.typical, nanos);
        if !self.probing.is_empty()
            && let Some(place) = self.next_probe()
        {
            return Ok(self.begin_at(place, own, work, true));
        }
        let Some(first) = self.first(own) else { return Err(self.refusal()) };
        if self.policy.is_some() {
            let place = self.picked(work).unwrap_or(first as u32);
            return Ok(self.begin_at(place, own, work, false));
        }
        let place = match self.config.sharing {
            Sharing::Sole => first,
            Sharing::Shared => self.nearly(first),
        };
        let (place, own) = self.cached(work, own, place as u32);
        Ok(self.begin_at(place, own, work, false))
    }

    /// Whom the policy sends `work` to.
    fn picked(&mut self, work: &Work) -> Option<u32> {
        let late = self.fleet.late;
        let open = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.state == State::Open && !(late && slot.is_full()));
        self.candidates.clear();
        self.candidates.extend(open.map(|(place, slot)| Candidate {
            place,
            id: slot.id,
            in_progress: slot.in_flight as usize + slot.foreign.in_flight as usize,
            slots: slot.slots as usize,
        }));
        let last = self.candidates.len().checked_sub(1)?;
        let policy = self.policy.as_mut()?;
        let picked = policy.pick(&self.candidates, work, &mut self.dice, self.latest);
        Some(self.candidates[picked.min(last)].place as u32)
    }

    /// Of the places that are nearly as good as `best`, the one that this balancer prefers: others
    /// prefer others, so they do not all go to the same one before they hear of each other.
    fn nearly(&self, best: usize) -> usize {
        let Some(winner) = self.idle.min() else { return best };
        let bound = Score::new(f64::from(winner.score.nanos()) + self.fleet.typical * NEARLY);
        let preferred = |place: usize| Random::new(self.config.seed ^ mixed(place)).next();
        let mut chosen = (u64::MAX, best);
        self.idle.near(bound, 256, |winner| {
            chosen = chosen.min((preferred(winner.place), winner.place));
            bound
        });
        chosen.1
    }

    /// `place`, or a place where part of `work` is done already and which is done with the rest
    /// sooner; and the nanoseconds of work that are left there.
    fn cached(&self, work: &Work, own: f64, place: u32) -> (u32, f64) {
        if work.cached[0].is_none() {
            return (place, own);
        }
        let score = |place: u32, own| {
            let slot = &self.slots[place as usize];
            slot.completion(own, &self.fleet, self.latest).unwrap_or(f64::INFINITY)
        };
        let mut best = (place, own, score(place, own));
        for (id, saved) in work.cached.iter().flatten() {
            let Some(&place) = self.places.get(id) else { continue };
            let left = (own - nanos(*saved)).max(0.0);
            let score = score(place, left);
            if score < best.2 || (place == best.0 && left < best.1) {
                best = (place, left, score);
            }
        }
        (best.0, best.1)
    }

    fn begin_at(&mut self, place: u32, own: f64, work: &Work, probe: bool) -> Begun {
        let now = self.latest;
        let slot = &mut self.slots[place as usize];
        let taken = slot.begin(own, &self.fleet, now);
        let begun = Begun {
            taken,
            place,
            id: slot.id,
            at: now,
            work: own,
            expected: own,
            sized: work.expected.is_some(),
            probe,
        };
        if !probe {
            self.rescore(place);
        }
        begun
    }

    fn refusal(&self) -> DispatchError {
        if self.places.is_empty() {
            return DispatchError::NoBackends;
        }
        let open = || self.slots.iter().filter(|slot| slot.state == State::Open);
        if self.fleet.late && open().next().is_some() {
            let slots = open().map(|slot| slot.slots).sum::<f64>();
            let rate = open().map(|slot| slot.slots / slot.pace).sum::<f64>() / self.fleet.typical;
            let retry_after = Duration::from_secs_f64((1e-9 / rate).min(1e9));
            return DispatchError::Full { slots: slots as usize, retry_after };
        }
        let returns = self.slots.iter().filter_map(|slot| match slot.state {
            State::Ejected { until } => Some(until.saturating_since(self.latest)),
            _ => None,
        });
        let retry_after = returns.min().unwrap_or_default();
        DispatchError::Unavailable { backends: self.places.len(), retry_after }
    }

    /// Takes back what was begun, and learns from how it ended.
    pub(super) fn end(&mut self, begun: &Begun, ended: Ended, now: Option<Timestamp>) {
        self.latest = self.latest.max(now.unwrap_or(self.latest));
        let now = self.latest;
        let taken = now.as_nanos().saturating_sub(begun.at.as_nanos()) as f64;
        let slot = &mut self.slots[begun.place as usize];
        slot.end(begun.work, &begun.taken, now);
        match ended {
            Ended::Well => {
                let waited = (begun.taken.begins - begun.at.as_nanos() as f64).max(0.0);
                let served = (taken - waited).max(taken / 16.0);
                let own = served / slot.pace;
                slot.learn_success(now);
                slot.learn_pace(begun.expected, served, now);
                let size = if begun.sized { begun.work } else { own };
                self.fleet.typical += (size - self.fleet.typical) * TYPICAL_FOLLOWS;
                self.fleet.typical = self.fleet.typical.max(1.0);
            }
            Ended::Badly => {
                slot.learn_failure();
                slot.learn_at_least(begun.expected, taken, now);
            }
            Ended::Cancelled => slot.learn_at_least(begun.expected, taken, now),
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
            slot.measured(1.0 / speed.get().max(1e-6), now);
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
}
