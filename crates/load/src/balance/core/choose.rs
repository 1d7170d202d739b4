//! Who gets the next request.

use std::time::Duration;

use plimsoll_core_types::{ReplicaId, Timestamp};

use super::{Begun, Core, NEARLY, mixed};
use crate::balance::config::Sharing;
use crate::balance::error::DispatchError;
use crate::balance::slot::{State, nanos};
use crate::balance::work::Work;
use crate::policy::Candidate;
use crate::random::Random;

impl Core {
    /// Who gets `work` now.
    pub(in super::super) fn begin(
        &mut self,
        work: &Work,
        tried: &[ReplicaId],
        now: Timestamp,
    ) -> Result<Begun, DispatchError> {
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
        let Some(first) = self.first(own, work.expected.is_some()) else {
            return Err(self.refusal());
        };
        if let Some(place) = self.untried(own, tried) {
            return Ok(self.begin_at(place, own, work, false));
        }
        if self.policy.is_some() {
            let place = self.picked(work).unwrap_or(first as u32);
            return Ok(self.begin_at(place, own, work, false));
        }
        let place = match self.config.sharing {
            Sharing::Sole => first,
            Sharing::Shared => self.nearly(first, own),
        };
        let (place, own) = self.cached(work, own, place as u32);
        Ok(self.begin_at(place, own, work, false))
    }

    /// Of those that are not among `tried`, the place that should be done first; none where all
    /// are, or nothing was tried. Looks at all of them: whoever tries again is in no hurry.
    fn untried(&self, work: f64, tried: &[ReplicaId]) -> Option<u32> {
        if tried.is_empty() {
            return None;
        }
        let untried = self.slots.iter().enumerate().filter(|(_, slot)| !tried.contains(&slot.id));
        let done = untried.filter_map(|(place, slot)| {
            Some((slot.completion(work, &self.fleet, self.latest)?, place as u32))
        });
        done.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, place)| place)
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

    /// Of the places that are nearly as good as `best` for `work`, the one that this balancer
    /// prefers: others prefer others, so they do not all go to the same one before they hear of
    /// each other.
    fn nearly(&mut self, best: usize, work: f64) -> usize {
        let slot = &self.slots[best];
        let Some(done) = slot.completion(work, &self.fleet, self.latest) else { return best };
        let bound = done + self.fleet.typical * NEARLY;
        let preferred = |place: usize| Random::new(self.config.seed ^ mixed(place)).next();
        let mut chosen = (u64::MAX, best);
        self.scores.near(work, self.latest, bound, |place| {
            chosen = chosen.min((preferred(place), place));
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
            sized: work.expected.is_some(),
            probe,
        };
        if !probe {
            // Of equals, this one comes last now.
            self.age = self.age.wrapping_add(1);
            slot.age = self.age;
            self.scores.set(place as usize, slot, &self.fleet, now);
        }
        begun
    }

    fn refusal(&self) -> DispatchError {
        if self.places.is_empty() {
            return DispatchError::NoBackends;
        }
        let open = || self.slots.iter().filter(|slot| slot.state == State::Open);
        if self.fleet.late && open().next().is_some() {
            let slots: usize = open().map(|slot| slot.slots as usize).sum();
            let rates = open().map(|slot| f64::from(slot.slots) / slot.pace);
            let rate = rates.sum::<f64>() / self.fleet.typical;
            let retry_after = Duration::from_secs_f64((1e-9 / rate).min(1e9));
            return DispatchError::Full { slots, retry_after };
        }
        let returns = self.slots.iter().filter_map(|slot| match slot.state {
            State::Ejected { until } => Some(until.saturating_since(self.latest)),
            _ => None,
        });
        let retry_after = returns.min().unwrap_or_default();
        DispatchError::Unavailable { backends: self.places.len(), retry_after }
    }

    /// The place that should be done first with a request of `work`; none where none takes any.
    #[inline]
    fn first(&mut self, work: f64, sized: bool) -> Option<usize> {
        match self.scores.best() {
            (None, None) => None,
            // The order by a typical request is the order by this one.
            (Some(only), None) | (None, Some(only)) if !sized => Some(only),
            (idle, busy) => self.first_of(idle, busy, work, sized),
        }
    }

    fn first_of(
        &mut self,
        idle: Option<usize>,
        busy: Option<usize>,
        work: f64,
        sized: bool,
    ) -> Option<usize> {
        let done = |place: usize| {
            let done = self.slots[place].completion(work, &self.fleet, self.latest);
            (place, done.unwrap_or(f64::MAX))
        };
        let (idle, busy) = (idle.map(done), busy.map(done));
        let sooner = idle.zip(busy).is_some_and(|(idle, busy)| busy.1 < idle.1);
        let (first, done) = if sooner { busy } else { idle.or(busy) }?;
        let other = if sized { self.scores.before(work, self.latest, done) } else { None };
        Some(other.unwrap_or(first))
    }
}
