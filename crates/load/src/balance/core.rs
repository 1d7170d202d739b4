//! The balancer without its lock: who gets the next request, and what an answer teaches.

use std::collections::HashMap;
use std::time::Duration;

use plimsoll_core_types::{ReplicaId, Timestamp};

use super::argmin::{Argmin, Score, Winner};
use super::config::{BackendConfig, BalancerConfig, Binding, Sharing};
use super::error::DispatchError;
use super::report::{BackendReport, BackendStatus, Standing};
use super::slot::{Fleet, Foreign, Slot, State, nanos};
use super::work::Work;

mod eject;

/// Backends are looked at this often even when nothing is heard of them.
const REFRESH_EVERY: Duration = Duration::from_millis(10);
/// How many of them at a time.
const REFRESH_AT_ONCE: usize = 16;
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
    /// Whether its size was known.
    sized: bool,
    probe: bool,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: BalancerConfig,
    pub(super) argmin: Argmin,
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
    random: crate::random::Random,
    median_pace: f64,
}

impl Core {
    pub(super) fn new(mut config: BalancerConfig) -> Self {
        config.max_backends = config.max_backends.clamp(1, Argmin::MOST);
        let fleet = Fleet {
            typical: nanos(config.typical).max(1.0),
            slow_start: nanos(config.slow_start),
            late: config.binding == Binding::Late,
        };
        let random = crate::random::Random::new(config.seed);
        Self {
            config,
            argmin: Argmin::new(),
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
            random,
            median_pace: 1.0,
        }
    }

    fn rescore(&mut self, place: u32) {
        let slot = &self.slots[place as usize];
        let score = slot.score(self.fleet.typical, &self.fleet, self.latest);
        self.age = self.age.wrapping_add(1);
        self.argmin.set(place as usize, score, self.age);
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
                self.argmin.reserve(self.slots.len() + 1);
                self.slots.push(fresh.clone());
                (self.slots.len() - 1) as u32
            }
            None => return false,
        };
        self.slots[place as usize] = fresh;
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
        let Some(winner) = self.argmin.min() else { return Err(self.refusal()) };
        let place = match self.config.sharing {
            Sharing::Sole => winner.place as u32,
            Sharing::Shared => self.nearly(winner) as u32,
        };
        let (place, own) = self.cached(work, own, place);
        Ok(self.begin_at(place, own, work, false))
    }

    /// One of the places that are nearly as good as `best`, at random.
    fn nearly(&mut self, best: Winner) -> usize {
        let bound = Score::new(f64::from(best.score.nanos()) + self.fleet.typical / 4.0);
        let (mut chosen, mut seen) = (best.place, 0);
        let random = &mut self.random;
        self.argmin.near(bound, 128, |winner| {
            seen += 1;
            if random.below(seen) == 0 {
                chosen = winner.place;
            }
            bound
        });
        chosen
    }

    /// `place`, or a place where part of `work` is done already and which is done with the rest
    /// sooner; and the nanoseconds of work that are left there.
    fn cached(&self, work: &Work, own: f64, place: u32) -> (u32, f64) {
        if work.cached[0].is_none() {
            return (place, own);
        }
        let score = |place: u32, own| {
            self.slots[place as usize].score(own, &self.fleet, self.latest).nanos()
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
        let begun = Begun {
            place,
            id: slot.id,
            at: now,
            work: own,
            expected: slot.ahead() + own,
            sized: work.expected.is_some(),
            probe,
        };
        slot.begin(own, now);
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
        slot.end(begun.work, now);
        match ended {
            Ended::Well => {
                let own = taken * begun.work / begun.expected.max(1.0) / slot.pace;
                slot.learn_success(now);
                slot.learn_pace(begun.expected, taken);
                let size = if begun.sized { begun.work } else { own };
                self.fleet.typical += (size - self.fleet.typical) * TYPICAL_FOLLOWS;
                self.fleet.typical = self.fleet.typical.max(1.0);
            }
            Ended::Badly => {
                slot.learn_failure();
                slot.learn_at_least(begun.expected, taken);
            }
            Ended::Cancelled => slot.learn_at_least(begun.expected, taken),
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
            let backlog = match report.backlog {
                Some(backlog) => nanos(backlog) - slot.backlog,
                None => others * self.fleet.typical,
            };
            slot.foreign = Foreign { in_flight: others.max(0.0), backlog: backlog.max(0.0) };
        }
        if let Some(speed) = report.speed {
            slot.set_pace(1.0 / speed.get().max(1e-6));
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
